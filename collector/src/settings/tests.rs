//! The environment is the process's own, so these tests look at variables nobody sets by chance, and set none.

use super::*;

fn settings(file: &str, arguments: &[&str]) -> Result<Settings, Refusal> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.env");
    std::fs::write(&path, file).unwrap();
    let config = format!("--config={}", path.display());
    Settings::from([&["iot-kpi-collector", config.as_str()], arguments].concat())
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let none = settings("", &["simulate"]).unwrap().common;
    assert_eq!((none.devices, none.interval), (5, Duration::from_secs(60)));
    let file = "IOT_KPI_DEVICES=7\nCOLLECTION_INTERVAL=5s\nIOT_KPI_CREATE_STORE=true\n";
    let from_file = settings(file, &["simulate"]).unwrap().common;
    assert_eq!(
        (from_file.devices, from_file.interval, from_file.create_store),
        (7, Duration::from_secs(5), true)
    );
    let flagged = settings(file, &["simulate", "--devices", "9"]).unwrap().common;
    assert_eq!((flagged.devices, flagged.interval), (9, Duration::from_secs(5)));
}

#[test]
fn a_commands_own_settings_come_from_the_file_too() {
    let settings = settings("IOT_KPI_SPOOL_MAX=2M\n", &["simulate"]).unwrap();
    assert!(matches!(
        settings.command,
        Command::Simulate(Simulate {
            spool_max: 2_097_152,
            ..
        })
    ));
}

#[test]
fn mistakes_are_named() {
    for (file, arguments, says) in [
        ("IOT_KPI_DEVICE=7\n", &["simulate"][..], "IOT_KPI_DEVICE"),
        ("nonsense\n", &["simulate"], "settings.env:1"),
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
    settings(example, &["simulate"]).unwrap();
}
