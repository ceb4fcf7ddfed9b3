//! A worker: one run of upkeep in one database, a small transaction a step, as the owner of the store and with no more rights.

use std::ffi::CString;

use pgrx::spi::Spi;
use pgrx::{pg_guard, pg_sys};

use super::{process, settings};

/// Where a run begins; what comes next each step says itself. See `iot_kpi.upkeep()`.
const BEGINNING: &str = r#"{"step": "partitions", "by": "worker"}"#;

/// Who owns the store, where the database has the extension and a store that is up to date, all in one hand. Only catalogs are
/// read, as the worker still is a superuser here; what anybody may have put into the database runs as that owner.
const OWNER: &str = "
    SELECT n.nspowner FROM pg_namespace n
    WHERE n.nspname = 'iot' AND EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_iot_kpi')
      AND to_regprocedure('iot_kpi.upkeep(jsonb)') IS NOT NULL
      AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'upkeep')
      AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND c.relowner <> n.nspowner)";

/// Whether another session has the database locked, to drop, rename or copy it, and waits for everybody to leave.
const LEAVE: &str = "
    SELECT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'object' AND l.classid = 1262 AND l.pid <> pg_backend_pid()
                   AND l.objid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                   AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))";

const STEP: &str = "SELECT iot_kpi.upkeep($1::jsonb)::text";

/// The process; its argument is the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn iot_kpi_worker(database: pg_sys::Datum) {
    process::begin();
    let database = pg_sys::Oid::from(u32::try_from(database.value()).unwrap_or_default());
    // SAFETY: no role given: the superuser that made the cluster, until the owner of the store is known.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0) };
    process::plain_settings();
    let Some(owner) = process::transaction(c"looking for a store", || ask::<pg_sys::Oid>(OWNER, &[])) else {
        return;
    };
    let mut next = Some(BEGINNING.to_owned());
    while let Some(place) = next {
        process::attend();
        if !settings::enabled() {
            return;
        }
        let activity = CString::new(format!("upkeep {place}")).unwrap_or_default();
        next = process::transaction(&activity, || {
            become_owner(owner);
            if ask::<bool>(LEAVE, &[]) == Some(true) {
                return None;
            }
            ask::<String>(STEP, &[place.into()])
        });
    }
}

/// From here on the session has the owner's rights, for good: it cannot take back its own by SET ROLE, nor leave anything
/// behind that would run with them (as with a trigger of an index or a materialised view that PostgreSQL refreshes).
fn become_owner(owner: pg_sys::Oid) {
    let context = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    // SAFETY: inside a transaction; an abort sets it back to what it was at the start of that transaction.
    unsafe { pg_sys::SetUserIdAndSecContext(owner, context.cast_signed()) };
}

/// The one value that a query gives; none where it is NULL or there is no row.
fn ask<T: pgrx::FromDatum + pgrx::IntoDatum>(query: &str, arguments: &[pgrx::datum::DatumWithOid<'_>]) -> Option<T> {
    Spi::connect_mut(|client| {
        let rows = client.update(query, Some(1), arguments).ok()?;
        rows.into_iter().next()?.get::<T>(1).ok()?
    })
}
