//! Recordings: what `hoga exchange --log` and `hoga watch --json` write can be replayed and converted, and a log that
//! cannot be written is reported.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::common::{Exchange, command, end_of, json, run, signal};
use hoga_testing::fixtures;
use serde_json::Value;
use tempfile::TempDir;

const COUNT: usize = 60;

/// Watches an exchange. Returns all lines, which end with a summary.
#[track_caller]
fn watch(url: &str) -> String {
    let count = COUNT.to_string();
    let watch = ["watch", "KRW-BTC,KRW-ETH", "--types", "ticker,trade,orderbook", "--json", "--count", &count];
    let output = run(&[&watch[..], &["--endpoint", url]].concat());
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    output.stdout
}

/// Returns the messages in the output of `hoga watch`, without the stamps.
fn data(output: &str) -> Vec<Value> {
    let lines = output.lines().map(json).filter(|line| line.get("_event").is_none());
    let without_stamps = |mut line: Value| {
        assert!(line.as_object_mut().and_then(|object| object.remove("_hoga")).is_some(), "{line}");
        line
    };
    lines.map(without_stamps).collect()
}

/// Ends an exchange. Returns its stderr.
#[track_caller]
fn end(exchange: Exchange) -> String {
    exchange.process.signal("TERM");
    let output = exchange.process.finish();
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    output.stderr
}

#[track_caller]
fn replay(file: &Path) -> Exchange {
    Exchange::start(&["--plain", "--speed", "max", "--replay", file.to_str().expect("a UTF-8 path")])
}

#[test]
fn what_an_exchange_logs_and_what_a_watch_prints_can_be_replayed() {
    let folder = TempDir::new().expect("a folder");
    let (log, printed) = (folder.path().join("log"), folder.path().join("printed"));
    let exchange = Exchange::start(&["--plain", "--log", log.to_str().expect("a UTF-8 path")]);
    let output = watch(&exchange.url);
    end(exchange);
    let expected = data(&output);
    assert_eq!(expected.len(), COUNT);
    // Streams without a recorded message would be simulated.
    let streams: HashSet<_> = expected.iter().map(|line| (line["type"].as_str(), line["code"].as_str())).collect();
    assert_eq!(streams.len(), 6);
    fs::write(&printed, &output).expect("the file can be written");

    for (file, others) in [(&log, None), (&printed, Some("event of hoga watch"))] {
        let exchange = replay(file);
        let again = watch(&exchange.url);
        assert_eq!(data(&again), expected, "{}", file.display());
        let stderr = end(exchange);
        match others {
            None => assert!(!stderr.contains("other lines"), "{stderr}"),
            Some(kind) => assert!(stderr.contains(kind), "{stderr}"),
        }
    }
    let path = printed.to_str().expect("a UTF-8 path");
    let converted = run(&["formats", path, "--convert", "default"]);
    assert_eq!(converted.stdout.lines().map(json).collect::<Vec<_>>(), expected);
    let messages = format!("{COUNT} in DEFAULT; other lines: ");
    assert!(converted.stderr.contains(&messages), "{}", converted.stderr);
}

#[test]
fn a_replay_counts_what_it_cannot_replay() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("day");
    let [trade, request] = ["data.DEFAULT.jsonl", "requests.jsonl"].map(|name| fixtures::lines(name).swap_remove(0));
    let text = format!("\u{feff}{trade}\r\n# x\n\n{{\"status\":\"UP\"}}\n17:00\t{trade}\n{request}\n{}", &trade[..50]);
    fs::write(&file, text).expect("the file can be written");
    let kinds = ["comment:2", "cut:7", "empty:3", "request:6", "status:4"].map(|kind| {
        let (kind, line) = kind.split_once(':').expect("a line");
        format!("1 {kind} (first at {}:{line})", file.display())
    });
    let expected = format!("replays 2 messages of 7 lines; other lines: {}\n", kinds.join(", "));
    let stderr = end(replay(&file));
    assert!(stderr.starts_with(&expected), "{stderr}");
}

/// A running `hoga exchange` whose log cannot be written, or not for long.
struct Failing {
    exchange: Child,
    stderr: BufReader<ChildStderr>,
    url: String,
}

impl Failing {
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let mut exchange = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut first = String::new();
        let stdout = exchange.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut first).expect("a line");
        let url = json(&first)["listening"].as_str().expect("a URL").to_owned();
        let stderr = BufReader::new(exchange.stderr.take().expect("stderr is piped"));
        Self { exchange, stderr, url }
    }

    /// Watches until the log has failed, and after that. Returns the two reports: at once, and at the end.
    #[track_caller]
    fn reports(mut self) -> [String; 2] {
        let mut at_once = String::new();
        watch(&self.url);
        self.stderr.read_line(&mut at_once).expect("text");
        assert_eq!(data(&watch(&self.url)).len(), COUNT, "the exchange goes on");
        signal(&self.exchange, "TERM");
        assert_eq!(end_of(&mut self.exchange), Some(1));
        let lines = self.stderr.by_ref().lines().map(|line| line.expect("text"));
        [at_once, lines.last().expect("a report")]
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let _ = self.exchange.kill();
        let _ = self.exchange.wait();
    }
}

#[test]
fn a_log_on_a_full_device_is_reported_at_once_and_in_the_exit_code() {
    if !Path::new("/dev/full").exists() {
        return println!("skipped: this system has no /dev/full");
    }
    let failing = Failing::start(&mut command(&["exchange", "--plain", "--speed", "20", "--log", "/dev/full"]));
    let [at_once, at_end] = failing.reports();
    assert!(at_once.starts_with("hoga: the log ends here: /dev/full: "), "{at_once}");
    assert!(at_once.ends_with("; no frame was written\n"), "{at_once}");
    assert!(at_end.starts_with("hoga: the log is incomplete: /dev/full: "), "{at_end}");
}

/// A limit of the file's size behaves as a disk that becomes full in the middle of a line.
#[test]
fn a_log_that_reaches_a_limit_ends_with_a_whole_line() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("log");
    let mut shell = Command::new("sh");
    let script = r#"ulimit -f 16 && exec "$0" exchange --plain --speed 20 --log "$1""#;
    shell.args(["-c", script, env!("CARGO_BIN_EXE_hoga")]).arg(&log);
    let [at_once, _] = Failing::start(&mut shell).reports();
    let text = fs::read_to_string(&log).expect("a log");
    let lines = text.lines().map(json).filter(|line| line["frame"].is_object()).count();
    assert!(text.ends_with("}\n") && lines > 0 && lines == text.lines().count());
    let last = format!("{}: ", log.display());
    assert!(at_once.contains(&last) && at_once.ends_with(&format!("is number {lines}\n")), "{at_once}");
}

#[test]
fn a_log_whose_reader_leaves_is_reported() {
    let folder = TempDir::new().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let mut command = command(&["exchange", "--plain", "--speed", "20", "--log"]);
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || File::open(pipe).expect("a reader")
    });
    let failing = Failing::start(command.arg(&pipe));
    drop(reader.join().expect("the pipe is open"));
    let [at_once, at_end] = failing.reports();
    assert!(at_once.starts_with(&format!("hoga: the log ends here: {}: ", pipe.display())), "{at_once}");
    assert!(at_end.starts_with("hoga: the log is incomplete: "), "{at_end}");
}
