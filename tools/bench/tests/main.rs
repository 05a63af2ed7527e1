//! Runs the programs of this crate. The tests check that each report exists and names its parts; they do not check
//! figures.

mod commands;
mod instructions;
mod output;
mod peers;
mod soak;

use std::process::Command;

use serde_json::Value;

/// The exit code and the output of a finished run.
struct Output {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `hoga-bench` to its end.
fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoga-bench"));
    let output = command.args(args).env_remove("RUST_LOG").env_remove("HOGA_CAPTURES").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a command that succeeds and prints nothing but its report.
#[track_caller]
fn report(args: &[&str]) -> Value {
    let output = run(&[args, &["--json"]].concat());
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    json(&output.stdout)
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

/// Returns the values of one field, in order.
fn texts<'a>(objects: &'a Value, key: &str) -> Vec<&'a str> {
    objects.as_array().unwrap().iter().map(|object| object[key].as_str().unwrap()).collect()
}
