//! Runs `hoga-soak`. `.ci/run` has a longer run.

use std::process::{Command, Output};

use serde_json::Value;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hoga-soak")).args(args).env_remove("RUST_LOG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A reset, garbage, text frames and a forgotten stream: one of each kind of recovery. Times are not checked.
#[test]
fn faults_recovers_from_each_and_reports_what_was_lost() {
    let output = run(&["faults", "--only", "1,23,30,57", "--json"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stderr.lines().count(), 4, "progress is one line for each fault: {stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |number: u64| {
        let rows = report["faults"].as_array().unwrap();
        rows.iter().find(|row| row["number"] == number).unwrap_or_else(|| panic!("{number} is missing in {report}"))
    };
    assert_eq!((&row(1)["reason"], &row(1)["gaps"]), (&"reset".into(), &40.into()), "{report}");
    assert_eq!((&row(30)["reason"], &row(30)["gaps"]), (&"".into(), &0.into()), "{report}");
    assert_eq!(row(57)["reason"], "stream_silent", "{report}");
    assert!(["version", "commit", "promises", "goals"].iter().all(|key| !report[key].is_null()), "{report}");
}

#[test]
fn every_help_has_an_example_and_the_exit_codes() {
    for args in [&["--help"][..], &["soak", "--help"], &["faults", "--help"]] {
        let output = run(args);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
        for part in ["Example: hoga ", "\nExit codes:\n  0    ", "\n  130  "] {
            assert!(text(&output.stdout).contains(part), "{args:?}: {}", text(&output.stdout));
        }
    }
}

#[test]
fn invalid_arguments_are_usage_errors() {
    for args in [&[][..], &["soak", "--duration", "1s"], &["soak", "--markets", "1"], &["faults", "--only", "200"]] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}
