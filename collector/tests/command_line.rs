//! The program as a shell sees it: help, mistakes, and which setting goes first. No database is needed.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::process::{Command, Output};

/// Nobody listens there.
const NOWHERE: &str = "postgresql://someone:geheim@127.0.0.1:1";

fn collector(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iot-kpi-collector"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_flag_goes_before_the_environment_and_the_environment_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.env");
    std::fs::write(
        &file,
        format!("IOT_KPI_DATABASE_URL={NOWHERE}/file\nIOT_KPI_WAIT=0\nPGUSER=filed\n"),
    )
    .unwrap();
    let config = format!("--config={}", file.display());
    let (flag, variable) = (
        "postgresql://someone@127.0.0.1:1/flag",
        format!("{NOWHERE}/environment"),
    );
    let environment = [
        ("IOT_KPI_DATABASE_URL", variable.as_str()),
        ("DATABASE_URL", "postgresql://127.0.0.1:1/last"),
    ];
    for (arguments, environment, used) in [
        (
            &["devices", &config, "--database-url", flag][..],
            &environment[..],
            "/flag:",
        ),
        (&["devices", &config], &environment, "/environment:"),
        (&["devices", &config], &environment[1..], "/file:"),
        (&["devices", "--wait=0"], &environment[1..], "/last:"),
    ] {
        let output = collector(arguments, environment);
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        assert!(text.contains(used), "{used} is not in {text}");
        assert!(!text.contains("geheim"), "{text}");
    }
}

#[test]
fn help_says_all_and_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let url = "postgresql://someone:geheim@there/x";
    std::fs::write(&file, format!("database_url = {url:?}\n[source.simulation]\n")).unwrap();
    let by_file = ("IOT_KPI_CONFIG", file.to_str().unwrap());
    for (command, variable) in [
        ("simulate", ("IOT_KPI_DATABASE_URL", url)),
        ("backfill", by_file),
        ("devices", by_file),
    ] {
        let output = collector(&[command, "--help"], &[variable]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.contains("geheim"), "{text}");
        for setting in [
            "--database-url",
            "COLLECTION_INTERVAL",
            "--seed",
            "--devices",
            "--ground-truth",
            "--config",
        ] {
            assert!(text.contains(setting), "{setting} is not in the help of {command}");
        }
    }
}

#[test]
fn mistakes_end_with_2_and_name_value_and_remedy() {
    for (arguments, says) in [
        (
            &["simulate", "--interval", "soon"][..],
            &["soon", "write it as 60s"][..],
        ),
        (&["simulate", "--log", "a=b=c"], &["--log", "info"]),
        (
            &["backfill", "--config", "/no/such/file"],
            &["/no/such/file", "--config"],
        ),
        (&["sing"], &["sing"]),
    ] {
        let output = collector(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = stderr(&output);
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn variables_may_be_empty_and_switches_are_generous() {
    for switch in ["1", "yes", "true", "0", "false", ""] {
        let environment = [
            ("IOT_KPI_CREATE_STORE", switch),
            ("IOT_KPI_TRUTH", ""),
            ("IOT_KPI_GROUND_TRUTH", ""),
            ("IOT_KPI_CONFIG", ""),
            ("COLLECTION_INTERVAL", ""),
            ("IOT_KPI_DATABASE_URL", NOWHERE),
            ("IOT_KPI_WAIT", "0"),
        ];
        let output = collector(&["devices"], &environment);
        assert!(
            stderr(&output).contains("cannot reach"),
            "{switch:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let url = format!("--database-url={NOWHERE}/flag");
    for arguments in [["devices", &url], [&url, "devices"]] {
        let output = collector(&arguments, &[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("--password-file") && !text.contains("geheim"), "{text}");
    }
}

#[test]
fn health_tells_who_does_not_answer() {
    let output = collector(&["health"], &[("IOT_KPI_METRICS_LISTEN", "0.0.0.0:1")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("127.0.0.1:1 does not answer"),
        "{}",
        stderr(&output)
    );
    assert_eq!(collector(&["health"], &[]).status.code(), Some(2));
}

/// Everything that `run` would look at before it connects.
#[test]
fn check_says_whether_a_file_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, content: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let output = collector(&["check", "--config", file.to_str().unwrap()], &[]);
        let said = String::from_utf8(output.stdout.clone()).unwrap() + &stderr(&output);
        (output.status.code(), said)
    };
    let sound = "database_url = \"postgresql://iot:geheim@db/iot\"\n[source.simulation]\ninterval = \"5m\"\n";
    let (code, said) = check("a.toml", sound);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("iot@db:5432/iot") && said.contains("simulation: 5 devices, every 5m"),
        "{said}"
    );
    assert!(!said.contains("geheim"), "{said}");
    assert_eq!(check("a.env", "IOT_KPI_DEVICES=7\n").0, Some(0));
    for (name, content, says) in [
        (
            "a.toml",
            "database_url = \"nonsense\"\n[source.simulation]\n",
            "--database-url",
        ),
        ("a.toml", "sslmode = \"often\"\n[source.simulation]\n", "often"),
        (
            "a.toml",
            "spol_max = \"1G\"\n[source.simulation]\n",
            "a.toml:1: spol_max is no setting; is spool_max meant?",
        ),
        ("a.toml", "", "[source.simulation]"),
        ("a.env", "IOT_KPI_DEVICE=7\n", "IOT_KPI_DEVICE"),
    ] {
        let (code, said) = check(name, content);
        assert!(code == Some(2) && said.contains(says), "{content}: {code:?} {said}");
    }
    assert_eq!(collector(&["check"], &[]).status.code(), Some(2));
}

/// Settings of a source that its table leaves out, and the environment of before.
#[test]
fn the_environment_goes_before_a_sources_table() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let config = file.to_str().unwrap();
    let one = "[source.simulation]\ndevices = 2\n";
    let two = "[[source.simulation]]\n[[source.simulation]]\nskip_devices = 5\n";
    let old = [("IOT_KPI_TRUTH", "x.jsonl"), ("COLLECTION_INTERVAL", "1h")];
    for (content, environment, code, says) in [
        (one, &[("IOT_KPI_DEVICES", "9")][..], 0, "9 devices, every 1m"),
        (one, &old, 0, "2 devices, every 1h"),
        (one, &[("IOT_KPI_DEVICES", "many")], 2, "many"),
        (two, &[], 0, "simulation-2: 5 devices"),
        (two, &[("IOT_KPI_SEED", "7")], 2, "IOT_KPI_SEED is set"),
    ] {
        std::fs::write(&file, content).unwrap();
        let output = collector(&["check", "--config", config], environment);
        let said = String::from_utf8(output.stdout.clone()).unwrap() + &stderr(&output);
        assert!(
            output.status.code() == Some(code) && said.contains(says),
            "{content} {environment:?}: {said}"
        );
    }
}
