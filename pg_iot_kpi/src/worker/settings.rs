//! The settings `iot_kpi.*`. All of them are read again on reload (SIGHUP); without the library preloaded they do nothing.

use std::ffi::CString;
use std::time::Duration;

use pgrx::pg_sys;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

static WORKER: GucSetting<bool> = GucSetting::<bool>::new(true);
static NAPTIME: GucSetting<i32> = GucSetting::<i32>::new(30);
static DATABASES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static MAX_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(3);

/// Makes the settings known to PostgreSQL.
pub(super) fn define() {
    GucRegistry::define_bool_guc(
        c"iot_kpi.worker",
        c"Whether background workers do the upkeep of device stores.",
        c"Partitions ahead, retention, calculations and missed deadlines, as CALL iot_kpi.maintain() does.",
        &WORKER,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"iot_kpi.naptime",
        c"Time between two runs of upkeep in a database.",
        c"From the end of one run to the start of the next.",
        &NAPTIME,
        1,
        86_400,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_string_guc(
        c"iot_kpi.databases",
        c"Databases whose stores are kept up, separated by commas.",
        c"Empty: every database that has the extension and a store. Templates are never visited.",
        &DATABASES,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"iot_kpi.max_workers",
        c"Most databases that are kept up at the same time.",
        c"Each takes one of max_worker_processes while it runs; the launcher takes one more.",
        &MAX_WORKERS,
        1,
        64,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // SAFETY: the name outlives the call.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"iot_kpi".as_ptr()) };
}

/// Whether workers shall run.
pub(super) fn enabled() -> bool {
    WORKER.get()
}

/// The rest between two runs in a database.
pub(super) fn naptime() -> Duration {
    Duration::from_secs(NAPTIME.get().unsigned_abs().into())
}

/// How many workers may run at once.
pub(super) fn max_workers() -> usize {
    usize::try_from(MAX_WORKERS.get()).unwrap_or(1)
}

/// Whether a database's turn comes at all.
pub(super) fn serves(database: &[u8]) -> bool {
    let databases = DATABASES.get().unwrap_or_default();
    let mut names = databases
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .peekable();
    names.peek().is_none() || names.any(|name| name == database)
}
