//! Taking stock of a folder when it is opened, and clearing away what is done with.

use super::disk::Disk;
use super::record::Position;
use super::segment::{Found, Segment, Window};
use super::{Loss, REMEDY, Remains, Spool};
use crate::error::Error;
use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Spool {
    pub(super) fn open_on(disk: Arc<dyn Disk>, folder: &Path, max: u64) -> Result<Self, Error> {
        disk.make_folder(folder)
            .map_err(Error::file("make the folder", folder, REMEDY))?;
        let lock = lock(folder)?;
        let files = disk.list(folder).map_err(Error::file("read", folder, REMEDY))?;
        let (damaged, files) = (numbered(&files, "damaged"), numbered(&files, "spool"));
        let last = files.last().max(damaged.last());
        let mut spool = Spool {
            disk,
            folder: folder.to_owned(),
            max,
            segments: VecDeque::new(),
            output: None,
            next_file: last.map_or(1, |(last, ..)| last + 1),
            next: Position::default(),
            offset: 0,
            expected: Position::default(),
            window: Window::default(),
            failed_reads: 0,
            remains: Vec::new(),
            lost: Loss::default(),
            database: None,
            _lock: lock,
        };
        for (_, path, bytes) in files {
            spool.take_in(path, bytes)?;
        }
        spool.number_segments()?;
        spool.forget_old_damage();
        Ok(spool)
    }

    fn take_in(&mut self, path: PathBuf, bytes: u64) -> Result<(), Error> {
        match Segment::find(&*self.disk, path.clone(), bytes).map_err(Error::file("read", &path, REMEDY))? {
            Found::Segment(segment) => self.segments.push_back(segment),
            Found::Nothing => self.dispose(Remains {
                path,
                bytes,
                damaged: false,
            }),
            Found::Stranger => {
                let file = path.display();
                tracing::error!(%file, bytes, "nothing of it can be read; it is set aside");
                self.lose(Loss { records: 1, rows: 0 });
                self.dispose(Remains {
                    path,
                    bytes,
                    damaged: true,
                });
            }
        }
        Ok(())
    }

    /// Where each segment ends: the last one by reading it, those before it where the next one begins. Old ones have no
    /// numbers and get some that fit.
    fn number_segments(&mut self) -> Result<(), Error> {
        let last = self.segments.len().saturating_sub(1);
        let mut counted = Position::default();
        for (index, segment) in self.segments.iter_mut().enumerate() {
            if segment.is_old() {
                (segment.first, segment.end) = (counted, counted);
            }
            if segment.is_old() || index == last {
                measure(&*self.disk, segment)?;
                counted = segment.end;
            }
        }
        let mut behind: Option<Position> = None;
        for segment in self.segments.iter_mut().rev() {
            match behind {
                Some(end) if segment.is_old() => {
                    let Position { record, row } = segment.first;
                    segment.first = Position {
                        record: end.record.saturating_sub(segment.end.record - record),
                        row: end.row.saturating_sub(segment.end.row - row),
                    };
                    segment.end = end;
                }
                Some(end) => segment.end = end.max(segment.first),
                None => self.next = segment.end,
            }
            behind = Some(segment.first);
        }
        // Made, and torn before its first record was whole.
        let empty: Vec<usize> = (0..self.segments.len())
            .rev()
            .filter(|&at| {
                self.segments
                    .get(at)
                    .is_some_and(|segment| segment.bytes <= segment.start)
            })
            .collect();
        for at in empty {
            if let Some(Segment {
                path, bytes, damaged, ..
            }) = self.segments.remove(at)
            {
                self.dispose(Remains { path, bytes, damaged });
            }
        }
        if let Some(first) = self.segments.front() {
            (self.offset, self.expected) = (first.start, first.first);
        }
        Ok(())
    }

    /// Removes a file or sets it aside; where that fails it is tried again later.
    pub(super) fn dispose(&mut self, remains: Remains) {
        self.remains.push(remains);
        self.clear_remains();
    }

    pub(super) fn clear_remains(&mut self) {
        for remains in std::mem::take(&mut self.remains) {
            let Remains { path, damaged, .. } = &remains;
            let gone = match damaged {
                true => self.disk.rename(path, &path.with_extension("damaged")),
                false => self.disk.remove(path),
            };
            match gone {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(file = %path.display(), %error, "cannot be removed yet; trying again later");
                    self.remains.push(remains);
                }
                _ if *damaged => {
                    let kept = path.with_extension("damaged");
                    tracing::error!(file = %kept.display(), "a segment with damage in it is kept for whoever wants to look");
                    self.forget_old_damage();
                }
                _ => {}
            }
        }
    }

    /// What was set aside must not fill the disk: the oldest goes where there is more than a quarter of what may wait.
    fn forget_old_damage(&mut self) {
        let Ok(files) = self.disk.list(&self.folder) else {
            return;
        };
        let damaged = numbered(&files, "damaged");
        let mut bytes: u64 = damaged.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, path, length) in damaged {
            if bytes <= self.max / 4 {
                return;
            }
            tracing::warn!(file = %path.display(), "there is no more room for damaged segments: the oldest goes");
            if self.disk.remove(&path).is_ok() {
                bytes -= length;
            }
        }
    }
}

/// Looks where a segment ends, and cuts off what a crash has torn there.
fn measure(disk: &dyn Disk, segment: &mut Segment) -> Result<(), Error> {
    let failed = Error::file("read", segment.path.clone(), REMEDY);
    if let Some(length) = segment.measure(disk).map_err(failed)? {
        let file = segment.path.display();
        tracing::warn!(%file, length, "cutting off a torn end");
        // Left as it is, it does not count either.
        if let Err(error) = disk.cut(&segment.path, length) {
            tracing::warn!(%file, %error, "cannot be cut off");
        }
    }
    Ok(())
}

/// The files with this extension, by their numbers.
fn numbered(files: &[(PathBuf, u64)], extension: &str) -> Vec<(u64, PathBuf, u64)> {
    let ours = files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|found| found == extension));
    let mut numbered: Vec<_> = ours
        .filter_map(|(path, bytes)| Some((path.file_stem()?.to_str()?.parse().ok()?, path.clone(), *bytes)))
        .collect();
    numbered.sort_unstable();
    numbered
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(Error::file("write", &path, REMEDY))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::setting(
            "--spool-dir",
            format!("{} is in use by another collector", folder.display()),
            "stop that one, or name another folder (or another --collector-id)",
        )),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", &path, REMEDY)(error)),
    }
}
