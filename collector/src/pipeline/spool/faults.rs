//! A disk that fails: at the call of the test's choice, once or for some calls, in the way of its choice. It never waits for
//! the platters, as nothing here cuts the power.

use super::disk::{Disk, Output, SystemDisk};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// How calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// With this error of the system; a write has written nothing.
    Error(i32),
    /// With "no space left"; a write has written half of what it was given.
    Short,
}

pub(super) const ENOSPC: i32 = 28;
pub(super) const EIO: i32 = 5;

/// Fails `times` calls, from the `first` one on (counted from 1).
#[derive(Clone, Debug)]
pub(super) struct FaultyDisk {
    first: u64,
    times: u64,
    fault: Fault,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    unsynced_content: bool,
    unsynced_name: bool,
}

impl FaultyDisk {
    pub(super) fn new(first: u64, times: u64, fault: Fault) -> Self {
        FaultyDisk {
            first,
            times,
            fault,
            seen: Arc::default(),
        }
    }

    /// One that never fails.
    pub(super) fn sound() -> Self {
        FaultyDisk::new(u64::MAX, 0, Fault::Short)
    }

    /// Calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.seen().calls
    }

    /// Whether all that was written, and the names of all files made, would outlive a power cut.
    pub(super) fn is_synced(&self) -> bool {
        let seen = self.seen();
        !seen.unsynced_content && !seen.unsynced_name
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// The error of this call, and whether it is to do half of what was asked.
    fn fails(&self) -> Option<(io::Error, bool)> {
        let mut seen = self.seen();
        seen.calls += 1;
        (seen.calls >= self.first && seen.calls - self.first < self.times).then(|| match self.fault {
            Fault::Error(code) => (io::Error::from_raw_os_error(code), false),
            Fault::Short => (io::Error::from_raw_os_error(ENOSPC), true),
        })
    }

    fn call<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.fails().map_or_else(call, |(error, _)| Err(error))
    }
}

impl Disk for FaultyDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.call(|| SystemDisk.make_folder(folder))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        self.call(|| SystemDisk.list(folder))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let output = self.call(|| SystemDisk.create(path))?;
        self.seen().unsynced_name = true;
        let disk = self.clone();
        Ok(Box::new(FaultyOutput { output, disk }))
    }

    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.call(|| SystemDisk.read(path, offset, length))
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        self.call(|| SystemDisk.cut(path, length))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| SystemDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|| SystemDisk.remove(path))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call(|| folder.metadata())?;
        self.seen().unsynced_name = false;
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyOutput {
    output: Box<dyn Output>,
    disk: FaultyDisk,
}

impl Output for FaultyOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.disk.fails() {
            None => {
                self.disk.seen().unsynced_content = true;
                self.output.write(bytes)
            }
            Some((error, half)) => {
                if half {
                    self.output.write_all(&bytes[..bytes.len() / 2]).unwrap();
                }
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.call(|| Ok(()))?;
        self.disk.seen().unsynced_content = false;
        Ok(())
    }
}
