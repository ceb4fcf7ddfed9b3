//! One file a command.

pub(crate) mod backfill;
pub(crate) mod check;
pub(crate) mod devices;
pub(crate) mod health;
pub(crate) mod resend;
pub(crate) mod run;
