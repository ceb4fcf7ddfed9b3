//! The binary form that all states share: a header, a checksum and a body of variable-length integers.
//!
//! ```text
//! byte 0      which type (a letter)
//! byte 1      version of the form
//! bytes 2..6  CRC-32 of bytes 0, 1 and the body, little-endian
//! bytes 6..   body: LEB128 integers, 8-byte little-endian floats
//! ```
//! Whatever is truncated, altered or of another type is refused; nothing in it is trusted.

use crate::error::{KpiError, Result};
use crate::memory;

const HEADER: usize = 6;

/// A state with a binary form.
pub trait Codec: Sized {
    /// The name of the type, for messages.
    const NAME: &'static str;
    /// The letter in the header.
    const LETTER: u8;
    /// The newest version of the body's layout that is read.
    const NEWEST: u8 = 1;
    /// Reading and writing it takes at most so many bytes of memory for each byte of the binary form, beside a few thousand.
    const READING: usize;
    /// Reading it and answering whatever may be asked of it, likewise: an answer may be one for each sample.
    const ANSWERING: usize;

    /// The version in which a state is written: the oldest that can say all of it.
    fn version(&self) -> u8 {
        1
    }
    /// Writes the body.
    fn write(&self, out: &mut Writer);
    /// Reads and validates a body.
    fn read(input: &mut Reader<'_>) -> Result<Self>;

    /// The whole binary form.
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer(vec![Self::LETTER, self.version(), 0, 0, 0, 0]);
        self.write(&mut out);
        let sum = checksum(&out.0);
        out.0[2..HEADER].copy_from_slice(&sum.to_le_bytes());
        out.0
    }

    /// The body of a binary form whose header and checksum are right.
    fn body(bytes: &[u8]) -> Result<Reader<'_>> {
        let fail = |why: String| Err(KpiError::binary(Self::NAME, why));
        if bytes.len() < HEADER {
            return fail(format!("{} bytes are fewer than a header of {HEADER}", bytes.len()));
        }
        if bytes[0] != Self::LETTER {
            return fail(format!("type byte is {:#04x}, not {:#04x}", bytes[0], Self::LETTER));
        }
        if !(1..=Self::NEWEST).contains(&bytes[1]) {
            return fail(format!(
                "version {} is not known, the newest is {}",
                bytes[1],
                Self::NEWEST
            ));
        }
        if bytes[2..HEADER] != checksum(bytes).to_le_bytes() {
            return fail("checksum does not match".to_owned());
        }
        Ok(Reader {
            bytes: &bytes[HEADER..],
            version: bytes[1],
            type_name: Self::NAME,
        })
    }

    /// A state from its whole binary form.
    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut input = Self::body(bytes)?;
        memory::check(bytes.len().saturating_mul(Self::READING))?;
        let state = Self::read(&mut input)?;
        match input.bytes.len() {
            0 => Ok(state),
            left => Err(input.fail(format!("{left} bytes follow the end"))),
        }
    }

    /// A state of which something is to be asked.
    fn decode_to_answer(bytes: &[u8]) -> Result<Self> {
        memory::check(bytes.len().saturating_mul(Self::ANSWERING))?;
        Self::decode(bytes)
    }

    /// The form in which a worker hands a state to the process that merges it: never stored, of one version only, so a
    /// type that has much to hand over may choose one that is quicker to read.
    fn hand_over(&self) -> Vec<u8> {
        self.encode()
    }

    /// A state from the form in which a worker handed it over.
    fn take_over(bytes: &[u8]) -> Result<Self> {
        Self::decode(bytes)
    }

    /// The text form: the binary form in hexadecimal.
    fn to_text(&self) -> String {
        hex(&self.encode())
    }

    /// A state from its text form.
    fn from_text(text: &str) -> Result<Self> {
        let bytes = text.trim().strip_prefix("\\x").and_then(unhex).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            KpiError::text(
                format!("invalid input for type {}: \"{shown}\"", Self::NAME),
                format!(
                    "A {} is written as \\x and an even number of hexadecimal digits, as its output shows it.",
                    Self::NAME
                ),
            )
        })?;
        Self::decode(&bytes)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..2]);
    crc.update(&bytes[HEADER..]);
    crc.finalize()
}

/// Bytes as text: `\x` and two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(2 + 2 * bytes.len());
    text.extend_from_slice(b"\\x");
    for byte in bytes {
        text.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    String::from_utf8(text).expect("digits are UTF-8")
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    digits
        .chunks_exact(2)
        .map(|pair| Some((nibble(pair[0])? << 4) | nibble(pair[1])?))
        .collect()
}

/// Collects a body.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An unsigned integer, seven bits a byte.
    #[inline]
    pub fn unsigned(&mut self, value: u64) {
        push_varint(&mut self.0, u128::from(value));
    }

    /// A signed integer, small magnitudes in few bytes.
    pub fn signed(&mut self, value: i64) {
        self.unsigned(zigzag(value));
    }

    /// A float, as it is.
    pub fn float(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A length and that many bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// Takes a body apart again.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The version of the body's layout.
    pub(crate) version: u8,
    type_name: &'static str,
}

