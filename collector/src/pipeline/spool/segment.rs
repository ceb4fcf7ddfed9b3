//! One file of the spool.
//!
//! | bytes | what, little endian |
//! |---|---|
//! | 8 | the format's name and version |
//! | 8, 8 | the numbers of its first record and row |
//! | 8 | `system_identifier` of the database it waits for, 0 where that is not known yet |
//! | 2, 2 | lengths of the two names behind |
//! | … | the name that database was asked for by, and the one it gives itself, empty where that is not known yet |
//! | 4 | CRC-32 of all that |
//! | … | records, see [`super::record`] |

use super::disk::{Disk, Output};
use super::record::{self, Header, Position};
use super::{Loss, old};
use crate::database::DatabaseId;
use crate::pipeline::batch::Batch;
use std::io;
use std::path::{Path, PathBuf};

/// Names the format and its version.
const MAGIC: &[u8; 8] = b"IOTKPI\0\x02";
/// Bytes before the database's names.
const BEFORE_NAMES: usize = 36;
/// More than any names need.
const LONGEST_HEAD: usize = BEFORE_NAMES + (2 << 16) + 4;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// A file and what is known of it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    old: bool,
    /// Where the first record is.
    pub(super) start: u64,
    /// What is behind this does not count.
    pub(super) bytes: u64,
    pub(super) first: Position,
    pub(super) end: Position,
    /// The database it waits for.
    pub(super) database: Option<DatabaseId>,
    /// Something in it cannot be read.
    pub(super) damaged: bool,
}

/// What a file of an earlier process is.
#[derive(Debug)]
pub(super) enum Found {
    Segment(Segment),
    /// Made, and cut off before its first record was whole.
    Nothing,
    /// Nothing of it can be read.
    Stranger,
}

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Next {
    Record {
        batch: Batch,
        /// An old segment does not say.
        at: Option<Position>,
        /// Where the next one begins.
        offset: u64,
    },
    Damage {
        /// What an old segment has lost there, at least.
        records: u64,
        /// The position behind it, where that can be read.
        end: Option<Position>,
        /// Where to go on.
        offset: u64,
    },
    End,
}

/// A stretch of a segment in memory.
#[derive(Debug, Default)]
pub(super) struct Window {
    at: u64,
    content: Vec<u8>,
}

impl Window {
    /// From `offset` on, at least `wanted` bytes unless the segment ends before.
    fn look(&mut self, disk: &dyn Disk, segment: &Segment, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(segment.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let kept = offset.checked_sub(self.at).and_then(|skip| {
            let kept = self.content.get(usize::try_from(skip).ok()?..)?;
            (kept.len() >= wanted.min(left)).then_some(kept.len())
        });
        let length = match kept {
            Some(length) => length,
            None => {
                self.content.clear();
                self.content = disk.read(&segment.path, offset, wanted.max(CHUNK).min(left))?;
                self.at = offset;
                self.content.len()
            }
        };
        let begin = self.content.len() - length;
        Ok(self.content.get(begin..).unwrap_or_default())
    }

    pub(super) fn forget(&mut self) {
        *self = Window::default();
    }
}

impl Segment {
    /// Makes a file that holds one record already; it and its name are on disk for good.
    pub(super) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        first: Position,
        database: Option<&DatabaseId>,
        record: &[u8],
        rows: u64,
    ) -> io::Result<(Self, Box<dyn Output>)> {
        let mut content = head(first, database);
        let start = content.len() as u64;
        content.extend_from_slice(record);
        let mut output = disk.create(&path)?;
        output.write_all(&content)?;
        output.sync()?;
        disk.sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        let segment = Segment {
            path,
            old: false,
            start,
            bytes: content.len() as u64,
            first,
            end: first.after(rows),
            database: database.cloned(),
            damaged: false,
        };
        Ok((segment, output))
    }

