//! A call from SQL. Functions are plain version-1 C functions rather than `#[pg_extern]` ones: a transition function is
//! called for every row, and this way it costs what one written in C costs.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use kpi_core::error::{KpiError, Result};
use pgrx::pg_sys;

/// What a function returns: none is NULL.
pub(crate) type SqlResult = Result<Option<pg_sys::Datum>>;

/// Defines a function that SQL can name: `sql_function!(iot_kpi_nines, |call| …)`.
///
/// What is given as `at_once` is asked first, without the guard that turns a panic into an error of PostgreSQL and costs as
/// much as a short transition: it may neither panic nor call PostgreSQL, and leaves what it does not answer to the body.
///
/// The body may do both. All of `pg_sys` stands behind a guard of its own, which makes a panic of an error that PostgreSQL
/// raises; it unwinds through the body, so that whatever that holds is dropped, and the guard around it raises it again.
macro_rules! sql_function {
    ($name:ident, at_once: $at_once:path, $body:expr) => {
        crate::fmgr::sql_function!(@named stringify!($name), $at_once, $body);
    };
    ($name:ident, $body:expr) => {
        crate::fmgr::sql_function!(@named stringify!($name), $body);
    };
    (@named $name:expr, $body:expr) => {
        crate::fmgr::sql_function!(@named $name, crate::fmgr::nothing_at_once, $body);
    };
    (@named $name:expr, $at_once:path, $body:expr) => {
        const _: () = {
            static INFO: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };

            #[unsafe(export_name = concat!("pg_finfo_", $name))]
            extern "C" fn info() -> *const pgrx::pg_sys::Pg_finfo_record {
                &INFO
            }

            #[pgrx::pg_guard]
            unsafe extern "C-unwind" fn guarded(fcinfo: pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum {
                // SAFETY: as below.
                crate::fmgr::run(unsafe { crate::fmgr::Call::new(fcinfo) }, $body)
            }

            #[unsafe(export_name = $name)]
            unsafe extern "C-unwind" fn call(fcinfo: pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum {
                // SAFETY: PostgreSQL calls a version-1 function with a valid fcinfo.
                unsafe {
                    match $at_once(&crate::fmgr::Call::new(fcinfo)) {
                        Some(datum) => datum,
                        None => guarded(fcinfo),
                    }
                }
            }
        };
    };
}
pub(crate) use sql_function;

/// Leaves every call to the body.
#[inline(always)]
pub(crate) fn nothing_at_once(_: &Call) -> Option<pg_sys::Datum> {
    None
}

/// Runs a function's body and hands over its result or error.
#[inline(always)]
pub(crate) fn run(call: Call, body: impl FnOnce(&Call) -> SqlResult) -> pg_sys::Datum {
    match crate::memory::with_reserve(|| body(&call)) {
        Ok(Some(datum)) => datum,
        Ok(None) => {
            // SAFETY: valid as long as the call is in progress.
            unsafe { (*call.fcinfo).isnull = true };
            pg_sys::Datum::from(0)
        }
        Err(error) => crate::error::raise(error),
    }
}

/// A call in progress.
pub(crate) struct Call {
    fcinfo: pg_sys::FunctionCallInfo,
    /// The arguments whose states were handed out, a bit each: nobody gets the same one twice.
    handed_out: Cell<u8>,
}

impl Call {
    /// A call as PostgreSQL made it.
    ///
    /// # Safety
    /// `fcinfo` must be what PostgreSQL passed.
    #[inline(always)]
    pub(crate) unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        Self {
            fcinfo,
            handed_out: Cell::new(0),
        }
    }

    /// The untyped call, for PostgreSQL's own functions.
    pub(crate) fn fcinfo(&self) -> pg_sys::FunctionCallInfo {
        self.fcinfo
    }

    /// An argument as it came; none where it is NULL.
    #[inline(always)]
    pub(crate) fn datum(&self, n: usize) -> Option<pg_sys::Datum> {
        // SAFETY: the SQL declaration says how many arguments there are; PostgreSQL filled in that many.
        unsafe {
            debug_assert!(n < (*self.fcinfo).nargs as usize);
            let arg = (*self.fcinfo).args.as_ptr().add(n);
            if (*arg).isnull { None } else { Some((*arg).value) }
        }
    }

    /// Whether any of the first arguments is NULL: for functions that are not STRICT because a later one may be.
    pub(crate) fn any_null(&self, first: usize) -> bool {
        (0..first).any(|n| self.datum(n).is_none())
    }

    /// An argument that may not be NULL.
    #[inline(always)]
    pub(crate) fn required(&self, n: usize) -> Result<pg_sys::Datum> {
        self.datum(n).ok_or_else(|| refuse_null(&position(n)))
    }

    /// An argument that may not be NULL, with its name for the message.
    #[inline(always)]
    pub(crate) fn required_as(&self, n: usize, name: &str) -> Result<pg_sys::Datum> {
        self.datum(n).ok_or_else(|| refuse_null(name))
    }

    /// The state of an aggregate, if it has one by now.
    ///
    /// # Panics
    /// When it is asked for again.
    #[inline(always)]
    pub(crate) fn state<T>(&self, n: usize) -> Option<State<'_, T>> {
        let bit = 1 << n;
        assert!(self.handed_out.get() & bit == 0, "a state is handed out once");
        self.handed_out.set(self.handed_out.get() | bit);
        let kept = NonNull::new(self.datum(n)?.cast_mut_ptr())?;
        Some(State {
            kept,
            call: PhantomData,
        })
    }

    /// The states that are put together, as far as they are there.
    #[inline(always)]
    pub(crate) fn both_states<T>(&self) -> (Option<State<'_, T>>, Option<State<'_, T>>) {
        let both = (self.state::<T>(0), self.state::<T>(1));
        if let (Some(one), Some(other)) = &both {
            assert!(one.kept != other.kept, "a state is put together with itself");
        }
        both
    }

    /// The state of an aggregate, made if there is none.
    #[inline(always)]
    pub(crate) fn state_or_new<T: Default>(&self, n: usize) -> Result<State<'_, T>> {
        match self.state(n) {
            Some(state) => Ok(state),
            None => self.keep(T::default()),
        }
    }

    /// Makes a state that lives as long as the aggregate that called.
    #[cold]
    pub(crate) fn keep<T>(&self, state: T) -> Result<State<'_, T>> {
        let mut context = std::ptr::null_mut();
        // SAFETY: fcinfo is valid; the context is set where the answer is not zero.
        let called_as = unsafe { pg_sys::AggCheckCallContext(self.fcinfo, &mut context) };
        if called_as == 0 {
            return Err(KpiError::parameter(
                "aggregate function called outside an aggregate",
                "Call the aggregate, not its transition function.",
            ));
        }
        // SAFETY: it is the aggregate's context, which outlives this call.
        Ok(unsafe { State::make(state, context, false) })
    }

    /// Makes a state that lives until the caller's memory context is reset: long enough to be merged into another.
    pub(crate) fn keep_briefly<T>(&self, state: T) -> pg_sys::Datum {
        // SAFETY: the current context is always there, and outlives this call.
        unsafe { State::make(state, pg_sys::CurrentMemoryContext, true) }.datum()
    }
}

