//! The store.
//!
//! | module | what |
//! |---|---|
//! | [`writers`] | several connections that write at the same time |
//! | [`ingest`] | one batch, one statement: the store's ingest functions |
//! | [`recorder`] | what became of it |
//! | [`registry`] | store, metrics and devices made sure of |
//! | [`trouble`] | what an error means |
//! | [`backoff`] | growing pauses between tries |

pub mod backoff;
pub mod ingest;
pub mod recorder;
pub mod registry;
pub mod trouble;
pub mod writers;
