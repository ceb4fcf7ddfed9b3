//! Which devices a query is about.

use super::host::{Host, Source};
use super::queries::{notices, with_store};
use serde_json::{Value, json};

#[test]
fn devices_are_chosen_by_id_type_location_and_filter() {
    with_store("plugin_chosen", devices_are_chosen);
}

fn devices_are_chosen(host: &Host, source: &Source) {
    let chosen = |more: Value| {
        let mut query = json!({"queryType": "device_kpis", "columns": ["device_id"]});
        query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let ids = host.ask(source, &query).frame().field("device_id").texts();
        ids.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let filter = |key: &str, operator: &str, value: &str| json!({"adhocFilters": [{"key": key, "operator": operator, "value": value}]});
    assert_eq!(
        chosen(json!({"devices": ["$__all"]})),
        "CAM_001 TEMP_001 TEMP_002 collector-1"
    );
    assert_eq!(chosen(json!({"devices": []})), "CAM_001 TEMP_001 TEMP_002 collector-1");
    assert_eq!(chosen(json!({"devices": ["TEMP_002"]})), "TEMP_002");
    // A dashboard remembers devices that are gone.
    assert_eq!(chosen(json!({"devices": ["TEMP_002", "gone"]})), "TEMP_002");
    for kind in [
        "device_kpis",
        "fleet_kpis",
        "kpi_series",
        "status_timeline",
        "outages",
        "metric_series",
        "slo_report",
        "anomalies",
    ] {
        let told = |more: Value| {
            let mut query = json!({"queryType": kind});
            query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            notices(&host.ask(source, &query).well()[0])
        };
        let gone = told(json!({"devices": ["gone", "gone too"]}));
        assert!(
            gone.contains("None of the devices chosen is registered: gone, gone too."),
            "{kind}: {gone}"
        );
        assert!(
            told(json!({"locations": ["nowhere"]})).contains("No device has the types"),
            "{kind}"
        );
        assert_eq!(told(json!({"devices": ["TEMP_001", "gone"]})), "null", "{kind}");
        assert_eq!(told(json!({})), "null", "{kind}");
    }
    assert_eq!(chosen(json!({"deviceTypes": ["temperature"]})), "TEMP_001 TEMP_002");
    assert_eq!(
        chosen(json!({"deviceTypes": ["temperature"], "locations": ["hall"]})),
        "TEMP_001"
    );
    assert_eq!(chosen(filter("floor", "=", "1")), "CAM_001 TEMP_001");
    assert_eq!(chosen(filter("floor", "!=", "1")), "TEMP_002 collector-1");
    assert_eq!(chosen(filter("device_id", "=~", "^TEMP")), "TEMP_001 TEMP_002");
    assert_eq!(chosen(filter("device_type", "!~", "^(temp|coll)")), "CAM_001");
    assert_eq!(chosen(json!({"deviceTypes": ["none of these"]})), "");
    let many = json!({"adhocFilters": [{"key": "device_id", "operator": "=|", "value": "", "values": ["CAM_001", "TEMP_001"]}]});
    assert_eq!(chosen(many), "CAM_001 TEMP_001");
    let injection = "x'); DROP TABLE iot.devices; --";
    assert_eq!(chosen(json!({"devices": [injection]})), "");
    assert_eq!(chosen(filter("device_id", "=", injection)), "");
    let wrong = filter("device_id", "LIKE", "x");
    let mut query = json!({"queryType": "device_kpis"});
    query
        .as_object_mut()
        .unwrap()
        .extend(wrong.as_object().unwrap().clone());
    assert!(host.ask(source, &query).error.contains("LIKE"));
}
