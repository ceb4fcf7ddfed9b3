//! Several collectors with the same settings, as `docker compose up --scale` starts them: which of them this one is.
//!
//! Each has a number of its own, which is a locked file in a folder they share. Whoever comes next, after a restart too, takes the
//! first that is free: the same few collectors, spools and devices go on, however often their containers are made anew.

use crate::error::Error;
use crate::settings::Settings;
use std::fs::{self, File, TryLockError};
use std::path::Path;

/// More than anybody runs on a machine.
const INSTANCES: u32 = 1000;
const REMEDY: &str = "name a folder with --instance-dir that this user may write to";

/// Takes a number where settings ask for one; it is free again when what is returned is dropped.
pub(crate) fn take(settings: &mut Settings) -> Result<Option<File>, Error> {
    let Some(folder) = settings.run().and_then(|run| run.instance_dir.clone()) else {
        return Ok(None);
    };
    fs::create_dir_all(&folder).map_err(Error::file("make", &folder, REMEDY))?;
    let common = &mut settings.common;
    let (number, lock) = first_free(&folder)?;
    let name = common.collector_id.strip_suffix("-1").unwrap_or(&common.collector_id);
    common.collector_id = format!("{name}-{number}");
    common.instance = Some(number - 1);
    tracing::info!(collector = common.collector_id, folder = %folder.display(), "took its number");
    Ok(Some(lock))
}

fn first_free(folder: &Path) -> Result<(u32, File), Error> {
    for number in 1..=INSTANCES {
        // Its name since 0.2.0: collectors of both versions may share a folder while they are updated.
        let path = folder.join(format!("place-{number}"));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::file("write", &path, REMEDY))?;
        match file.try_lock() {
            Ok(()) => return Ok((number, file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &path, REMEDY)(error)),
        }
    }
    let problem = format!("all {INSTANCES} numbers in {} are taken", folder.display());
    Err(Error::setting(
        "--instance-dir",
        problem,
        "give the others a folder of their own",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> Settings {
        let folder = format!("--instance-dir={}", folder.display());
        Settings::from(["iot-kpi-collector", "simulate", &folder, "--devices=7"]).unwrap()
    }

    #[test]
    fn each_has_its_number_and_a_free_one_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut taken: Vec<(Settings, Option<File>)> = Vec::new();
        for _ in 0..3 {
            let mut one = settings(folder.path());
            let lock = take(&mut one).unwrap();
            taken.push((one, lock));
        }
        let ids: Vec<&str> = taken.iter().map(|(one, _)| &*one.common.collector_id).collect();
        assert_eq!(ids, ["collector-1", "collector-2", "collector-3"]);
        let sources = taken.iter().flat_map(|(one, _)| one.sources().unwrap());
        let devices = sources.flat_map(|named| named.source.describe().devices);
        let devices: std::collections::HashSet<_> = devices.map(|device| device.id).collect();
        assert_eq!(devices.len(), 21);
        taken.remove(1);
        let mut late = settings(folder.path());
        let _lock = take(&mut late).unwrap();
        assert_eq!(late.common.collector_id, "collector-2");
    }

    #[test]
    fn nobody_asks_for_a_number_by_default() {
        let mut one = Settings::from(["iot-kpi-collector", "simulate"]).unwrap();
        assert!(take(&mut one).unwrap().is_none());
        let error = take(&mut settings(Path::new("/proc/no"))).unwrap_err().to_string();
        assert!(
            error.contains("/proc/no") && error.contains("--instance-dir"),
            "{error}"
        );
    }
}
