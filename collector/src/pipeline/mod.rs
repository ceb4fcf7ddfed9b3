//! What happens between sources and the store: batches, the spool they wait in, and who delivers them.

pub mod batch;
pub mod dead_letters;
pub mod delivery;
pub mod spool;
