//! What this process does, in numbers for Prometheus; Grafana passes them on under `/metrics/plugins/`.

use crate::error::Error;
use crate::pool::PoolState;
use crate::settings::SourceId;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    datasource: String,
    organisation: i64,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    datasource: String,
    organisation: i64,
}

/// How many queries were answered and refused since the process started.
#[derive(Clone)]
pub struct QueryCounters(Family<Outcome, Counter>);

impl Default for QueryCounters {
    fn default() -> Self {
        let counters = Family::default();
        // A counter that appears with its first event has no increase for `rate()` to see.
        for result in ["answered", "refused"] {
            let _: Counter = counters.get_or_create_owned(&Outcome { result });
        }
        QueryCounters(counters)
    }
}

impl QueryCounters {
    pub(crate) fn count(&self, answered: bool) {
        let result = if answered { "answered" } else { "refused" };
        self.0.get_or_create(&Outcome { result }).inc();
    }
}

/// The page that Prometheus reads: the counters, and how the pools and streams stand at this moment.
pub(super) fn page(
    queries: &QueryCounters,
    pools: &[PoolState],
    streams: &HashMap<SourceId, usize>,
) -> Result<String, Error> {
    let mut registry = Registry::default();
    registry.register("iot_kpi_queries", "Queries by result", queries.0.clone());
    registry.register(
        "iot_kpi_connections",
        "Connections by data source and state",
        connections(pools),
    );
    registry.register("iot_kpi_streams", "Streams that run, by data source", running(streams));
    let mut page = String::new();
    text::encode(&mut page, &registry).map_err(|_| Error::Server("the metrics cannot be written".to_owned()))?;
    Ok(page)
}

fn connections(pools: &[PoolState]) -> Family<ConnectionLabels, Gauge> {
    let connections = Family::<ConnectionLabels, Gauge>::default();
    for pool in pools {
        let states = [
            ("open", pool.size),
            ("idle", pool.available),
            ("awaited", pool.waiting),
            ("limit", pool.limit),
        ];
        for (state, number) in states {
            let labels = ConnectionLabels {
                datasource: pool.source.uid.clone(),
                organisation: pool.source.organisation,
                state,
            };
            connections.get_or_create(&labels).set(number as i64);
        }
    }
    connections
}

fn running(streams: &HashMap<SourceId, usize>) -> Family<StreamLabels, Gauge> {
    let running = Family::<StreamLabels, Gauge>::default();
    for (SourceId { organisation, uid }, number) in streams {
        let labels = StreamLabels {
            datasource: uid.clone(),
            organisation: *organisation,
        };
        running.get_or_create(&labels).set(*number as i64);
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_those_that_dashboards_ask_for() {
        let source = SourceId {
            organisation: 1,
            uid: "odd \"uid\"".to_owned(),
        };
        let pool = PoolState {
            source: source.clone(),
            size: 3,
            available: 2,
            waiting: 1,
            limit: 5,
        };
        let queries = QueryCounters::default();
        queries.count(true);
        let page = page(&queries, &[pool], &HashMap::from([(source, 4)])).unwrap();
        for line in [
            r#"iot_kpi_queries_total{result="answered"} 1"#,
            r#"iot_kpi_queries_total{result="refused"} 0"#,
            r#"iot_kpi_connections{datasource="odd \"uid\"",organisation="1",state="open"} 3"#,
            r#"iot_kpi_connections{datasource="odd \"uid\"",organisation="1",state="idle"} 2"#,
            r#"iot_kpi_connections{datasource="odd \"uid\"",organisation="1",state="awaited"} 1"#,
            r#"iot_kpi_connections{datasource="odd \"uid\"",organisation="1",state="limit"} 5"#,
            r#"iot_kpi_streams{datasource="odd \"uid\"",organisation="1"} 4"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line}: {page}");
        }
    }
}
