//! Every documented request has the outcome its line promises: our own, and hand-made ones of the folder of captures.

use crate::common::*;
use hoga_exchange::Flow;
use hoga_testing::fixtures;
use serde_json::Value;

/// Requests and what is expected of the exchange.
fn parse(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| ["send", "expect"].map(|key| line[key].as_str().unwrap().to_owned()).into()).collect()
}

/// Our own requests that are to be refused, or those that are not.
fn own(are_refused: bool) -> Vec<(String, String)> {
    let served = ["SNAPSHOT", "REALTIME", "NOTHING", "LIST", "STATUS"];
    let mut lines = parse(&fixtures::lines("requests.jsonl").join("\n"));
    lines.retain(|(_, expect)| served.contains(&expect.as_str()) != are_refused);
    assert!(lines.len() > 10);
    lines
}

/// A file of the folder of captures, if there is one.
fn recorded(name: &str) -> Vec<(String, String)> {
    let file = fixtures::captures().map(|folder| folder.join("synthetic").join(name));
    file.map(|file| parse(&std::fs::read_to_string(file).unwrap())).unwrap_or_default()
}

/// Sends one request and lets eleven seconds pass.
fn ask(request: &str) -> Link {
    let mut link = Link::open();
    link.say(request);
    link.advance(11 * SECOND);
    link
}

#[test]
fn invalid_requests_earn_the_error_they_should() {
    for (send, expect) in own(true).into_iter().chain(recorded("requests.invalid.jsonl")) {
        let mut link = ask(&send);
        let frames = link.take();
        // Private types are not served; on the public endpoint they are a matter of authentication.
        let elsewhere = expect.contains("endpoint");
        let name = if elsewhere { "INVALID_AUTH" } else { expect.split(',').next().unwrap() };
        assert!(frames[0].text().contains(&format!(r#""name":"{name}""#)), "{send}: {}", frames[0].text());
        assert_eq!(frames[1].payload, 1000u16.to_be_bytes(), "{send}");
        assert_eq!((link.flow, link.exchange.stats().malformed_requests), (Flow::Close, 1), "{send}");
    }
}

/// What the exchange sent first.
fn first(object: Option<&Value>) -> &'static str {
    let Some(object) = object else { return "NOTHING" };
    let field = |long: &str, short: &str| object.get(long).or(object.get(short)).and_then(Value::as_str);
    match (field("stream_type", "st"), field("method", "mthd"), field("status", "status")) {
        (Some("SNAPSHOT"), ..) => "SNAPSHOT",
        (Some("REALTIME"), ..) => "REALTIME",
        (_, Some("LIST_SUBSCRIPTIONS"), _) => "LIST",
        (_, _, Some("UP")) => "STATUS",
        _ => panic!("{object}"),
    }
}

#[test]
fn valid_requests_are_served() {
    for (send, expect) in own(false) {
        let mut link = ask(&send);
        assert_eq!(first(link.objects().first()), expect, "{send}");
        assert_eq!((link.exchange.stats().errors, link.flow), (0, Flow::Open), "{send}");
    }
    for (send, expect) in recorded("requests.valid.jsonl") {
        is_served(&send, &expect);
    }
}

/// The outcome is told in words.
fn is_served(send: &str, expect: &str) {
    let mut link = ask(send);
    let objects = link.objects();
    let errors = link.exchange.stats().errors;
    if expect.contains("endpoint only") {
        assert_eq!(errors, 1, "{send}");
        return;
    }
    assert_eq!((errors, link.flow), (0, Flow::Open), "{send}");
    let silent = expect.starts_with("nothing") || expect.contains("nothing is sent");
    assert_eq!(objects.is_empty(), silent, "{send}: {objects:?}");
    let has_snapshot = objects.iter().any(|o| o.get("stream_type").or(o.get("st")).is_some_and(|st| st == "SNAPSHOT"));
    let no_data = silent || expect.contains("no SNAPSHOT") || send.contains("LIST_SUBSCRIPTIONS") || send == "PING";
    assert_eq!(has_snapshot, !no_data, "{send}");
}
