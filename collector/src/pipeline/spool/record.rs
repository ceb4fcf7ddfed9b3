//! How a batch lies in a segment: a header that can be found again after damage, then the batch.
//!
//! | bytes | what, little endian |
//! |---|---|
//! | 4 | the marker |
//! | 4 | length of the body |
//! | 8 | the record's number |
//! | 8 | the number of its first row |
//! | 4 | how many rows it has |
//! | 4 | CRC-32 of the body |
//! | 4 | CRC-32 of the 32 bytes before |
//! | … | the body: the batch, in postcard's form |
//!
//! The header has a sum of its own, so that a damaged length is known for what it is; the next record is then found by its
//! marker. Records and rows are numbered on and on, so that what lay between two records that can be read is known exactly.

use crate::pipeline::batch::Batch;

/// How each record begins. A body may hold it too: only with a sound header behind it does it count.
const MARKER: [u8; 4] = *b"\xB5kpi";
/// Length of a header.
pub(super) const HEADER: usize = 36;

/// How many records and rows came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) record: u64,
    pub(super) row: u64,
}

impl Position {
    /// Behind one more record of so many rows.
    pub(super) fn after(self, rows: u64) -> Self {
        Position {
            record: self.record.saturating_add(1),
            row: self.row.saturating_add(rows),
        }
    }
}

/// What a sound header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) at: Position,
    pub(super) rows: u32,
    body: u32,
    body_sum: u32,
}

impl Header {
    /// The header at the beginning of `content`; none where there is none, or a damaged one.
    pub(super) fn read(content: &[u8]) -> Option<Self> {
        let header = content.first_chunk::<HEADER>()?;
        let four = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let eight = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
        if !header.starts_with(&MARKER) || four(32)? != crc32fast::hash(header.get(..32)?) {
            return None;
        }
        Some(Header {
            at: Position {
                record: eight(8)?,
                row: eight(16)?,
            },
            rows: four(24)?,
            body: four(4)?,
            body_sum: four(28)?,
        })
    }

    /// Length of the whole record.
    pub(super) fn length(&self) -> usize {
        HEADER + self.body as usize
    }

    /// Where the next record is.
    pub(super) fn end(&self) -> Position {
        self.at.after(u64::from(self.rows))
    }

    /// The batch of a whole record; none if it is damaged.
    pub(super) fn batch(&self, record: &[u8]) -> Option<Batch> {
        let body = record.get(HEADER..self.length())?;
        if crc32fast::hash(body) != self.body_sum {
            return None;
        }
        postcard::from_bytes(body).ok()
    }
}

/// A record; none where the batch is too large for one.
pub(super) fn encode(batch: &Batch, at: Position) -> Option<Vec<u8>> {
    let mut record = postcard::to_extend(batch, vec![0; HEADER]).ok()?;
    let body = record.get(HEADER..)?;
    let (length, sum) = (u32::try_from(body.len()).ok()?, crc32fast::hash(body));
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MARKER);
    header.extend(length.to_le_bytes());
    header.extend(at.record.to_le_bytes());
    header.extend(at.row.to_le_bytes());
    header.extend(u32::try_from(batch.len()).ok()?.to_le_bytes());
    header.extend(sum.to_le_bytes());
    header.extend(crc32fast::hash(&header).to_le_bytes());
    record.get_mut(..HEADER)?.copy_from_slice(&header);
    Some(record)
}

/// Where the first sound header is.
pub(super) fn find(content: &[u8]) -> Option<usize> {
    markers(content).find(|&at| content.get(at..).and_then(Header::read).is_some())
}

/// How many records seem to begin in a stretch that cannot be read; at least one.
pub(super) fn guess(content: &[u8]) -> u64 {
    (markers(content).count() as u64).max(1)
}

/// Whether a write that was cut off may have left this: the beginning of a record and nothing else.
pub(super) fn is_torn(content: &[u8]) -> bool {
    match Header::read(content) {
        Some(header) => content.len() < header.length(),
        None => content.len() < HEADER && content.iter().zip(MARKER).all(|(byte, marker)| *byte == marker),
    }
}

fn markers(content: &[u8]) -> impl Iterator<Item = usize> {
    content
        .windows(MARKER.len())
        .enumerate()
        .filter(|(_, window)| *window == MARKER)
        .map(|(at, _)| at)
}
