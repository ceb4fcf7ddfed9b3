//! The background worker. With the library in `shared_preload_libraries` a launcher runs in the server, and starts one worker at a
//! time in each database with a store. All that a worker does is to call `iot_kpi.upkeep()` until nothing is left to do, a
//! transaction a call, as `CALL iot_kpi.maintain()` does from cron; then it leaves, so that nothing stays connected.
//!
//! | module | what it is for |
//! |---|---|
//! | [`settings`] | `iot_kpi.*` in `postgresql.conf` |
//! | [`launcher`] | which database is due |
//! | [`upkeep`] | a run in one database |
//! | [`process`] | what both are: processes of the server, with its signals, waits and transactions |

mod launcher;
mod process;
mod settings;
mod upkeep;

use pgrx::pg_guard;
use pgrx::pg_sys;

/// PostgreSQL calls it when it loads the library: in the postmaster where the library is preloaded, otherwise in the
/// session that uses it first, where the settings are of no effect.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    kpi_core::interrupts::ask(|| {
        pgrx::check_for_interrupts!();
    });
    settings::define();
    crate::authority::attend_to_errors();
    // SAFETY: read only; set by PostgreSQL before it loads any library. A server that pg_upgrade has started is left alone.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade } {
        launcher::register();
    }
}
