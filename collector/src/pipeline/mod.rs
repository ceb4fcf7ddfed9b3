//! What happens between sources and the store.
//!
//! ```text
//! source ─▶ output ─▶ delivery ─▶ sink          a batch is safe: written,
//!    ▲                  │  ▲                     or on disk in the spool
//!    └── acknowledged ──┘  └──▶ spool
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`batch`] | samples that travel together |
//! | [`output`] | where a source hands its batches on, and hears what became of them |
//! | [`heartbeats`] | the collector's own, made from what the sources say they have looked at |
//! | [`delivery`] | straight to the database when it answers, by way of the spool when it does not |
//! | [`replay`] | straight, and waiting: for what can be made again |
//! | [`spool`] | batches on disk |
//! | [`dead_letters`] | rows that the store will never take |

pub mod batch;
pub mod dead_letters;
pub mod delivery;
pub mod heartbeats;
pub mod output;
pub mod replay;
pub mod spool;
