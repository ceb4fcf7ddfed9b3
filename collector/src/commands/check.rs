//! `check`: whether a settings file can be used. What is wrong with it was said when it was read.

use crate::database::Target;
use crate::error::Error;
use crate::settings::Settings;
use jiff::SignedDuration;

pub(crate) fn run(settings: &Settings) -> Result<(), Error> {
    let target = Target::from_settings(settings)?;
    println!("database {}", target.name());
    // Another file than one in TOML has none.
    for named in settings.sources().unwrap_or_default() {
        let description = named.source.describe();
        let devices = description.devices.len();
        // One that is too long for it would be beyond all limits.
        let every = SignedDuration::try_from(description.interval).unwrap_or(SignedDuration::MAX);
        println!("source {}: {devices} devices, every {every:#}", named.name);
    }
    Ok(())
}
