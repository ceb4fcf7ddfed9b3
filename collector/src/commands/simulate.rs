//! `simulate`
use crate::error::Error;
use crate::settings::{Settings, Simulate};
pub(crate) async fn run(_: &Settings, _: &Simulate) -> Result<(), Error> {
    Ok(())
}
