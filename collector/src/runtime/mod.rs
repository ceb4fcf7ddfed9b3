//! What a long-running process needs, whatever it does: time, an orderly end, and answers to how it is.

pub mod http;
pub(crate) mod instance;
pub mod metrics;
pub mod shutdown;
pub(crate) mod tasks;
pub mod time_grid;
