//! What tests across rooms share. The servers they start, and all else that programs need too, come from `iot_kpi_tools`.
//!
//! | module | what |
//! |---|---|
//! | [`catalog`] | what a database holds of the extension and its store, as lines that can be compared |
//! | [`upkeep`] | a server with the background worker, and waiting for its runs |
//! | [`postgres`], [`installation`], [`identity`] | private servers, and the programs they are started from |
//! | [`answers`], [`upgrade`] | a small store and every report over it; what is kept of a released version |
//! | [`collector`], [`demo`] | the collector's program; what the demo promises about its devices |

pub mod catalog;
pub mod upkeep;

pub use iot_kpi_tools::{answers, collector, demo, identity, installation, postgres, upgrade};
