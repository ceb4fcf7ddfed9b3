//! Batches on disk while the database is away: oldest out first, safe against a crash at any byte and against a disk that
//! fails at any call.
//!
//! A folder of segments, `0000000000000001.spool` and on, each a file of records, each record a batch.
//!
//! What holds, always:
//!
//! 1. A batch is on disk for good when [`Spool::push`] says [`Kept::Safe`]; otherwise it is not promised, and the spool is as
//!    it was: the next push is a new try, in a new file. A file whose write or sync failed is never written to again.
//! 2. Records and rows are numbered on and on. Numbers that are missing between two records that can be read were lost to
//!    damage: they are counted ([`Spool::losses`]) and logged when they are passed. So what was promised is delivered or counted.
//! 3. A damaged record costs itself alone, whichever byte is hit: the next one is found by its marker.
//! 4. Batches leave in the order in which they came. None leaves twice, but after a crash: then the delivered part of the
//!    first segment does, which the store takes for the duplicates it is.
//! 5. A segment goes when its last record is delivered; one with damage in it stays beside as `.damaged`. What cannot be
//!    removed then is tried again, and counts as bytes until it is gone.
//! 6. A segment says which database it waits for: [`Spool::belongs_to`] refuses any other.
//!
//! Only where the disk refuses both to write a record and to cut it off again may a batch that was not promised arrive all the
//! same, after a restart.
//!
//! When it is full, the newest are turned away and the oldest stay: what is on disk has been promised, and a gap at the end
//! of a long outage is easier to see than one in its middle.

mod disk;
#[cfg(test)]
mod faults;
mod old;
mod record;
mod segment;
mod stock;
#[cfg(test)]
mod tests;

use crate::database::DatabaseId;
use crate::error::Error;
use crate::pipeline::batch::Batch;
use disk::{Disk, Output, SystemDisk};
use record::Position;
use segment::{Next, Segment, Window};
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const REMEDY: &str = "name a folder that can be written with --spool-dir";
/// A segment that cannot be read this many times in a row is given up.
const TRIES: u32 = 5;

/// A folder that holds batches.
#[derive(Debug)]
pub struct Spool {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    max: u64,
    segments: VecDeque<Segment>,
    /// The last segment, while it is being written by this process; others are never added to.
    output: Option<Box<dyn Output>>,
    next_file: u64,
    /// Of the next record that comes.
    next: Position,
    /// Where in the first segment the next record to leave is.
    offset: u64,
    /// Its position, if nothing is missing.
    expected: Position,
    window: Window,
    failed_reads: u32,
    /// Files that are done with and could not be removed yet.
    remains: Vec<Remains>,
    lost: Loss,
    database: Option<DatabaseId>,
    /// Held as long as the spool is in use, so that no two collectors share a folder.
    _lock: File,
}

#[derive(Debug)]
struct Remains {
    path: PathBuf,
    bytes: u64,
    damaged: bool,
}

/// What became of a batch that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk.
    Safe,
    /// There is no room for it.
    Full,
}

/// What was promised and cannot be delivered any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Batches.
    pub records: u64,
    /// Rows in them, as far as is known.
    pub rows: u64,
}

/// The oldest batches; they stay until [`Spool::delivered`] is told.
#[derive(Debug)]
pub struct Waiting {
    /// All of them in one.
    pub batch: Arc<Batch>,
    segment: PathBuf,
    offset: u64,
    end: Position,
}

/// Tells the database that is waited for from others.
#[derive(Clone, Debug)]
pub struct Guard {
    folder: PathBuf,
    waiting: Vec<DatabaseId>,
}

impl Guard {
    /// An error where batches wait for another database than this one.
    pub fn admits(&self, database: &DatabaseId) -> Result<(), Error> {
        match self.waiting.iter().find(|waiting| !waiting.may_be(database)) {
            None => Ok(()),
            Some(other) => Err(Error::OtherDatabase {
                folder: self.folder.clone(),
                waiting: other.to_string(),
                found: database.to_string(),
            }),
        }
    }
}

