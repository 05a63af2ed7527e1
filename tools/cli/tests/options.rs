//! The options of `hoga watch`: patterns, levels, groups, modes, several connections.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use super::common::{Exchange, Output, run};
use serde_json::Value;

fn watch(exchange: &Exchange, args: &[&str]) -> Output {
    run(&[&["watch", "--json", "--endpoint", &exchange.url], args].concat())
}

fn data(output: &Output) -> Vec<Value> {
    let lines: Vec<_> = output.json_lines().into_iter().filter(|line| line["type"].is_string()).collect();
    assert!(!lines.is_empty(), "no data: {} {}", output.stdout, output.stderr);
    lines
}

#[test]
fn a_pattern_means_every_market_that_the_exchange_lists() {
    let exchange = Exchange::start(&["--plain", "--markets", "30"]);
    let output = watch(&exchange, &["KRW-*", "BTC-*", "--connections", "2", "--duration", "3s"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let lines = data(&output);
    let text =
        |key: &str| -> BTreeSet<String> { lines.iter().map(|line| line[key].as_str().unwrap().to_owned()).collect() };
    let codes = text("code");
    assert!(
        codes.len() > 10 && codes.iter().all(|code| code.starts_with("KRW-") || code.starts_with("BTC-")),
        "{codes:?}"
    );
    let connections: BTreeSet<_> = lines.iter().map(|line| line["_hoga"]["conn"].as_u64()).collect();
    assert_eq!(connections.len(), 2);
    let summary = output.json_lines().pop().unwrap();
    assert_eq!(summary["subscriptions"]["wire_streams"].as_u64(), Some(codes.len() as u64));
    assert_eq!(summary["subscriptions"]["unconfirmed"], Value::Array(vec![]));
}

#[test]
fn latencies_are_in_the_summary_only_if_requested() {
    let exchange = Exchange::start(&["--plain", "--speed", "20"]);
    let trades = ["KRW-BTC", "KRW-ETH", "--types", "trade", "--connections", "2", "--count", "20"];
    let summary = |more: &[&str]| watch(&exchange, &[&trades[..], more].concat()).json_lines().pop().unwrap();
    assert!(summary(&[])["latencies"].is_null());
    let latencies = &summary(&["--latencies"])["latencies"];
    let ways = latencies["connections"].as_array().unwrap();
    let decoded: u64 = ways.iter().map(|way| way["receive_to_publish"]["count"].as_u64().unwrap()).sum();
    assert!(ways.len() == 2 && decoded >= 20, "{latencies}");
    assert!(latencies["publish_to_read"]["count"].as_u64().is_some_and(|count| count > 0), "{latencies}");
}

#[test]
fn books_have_the_requested_levels_and_groups() {
    let exchange = Exchange::start(&["--plain"]);
    let books = ["KRW-BTC", "--types", "orderbook", "--count", "3"];
    for book in data(&watch(&exchange, &[&books[..], &["--levels", "5"]].concat())) {
        assert_eq!(book["orderbook_units"].as_array().map(Vec::len), Some(5), "{book}");
    }
    for book in data(&watch(&exchange, &[&books[..], &["--group", "10000"]].concat())) {
        assert_eq!(book["level"].as_f64(), Some(10_000.0), "{book}");
    }
}

#[test]
fn only_the_requested_modes_are_printed() {
    let exchange = Exchange::start(&["--plain", "--speed", "20"]);
    let books = ["KRW-BTC", "--types", "orderbook", "--duration", "2s"];
    let kinds = |only: &str| -> Vec<Value> {
        data(&watch(&exchange, &[&books[..], &["--only", only]].concat()))
            .iter()
            .map(|l| l["stream_type"].clone())
            .collect()
    };
    assert_eq!(kinds("snapshot"), ["SNAPSHOT"]);
    assert!(kinds("realtime").iter().all(|kind| kind == "REALTIME"));
}

/// A firewall that refuses requests without its key, and writes what it gets.
#[test]
fn headers_are_sent_and_never_printed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let firewall = thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let mut lines = BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        let request: Vec<String> = lines.by_ref().collect();
        (&stream).write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        request
    });
    let headers = ["--header", "X-Key: canary: 1", "--header", "User-Agent:mine", "-vv"];
    let args = [&["watch", "KRW-BTC", "--endpoint", &url, "--connect-timeout", "2s"], &headers[..]].concat();
    let output = run(&args);
    assert_eq!(output.code, Some(3));
    assert!(output.stderr.contains("answered 403"), "{}", output.stderr);
    assert!(!format!("{}{}", output.stdout, output.stderr).contains("canary"), "{}", output.stderr);
    let request = firewall.join().unwrap();
    assert_eq!(request[request.len() - 2..], ["X-Key: canary: 1", "User-Agent: mine"]);
    assert_eq!(request.iter().filter(|line| line.to_lowercase().starts_with("user-agent")).count(), 1);
}

#[test]
fn invalid_arguments_are_refused_with_the_reason() {
    for (args, reason) in [
        (&["KR*-BTC"][..], "whole currency"),
        (&["KRW-BTC", "KRW-BTC"], "twice"),
        (&["KRW-BTC", "--levels", "5"], "add --types orderbook"),
        (&["KRW-BTC", "--types", "orderbook", "--levels", "7"], "ask for one of [1, 5, 15, 30]"),
        (&["BTC-ETH", "--types", "orderbook", "--group", "10"], "only KRW markets"),
        (&["KRW-BTC", "--connections", "0"], "connections is 0: set it to a number from 1 to 64"),
        (&["KRW-BTC", "--types", "candle.1s", "--endpoint", "bithumb"], "has no candle.1s"),
        (&["KRW-BTC", "--format", "json_list", "--endpoint", "bithumb"], "does not write"),
        (&["KRW-BTC", "--header", "canary"], "needs a name and a value"),
        (&["KRW-BTC", "--header", "X-Key: canary\nX: y"], "the value of the header X-Key contains control characters"),
        (&["KRW-BTC", "--header", "X Key: canary"], "the name of a header is invalid"),
        (&["KRW-BTC", "--header", "Origin: https://canary"], "only one connect in ten seconds"),
        (&["KRW-BTC", "--header", "Host: canary"], "the header Host may not be set"),
    ] {
        let output = run(&[&["watch"], args].concat());
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(reason), "{args:?}: {}", output.stderr);
        assert!(!output.stderr.contains("canary"), "{args:?}: {}", output.stderr);
    }
}
