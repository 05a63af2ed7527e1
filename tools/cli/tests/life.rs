//! The output and the behavior of `hoga watch` when something fails or ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::common::{Exchange, Hoga, json, run, spawn};
use serde_json::Value;

fn is_state(line: &Value, to: &str) -> bool {
    line["_event"] == "state" && line["to"] == to
}

fn is_health(line: &Value, health: &str) -> bool {
    line["_event"] == "health" && line["to"] == health
}

fn epoch_of_data(line: &Value) -> Option<u64> {
    line["_hoga"]["epoch"].as_u64()
}

#[test]
fn an_exchange_that_dies_and_returns_is_reported_and_followed() {
    // Without TLS, because a new exchange has a new certificate.
    let exchange = Exchange::start(&["--plain"]);
    let address = exchange.address();
    let mut watch = Hoga::start(&["watch", "KRW-BTC", "--types", "orderbook", "--json", "--endpoint", &exchange.url]);
    let active = watch.until(|line| is_state(line, "active"));
    assert_eq!((active["conn"].as_u64(), active["epoch"].as_u64()), (Some(0), Some(1)));
    // The watch reports a stream as disconnected only if it has seen it live. It checks health a few times a second, so
    // read some updates first.
    for _ in 0..8 {
        watch.until(|line| epoch_of_data(line) == Some(1));
    }

    exchange.process.signal("KILL");
    let lost = watch.until(|line| is_state(line, "reconnecting"));
    assert_eq!(lost["from"], "active");
    assert!(["eof", "reset", "truncated"].contains(&lost["reason"].as_str().unwrap_or_default()), "{lost}");
    assert!(lost["message"].is_string() && lost["retry_at_ns"].is_u64(), "{lost}");
    let down = watch.until(|line| is_health(line, "disconnected"));
    assert_eq!(down["stream"], "orderbook KRW-BTC");
    assert!(down["since_ns"].is_u64(), "{down}");
    drop(exchange);

    let _returned = Exchange::start(&["--plain", "--listen", &address]);
    // Data and reports are in two queues, so only the order within each of them is certain.
    let (mut gap, mut again, mut stream_gap, mut is_live) = (None, None, None, false);
    while gap.is_none() || again.is_none() || stream_gap.is_none() || !is_live {
        let line = watch.until(|_| true);
        is_live |= is_health(&line, "live");
        let of_kind = match line["_event"].as_str() {
            Some("gap") => &mut gap,
            Some("stream_gap") => &mut stream_gap,
            None => &mut again,
            Some(_) => continue,
        };
        of_kind.get_or_insert(line);
    }
    let (gap, again, stream_gap) = (gap.unwrap(), again.unwrap(), stream_gap.unwrap());
    assert_eq!((&gap["reason"], &gap["old_epoch"]), (&"new_socket".into(), &1.into()), "{gap}");
    assert!(gap["first_recv_ns"].as_u64() > gap["last_recv_ns"].as_u64(), "{gap}");
    // The reason may be that of a failed dial in between.
    assert!(gap["disconnect"].is_string(), "{gap}");
    assert!(epoch_of_data(&again) > Some(1), "{again}");
    assert_eq!(again["_hoga"]["epoch"], gap["new_epoch"]);
    let gap = stream_gap;
    assert_eq!((&gap["stream"], &gap["cause"]), (&"orderbook KRW-BTC".into(), &"new_socket".into()), "{gap}");
    assert_eq!((&gap["from_epoch"], gap["to_epoch"].as_u64() > Some(1)), (&1.into(), true), "{gap}");
    assert!(gap["from_ns"].as_u64() < gap["to_ns"].as_u64() && gap["from_exchange_ms"].is_u64(), "{gap}");

    watch.signal("INT");
    let output = watch.finish();
    assert_eq!((output.code, output.stderr.as_str()), (Some(130), ""));
    let summary = output.json_lines().pop().expect("a summary");
    assert_eq!((&summary["_event"], &summary["end"]), (&"summary".into(), &"interrupted".into()));
    assert!(summary["stream_gaps"]["new_socket"].as_u64() >= Some(1), "{summary}");
    assert!(summary["reconnects"].as_u64() >= Some(1), "{summary}");
    let connection = &summary["connections"][0];
    assert!(connection["epoch"].as_u64() >= Some(2) && connection["opened"].as_u64() >= Some(2), "{summary}");
    for time in ["uptime_ns", "last_heard_ns", "connect_ns", "upgrade_ns", "bytes", "messages"] {
        assert!(connection[time].as_u64() > Some(0), "{time} in {summary}");
    }
    assert!(connection["last_disconnect"].is_string(), "{summary}");
}

