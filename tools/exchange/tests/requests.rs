//! Every hand-made request of the capture folder has the outcome its line promises.

mod common;

use common::*;
use hoga_exchange::Flow;
use serde_json::Value;
use std::path::PathBuf;

/// `HOGA_CAPTURES`, or the folder next to the workspace; `None` with a note when there is none.
fn lines(name: &str) -> Vec<(String, String)> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let folder = std::env::var_os("HOGA_CAPTURES").map_or_else(default, PathBuf::from);
    let file = folder.join("synthetic").join(name);
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: no captures at {}; set HOGA_CAPTURES", file.display());
        return Vec::new();
    };
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| ["send", "expect"].map(|key| line[key].as_str().unwrap().to_owned()).into()).collect()
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
    for (send, expect) in lines("requests.invalid.jsonl") {
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

#[test]
fn valid_requests_are_served() {
    for (send, expect) in lines("requests.valid.jsonl") {
        let mut link = ask(&send);
        let objects = link.objects();
        let errors = link.exchange.stats().errors;
        if expect.contains("endpoint only") {
            assert_eq!(errors, 1, "{send}");
            continue;
        }
        assert_eq!((errors, link.flow), (0, Flow::Open), "{send}");
        let silent = expect.starts_with("nothing") || expect.contains("nothing is sent");
        assert_eq!(objects.is_empty(), silent, "{send}: {objects:?}");
        let has_snapshot =
            objects.iter().any(|o| o.get("stream_type").or(o.get("st")).is_some_and(|st| st == "SNAPSHOT"));
        let no_data = silent || expect.contains("no SNAPSHOT") || send.contains("LIST_SUBSCRIPTIONS") || send == "PING";
        assert_eq!(has_snapshot, !no_data, "{send}");
    }
}