impl<'a> Reader<'a> {
    /// An unsigned integer.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64> {
        let value = take_varint(&mut self.bytes).ok_or_else(|| self.fail("it ends inside a number"))?;
        u64::try_from(value).map_err(|_| self.fail("a number is too large"))
    }

    /// How many of something there were: no more than a `bigint` holds.
    pub fn tally(&mut self) -> Result<u64> {
        let count = self.unsigned()?;
        i64::try_from(count).map_err(|_| self.fail("a count is too large"))?;
        Ok(count)
    }

    /// A signed integer.
    pub fn signed(&mut self) -> Result<i64> {
        self.unsigned().map(unzigzag)
    }

    /// A float that is not NaN or infinite.
    pub fn float(&mut self) -> Result<f64> {
        let (value, rest) = self
            .bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| self.fail("it ends inside a float"))?;
        self.bytes = rest;
        let value = f64::from_le_bytes(*value);
        if value.is_finite() {
            Ok(value)
        } else {
            Err(self.fail(format!("a float is {value}")))
        }
    }

    /// A length and that many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.unsigned()?;
        let split = usize::try_from(length)
            .ok()
            .and_then(|n| self.bytes.split_at_checked(n));
        let (taken, rest) = split.ok_or_else(|| self.fail(format!("{length} bytes are announced and not there")))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// How many items follow: never more than there are bytes, so that no length makes us reserve memory for nothing.
    pub fn count(&mut self) -> Result<usize> {
        let count = self.unsigned()?;
        let count = usize::try_from(count).ok().filter(|n| *n <= self.bytes.len());
        count.ok_or_else(|| self.fail("it announces more items than it has bytes"))
    }

    /// A refusal that names the type.
    pub fn fail(&self, why: impl std::fmt::Display) -> KpiError {
        KpiError::binary(self.type_name, why)
    }
}

/// Adds counts; at what a `bigint` holds it stays, in whatever order.
pub(crate) fn add_tallies(a: u64, b: u64) -> u64 {
    a.saturating_add(b).min(i64::MAX as u64)
}

/// Maps small magnitudes of either sign to small unsigned numbers.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// The highest bit of every byte: another one follows.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Appends seven bits a byte, lowest first.
#[inline]
pub(crate) fn push_varint(out: &mut Vec<u8>, value: u128) {
    match value {
        0..0x80 => out.push(value as u8),
        // Up to eight bytes are written at one stroke, and what was not needed is taken back.
        0x80..0x100_0000_0000_0000 => {
            let groups = spread(value as u64);
            let length = 8 - groups.leading_zeros() as usize / 8;
            let bytes = groups | MORE & !(u64::MAX << (8 * (length - 1)));
            out.extend_from_slice(&bytes.to_le_bytes());
            out.truncate(out.len() - (8 - length));
        }
        _ => push_long_varint(out, value),
    }
}

/// Puts each seven of the lowest 56 bits into a byte.
#[inline]
fn spread(value: u64) -> u64 {
    let value = value & 0x0000_0000_0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let value = value & 0x0000_3fff_0000_3fff | (value & 0x0fff_c000_0fff_c000) << 2;
    value & 0x007f_007f_007f_007f | (value & 0x3f80_3f80_3f80_3f80) << 1
}

/// The inverse of [`spread`]; the highest bits of the bytes do not matter.
#[inline]
fn gather(groups: u64) -> u64 {
    let value = groups & 0x007f_007f_007f_007f | (groups & 0x7f00_7f00_7f00_7f00) >> 1;
    let value = value & 0x0000_3fff_0000_3fff | (value & 0x3fff_0000_3fff_0000) >> 2;
    value & 0x0000_0000_0fff_ffff | (value & 0x0fff_ffff_0000_0000) >> 4
}

fn push_long_varint(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes what [`push_varint`] appended; none where it is cut off, longer than any 66-bit number, or than it had to be.
#[inline(always)]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u128> {
    match **bytes {
        [low, ref rest @ ..] if low < 0x80 => {
            *bytes = rest;
            return Some(u128::from(low));
        }
        [low, high, ref rest @ ..] if (1..0x80).contains(&high) => {
            *bytes = rest;
            return Some(u128::from(u16::from(low & 0x7f) | u16::from(high) << 7));
        }
        _ => {}
    }
    if let Some(eight) = bytes.first_chunk::<8>() {
        let groups = u64::from_le_bytes(*eight);
        // The highest bit of the last byte is the first that is clear.
        let end = (!groups & MORE).trailing_zeros();
        if end < 64 {
            let last = groups >> (end - 7);
            *bytes = &bytes[end as usize / 8 + 1..];
            return (last & 0x7f != 0).then(|| u128::from(gather(groups & (u64::MAX >> (63 - end)))));
        }
    }
    take_long_varint(bytes)
}

#[cold]
fn take_long_varint(bytes: &mut &[u8]) -> Option<u128> {
    let mut value = 0u128;
    for i in 0..bytes.len().min(10) {
        let byte = bytes[i];
        value |= u128::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            if byte == 0 && i > 0 {
                return None;
            }
            *bytes = &bytes[i + 1..];
            return Some(value);
        }
    }
    None
}