#[test]
fn a_silent_exchange_is_reported_and_gets_a_new_socket() {
    let exchange = Exchange::start(&["--plain"]);
    let mut watch = Hoga::start(&["watch", "KRW-BTC", "--types", "orderbook", "--json", "--endpoint", &exchange.url]);
    watch.until(|line| epoch_of_data(line) == Some(1));

    exchange.process.signal("USR1");
    watch.until(|line| is_health(line, "stale"));
    let left = watch.until(|line| is_state(line, "reconnecting"));
    assert_eq!(left["reason"], "mute");

    exchange.process.signal("USR1");
    let gap = watch.until(|line| line["_event"] == "gap");
    assert_eq!((&gap["reason"], &gap["disconnect"]), (&"new_socket".into(), &"mute".into()), "{gap}");
    let again = watch.until(|line| epoch_of_data(line) > Some(1));
    assert_eq!(again["code"], "KRW-BTC");
    watch.until(|line| is_health(line, "live"));
}

#[test]
fn a_reader_that_cannot_keep_up_has_every_message_accounted_for() {
    let exchange = Exchange::start(&["--plain", "--speed", "50"]);
    let codes = "KRW-BTC,KRW-ETH,KRW-XRP,KRW-SOL,KRW-DOGE";
    let types = "ticker,trade,orderbook";
    let args = ["watch", codes, "--types", types, "--json", "--overflow", "drop-newest:8", "--endpoint", &exchange.url];
    let (mut watch, stdout) = spawn(&args);
    let mut lines = BufReader::new(stdout).lines().map(|line| json(&line.expect("text")));
    lines.by_ref().find(|line| epoch_of_data(line).is_some()).expect("data");
    // Nobody reads: first the pipe fills, then the feed.
    thread::sleep(Duration::from_secs(3));
    let stop = Command::new("kill").args(["-INT", &watch.id().to_string()]).status();
    assert!(stop.is_ok_and(|status| status.success()));

    let (mut printed, mut gaps, mut missed, mut summary) = (1, 0, 0, Value::Null);
    for line in lines {
        printed += u64::from(epoch_of_data(&line).is_some());
        if line["_event"] == "gap" {
            gaps += 1;
            missed += line["missed"].as_u64().expect("a number");
        }
        summary = line;
    }
    assert_eq!(watch.wait().expect("the process can be waited for").code(), Some(130));
    assert!(missed > 0, "nothing was missed: {summary}");
    assert_eq!(summary["_event"], "summary");
    let count = |name: &str| summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"));
    let not_for_the_feed = ["unrouted", "late", "duplicate", "old_epoch"];
    assert_eq!((count("gaps"), count("missed"), count("delivered")), (gaps, missed, printed), "{summary}");
    let fates = ["delivered", "dropped", "conflated", "filtered", "queued"];
    assert_eq!(count("received"), fates.map(count).iter().sum::<u64>(), "{summary}");
    assert_eq!(count("data"), count("received") + not_for_the_feed.map(count).iter().sum::<u64>(), "{summary}");
}

#[test]
fn sigterm_ends_it_as_ctrl_c_does() {
    let exchange = Exchange::start(&["--plain"]);
    let mut watch = Hoga::start(&["watch", "KRW-BTC", "KRW-NONE", "--endpoint", &exchange.url]);
    while !watch.line().contains("ticker      KRW-BTC") {}
    watch.signal("TERM");
    let output = watch.finish();
    assert_eq!(output.code, Some(130));
    assert!(output.stdout.contains("-- interrupted: "), "{}", output.stdout);
    assert!(output.stdout.contains("no data for ticker KRW-NONE"), "{}", output.stdout);
}

