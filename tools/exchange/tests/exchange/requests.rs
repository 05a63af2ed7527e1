//! Every documented request has the outcome that its line states: those in the fixtures, and hand-made ones in the
//! folder of captures.

use crate::common::*;
use hoga_exchange::Flow;
use hoga_testing::fixtures;
use serde_json::Value;

/// Returns requests and the expected reactions of the exchange.
fn parse(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| ["send", "expect"].map(|key| line[key].as_str().unwrap().to_owned()).into()).collect()
}

/// Returns the requests in the fixtures that are refused, or those that are not.
fn own(are_refused: bool) -> Vec<(String, String)> {
    let served = ["SNAPSHOT", "REALTIME", "NOTHING", "LIST", "STATUS"];
    let mut lines = parse(&fixtures::lines("requests.jsonl").join("\n"));
    lines.retain(|(_, expect)| served.contains(&expect.as_str()) != are_refused);
    assert!(lines.len() > 10);
    lines
}

/// Returns the requests of a file in the folder of captures, if it is set.
fn recorded(name: &str) -> Vec<(String, String)> {
    let file = fixtures::captures().map(|folder| folder.join("synthetic").join(name));
    file.map(|file| parse(&std::fs::read_to_string(file).unwrap())).unwrap_or_default()
}

/// Sends one request and runs for 11 s.
fn ask(request: &str) -> Link {
    let mut link = Link::open();
    link.say(request);
    link.advance(11 * SECOND);
    link
}

#[test]
fn invalid_requests_return_the_documented_error() {
    for (send, expect) in own(true).into_iter().chain(recorded("requests.invalid.jsonl")) {
        let mut link = ask(&send);
        let frames = link.take();
        // Private types are not served. On the public endpoint, requests for them fail with an authentication error.
        let elsewhere = expect.contains("endpoint");
        let name = if elsewhere { "INVALID_AUTH" } else { expect.split(',').next().unwrap() };
        assert!(frames[0].text().contains(&format!(r#""name":"{name}""#)), "{send}: {}", frames[0].text());
        assert_eq!(frames[1].payload, 1000u16.to_be_bytes(), "{send}");
        assert_eq!((link.flow, link.exchange.stats().malformed_requests), (Flow::Close, 1), "{send}");
    }
}

/// Returns the kind of the first message from the exchange.
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

/// Checks the outcome, which the captures describe in words.
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
