//! The collector against a real database: it dies and comes back, refuses what is sent, or is another one. Nothing is lost,
//! nothing is doubled.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

mod crashes;
mod simulation;
mod sources;
mod troubles;
