//! The one list of SQL files, in the order in which they are installed, with the reason for it. An upgrade script keeps to the
//! same order.
//!
//! A type stands before the functions that take it. So does what a parsed body (`RETURN …`, `BEGIN ATOMIC`) calls, because
//! PostgreSQL looks it up at once; what plpgsql calls is looked up when it runs, and could stand anywhere. Within that the order
//! is that of reading: what a file is about is explained before it is used.

use pgrx::extension_sql_file;

/// `"name" = "file"`, one below the other: each is installed after the one before it.
macro_rules! install {
    ($first:literal = $file:literal, $($rest:tt)*) => {
        extension_sql_file!($file, name = $first, bootstrap);
        install!(after $first: $($rest)*);
    };
    (after $before:literal: $name:literal = $file:literal, $($rest:tt)*) => {
        extension_sql_file!($file, name = $name, requires = [$before]);
        install!(after $name: $($rest)*);
    };
    (after $last:literal:) => {};
}

install! {
    // Layer 1, on anybody's table: the types, then what makes and reads each of them.
    "types" = "../../sql/aggregates/types.sql",
    "heartbeats" = "../../sql/aggregates/heartbeats.sql",
    "status" = "../../sql/aggregates/status.sql",
    "cadence" = "../../sql/aggregates/cadence.sql",
    "response" = "../../sql/aggregates/response.sql",
    "throughput" = "../../sql/aggregates/throughput.sql",
    "rates" = "../../sql/aggregates/rates.sql",
    "scores" = "../../sql/aggregates/scores.sql",

    // Layer 2, the store: its settings, which everything below asks; the steps of create_store() and then itself; whose rights its work
    // is done with; and where its samples lie.
    "settings" = "../../sql/store/settings.sql",
    "tables" = "../../sql/store/tables.sql",
    "comments" = "../../sql/store/comments.sql",
    "seeds" = "../../sql/store/seeds.sql",
    "triggers" = "../../sql/store/triggers.sql",
    "create_store" = "../../sql/store/create_store.sql",
    "authority" = "../../sql/rights/authority.sql",
    "partitions" = "../../sql/storage/partitions.sql",
    "retention" = "../../sql/storage/retention.sql",

    // What every write goes through, then the door that asks these rules beforehand, and what a change of a device means.
    "ingest_rules" = "../../sql/ingest/rules.sql",
    "ingest_batches" = "../../sql/ingest/batches.sql",
    "device_rules" = "../../sql/store/device_rules.sql",

    // Layer 3, reports. All of them read a dossier, a type of the evidence seam.
    "gather" = "../../sql/storage/gather.sql",
    "evidence" = "../../sql/storage/evidence.sql",
    "silence" = "../../sql/storage/silence.sql",
    "buckets" = "../../sql/reports/buckets.sql",
    "device_kpis" = "../../sql/reports/device_kpis.sql",
    "fleet_kpis" = "../../sql/reports/fleet_kpis.sql",
    "kpi_series" = "../../sql/reports/kpi_series.sql",
    "timelines" = "../../sql/reports/timelines.sql",
    "objectives" = "../../sql/reports/objectives.sql",
    "anomalies" = "../../sql/reports/anomalies.sql",

    // Calculations are made of evidence by the reports, and kept where evidence is gathered from.
    "calculations" = "../../sql/storage/calculations.sql",

    // Upkeep: how a run goes, then its steps in their order; and how the store is, which asks them all.
    "maintain" = "../../sql/upkeep/maintain.sql",
    "upkeep_partitions" = "../../sql/upkeep/partitions.sql",
    "upkeep_deadlines" = "../../sql/upkeep/deadlines.sql",
    "upkeep_calculations" = "../../sql/upkeep/calculations.sql",
    "upkeep_retention" = "../../sql/upkeep/retention.sql",
    "health" = "../../sql/upkeep/health.sql",

    // Who may do what. It names all that is above.
    "grants" = "../../sql/rights/grants.sql",
    "row_security" = "../../sql/rights/row_security.sql",
}
