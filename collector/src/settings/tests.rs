//! The environment is the process's own, so these tests look at variables nobody sets by chance, and set none.

use super::*;

fn settings(file: &str, arguments: &[&str]) -> Result<Settings, Refusal> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.env");
    std::fs::write(&path, file).unwrap();
    let config = format!("--config={}", path.display());
    Settings::from([&["iot-kpi-collector", config.as_str()], arguments].concat())
}

fn simulation(settings: Result<Settings, Refusal>) -> simulation::Settings {
    match settings.unwrap().command {
        Command::Simulate(simulate) => simulate.simulation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let none = simulation(settings("", &["simulate"]));
    assert_eq!((none.devices, none.interval), (5, Duration::from_secs(60)));
    let file = "IOT_KPI_DEVICES=7\nCOLLECTION_INTERVAL=5s\nIOT_KPI_CREATE_STORE=true\n";
    assert!(settings(file, &["simulate"]).unwrap().common.create_store);
    let from_file = simulation(settings(file, &["simulate"]));
    assert_eq!((from_file.devices, from_file.interval), (7, Duration::from_secs(5)));
    let flagged = simulation(settings(file, &["simulate", "--devices", "9"]));
    assert_eq!((flagged.devices, flagged.interval), (9, Duration::from_secs(5)));
}

#[test]
fn a_commands_own_settings_come_from_the_file_too() {
    let settings = settings("IOT_KPI_SPOOL_MAX=2M\n", &["simulate"]).unwrap();
    assert_eq!(settings.run().unwrap().spool_max, 2_097_152);
}

#[test]
fn flags_and_variables_of_before_go_on_working() {
    for file in ["", "IOT_KPI_TRUTH=x\nIOT_KPI_PLACES=y\n"] {
        let flags = if file.is_empty() {
            &["simulate", "--truth=x", "--places=y"][..]
        } else {
            &["simulate"]
        };
        let of = settings(file, flags).unwrap();
        assert_eq!(of.run().unwrap().instance_dir.as_deref(), Some(Path::new("y")));
        assert_eq!(
            simulation(settings(file, flags)).ground_truth.as_deref(),
            Some(Path::new("x"))
        );
    }
}

#[test]
fn mistakes_are_named() {
    for (file, arguments, says) in [
        ("IOT_KPI_DEVICE=7\n", &["simulate"][..], "IOT_KPI_DEVICE"),
        ("nonsense\n", &["simulate"], "settings.env:1"),
        ("IOT_KPI_DEVICES=7\n", &["run"], "[source.simulation]"),
        ("COLLECTION_INTERVAL=often\n", &["simulate"], "often"),
        ("", &["simulate", "--devices", "0"], "--devices"),
        ("", &["simulate", "--collector-id", ""], "--collector-id"),
        ("", &["backfill", "--until", "tomorrow"], "2026-01-31T00:00:00Z"),
    ] {
        let text = match settings(file, arguments) {
            Err(Refusal::Usage(error)) => error.to_string(),
            Err(Refusal::Value(error)) => error.to_string(),
            Ok(_) => panic!("{file:?} {arguments:?} passed"),
        };
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn the_command_line_is_sound() {
    Settings::command().debug_assert();
}

/// Every setting stands in the example, and the example is a settings file.
#[test]
fn the_example_knows_every_setting() {
    let example = include_str!("../../env.example");
    let command = Settings::command();
    for arg in std::iter::once(&command)
        .chain(command.get_subcommands())
        .flat_map(|c| c.get_arguments())
    {
        let Some(name) = arg.get_env().and_then(|name| name.to_str()) else {
            continue;
        };
        assert!(
            name == "IOT_KPI_CONFIG" || example.contains(&format!("{name}=")),
            "{name} is not in env.example"
        );
    }
    let all = example.lines().map(|line| {
        line.strip_prefix('#')
            .filter(|line| !line.starts_with(' '))
            .unwrap_or(line)
    });
    let all: Vec<&str> = all.collect();
    settings(&all.join("\n"), &["simulate"]).unwrap();
}

/// Every key stands in the example, which is a settings file with and without its defaults.
#[test]
fn the_example_in_toml_knows_every_setting() {
    let example = include_str!("../../example.toml");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.toml");
    let plain = |line: &str| {
        line.strip_prefix('#')
            .filter(|line| !line.starts_with(' '))
            .unwrap_or(line)
            .to_owned()
    };
    let all: Vec<String> = example.lines().map(plain).collect();
    let without = |name: &str| {
        all.iter()
            .filter(|line| !line.starts_with(name))
            .cloned()
            .collect::<Vec<_>>()
    };
    for text in [example.to_owned(), without("password_file").join("\n")] {
        std::fs::write(&path, text).unwrap();
        let config = format!("--config={}", path.display());
        Settings::from(["iot-kpi-collector", &config, "run"]).unwrap();
    }
    let simulation = simulation::Settings::augment_args(clap::Command::new("simulation"));
    for key in file::keys(&common()).into_iter().chain(file::keys(&simulation)) {
        assert!(
            all.iter().any(|line| line.starts_with(&format!("{key} = "))),
            "{key} is not in example.toml"
        );
    }
}