    /// Bytes that a new file needs besides its first record.
    pub(super) fn overhead(database: Option<&DatabaseId>) -> u64 {
        head(Position::default(), database).len() as u64
    }

    pub(super) fn append(&mut self, output: &mut dyn Output, record: &[u8], rows: u64) -> io::Result<()> {
        output.write_all(record)?;
        output.sync()?;
        self.bytes += record.len() as u64;
        self.end = self.end.after(rows);
        Ok(())
    }

    /// A file of an earlier process. Where its last record ends is not looked at yet, see [`Segment::measure`].
    pub(super) fn find(disk: &dyn Disk, path: PathBuf, bytes: u64) -> io::Result<Found> {
        let mut segment = Segment {
            path,
            old: false,
            start: 0,
            bytes,
            first: Position::default(),
            end: Position::default(),
            database: None,
            damaged: false,
        };
        let content = disk.read(&segment.path, 0, LONGEST_HEAD)?;
        if let Some((start, first, database)) = read_head(&content) {
            (segment.start, segment.first, segment.end) = (start as u64, first, first);
            segment.database = Some(database);
            return Ok(Found::Segment(segment));
        }
        if content.starts_with(old::MAGIC) {
            (segment.old, segment.start) = (true, old::MAGIC.len() as u64);
            return Ok(Found::Segment(segment));
        }
        // Damaged at its very beginning, perhaps: its records may be sound all the same.
        segment.damaged = true;
        let content = disk.read(&segment.path, 0, usize::try_from(bytes).unwrap_or(usize::MAX))?;
        if let Some(header) = record::find(&content).and_then(|at| Header::read(content.get(at..)?)) {
            (segment.first, segment.end) = (header.at, header.at);
            return Ok(Found::Segment(segment));
        }
        if old::find(&content).is_some() {
            (segment.old, segment.start) = (true, old::MAGIC.len() as u64);
            return Ok(Found::Segment(segment));
        }
        let torn = is_torn_head(&content) || old::MAGIC.starts_with(&content);
        Ok(if torn { Found::Nothing } else { Found::Stranger })
    }

    pub(super) fn is_old(&self) -> bool {
        self.old
    }

    /// Reads it all, to know where it ends. A torn end of a crash, which nobody was promised, does not count, and the length
    /// of what does is returned.
    pub(super) fn measure(&mut self, disk: &dyn Disk) -> io::Result<Option<u64>> {
        let (mut window, mut offset) = (Window::default(), self.start);
        self.end = self.first;
        loop {
            match self.next(disk, &mut window, offset)? {
                Next::End => return Ok(None),
                Next::Record {
                    batch,
                    at,
                    offset: next,
                } => {
                    self.end = at.unwrap_or(self.end).after(batch.len() as u64);
                    offset = next;
                }
                Next::Damage {
                    records,
                    end,
                    offset: next,
                } => {
                    let rest = window.look(disk, self, offset, usize::MAX)?;
                    let torn = if self.old {
                        old::is_torn(rest)
                    } else {
                        record::is_torn(rest)
                    };
                    if next == self.bytes && torn {
                        self.bytes = offset;
                        return Ok(Some(offset));
                    }
                    self.damaged = true;
                    self.end = end.unwrap_or(Position {
                        record: self.end.record.saturating_add(records),
                        ..self.end
                    });
                    offset = next;
                }
            }
        }
    }

