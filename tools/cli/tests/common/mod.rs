//! Runs the real binary with a time limit, and ends it when the test ends.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// The time limit of each step: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The output of a finished run.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(json).collect()
    }
}

#[track_caller]
pub fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

/// Runs `hoga` to its end.
#[track_caller]
pub fn run(args: &[&str]) -> Output {
    Hoga::start(args).finish()
}

/// Runs `hoga` with these environment variables to its end.
#[track_caller]
pub fn run_with(args: &[&str], variables: &[(&str, &str)]) -> Output {
    Hoga::start_with(args, variables).finish()
}

/// A running `hoga`.
pub struct Hoga {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Hoga {
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// Starts it with these environment variables.
    pub fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let (mut child, stdout) = spawn_command(command(args).envs(variables.iter().copied()));
        let (to, lines) = channel();
        thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        let mut errors = child.stderr.take().expect("stderr is piped");
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        Self { child, lines, seen: Vec::new(), stderr: Some(stderr) }
    }

    /// Returns the next line of output.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            panic!("no line arrived: {error}; earlier lines: {:#?}", self.seen);
        });
        self.seen.push(line.clone());
        line
    }

    /// Reads JSON lines until one satisfies `wanted`.
    #[track_caller]
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = json(&self.line());
            if wanted(&value) {
                return value;
            }
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for the end. `stdout` is the part that was not read before.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        let mut stdout = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => stdout = stdout + &line + "\n",
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the process does not end; output so far: {stdout}"),
            }
        }
        let code = self.child.wait().expect("the process can be waited for").code();
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Output { code, stdout, stderr }
    }
}

impl Drop for Hoga {
    fn drop(&mut self) {
        // An interrupt comes first, so that the process removes its files.
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            self.signal("TERM");
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `hoga` and returns its unread stdout.
pub fn spawn(args: &[&str]) -> (Child, ChildStdout) {
    spawn_command(&mut command(args))
}

fn spawn_command(command: &mut Command) -> (Child, ChildStdout) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
    let stdout = child.stdout.take().expect("stdout is piped");
    (child, stdout)
}

/// The environment variables that `hoga` reads. Those of the test's own environment must not change a test.
const VARIABLES: [&str; 9] = [
    "RUST_LOG",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Returns `hoga` with an empty stdin. Its stderr is a pipe.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoga"));
    VARIABLES.iter().for_each(|variable| {
        command.env_remove(variable);
    });
    command.args(args).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end. Returns its exit code and, if stderr is a pipe, the text on stderr.
#[track_caller]
pub fn end(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command.spawn().expect("the binary starts");
    let code = end_of(&mut child);
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said).expect("text");
    }
    (code, said)
}

/// Waits for a process to end. Returns `None` if a signal ended it.
#[track_caller]
pub fn end_of(child: &mut Child) -> Option<i32> {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            return status.code();
        }
        thread::sleep(LOOK_EVERY);
    }
    let _ = child.kill();
    panic!("the process does not end");
}

/// Sends a signal by name.
#[track_caller]
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal {name} was not sent");
}

/// A running `hoga exchange`.
pub struct Exchange {
    pub process: Hoga,
    pub url: String,
    pub ca: Option<String>,
}

impl Exchange {
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        let mut process = Hoga::start(&[&["exchange"], args].concat());
        let first = json(&process.line());
        let text = |key: &str| first[key].as_str().map(str::to_owned);
        Self { url: text("listening").expect("the exchange prints its URL"), ca: text("ca"), process }
    }

    /// Returns `127.0.0.1:PORT`, for the next exchange to listen on.
    pub fn address(&self) -> String {
        self.url.split('/').nth(2).expect("a URL has a host").to_owned()
    }
}