impl Spool {
    /// Opens or makes the folder and takes stock; the torn end of a crash is cut off.
    pub fn open(folder: &Path, max: u64) -> Result<Self, Error> {
        Self::open_on(Arc::new(SystemDisk), folder, max)
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let waiting: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        waiting + self.remains.iter().map(|remains| remains.bytes).sum::<u64>()
    }

    /// Batches that wait.
    pub fn batches(&self) -> u64 {
        self.next.record.saturating_sub(self.expected.record)
    }

    /// What was found lost since the call before.
    pub fn losses(&mut self) -> Loss {
        std::mem::take(&mut self.lost)
    }

    /// Whether a tenth of it is free: once it was full, taking in every batch that just fits would keep scraps only.
    pub fn has_room(&self) -> bool {
        self.bytes() <= self.max / 10 * 9
    }

    /// Knows which databases are waited for.
    pub fn guard(&self) -> Guard {
        Guard {
            folder: self.folder.clone(),
            waiting: self
                .segments
                .iter()
                .filter_map(|segment| segment.database.clone())
                .collect(),
        }
    }

    /// From now on batches wait for this database; an error where others wait for another one.
    pub fn belongs_to(&mut self, database: &DatabaseId) -> Result<(), Error> {
        self.guard().admits(database)?;
        self.database = Some(database.clone());
        Ok(())
    }

    /// As [`Spool::belongs_to`], where that database has taken the place of the one that was waited for.
    pub fn adopt(&mut self, database: &DatabaseId) {
        for segment in &mut self.segments {
            segment.database = Some(database.clone());
        }
        self.database = Some(database.clone());
    }

    /// Keeps a batch behind all others.
    pub fn push(&mut self, batch: &Batch) -> Result<Kept, Error> {
        self.clear_remains();
        let Some(record) = record::encode(batch, self.next) else {
            let problem = "makes batches that do not fit into the spool";
            return Err(Error::setting("--batch", problem, "make it smaller"));
        };
        let small = self
            .segments
            .back()
            .is_some_and(|last| last.bytes < self.segment_size());
        if !small {
            self.output = None;
        }
        let overhead = match self.output {
            Some(_) => 0,
            None => Segment::overhead(self.database.as_ref()),
        };
        if self.bytes() + overhead + record.len() as u64 > self.max {
            return Ok(Kept::Full);
        }
        match self.output.take() {
            Some(output) => self.append(output, &record, batch.len() as u64)?,
            None => self.begin(&record, batch.len() as u64)?,
        }
        self.next = self.next.after(batch.len() as u64);
        Ok(Kept::Safe)
    }

    fn begin(&mut self, record: &[u8], rows: u64) -> Result<(), Error> {
        let path = self.folder.join(format!("{:016}.spool", self.next_file));
        // A number is never tried twice: what a failed try has left under it would stand in the way for ever.
        self.next_file += 1;
        let (disk, database) = (self.disk.as_ref(), self.database.as_ref());
        match Segment::create(disk, path.clone(), self.next, database, record, rows) {
            Ok((segment, output)) => {
                if self.segments.is_empty() {
                    (self.offset, self.expected) = (segment.start, segment.first);
                    self.window.forget();
                }
                self.segments.push_back(segment);
                self.output = Some(output);
                Ok(())
            }
            Err(error) => {
                let bytes = Segment::overhead(database) + record.len() as u64;
                self.dispose(Remains {
                    path: path.clone(),
                    bytes,
                    damaged: false,
                });
                Err(Error::file("write", path, REMEDY)(error))
            }
        }
    }

    fn append(&mut self, mut output: Box<dyn Output>, record: &[u8], rows: u64) -> Result<(), Error> {
        let Some(segment) = self.segments.back_mut() else {
            return self.begin(record, rows);
        };
        match segment.append(output.as_mut(), record, rows) {
            Ok(()) => {
                self.output = Some(output);
                Ok(())
            }
            Err(error) => {
                if let Err(error) = self.disk.cut(&segment.path, segment.bytes) {
                    let file = segment.path.display();
                    tracing::warn!(%file, %error, "what was half written cannot be cut off; it may be delivered after a restart");
                }
                Err(Error::file("write", &segment.path, REMEDY)(error))
            }
        }
    }

