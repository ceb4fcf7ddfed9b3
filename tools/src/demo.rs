//! The demo's parts: what the fleet is like now and was promised to be, how a terminal and Grafana show it, and the collector
//! that feeds it.

pub mod feeder;
pub mod fleet;
pub mod grafana;
pub mod guarded;
pub mod promises;
pub mod screen;
mod strip;
mod table;