#[cold]
fn position(n: usize) -> String {
    format!("argument {}", n + 1)
}

#[cold]
fn refuse_null(name: &str) -> KpiError {
    KpiError::parameter(format!("{name} must not be NULL"), format!("Give a value for {name}."))
}

/// A state with what it has on Rust's heap, beyond itself.
pub(crate) trait HeapSize {
    /// In bytes; cheap, since it is asked for every row.
    fn heap_size(&self) -> usize;
}

/// The state of an aggregate, for this call alone.
pub(crate) struct State<'call, T> {
    kept: NonNull<Kept<T>>,
    call: PhantomData<&'call mut T>,
}

/// A state in the memory context of its aggregate.
struct Kept<T> {
    state: T,
    context: pg_sys::MemoryContext,
    /// What the context counts as allocated for it.
    charged: usize,
    /// Made to be merged into another state, and for nothing else.
    brief: bool,
    on_reset: pg_sys::MemoryContextCallback,
}

impl<T> Deref for State<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: an argument of type internal can only come from our own functions, which made it by `make`; the context has
        // not been reset, as PostgreSQL still hands it around. Nobody else has it: `Call` gives each out once, and
        // `both_states` sees to it that two are two.
        unsafe { &self.kept.as_ref().state }
    }
}

impl<T> DerefMut for State<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut self.kept.as_mut().state }
    }
}

