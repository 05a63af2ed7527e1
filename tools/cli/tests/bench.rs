//! `hoga bench` runs `hoga-bench`, and `hoga soak` and `hoga faults` run `hoga-soak`, if that is installed.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a shell script on two arguments. Other processes write the programs of these tests: a program that this process
/// has open for writing could be inherited by a process that another test starts, and could then not be executed.
fn shell(script: &str, args: [&Path; 2]) {
    assert!(Command::new("sh").args(["-c", script, "sh"]).args(args).status().unwrap().success());
}

/// Runs `hoga` from its own folder.
fn bench(folder: &Path, args: &[&str]) -> Output {
    let hoga = folder.join("hoga");
    shell("cp \"$1\" \"$2\"", [Path::new(env!("CARGO_BIN_EXE_hoga")), &hoga]);
    Command::new(hoga).args(args).output().unwrap()
}

#[test]
fn hoga_bench_gets_all_arguments_and_decides_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hoga-bench");
    let write = "printf '#!/bin/sh\\necho \"$@\"\\nexit 7\\n' > \"$2\" && chmod 755 \"$2\"";
    shell(write, [folder.path(), &program]);
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
fn hoga_soak_gets_the_command_and_all_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hoga-soak");
    let write = "printf '#!/bin/sh\\necho \"$@\"\\nexit 7\\n' > \"$2\" && chmod 755 \"$2\"";
    shell(write, [folder.path(), &program]);
    for (args, passed_on) in [
        (&["soak", "--duration", "1m"][..], "soak --duration 1m\n"),
        (&["soak", "--help"], "soak --help\n"),
        (&["faults", "-v", "--only", "1"], "-v faults --only 1\n"),
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
