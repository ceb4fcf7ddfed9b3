//! Several sources in one process, as a settings file describes them.

use super::simulation::{Simulation, collector, durable, folder, read_truth, stored, totals};
use iot_kpi_tests::postgres::Stop;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

fn settings(folder: &Path, uri: &str) -> String {
    let [spool, quick, slow] = ["spool", "quick", "slow"].map(|name| folder.join(name).display().to_string());
    format!(
        r#"
        database_url = "{uri}"
        spool_dir = "{spool}"
        retry_max = "500ms"
        calculate_every = 0
        grace = "2s"

        [[source.simulation]]
        name = "quick"
        devices = 30
        interval = "200ms"
        trouble = 18
        ground_truth = "{quick}"

        [[source.simulation]]
        name = "slow"
        devices = 20
        skip_devices = 30
        interval = "500ms"
        seed = 7
        trouble = 18
        ground_truth = "{slow}"
        "#
    )
}

#[test]
fn a_crash_of_the_database_loses_and_doubles_nothing_of_either() {
    let folder = folder("collector_sources");
    let mut server = durable();
    let uri = server.store("sources").uri();
    let (file, log) = (folder.join("collector.toml"), folder.join("log"));
    fs::write(&file, settings(&folder, &uri)).unwrap();
    let mut command = collector();
    command
        // Whoever runs the tests may have set one for all sources.
        .env_remove("IOT_KPI_SEED")
        .args(["run", "--config"])
        .arg(&file)
        .stderr(fs::File::create(&log).unwrap());
    let mut sources = Simulation::watch(command.spawn().unwrap(), log);
    sleep(Duration::from_millis(1500));
    server.stop(Stop::Immediate).unwrap();
    sources.wait_until_log_has("the database is away");
    sleep(Duration::from_millis(1500));
    server.start().unwrap();
    sources.wait_until_log_has("everything that waited is delivered");
    sleep(Duration::from_millis(500));
    sources.end();
    let database = server.database("sources");
    let [mut expected, slow] = ["quick", "slow"].map(|name| totals(&read_truth(&folder.join(name))));
    // Some are away all the time.
    assert!(expected.len() > 20 && slow.len() > 10, "too quiet to tell");
    expected.extend(slow);
    assert_eq!(stored(&database), expected);

    let mut list = collector();
    list.env_remove("IOT_KPI_SEED").args(["devices", "--config"]).arg(&file);
    let text = String::from_utf8(list.output().unwrap().stdout).unwrap();
    let with = |interval: &str| text.lines().filter(|line| line.contains(interval)).count();
    // The collector beats as often as the quicker source.
    assert_eq!((with("00:00:00.2 "), with("00:00:00.5 ")), (31, 20), "{text}");
}
