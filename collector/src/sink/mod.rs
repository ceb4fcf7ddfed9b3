//! The store: connections to it, what is written by them, and what its errors mean.

pub mod backoff;
pub mod ingest;
pub mod lanes;
pub mod link;
pub mod registry;
pub mod trouble;
