//! One file a command.

pub(crate) mod backfill;
pub(crate) mod devices;
pub(crate) mod health;
mod live;
pub(crate) mod resend;
pub(crate) mod simulate;