    /// What is at `offset`.
    pub(super) fn next(&self, disk: &dyn Disk, window: &mut Window, offset: u64) -> io::Result<Next> {
        if offset >= self.bytes {
            return Ok(Next::End);
        }
        if self.old {
            let content = window.look(disk, self, offset, usize::MAX)?;
            if let Some((batch, length)) = old::read(content) {
                let offset = offset + length as u64;
                return Ok(Next::Record {
                    batch,
                    at: None,
                    offset,
                });
            }
            let skip = content.get(1..).and_then(old::find);
            return Ok(self.damage(1, None, offset, skip));
        }
        if let Some(header) = Header::read(window.look(disk, self, offset, record::HEADER)?) {
            let content = window.look(disk, self, offset, header.length())?;
            let end = offset + header.length() as u64;
            return Ok(match header.batch(content) {
                Some(batch) if end <= self.bytes => Next::Record {
                    batch,
                    at: Some(header.at),
                    offset: end,
                },
                _ => Next::Damage {
                    records: 1,
                    end: Some(header.end()),
                    offset: end.min(self.bytes),
                },
            });
        }
        let content = window.look(disk, self, offset, usize::MAX)?;
        let skip = content.get(1..).and_then(record::find);
        let stretch = skip.map_or(content, |skip| content.get(..=skip).unwrap_or(content));
        Ok(self.damage(record::guess(stretch), None, offset, skip))
    }

    /// Goes on at the sound record that was found so many bytes behind the next one, else at the end.
    fn damage(&self, records: u64, end: Option<Position>, offset: u64, skip: Option<usize>) -> Next {
        let offset = skip.map_or(self.bytes, |skip| offset + 1 + skip as u64);
        Next::Damage { records, end, offset }
    }

    /// What is lost where an old segment has a damaged stretch: the others tell by their positions.
    pub(super) fn loss(&self, records: u64) -> Loss {
        Loss {
            records: if self.old { records } else { 0 },
            rows: 0,
        }
    }
}

fn head(first: Position, database: Option<&DatabaseId>) -> Vec<u8> {
    let unknown = DatabaseId::default();
    let DatabaseId {
        asked_for,
        name,
        system,
    } = database.unwrap_or(&unknown);
    let names = [asked_for.as_str(), name.as_deref().unwrap_or_default()].map(|name| {
        let name = name.as_bytes();
        name.get(..usize::from(u16::MAX)).unwrap_or(name)
    });
    let mut head = MAGIC.to_vec();
    head.extend(first.record.to_le_bytes());
    head.extend(first.row.to_le_bytes());
    head.extend(system.unwrap_or(0).to_le_bytes());
    names
        .iter()
        .for_each(|name| head.extend((name.len() as u16).to_le_bytes()));
    names.iter().for_each(|name| head.extend_from_slice(name));
    head.extend(crc32fast::hash(&head).to_le_bytes());
    head
}

/// Its length, the position of the first record, and the database it waits for.
fn read_head(content: &[u8]) -> Option<(usize, Position, DatabaseId)> {
    let (length, asked_for) = head_lengths(content)?;
    let (head, sum) = content.get(..length)?.split_last_chunk::<4>()?;
    if !head.starts_with(MAGIC) || crc32fast::hash(head) != u32::from_le_bytes(*sum) {
        return None;
    }
    let eight = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let first = Position {
        record: eight(8)?,
        row: eight(16)?,
    };
    let (asked_for, name) = head.get(BEFORE_NAMES..)?.split_at_checked(asked_for)?;
    let [asked_for, name] = [asked_for, name].map(|name| String::from_utf8_lossy(name).into_owned());
    let database = DatabaseId {
        asked_for,
        name: Some(name).filter(|name| !name.is_empty()),
        system: Some(eight(24)?).filter(|system| *system != 0),
    };
    Some((length, first, database))
}

/// Length of all, and of the first name.
fn head_lengths(content: &[u8]) -> Option<(usize, usize)> {
    let two = |at: usize| {
        Some(usize::from(u16::from_le_bytes(
            content.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    let (asked_for, name) = (two(BEFORE_NAMES - 4)?, two(BEFORE_NAMES - 2)?);
    Some((BEFORE_NAMES + asked_for + name + 4, asked_for))
}

/// Whether making a file may have been cut off here.
fn is_torn_head(content: &[u8]) -> bool {
    let begins_well = content.iter().zip(MAGIC).all(|(byte, magic)| byte == magic);
    begins_well && head_lengths(content).is_none_or(|(length, _)| content.len() < length)
}
