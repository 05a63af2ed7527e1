//! The errors of `hoga-instructions` when it cannot compare. They need neither valgrind nor a release build.

use std::fs;
use std::process::{Command, Output};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoga-instructions"));
    command.args(args);
    command
}

/// Asserts that the program ended with code 2 (nothing was compared) and printed the reason.
#[track_caller]
fn assert_refused(output: &Output, why: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(why), "{stderr}");
}

#[test]
fn a_missing_or_broken_baseline_is_reported_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("baseline.json");
    let file = path.to_str().unwrap();
    let missing = program(&["--baseline", file, "check"]).output().unwrap();
    assert_refused(&missing, "could not be read: No such file");
    assert_refused(&missing, "raise all");
    fs::write(&path, "{\"instructions\": {}}").unwrap();
    assert_refused(&program(&["--baseline", file, "check"]).output().unwrap(), "is not a baseline of this program");
    assert_refused(&program(&["--baseline", file, "lower"]).output().unwrap(), "is not a baseline of this program");
}

#[test]
fn a_missing_valgrind_is_reported_with_a_remedy() {
    let nowhere = tempfile::tempdir().unwrap();
    let output = program(&["check"]).env("PATH", nowhere.path()).output().unwrap();
    assert_refused(&output, "valgrind is not installed: `apt-get install valgrind`");
}

#[test]
fn wrong_arguments_are_answered_with_the_usage() {
    for wrong in [&[][..], &["check", "all"], &["raise"], &["--baseline"], &["lower", "everything"]] {
        assert_refused(&program(wrong).output().unwrap(), "usage: ");
    }
    assert_refused(&program(&["row", "no such row"]).output().unwrap(), "there is no row");
}
