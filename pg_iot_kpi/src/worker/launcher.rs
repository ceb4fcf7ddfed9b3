//! The launcher: one process in the server, connected to no database, that starts a worker in each database when its turn comes.
//! Whether a database has a store only a worker can see; one that finds none leaves at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgMemoryContexts, PgSqlErrorCode, pg_guard, pg_sys};

use super::{process, settings};

/// After an error or a crash it starts again this much later.
const RESTART: Duration = Duration::from_secs(5);

/// Called while the library is preloaded.
pub(super) fn register() {
    process::builder("pg_iot_kpi launcher", "pg_iot_kpi launcher", "iot_kpi_launcher")
        .set_restart_time(Some(RESTART))
        .load();
}

/// The process.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn iot_kpi_launcher(_argument: pg_sys::Datum) {
    process::begin();
    // SAFETY: no database and no role: only what all databases share can be read.
    unsafe { pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0) };
    let mut roster = Roster::default();
    loop {
        process::attend();
        let rest = roster.turn(Instant::now());
        process::wait(rest);
    }
}

/// When each database was visited, and who is there.
#[derive(Default)]
struct Roster {
    posts: BTreeMap<u32, Post>,
    warned: bool,
}

struct Post {
    due: Instant,
    worker: Option<Worker>,
}

impl Roster {
    /// Starts the workers that are due; returns how long to wait. A worker that ends wakes the launcher.
    fn turn(&mut self, now: Instant) -> Duration {
        let naptime = settings::naptime();
        for post in self.posts.values_mut() {
            if post.worker.as_ref().is_some_and(Worker::has_ended) {
                post.worker = None;
                post.due = now + naptime;
            }
            // A shortened nap counts at once.
            post.due = post.due.min(now + naptime);
        }
        if !settings::enabled() {
            return naptime;
        }
        let databases = databases();
        self.posts
            .retain(|oid, post| post.worker.is_some() || databases.contains(oid));
        for oid in databases {
            self.posts.entry(oid).or_insert(Post { due: now, worker: None });
        }

        let running = self.posts.values().filter(|post| post.worker.is_some()).count();
        let mut free = settings::max_workers().saturating_sub(running);
        let mut idle: Vec<(u32, &mut Post)> = self
            .posts
            .iter_mut()
            .filter(|(_, post)| post.worker.is_none())
            .map(|(oid, post)| (*oid, post))
            .collect();
        idle.sort_by_key(|(_, post)| post.due);
        for (oid, post) in idle {
            if post.due > now {
                return post.due - now;
            }
            if free == 0 {
                return naptime;
            }
            post.worker = Worker::start(oid);
            if post.worker.is_none() {
                if !std::mem::replace(&mut self.warned, true) {
                    no_room();
                }
                return naptime;
            }
            free -= 1;
        }
        naptime
    }
}

fn no_room() {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES,
        "no background worker is free for the upkeep of device stores; it is tried again",
        "pg_iot_kpi",
    )
    .set_hint("Raise max_worker_processes, or lower iot_kpi.max_workers.")
    .report(PgLogLevel::WARNING);
}

/// A worker that was started and has not been seen to end.
struct Worker(*mut pg_sys::BackgroundWorkerHandle);

impl Worker {
    fn start(database: u32) -> Option<Self> {
        let name = format!("pg_iot_kpi worker of database {database}");
        // SAFETY: read only.
        let launcher = unsafe { pg_sys::MyProcPid };
        let mut description: pg_sys::BackgroundWorker =
            (&process::builder(&name, "pg_iot_kpi worker", "iot_kpi_worker")
                .set_argument(Some(pg_sys::Datum::from(database)))
                .set_notify_pid(launcher))
                .into();
        let mut handle = std::ptr::null_mut();
        // SAFETY: both live through the call; the handle is allocated where it stays until it is dropped.
        let started = unsafe {
            PgMemoryContexts::TopMemoryContext
                .switch_to(|_| pg_sys::RegisterDynamicBackgroundWorker(&mut description, &mut handle))
        };
        // Only then is there a handle to be freed.
        started.then(|| Self(handle))
    }

    fn has_ended(&self) -> bool {
        let mut pid = 0;
        // SAFETY: the handle is valid as long as this is.
        let status = unsafe { pg_sys::GetBackgroundWorkerPid(self.0, &mut pid) };
        status == pg_sys::BgwHandleStatus::BGWH_STOPPED
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SAFETY: allocated by PostgreSQL in the top memory context, and nobody else has it.
        unsafe { pg_sys::pfree(self.0.cast()) };
    }
}

/// The databases that can be visited and shall be.
fn databases() -> Vec<u32> {
    process::transaction(c"looking for databases", || {
        let mut found = Vec::new();
        // SAFETY: as PostgreSQL reads this catalog without a database: an open table, a scan, rows that live as long as it.
        unsafe {
            let lock = pg_sys::AccessShareLock.cast_signed();
            let catalog = pg_sys::table_open(pg_sys::DatabaseRelationId, lock);
            let scan = pg_sys::table_beginscan_catalog(catalog, 0, std::ptr::null_mut());
            loop {
                let row = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
                if row.is_null() {
                    break;
                }
                let database = &*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_database>();
                let name = std::ffi::CStr::from_ptr(database.datname.data.as_ptr());
                // A limit of -2 marks a database whose DROP was interrupted.
                if database.datallowconn
                    && !database.datistemplate
                    && database.datconnlimit != -2
                    && settings::serves(name.to_bytes())
                {
                    found.push(database.oid.to_u32());
                }
            }
            pg_sys::table_endscan(scan);
            pg_sys::table_close(catalog, lock);
        }
        found
    })
}