impl<T> State<'_, T> {
    /// Moves a state into a memory context, to be dropped with it.
    ///
    /// # Safety
    /// The context must outlive the call that the state is for.
    unsafe fn make(state: T, context: pg_sys::MemoryContext, brief: bool) -> Self {
        const { assert!(align_of::<Kept<T>>() <= 8, "PostgreSQL aligns to eight bytes") };
        // SAFETY: the context is valid. Where it has no memory left, that is a panic here, and the state is dropped. What it
        // gives is large enough and aligned, is filled before it is looked at, and stays where it is until the context is
        // reset, which calls `forget` first. The callback is registered by linking it in: that cannot fail.
        let kept = unsafe {
            let kept = pg_sys::MemoryContextAlloc(context, size_of::<Kept<T>>()).cast::<Kept<T>>();
            kept.write(Kept {
                state,
                context,
                charged: 0,
                brief,
                on_reset: pg_sys::MemoryContextCallback {
                    func: Some(forget::<T>),
                    arg: kept.cast(),
                    next: std::ptr::null_mut(),
                },
            });
            pg_sys::MemoryContextRegisterResetCallback(context, &raw mut (*kept).on_reset);
            NonNull::new_unchecked(kept)
        };
        Self {
            kept,
            call: PhantomData,
        }
    }

    /// Whether it was made by `keep_briefly`: nobody reads it again.
    pub(crate) fn is_brief(&self) -> bool {
        // SAFETY: as in `deref`.
        unsafe { self.kept.as_ref() }.brief
    }

    /// As PostgreSQL hands it to the next call.
    #[inline(always)]
    pub(crate) fn datum(self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.kept.as_ptr())
    }

    /// Hands it on to the next transition. What it has on Rust's heap counts as allocated in the aggregate's memory context,
    /// so that a hash aggregate sees it when it asks whether another group has room.
    #[inline(always)]
    pub(crate) fn hand_on(mut self) -> SqlResult
    where
        T: HeapSize,
    {
        // SAFETY: as in `deref`.
        let kept = unsafe { self.kept.as_mut() };
        let size = kept.state.heap_size();
        if size != kept.charged {
            kept.charge(size);
        }
        Ok(Some(self.datum()))
    }
}

impl<T> Kept<T> {
    /// Lets the context count as allocated what the state holds elsewhere.
    #[cold]
    fn charge(&mut self, size: usize) {
        // SAFETY: the context outlives the state, and no PostgreSQL code runs meanwhile that counts too.
        let counted = unsafe { &mut (*self.context).mem_allocated };
        *counted = counted.wrapping_add(size).wrapping_sub(self.charged);
        self.charged = size;
    }
}

/// Drops a state when its context is reset, which counts the charge off: a context that is used again starts from nothing.
/// Nothing in it calls PostgreSQL, so no error can be raised while a context is on its way out.
///
/// # Safety
/// The argument must be what `State::make` registered, and is not looked at again.
unsafe extern "C-unwind" fn forget<T>(kept: *mut std::ffi::c_void) {
    let kept = kept.cast::<Kept<T>>();
    // SAFETY: by contract.
    unsafe {
        (*kept).charge(0);
        std::ptr::drop_in_place(&raw mut (*kept).state);
    }
}
