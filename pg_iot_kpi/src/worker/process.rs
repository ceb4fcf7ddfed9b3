//! What launcher and workers have in common as processes of the server.

use std::ffi::{CStr, c_int};
use std::time::Duration;

use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys;

/// The library as PostgreSQL finds it.
const LIBRARY: &str = "pg_iot_kpi";

// PostgreSQL's own handlers, as they are: what pgrx offers under these names saves and restores error state, which a signal
// handler must not do.
unsafe extern "C-unwind" {
    #[link_name = "die"]
    fn terminate_on_signal(signal: c_int);
    #[link_name = "SignalHandlerForConfigReload"]
    fn reload_on_signal(signal: c_int);
}

/// A process of the server with the given name and type, that runs a function of this library. It waits until recovery is over, so
/// that a standby has none.
pub(super) fn builder(name: &str, kind: &str, function: &str) -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(name)
        .set_type(kind)
        .set_library(LIBRARY)
        .set_function(function)
        .enable_spi_access()
}

/// First thing in a process: SIGTERM ends whatever it does, SIGHUP reloads, SIGINT cancels as in any session.
pub(super) fn begin() {
    // SAFETY: the handlers are PostgreSQL's own for such processes.
    unsafe {
        on_signal(pg_sys::SIGHUP, reload_on_signal);
        on_signal(pg_sys::SIGTERM, terminate_on_signal);
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// # Safety
/// The handler must be one that may interrupt anything.
unsafe fn on_signal(signal: u32, handler: unsafe extern "C-unwind" fn(c_int)) {
    let Ok(signal) = c_int::try_from(signal) else { return };
    // SAFETY: by contract.
    unsafe {
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(signal, Some(handler));
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(signal, Some(handler));
    }
}

/// Acts upon what came in meanwhile: an end, a cancellation, a reload of the settings.
pub(super) fn attend() {
    pg_sys::check_for_interrupts!();
    // SAFETY: only this process and its signal handlers know the flag.
    unsafe {
        if (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0 {
            (&raw mut pg_sys::ConfigReloadPending).write_volatile(0);
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Sleeps until the time is over or something happened. Ends the process when the server is gone.
pub(super) fn wait(time: Duration) {
    let wake = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1);
    // SAFETY: the latch is this process's own.
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            wake.cast_signed(),
            milliseconds,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
}

/// Overrides what a database or a role may have set: upkeep must resolve names and write as it was tested.
pub(super) fn plain_settings() {
    for (name, value) in [
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_isolation", c"read committed"),
        (c"row_security", c"on"),
        (c"statement_timeout", c"0"),
        (c"idle_in_transaction_session_timeout", c"0"),
    ] {
        // SAFETY: both are valid C strings, and the value is one that PostgreSQL accepts.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
}

/// Runs a transaction, seen in `pg_stat_activity` under a text. An error ends the process, as it does with PostgreSQL's own.
pub(super) fn transaction<R>(activity: &CStr, body: impl FnOnce() -> R) -> R {
    // SAFETY: no transaction is open; an error in between is PostgreSQL's to clean up.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, activity.as_ptr());
        let result = body();
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
        result
    }
}
