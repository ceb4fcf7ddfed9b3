//! The PostgreSQL shell around kpi-core: it unwraps arguments, calls, and wraps results. No KPI is computed here.
//!
//! | module | what it is for |
//! |---|---|
//! | [`install`] | the one list of SQL files, in order |
//! | [`fmgr`] | a call from SQL: its arguments, its result, a state that lives as long as its aggregate |
//! | [`datum`], [`ranges`] | plain values to and from PostgreSQL's; windows and sets of time |
//! | [`error`], [`memory`] | the one place where an error of kpi-core becomes a SQLSTATE with a hint; memory that cannot be had |
//! | [`aggregates`] | the two-step aggregates and their accessors, a file each |
//! | [`rates`], [`scores`] | plain functions of counts, ratios and values |
//! | [`reports`] | a device's dossier to rows |
//! | [`authority`] | whose rights the store's own work is done with, and which triggers stand aside for it |
//! | [`worker`] | upkeep by itself, where the library is preloaded |
//!
//! Functions are declared in the files of `sql/`, each under the name it has here with the prefix `iot_kpi_`.

::pgrx::pg_module_magic!(name, version);

mod aggregates;
mod authority;
mod datum;
mod error;
mod fmgr;
mod install;
mod memory;
mod ranges;
mod rates;
mod reports;
mod scores;
mod worker;
