//! Where samples come from: a source a folder.

pub mod simulation;
