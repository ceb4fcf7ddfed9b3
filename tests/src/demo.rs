//! The demo's parts: what the fleet is like now, how a terminal shows it, and the collector that feeds it.

pub mod feeder;
pub mod fleet;
pub mod screen;
mod strip;
mod table;
