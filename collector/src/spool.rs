//! Batches on disk while the database is away: oldest out first, safe against a crash at any byte.
//!
//! A folder of segments, `0000000000000001.spool` and on. A segment is eight bytes that name the format, then records: length
//! and CRC-32 of the payload (four bytes each, little endian), the payload a batch. A record is on disk for good when
//! [`Spool::push`] returns. A segment goes when its last record is delivered; after a crash its delivered records are
//! delivered again, which the database takes for the duplicates they are.
//!
//! When it is full, the newest are turned away and the oldest stay: what is on disk has been promised, and a gap at the end
//! of a long outage is easier to see than one in its middle.

mod segment;

use crate::batch::Batch;
use crate::error::Error;
use segment::{MAGIC, Segment, decode, encode};
use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A folder that holds batches.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    max: u64,
    segments: VecDeque<Segment>,
    next_number: u64,
    /// The last segment, while it is being written by this process; others are never added to.
    writer: Option<File>,
    damaged: u64,
    /// Held as long as the spool is in use, so that no two collectors share a folder.
    _lock: File,
}

/// What became of a batch that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk.
    Safe,
    /// There is no room for it.
    Full,
}

const REMEDY: &str = "name a folder that can be written with --spool-dir";

impl Spool {
    /// Opens or makes the folder and takes stock; torn ends of a crash are cut off, damaged records are set aside.
    pub fn open(folder: &Path, max: u64) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(Error::file("make the folder", folder, REMEDY))?;
        let lock = lock(folder)?;
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::file("read", folder, REMEDY))? {
            let path = entry.map_err(Error::file("read", folder, REMEDY))?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            if let (Some(number), Some("spool")) = (number, path.extension().and_then(|e| e.to_str())) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        let next_number = numbers.last().map_or(1, |last| last + 1);
        let mut spool = Spool {
            folder: folder.to_owned(),
            max,
            segments: VecDeque::new(),
            next_number,
            writer: None,
            damaged: 0,
            _lock: lock,
        };
        for number in numbers {
            let (segment, damaged) = Segment::recover(folder, number)?;
            spool.damaged += damaged;
            match segment.is_empty() {
                true => segment.remove()?,
                false => spool.segments.push_back(segment),
            }
        }
        Ok(spool)
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    /// Batches that wait.
    pub fn batches(&self) -> u64 {
        self.segments.iter().map(Segment::records).sum()
    }

    /// Records that could not be read back; their files are kept beside as `.damaged`.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Whether a tenth of it is free: once it was full, taking in every batch that just fits would keep scraps only.
    pub fn has_room(&self) -> bool {
        self.bytes() <= self.max / 10 * 9
    }

    /// Keeps a batch behind all others.
    pub fn push(&mut self, batch: &Batch) -> Result<Kept, Error> {
        let record = encode(batch)?;
        let new = self.writer.is_none()
            || self
                .segments
                .back()
                .is_none_or(|last| last.bytes() >= self.segment_size());
        let needed = record.len() as u64 + if new { MAGIC.len() as u64 } else { 0 };
        if self.bytes() + needed > self.max {
            return Ok(Kept::Full);
        }
        if new {
            let (segment, file) = Segment::create(&self.folder, self.next_number)?;
            self.next_number += 1;
            self.segments.push_back(segment);
            self.writer = Some(file);
        }
        if let (Some(segment), Some(file)) = (self.segments.back_mut(), &mut self.writer)
            && let Err(error) = segment.append(file, &record)
        {
            // What is half-written is cut off at the next start, if not now.
            self.writer = None;
            return Err(error);
        }
        Ok(Kept::Safe)
    }

    /// The oldest batches, as many together as `rows` rows hold, at least one; and how many they are. They stay until
    /// [`Spool::delivered`] is told.
    pub fn oldest(&mut self, rows: usize) -> Result<Option<(u64, Batch)>, Error> {
        let Some(mut together) = self.first()? else {
            return Ok(None);
        };
        let mut count = 1;
        // What cannot be read is left for the time when it is the first.
        while let Some(segment) = self.segments.front()
            && let Some(record) = segment.read(count)?
            && let Some(batch) = decode(&record)
            && together.len() + batch.len() <= rows
        {
            together.append(batch);
            count += 1;
        }
        Ok(Some((count as u64, together)))
    }

    /// The oldest batch that can be read.
    fn first(&mut self) -> Result<Option<Batch>, Error> {
        while let Some(segment) = self.segments.front() {
            match segment.read(0)?.as_deref().and_then(decode) {
                Some(batch) => return Ok(Some(batch)),
                None => {
                    tracing::error!(folder = %self.folder.display(), "a spooled batch cannot be read and is set aside");
                    segment.set_aside()?;
                    self.damaged += 1;
                    self.delivered(1)?;
                }
            }
        }
        Ok(None)
    }

    /// The oldest `count` batches have reached the database.
    pub fn delivered(&mut self, count: u64) -> Result<(), Error> {
        for _ in 0..count {
            let Some(segment) = self.segments.front_mut() else {
                return Ok(());
            };
            segment.forget_first();
            if segment.is_empty() {
                self.drop_front()?;
            }
        }
        Ok(())
    }

    fn drop_front(&mut self) -> Result<(), Error> {
        if self.segments.len() == 1 {
            self.writer = None;
        }
        self.segments.pop_front().map_or(Ok(()), |segment| segment.remove())
    }

    /// Small enough that delivered segments soon make room.
    fn segment_size(&self) -> u64 {
        (self.max / 32).clamp(64 << 10, 8 << 20)
    }
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

#[cfg(test)]
mod tests;
