//! Files in TOML. The environment is the process's own: these tests set no variable.

use super::*;
use crate::settings::{Refusal, Settings};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

fn settings(file: &str, arguments: &[&str]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.toml");
    std::fs::write(&path, file).unwrap();
    let config = format!("--config={}", path.display());
    let settings = Settings::from([&["iot-kpi-collector", config.as_str()], arguments].concat());
    settings.map_err(|refusal| match refusal {
        Refusal::Usage(error) => error.to_string(),
        Refusal::Value(error) => error.to_string(),
    })
}

fn devices(settings: &Settings) -> BTreeMap<String, Vec<String>> {
    let sources = settings.sources().unwrap().into_iter();
    let ids = |source: Box<dyn source::Source>| source.describe().devices.iter().map(|d| d.id.to_string()).collect();
    sources.map(|named| (named.name, ids(named.source))).collect()
}

#[test]
fn what_is_common_stands_above_and_each_source_has_a_table() {
    let file = r#"
        database_url = "postgresql://iot@db/iot"
        spool_max = "2M"
        batch = 100
        create_store = true
        calculate_every = 1800

        [source.simulation]
        devices = 2
        interval = "5s"
    "#;
    let run = settings(file, &["run", "--batch=200"]).unwrap();
    assert_eq!(run.common.database_url.as_deref(), Some("postgresql://iot@db/iot"));
    assert!(
        run.common.create_store && run.common.batch == 200,
        "a flag goes before the file"
    );
    let wanted = run.run().unwrap();
    assert_eq!(
        (wanted.spool_max, wanted.calculate_every),
        (2 << 20, Duration::from_secs(1800))
    );
    assert_eq!(
        devices(&run),
        [("simulation".into(), vec!["TEMP_001".into(), "HUMID_001".into()])].into()
    );
    // Commands that flags describe one simulation to have it from there too.
    let simulate = settings(file, &["simulate", "--devices=1"]).unwrap();
    assert_eq!(
        devices(&simulate),
        devices(&settings(file, &["devices", "--devices=1"]).unwrap())
    );
    assert_eq!(
        devices(&simulate),
        [("simulation".into(), vec!["TEMP_001".into()])].into()
    );
    assert_eq!(
        simulate.sources().unwrap()[0].source.describe().interval,
        Duration::from_secs(5)
    );
}

#[test]
fn several_of_a_kind() {
    // A seed for all tables is a mistake, and whoever runs these tests may have set one.
    if std::env::var_os("IOT_KPI_SEED").is_some() {
        let mut alone = Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "settings::file::tests::several_of_a_kind"]);
        assert!(alone.env_remove("IOT_KPI_SEED").status().unwrap().success());
        return;
    }
    let file = r#"
        [[source.simulation]]
        devices = 1
        [[source.simulation]]
        name = "cellar"
        devices = 1
        skip_devices = 1
    "#;
    let expected = [("simulation-1", "TEMP_001"), ("cellar", "HUMID_001")];
    let expected = expected.map(|(name, device)| (name.to_owned(), vec![device.to_owned()]));
    assert_eq!(devices(&settings(file, &["run"]).unwrap()), expected.into());
    let shared = settings(&file.replace("skip_devices = 1", ""), &["run"]).unwrap_err();
    assert!(shared.contains("TEMP_001") && shared.contains("cellar"), "{shared}");
    let instances = settings(&format!("instance_dir = \"/tmp/x\"{file}"), &["run"]).unwrap_err();
    assert!(instances.contains("--instance-dir"), "{instances}");
    let twins = settings(&file.replace("cellar", "simulation-1"), &["run"]).unwrap_err();
    assert!(
        twins.contains("collector.toml:4") && twins.contains("name = "),
        "{twins}"
    );
}

#[test]
fn a_mistake_is_named_with_its_line_and_its_remedy() {
    let sound = "[source.simulation]\n";
    for (file, says) in [
        (
            "spol_max = \"2M\"\n",
            &["collector.toml:1", "spol_max is no setting", "is spool_max meant?"][..],
        ),
        (
            "\nspool_max = \"lots\"\n",
            &["collector.toml:2", "\"lots\"", "as 256M does", "--spool-max"],
        ),
        ("writers = 0\n", &["collector.toml:1", "writers", "1..=64"]),
        (
            "create_store = \"perhaps\"\n",
            &["collector.toml:1", "create_store", "perhaps"],
        ),
        (
            "metrics_listen = \"here\"\n",
            &["collector.toml:1", "metrics_listen", "here"],
        ),
        ("batch = [1]\n", &["collector.toml:1", "batch is no single value"]),
        (
            "devices = 7\n",
            &["collector.toml:1", "devices is no setting", "below [source.simulation]"],
        ),
        ("interval = 60s\n", &["collector.toml:1", "quotes"]),
        ("x = \"\n", &["collector.toml:1"]),
        (
            "[source.simulation]\ndevise = 7\n",
            &["collector.toml:2", "devise is no setting", "is devices meant?"],
        ),
        (
            "[source.simulation]\n\ndevices = 0\n",
            &["collector.toml:3", "1..=1000000"],
        ),
        (
            "[source.simulation]\nbatch = 1\n",
            &["collector.toml:2", "above the first table"],
        ),
        (
            "[source.simulator]\n",
            &["collector.toml:1", "\"simulator\"", "simulation"],
        ),
        ("[source]\ndevices = 7\n", &["collector.toml:2", "[source.KIND]"]),
        (
            "[sources.simulation]\n",
            &["collector.toml:1", "sources is no single value"],
        ),
        ("", &["[source.simulation]"]),
    ] {
        let text = settings(file, &["run"]).unwrap_err();
        assert!(says.iter().all(|part| text.contains(part)), "{file}: {text}");
        assert!(!text.contains("mistakes"), "{file}: {text}");
    }
    settings(sound, &["run"]).unwrap();
    let all = settings("spol_max = 1\nwriters = 0\n[source.simulation]\nseed = -1\n", &["run"]).unwrap_err();
    assert!(
        all.contains("3 mistakes") && all.contains(":1") && all.contains(":2") && all.contains(":4"),
        "{all}"
    );
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Thermometer {
    url: String,
    registers: Vec<Register>,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    address: u16,
    metric: String,
}

/// What a source with more than single values does with its table.
fn thermometer(content: &str) -> Result<Thermometer, Error> {
    let text = format!("[source.thermometer]\nname = \"cellar\"\n{content}");
    let document = super::toml::Document::read(Path::new("a.toml"), text)?;
    assert_eq!(document.tables[0].name(), "cellar");
    document.tables[0].deserialize()
}

#[test]
fn a_table_may_be_a_type_of_the_sources_own() {
    let read = thermometer("url = \"tcp://a\"\nregisters = [{ address = 7, metric = \"temperature\" }]\n").unwrap();
    let register = Register {
        address: 7,
        metric: "temperature".to_owned(),
    };
    assert_eq!(
        read,
        Thermometer {
            url: "tcp://a".to_owned(),
            registers: vec![register]
        }
    );
    for (content, says) in [
        (
            "url = \"a\"\nregister = []\n",
            &["a.toml:4", "register is no setting", "is registers meant?"][..],
        ),
        (
            "url = \"a\"\nregisters = [\n{ adress = 7 }]\n",
            &["a.toml:5", "is address meant?"],
        ),
        ("url = 7\nregisters = []\n", &["a.toml:3", "string"]),
        ("registers = []\n", &["a.toml:1", "url"]),
    ] {
        let text = thermometer(content).unwrap_err().to_string();
        assert!(says.iter().all(|part| text.contains(part)), "{content}: {text}");
    }
}
