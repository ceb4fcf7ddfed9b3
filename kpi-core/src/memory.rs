//! Memory that may not be there. In Rust an allocation that fails ends the process, and with it a whole server: what may be
//! large is therefore asked for before it is used.

use crate::error::{KpiError, Result};

/// What is no larger than this need not be asked for: whoever embeds this crate keeps as much in reserve.
pub const SMALL: usize = 256 * 1024;

/// Makes room for so many more items, so that pushing them allocates nothing.
#[inline]
pub(crate) fn make_room<T>(list: &mut Vec<T>, more: usize) -> Result<()> {
    if list.capacity() - list.len() >= more {
        return Ok(());
    }
    grow(list, more)
}

#[cold]
fn grow<T>(list: &mut Vec<T>, more: usize) -> Result<()> {
    list.try_reserve(more)
        .map_err(|_| KpiError::memory((list.len() + more).saturating_mul(2 * size_of::<T>())))
}

/// Sees whether so many bytes can be had at this moment.
pub fn check(bytes: usize) -> Result<()> {
    if bytes <= SMALL {
        return Ok(());
    }
    let mut probe: Vec<u8> = Vec::new();
    let there = probe.try_reserve_exact(bytes);
    // Without this the compiler sees that nobody uses it, and asks for nothing.
    std::hint::black_box(&mut probe);
    there.map_err(|_| KpiError::memory(bytes))
}

#[cfg(test)]
mod tests {
    use super::{check, make_room};
    use crate::error::ErrorKind;

    #[test]
    fn what_cannot_be_had_is_an_error() {
        for wanted in [usize::MAX, isize::MAX as usize, 1 << 60] {
            assert_eq!(check(wanted).unwrap_err().kind, ErrorKind::OutOfMemory);
            assert_eq!(
                make_room(&mut vec![1u64], wanted / 8).unwrap_err().kind,
                ErrorKind::OutOfMemory
            );
        }
        check(1 << 20).unwrap();
        let mut list = vec![1u8];
        make_room(&mut list, 100).unwrap();
        assert!(list.capacity() > 100);
    }
}
