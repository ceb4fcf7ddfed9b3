//! The one list of SQL files, in the order in which they are installed: types before the functions that take them,
//! functions before the reports that call them. `requires` carries the order to cargo-pgrx.

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
