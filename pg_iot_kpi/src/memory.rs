//! Memory that cannot be had is an error of the statement, and never the end of the server.
//!
//! Where an allocation fails, Rust ends the process; PostgreSQL then ends all others, since what they share may be broken. What
//! may be large is therefore asked for first (see [`kpi_core::memory`]). For all that is small there is a reserve: when
//! nothing is left it is given back, the call comes to its end with it, and then fails.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use kpi_core::codec::Codec;
use kpi_core::error::{KpiError, Result};
use kpi_core::memory::{SMALL, check};

/// What is kept back: a few times what need not be asked for. Nobody writes to it, so that it takes no more than a number.
const RESERVE: Layout = match Layout::from_size_align(16 * SMALL, 16) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};
static RESERVED: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Merging states lays out anew what both have, and once more while it does.
const MERGING: usize = 4;
/// Writing a state settles and sorts a copy of it, and the bytes grow by doubling.
const WRITING: usize = 16;

/// Sees whether there is room to merge two states that have so much on the heap.
pub(crate) fn check_merging(one: usize, other: usize) -> Result<()> {
    check(MERGING * one.saturating_add(other))
}

/// Sees whether there is room to write a state that has so much on the heap.
pub(crate) fn check_writing(heap_size: usize) -> Result<()> {
    check(heap_size.saturating_mul(WRITING))
}

/// Sees whether there is room to read a text of this length as a state.
pub(crate) fn check_text<T: Codec>(text: &str) -> Result<()> {
    check(text.len().saturating_add(text.len() / 2 * T::READING))
}

/// Does something with the reserve at hand.
#[inline(always)]
pub(crate) fn with_reserve<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    if RESERVED.load(Relaxed).is_null() {
        reserve()?;
    }
    let result = work();
    if RESERVED.load(Relaxed).is_null() {
        return Err(KpiError::memory(SMALL));
    }
    result
}

#[cold]
fn reserve() -> Result<()> {
    // SAFETY: the layout is not of zero bytes.
    let memory = unsafe { System.alloc(RESERVE) };
    if memory.is_null() {
        return Err(KpiError::memory(RESERVE.size()));
    }
    RESERVED.store(memory, Relaxed);
    Ok(())
}

/// Gives the reserve back; false where there is none.
#[cold]
fn give_back() -> bool {
    let memory = RESERVED.swap(ptr::null_mut(), Relaxed);
    if !memory.is_null() {
        // SAFETY: it was allocated with this layout, and taken out of the only place that knew it.
        unsafe { System.dealloc(memory, RESERVE) };
    }
    !memory.is_null()
}

/// The system's heap, and the reserve behind it.
struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

impl Heap {
    /// What was asked for; once more, where it was small and something could be given back.
    #[inline(always)]
    fn allocated(size: usize, allocate: impl Fn() -> *mut u8) -> *mut u8 {
        let memory = allocate();
        if memory.is_null() && size <= SMALL && give_back() {
            return allocate();
        }
        memory
    }
}

// SAFETY: all is done by the system's allocator, with the arguments as they are.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by contract.
        Self::allocated(layout.size(), || unsafe { System.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by contract.
        Self::allocated(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: by contract.
        unsafe { System.dealloc(memory, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by contract; where it fails, the old memory is as it was.
        Self::allocated(size, || unsafe { System.realloc(memory, layout, size) })
    }
}
