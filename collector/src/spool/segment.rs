//! One file of the spool.

use super::REMEDY;
use crate::batch::Batch;
use crate::error::Error;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Names the format and its version.
pub(super) const MAGIC: &[u8; 8] = b"IOTKPI\0\x01";
const HEADER: usize = 8;

/// A file and where its undelivered records are.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    bytes: u64,
    /// Offset and length, header included.
    records: VecDeque<(u64, u64)>,
}

impl Segment {
    pub(super) fn create(folder: &Path, number: u64) -> Result<(Self, File), Error> {
        let path = name(folder, number);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed("make", &path))?;
        file.write_all(MAGIC).map_err(failed("write", &path))?;
        // The name itself must outlive a crash.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("write", folder))?;
        Ok((
            Segment {
                path,
                bytes: MAGIC.len() as u64,
                records: VecDeque::new(),
            },
            file,
        ))
    }

    /// Reads a file of an earlier process; says how many records are damaged.
    pub(super) fn recover(folder: &Path, number: u64) -> Result<(Self, u64), Error> {
        let path = name(folder, number);
        let content = std::fs::read(&path).map_err(failed("read", &path))?;
        let mut segment = Segment {
            path,
            bytes: content.len() as u64,
            records: VecDeque::new(),
        };
        if !content.starts_with(MAGIC) {
            if !MAGIC.starts_with(&content) {
                segment.set_aside()?;
                tracing::error!(file = %segment.path.display(), "is no spool of this version and is set aside");
                return Ok((segment, 1));
            }
            return Ok((segment, 0));
        }
        let (mut at, mut damaged) = (MAGIC.len(), 0);
        while let Some(length) = record_length(&content[at..]) {
            match decode(&content[at..at + length]) {
                Some(_) => segment.records.push_back((at as u64, length as u64)),
                None => damaged += 1,
            }
            at += length;
        }
        if damaged > 0 {
            tracing::error!(file = %segment.path.display(), damaged, "records are damaged; the file is kept as .damaged");
            segment.set_aside()?;
        }
        if at < content.len() {
            tracing::warn!(file = %segment.path.display(), bytes = content.len() - at, "cutting off a torn end");
            segment.cut(at as u64)?;
        }
        Ok((segment, damaged))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn records(&self) -> u64 {
        self.records.len() as u64
    }

    pub(super) fn append(&mut self, file: &mut File, record: &[u8]) -> Result<(), Error> {
        if let Err(error) = file.write_all(record).and_then(|()| file.sync_data()) {
            self.cut(self.bytes)?;
            return Err(failed("write", &self.path)(error));
        }
        self.records.push_back((self.bytes, record.len() as u64));
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// A record by its place among the undelivered ones, header included.
    pub(super) fn read(&self, place: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(&(offset, length)) = self.records.get(place) else {
            return Ok(None);
        };
        let mut record = Vec::with_capacity(length as usize);
        let mut file = File::open(&self.path).map_err(failed("read", &self.path))?;
        file.seek(SeekFrom::Start(offset)).map_err(failed("read", &self.path))?;
        file.take(length)
            .read_to_end(&mut record)
            .map_err(failed("read", &self.path))?;
        Ok(Some(record))
    }

    pub(super) fn forget_first(&mut self) {
        self.records.pop_front();
    }

    pub(super) fn remove(&self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(failed("remove", &self.path))
    }

    /// Keeps a copy for whoever wants to look at the damage.
    pub(super) fn set_aside(&self) -> Result<(), Error> {
        let copy = self.path.with_extension("damaged");
        std::fs::copy(&self.path, &copy)
            .map(|_| ())
            .map_err(failed("copy", &self.path))
    }

    fn cut(&mut self, bytes: u64) -> Result<(), Error> {
        let file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .map_err(failed("write", &self.path))?;
        file.set_len(bytes).map_err(failed("shorten", &self.path))?;
        self.bytes = bytes;
        Ok(())
    }
}

pub(super) fn encode(batch: &Batch) -> Result<Vec<u8>, Error> {
    let unfit = |_| {
        Error::setting(
            "--batch",
            "makes batches that do not fit into the spool",
            "make it smaller",
        )
    };
    let payload = postcard::to_stdvec(batch).map_err(unfit)?;
    let length = u32::try_from(payload.len()).map_err(|_| unfit(postcard::Error::SerializeBufferFull))?;
    let mut record = Vec::with_capacity(HEADER + payload.len());
    record.extend(length.to_le_bytes());
    record.extend(crc32fast::hash(&payload).to_le_bytes());
    record.extend(payload);
    Ok(record)
}

/// The batch in a whole record; none if it is damaged.
pub(super) fn decode(record: &[u8]) -> Option<Batch> {
    let (header, payload) = record.split_at_checked(HEADER)?;
    let sum = u32::from_le_bytes(header[4..].try_into().ok()?);
    if record_length(record)? != record.len() || sum != crc32fast::hash(payload) {
        return None;
    }
    postcard::from_bytes(payload).ok()
}

/// How long the record at the start is, header included; none if it is torn.
fn record_length(content: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(content.get(..4)?.try_into().ok()?) as usize;
    let whole = HEADER.checked_add(length)?;
    (content.len() >= whole).then_some(whole)
}

fn name(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.spool"))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    Error::file(action, path, REMEDY)
}
