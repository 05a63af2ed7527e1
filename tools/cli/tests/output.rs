//! One rule for all commands whose output cannot be written, or that are interrupted.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write, pipe};
use std::process::Stdio;

use super::common::{Exchange, command, end, end_of, signal};

const MESSAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/messages.jsonl");

/// Returns the arguments of every command that prints and ends, in each of its forms.
fn commands(url: &str) -> Vec<Vec<&str>> {
    let mut commands: Vec<Vec<&str>> = [
        "--help",
        "--version",
        "-h",
        "help watch",
        "watch --help",
        "demo --markets 1 --duration 10ms",
        "demo --markets 1 --duration 1h",
        "demo --markets 1 --duration 10ms --json",
        "exchange",
        "exchange --plain",
    ]
    .map(|line| line.split(' ').collect())
    .into();
    for more in ["--json", "--convert simple", "--time 0s"] {
        commands.push(["formats", MESSAGES].into_iter().chain(more.split(' ')).collect());
    }
    for more in ["", "--json", "--count 1", "--duration 300ms"] {
        let watch = ["watch", "KRW-BTC", "--types", "orderbook", "--endpoint", url];
        commands.push(watch.into_iter().chain(more.split_terminator(' ')).collect());
    }
    commands
}

#[test]
fn a_log_in_a_pipe_has_no_colors() {
    let exchange = Exchange::start(&["--plain"]);
    let args = ["watch", "KRW-BTC", "--endpoint", &exchange.url, "--count", "1", "-v"];
    let (code, said) = end(command(&args).stdout(Stdio::null()).env_remove("NO_COLOR"));
    assert!(code == Some(0) && said.contains("INFO") && !said.contains('\x1b'), "{code:?}: {said}");
}

#[test]
fn a_full_device_makes_every_command_fail() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return println!("skipped: this system has no /dev/full");
    };
    let exchange = Exchange::start(&["--plain"]);
    for args in commands(&exchange.url) {
        let (code, said) = end(command(&args).stdout(full.try_clone().expect("another handle")));
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.starts_with("hoga: the output could not be written: "), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    }
}

#[test]
fn a_closed_reader_is_not_a_failure_of_any_command() {
    let exchange = Exchange::start(&["--plain"]);
    for args in commands(&exchange.url) {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let (code, said) = end(command(&args).stdout(writer));
        assert_eq!(code, Some(0), "{args:?}: {said}");
        assert_eq!(said, "", "{args:?}");
    }
}

#[test]
fn a_log_that_cannot_be_written_does_not_end_a_command() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return println!("skipped: this system has no /dev/full");
    };
    let exchange = Exchange::start(&["--plain"]);
    let watch = ["watch", "KRW-BTC", "-vv", "--count", "3", "--endpoint", &exchange.url];
    assert_eq!(end(command(&watch).stdout(Stdio::null()).stderr(full)), (Some(0), String::new()));
}

#[test]
fn wrong_arguments_are_a_usage_error_even_if_stderr_cannot_be_written() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    assert_eq!(end(command(&["watch"]).stdout(Stdio::null()).stderr(writer)).0, Some(2));
}

#[test]
fn every_command_that_is_interrupted_ends_with_130() {
    let exchange = Exchange::start(&["--plain"]);
    let watch = ["watch", "KRW-BTC", "--endpoint", &exchange.url];
    let formats = ["formats", "-", "--convert", "simple"];
    let commands = [&watch[..], &["exchange", "--plain"], &["demo", "--markets", "1", "--duration", "1h"], &formats];
    for args in commands {
        for name in ["INT", "TERM"] {
            let mut child =
                command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
            // Only `formats` reads stdin; it waits for more.
            let mut input = child.stdin.take().expect("stdin is piped");
            let _ = input.write_all(b"{\"type\":\"trade\",\"code\":\"KRW-BTC\"}\n");
            let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
            output.read_line(&mut String::new()).expect("a line");
            signal(&child, name);
            assert_eq!(end_of(&mut child), Some(130), "{args:?} {name}");
        }
    }
}
