//! The columns of the reports are shown by the units in which PostgreSQL gives them.

use super::host::{Host, Source};
use super::store;
use serde_json::json;

/// Reports, by the query type that asks each.
const REPORTS: [(&str, &str); 5] = [
    ("device_kpis", "device_kpis"),
    ("fleet_kpis", "fleet_kpis"),
    ("outages", "outages"),
    ("slo_report", "slo_report"),
    ("anomalies", "anomalies"),
];
const COLUMNS: &str = "
SELECT name, type::regtype::text
FROM pg_proc, unnest(proargnames, proallargtypes, proargmodes) AS argument (name, type, mode)
WHERE pronamespace = 'iot_kpi'::regnamespace AND proname = $1 AND mode = 't'";

#[test]
fn every_column_of_a_report_has_a_name_and_the_unit_of_its_type() {
    let database = store::make("plugin_columns");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_columns");
    let mut client = database.client();
    for (report, query_type) in REPORTS {
        let columns = client.query(COLUMNS, &[&report]).unwrap();
        assert!(columns.len() > 3, "{report}: {}", columns.len());
        let columns: Vec<(String, String)> = columns.iter().map(|row| (row.get(0), row.get(1))).collect();
        let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
        let query = json!({"queryType": query_type, "columns": names, "kpis": names, "format": "table",
                           "groupBy": "device_type", "metric": "temperature"});
        let frame = host.ask(&source, &query).frame();
        for (name, kind) in columns {
            // The query itself has no use for these.
            let Some(field) = frame.fields.iter().find(|field| field.name == name) else {
                assert!(
                    ["group_by"].contains(&name.as_str()) || report == "anomalies",
                    "{report}: no {name}"
                );
                continue;
            };
            let of = format!("{report}.{name}, {kind}: {}", field.config);
            assert!(field.config["displayNameFromDS"].is_string(), "{of}");
            match kind.as_str() {
                "interval" => assert_eq!(field.config["unit"], "s", "{of}"),
                "bigint" | "integer" => {
                    assert_eq!(
                        (&field.config["unit"], &field.config["decimals"]),
                        (&json!("locale"), &json!(0)),
                        "{of}"
                    );
                }
                // The unit of a metric's own values is the metric's.
                "double precision" if !(report == "anomalies" && name != "score") => {
                    assert!(
                        field.config["unit"].is_string() && field.config["decimals"].is_number(),
                        "{of}"
                    );
                }
                _ => {}
            }
        }
    }
}
