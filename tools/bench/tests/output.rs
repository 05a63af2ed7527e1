//! Commands whose output cannot be written follow the same rule as the commands of `hoga`.

use std::fs::OpenOptions;
use std::io::pipe;
use std::process::{Command, Stdio};

/// All ways in which a command prints and ends.
const COMMANDS: [&str; 6] = [
    "--help",
    "e2e --help",
    "formats --time 0s",
    "formats --time 0s --json",
    "fanout --time 0s --json",
    "saturate trade plain 100",
];

/// Returns the exit code of a command, and its stderr.
fn end(command: &str, stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hoga-bench"));
    program.args(command.split(' ')).stdout(stdout).stderr(Stdio::piped());
    let output = program.spawn().and_then(|child| child.wait_with_output()).unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_full_device_makes_a_command_fail() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return println!("skipped: this system has no /dev/full");
    };
    for command in COMMANDS {
        let (code, said) = end(command, full.try_clone().unwrap());
        assert_eq!(code, Some(1), "{command}: {said}");
        assert!(said.starts_with("hoga-bench: the output could not be written: "), "{command}: {said}");
        assert_eq!(said.lines().count(), 1, "{command}: {said}");
    }
}

#[test]
fn a_closed_reader_is_not_a_failure() {
    for command in COMMANDS {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        assert_eq!(end(command, writer), (Some(0), String::new()), "{command}");
    }
}
