//! The one list of SQL files, in the order in which they are installed: types before the functions that take them,
//! functions before those that call them. `requires` carries the order to cargo-pgrx.

use pgrx::extension_sql_file;

// Layer 1: functions on anybody's table.
extension_sql_file!("../../sql/install/10_types.sql", name = "types", bootstrap);
extension_sql_file!(
    "../../sql/install/20_heartbeats.sql",
    name = "heartbeats",
    requires = ["types"]
);
extension_sql_file!(
    "../../sql/install/21_status.sql",
    name = "status",
    requires = ["heartbeats"]
);
extension_sql_file!(
    "../../sql/install/22_cadence.sql",
    name = "cadence",
    requires = ["status"]
);
extension_sql_file!(
    "../../sql/install/23_response.sql",
    name = "response",
    requires = ["cadence"]
);
extension_sql_file!(
    "../../sql/install/24_throughput.sql",
    name = "throughput",
    requires = ["response"]
);
extension_sql_file!(
    "../../sql/install/25_rates.sql",
    name = "rates",
    requires = ["throughput"]
);
extension_sql_file!("../../sql/install/26_scores.sql", name = "scores", requires = ["rates"]);
// Layer 2: the managed store and its two doors.
extension_sql_file!(
    "../../sql/install/30_settings.sql",
    name = "settings",
    requires = ["scores"]
);
extension_sql_file!(
    "../../sql/install/31_store.sql",
    name = "store",
    requires = ["settings"]
);
extension_sql_file!(
    "../../sql/install/31_authority.sql",
    name = "authority",
    requires = ["store"]
);
extension_sql_file!(
    "../../sql/install/32_partitions.sql",
    name = "partitions",
    requires = ["authority"]
);
extension_sql_file!(
    "../../sql/install/32_retention.sql",
    name = "retention",
    requires = ["partitions"]
);
extension_sql_file!(
    "../../sql/install/33_ingest_rules.sql",
    name = "ingest_rules",
    requires = ["retention"]
);
extension_sql_file!(
    "../../sql/install/34_ingest.sql",
    name = "ingest",
    requires = ["ingest_rules"]
);
extension_sql_file!(
    "../../sql/install/35_device_rules.sql",
    name = "device_rules",
    requires = ["ingest"]
);
// Layer 3: reports, all of them over the one evidence seam.
extension_sql_file!(
    "../../sql/install/40_gather.sql",
    name = "gather",
    requires = ["device_rules"]
);
extension_sql_file!(
    "../../sql/install/41_evidence.sql",
    name = "evidence",
    requires = ["gather"]
);
extension_sql_file!(
    "../../sql/install/42_buckets.sql",
    name = "buckets",
    requires = ["evidence"]
);
extension_sql_file!(
    "../../sql/install/43_device_kpis.sql",
    name = "device_kpis",
    requires = ["buckets"]
);
extension_sql_file!(
    "../../sql/install/44_fleet_kpis.sql",
    name = "fleet_kpis",
    requires = ["device_kpis"]
);
extension_sql_file!(
    "../../sql/install/45_kpi_series.sql",
    name = "kpi_series",
    requires = ["fleet_kpis"]
);
extension_sql_file!(
    "../../sql/install/46_timelines.sql",
    name = "timelines",
    requires = ["kpi_series"]
);
extension_sql_file!(
    "../../sql/install/47_objectives.sql",
    name = "objectives",
    requires = ["timelines"]
);
extension_sql_file!(
    "../../sql/install/48_anomalies.sql",
    name = "anomalies",
    requires = ["objectives"]
);
// Upkeep.
extension_sql_file!(
    "../../sql/install/50_calculations.sql",
    name = "calculations",
    requires = ["anomalies"]
);
extension_sql_file!(
    "../../sql/install/60_health.sql",
    name = "health",
    requires = ["calculations"]
);
extension_sql_file!(
    "../../sql/install/61_maintain.sql",
    name = "maintain",
    requires = ["health"]
);
extension_sql_file!(
    "../../sql/install/62_deadlines.sql",
    name = "deadlines",
    requires = ["maintain"]
);
// Who may do what.
extension_sql_file!(
    "../../sql/install/70_grants.sql",
    name = "grants",
    requires = ["deadlines"]
);
extension_sql_file!(
    "../../sql/install/71_row_security.sql",
    name = "row_security",
    requires = ["grants"]
);