#[test]
fn closing_stdout_ends_it_quietly() {
    let exchange = Exchange::start(&["--plain"]);
    let (mut watch, stdout) = spawn(&["watch", "KRW-BTC", "--types", "orderbook", "--endpoint", &exchange.url]);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let code = watch.wait().expect("the process can be waited for").code();
    let mut stderr = String::new();
    watch.stderr.take().expect("stderr is piped").read_to_string(&mut stderr).expect("text");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_server_that_never_answers_is_given_up_after_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", silent.local_addr().expect("an address"));
    let output = run(&["watch", "KRW-BTC", "--endpoint", &url, "--connect-timeout", "500ms", "--json"]);
    assert_eq!(output.code, Some(3));
    assert!(output.stderr.starts_with("hoga: nothing was received from ws://127.0.0.1:"), "{}", output.stderr);
    assert_eq!(output.json_lines().pop().expect("a summary")["end"], "nothing_received");
}

#[test]
fn without_a_list_of_markets_its_last_failure_is_the_reason() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", server.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in server.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        }
    });
    // The first request may take long on a busy machine.
    let output = run(&["watch", "KRW-*", "--endpoint", &url, "--connect-timeout", "5s", "--json"]);
    assert_eq!(output.code, Some(3));
    let (nothing, why) = output.stderr.split_once(" in time: ").expect("the reason");
    assert!(nothing.contains("nothing was received from ws://127.0.0.1:"), "{nothing}");
    assert!(why.starts_with("cannot get the list of markets from http://127.0.0.1:"), "{why}");
    assert!(why.contains("/v1/market/all: status 503"), "{why}");
}

#[test]
fn invalid_arguments_are_refused_with_the_reason() {
    let watch = ["watch", "KRW-BTC"];
    for (args, reason) in [
        (&["watch", "krw-btc"][..], "lower case; did you mean KRW-BTC?"),
        (&["watch", "BTC/KRW"], "did you mean KRW-BTC?"),
        (&["watch", "BTC-KRW"], "the quote currency is first in a market code; did you mean KRW-BTC?"),
        (&["watch"], "CODES"),
        (&[&watch[..], &["--types", "quotes"]].concat(), "orderbook"),
        (&[&watch[..], &["--endpoint", "ws://example.com"]].concat(), "loopback"),
        (&[&watch[..], &["--endpoint", "https://example.com"]].concat(), "wss://"),
        (&[&watch[..], &["--no-such-flag"]].concat(), "--no-such-flag"),
        (&[&watch[..], &["--duration", "soon"]].concat(), "--duration"),
        (&[&watch[..], &["--slow", "very"]].concat(), "--slow"),
        (&[&watch[..], &["--ca", "/no/such/file.pem"]].concat(), "/no/such/file.pem"),
        (&["demo", "--markets", "0"], "--markets"),
        (&["exchange", "--listen", "192.0.2.1:0"], "loopback"),
        (&["exchange", "--replay", "/no/such/file.jsonl"], "/no/such/file.jsonl"),
        (&["exchange", "--replay", "/dev/zero"], "/dev/zero: this is not a file"),
        (&["exchange", "--replay", "Cargo.toml"], "--replay Cargo.toml: no message of the exchange in "),
        (&["exchange", "--replay", "/dev/null"], "/dev/null: this is not a file"),
        (&["formats", "/dev/zero"], "/dev/zero: this is not a file"),
        (&["exchange", "--log", "/no/such/folder/log.jsonl"], "--log /no/such/folder/log.jsonl"),
        (&["exchange", "--speed", "0"], "from 0.001"),
    ] {
        let output = run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(reason), "{args:?}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{args:?}");
    }
}

#[test]
fn every_help_has_an_example_and_the_exit_codes() {
    let commands = ["", "demo", "watch", "exchange", "formats"];
    for command in commands {
        let args: Vec<_> = command.split_terminator(' ').chain(["--help"]).collect();
        let output = run(&args);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args:?}");
        for part in ["Example: hoga", "\nExit codes:\n  0    ", "\n  130  "] {
            assert!(output.stdout.contains(part), "{args:?}: {}", output.stdout);
        }
    }
}
