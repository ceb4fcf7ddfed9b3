//! What is kept between two calls, and for how long.

use super::host::Source;
use super::store;
use iot_kpi_grafana::pool::Pools;
use iot_kpi_grafana::settings::Settings;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3_600);

#[test]
fn idle_connections_and_forgotten_pools_are_closed() {
    store::server().create_database("plugin_pools").unwrap();
    let source = Source::of(store::server(), "plugin_pools");
    let settings = Settings::from_context(Some(&source.context("Viewer"))).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let pools = Pools::default();
        let first = pools.source(&settings).unwrap();
        let connections = || pools.states().iter().map(|pool| pool.size).collect::<Vec<_>>();
        let session = first.session().await.unwrap();
        pools.tidy(Duration::ZERO, Duration::ZERO);
        assert_eq!(connections(), [1], "it is in use");
        drop(session);
        pools.tidy(LONG, Duration::ZERO);
        assert_eq!(connections(), [1], "it is not idle for long");
        pools.tidy(Duration::ZERO, LONG);
        assert_eq!(connections(), [0]);
        pools.tidy(LONG, LONG);
        assert_eq!(connections(), [0], "it was asked not long ago");
        pools.tidy(LONG, Duration::ZERO);
        assert!(connections().is_empty());
        // Whoever held it is told to ask again, and gets a new one.
        assert!(first.session().await.is_err_and(|error| error.status() == 503));
        assert!(pools.source(&settings).unwrap().session().await.is_ok());
    });
}
