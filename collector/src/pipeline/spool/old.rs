//! Segments as version 0.2.0 wrote them; they are read, and never written any more.
//!
//! A record is the length and the CRC-32 of its body (four bytes each, little endian), and the body. Nothing tells where
//! one begins: after a damaged length the next is found by trying, and damaged ones cannot be counted but by stretch.

use crate::pipeline::batch::Batch;

/// How such a segment begins.
pub(super) const MAGIC: &[u8; 8] = b"IOTKPI\0\x01";
const HEADER: usize = 8;
/// More than a batch of 0.2.0 took with its usual settings.
const LONGEST: usize = 64 << 20;

/// The record at the beginning of `content`, and its length; none where there is no sound one.
pub(super) fn read(content: &[u8]) -> Option<(Batch, usize)> {
    let (length, sum) = header(content)?;
    let body = content.get(HEADER..HEADER.checked_add(length)?)?;
    // Decoding fails at the first bytes of what is no batch, and costs less than the sum of a wrong length.
    let batch = decode(body)?;
    (crc32fast::hash(body) == sum).then_some((batch, HEADER + length))
}

/// Where the first sound record is.
pub(super) fn find(content: &[u8]) -> Option<usize> {
    (0..content.len()).find(|&at| content.get(at..).and_then(read).is_some())
}

/// Whether a write that was cut off may have left this: less than a header, or than it says. What claims to be longer than
/// any batch is damaged.
pub(super) fn is_torn(content: &[u8]) -> bool {
    header(content).is_none_or(|(length, _)| length <= LONGEST && content.len() - HEADER < length)
}

fn header(content: &[u8]) -> Option<(usize, u32)> {
    let length = u32::from_le_bytes(*content.first_chunk()?);
    let sum = u32::from_le_bytes(content.get(4..HEADER)?.try_into().ok()?);
    Some((length as usize, sum))
}

fn decode(body: &[u8]) -> Option<Batch> {
    match postcard::take_from_bytes(body) {
        Ok((batch, [])) => Some(batch),
        _ => None,
    }
}
