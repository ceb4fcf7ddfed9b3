//! Counts what each thread has allocated: what is read from outside must not take much. The fuzzers use this too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what each thread has allocated.
pub(crate) struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// So much a decoder asks for, and gives back at once, to see whether it can be had: nobody takes it.
    static PROBE: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn count(bytes: isize) {
    if bytes.unsigned_abs() != PROBE.get() {
        NOW.set(NOW.get() + bytes);
        PEAK.set(PEAK.get().max(NOW.get()));
    }
}

// SAFETY: the system's allocator does it all; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: by contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: by contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there for a moment.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: by contract.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most memory that was in use.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let done = work();
    (done, (PEAK.get() - before) as usize)
}

/// Does something that sees first whether so many bytes can be had: nobody takes them.
pub(crate) fn unprobed<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    PROBE.set(bytes);
    let done = work();
    PROBE.set(usize::MAX);
    done
}
