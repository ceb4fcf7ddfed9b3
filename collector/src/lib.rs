//! map
pub mod batch;
pub mod error;
pub mod fleet;
pub mod settings;
pub mod truth;
pub mod simulator;
pub mod ticks;