    /// The oldest batches, as many together as `rows` rows hold, at least one.
    pub fn oldest(&mut self, rows: usize) -> Result<Option<Waiting>, Error> {
        let Some((mut together, mut waiting)) = self.first()? else {
            return Ok(None);
        };
        // What cannot be read is left for the time when it is the first.
        while let Some(segment) = self.segments.front()
            && let Ok(Next::Record { batch, at, offset }) = segment.next(&*self.disk, &mut self.window, waiting.offset)
            && at.is_none_or(|at| at == waiting.end)
            && together.len() + batch.len() <= rows
        {
            waiting.end = waiting.end.after(batch.len() as u64);
            waiting.offset = offset;
            together.append(batch);
        }
        waiting.batch = Arc::new(together);
        Ok(Some(waiting))
    }

    /// The oldest batch that can be read. What cannot be is passed, and counted.
    fn first(&mut self) -> Result<Option<(Batch, Waiting)>, Error> {
        while let Some(segment) = self.segments.front_mut() {
            match segment.next(&*self.disk, &mut self.window, self.offset) {
                Ok(Next::Record { batch, at, offset }) => {
                    self.failed_reads = 0;
                    let (at, segment) = (at.unwrap_or(self.expected), segment.path.clone());
                    self.pass(at);
                    let end = at.after(batch.len() as u64);
                    let waiting = Waiting {
                        batch: Arc::default(),
                        segment,
                        offset,
                        end,
                    };
                    return Ok(Some((batch, waiting)));
                }
                Ok(Next::Damage { records, offset, .. }) => {
                    segment.damaged = true;
                    let loss = segment.loss(records);
                    self.offset = offset;
                    self.lose(loss);
                }
                Ok(Next::End) => self.finish_first(),
                Err(error) if self.failed_reads + 1 < TRIES => {
                    self.failed_reads += 1;
                    return Err(Error::file("read", &segment.path, "see whether the disk is sound")(
                        error,
                    ));
                }
                Err(error) => {
                    tracing::error!(file = %segment.path.display(), %error, "cannot be read and is set aside");
                    segment.damaged = true;
                    self.failed_reads = 0;
                    self.finish_first();
                }
            }
        }
        Ok(None)
    }

    /// These have reached the database.
    pub fn delivered(&mut self, waiting: &Waiting) {
        self.clear_remains();
        let Some(segment) = self.segments.front().filter(|first| first.path == waiting.segment) else {
            return;
        };
        (self.offset, self.expected) = (waiting.offset, waiting.end);
        if self.offset >= segment.bytes {
            self.finish_first();
        }
    }

    /// Nothing is left to read in the first segment.
    fn finish_first(&mut self) {
        let Some(segment) = self.segments.pop_front() else {
            return;
        };
        if self.segments.is_empty() {
            self.output = None;
        }
        match segment.is_old() {
            // It does not say how much it held.
            true => self.expected = self.expected.max(segment.end),
            false => self.pass(segment.end),
        }
        if let Some(next) = self.segments.front() {
            self.offset = next.start;
        }
        self.window.forget();
        let Segment {
            path, bytes, damaged, ..
        } = segment;
        self.dispose(Remains { path, bytes, damaged });
    }

    /// Goes on at a position; what should have come before it is lost.
    fn pass(&mut self, at: Position) {
        self.lose(Loss {
            records: at.record.saturating_sub(self.expected.record),
            rows: at.row.saturating_sub(self.expected.row),
        });
        self.expected = at;
    }

    fn lose(&mut self, loss: Loss) {
        if loss != Loss::default() {
            let (folder, Loss { records, rows }) = (self.folder.display(), loss);
            tracing::error!(%folder, records, rows, "batches that waited in the spool are damaged and lost");
            self.lost.records += records;
            self.lost.rows += rows;
        }
    }

    /// Small enough that delivered segments soon make room.
    fn segment_size(&self) -> u64 {
        (self.max / 32).clamp(64 << 10, 8 << 20)
    }
}
