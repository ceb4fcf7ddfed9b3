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
    let environment = [("IOT_KPI_DATABASE_URL", "postgresql://someone:geheim@there/x")];
    for command in ["simulate", "backfill", "devices"] {
        let output = collector(&[command, "--help"], &environment);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.contains("geheim"), "{text}");
        for setting in [
            "--database-url",
            "COLLECTION_INTERVAL",
            "--seed",
            "--devices",
            "--truth",
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
