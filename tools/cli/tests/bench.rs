//! `hoga bench` runs `hoga-bench` if that is installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `hoga` from its own folder.
fn bench(folder: &Path, args: &[&str]) -> Output {
    let hoga = folder.join("hoga");
    fs::copy(env!("CARGO_BIN_EXE_hoga"), &hoga).unwrap();
    Command::new(hoga).args(args).output().unwrap()
}

#[test]
fn hoga_bench_gets_all_arguments_and_decides_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hoga-bench");
    fs::write(&program, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    for (args, passed_on) in [
        (&["bench", "e2e", "--time", "1s", "-v"][..], "e2e --time 1s -v\n"),
        (&["bench", "--help"], "--help\n"),
        (&["bench", "-vv", "load"], "-v -v load\n"),
    ] {
        let output = bench(folder.path(), args);
        assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()), (Some(7), passed_on));
    }
}

#[test]
fn a_missing_hoga_bench_is_reported_with_the_build_command() {
    let folder = tempfile::tempdir().unwrap();
    let output = bench(folder.path(), &["bench", "e2e"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("cargo build --profile bench -p hoga-bench") && stderr.lines().count() == 1, "{stderr}");
}
