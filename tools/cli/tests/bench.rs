//! `hoga bench`: becomes `hoga-bench` where that is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// What `hoga` does in a folder of its own.
fn bench(folder: &Path, args: &[&str]) -> Output {
    let hoga = folder.join("hoga");
    fs::copy(env!("CARGO_BIN_EXE_hoga"), &hoga).unwrap();
    Command::new(hoga).args(args).output().unwrap()
}

#[test]
fn the_program_beside_it_gets_all_arguments_and_decides_how_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hoga-bench");
    fs::write(&program, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    for (args, passed_on) in [
        (&["bench", "e2e", "--time", "1s", "-v"][..], "e2e --time 1s -v\n"),
        (&["bench", "--help"], "--help\n"),
        (&["-v", "bench", "-v", "load"], "-v -v load\n"),
    ] {
        let output = bench(folder.path(), args);
        assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()), (Some(7), passed_on));
    }
}

#[test]
fn without_it_one_sentence_says_how_to_build_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = bench(folder.path(), &["bench", "e2e"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("cargo build --profile bench -p hoga-bench") && stderr.lines().count() == 1, "{stderr}");
}
