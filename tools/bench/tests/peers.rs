//! The commands that compare with peers.

use serde_json::Value;

use super::{report, run};

/// Returns the values of one field of all lines, each once.
fn texts_of_lines<'a>(report: &'a Value, key: &str) -> Vec<&'a str> {
    let mut texts: Vec<_> = report["lines"].as_array().unwrap().iter().map(|l| l[key].as_str().unwrap()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn assert_contains(texts: &[&str], expected: &[&str]) {
    for text in expected {
        assert!(texts.contains(text), "{text} is missing in {texts:?}");
    }
}

#[test]
fn peers_reports_every_client_and_its_ratios() {
    let report = report(&["peers", "--time", "1ms"]);
    assert_eq!(report["rounds"], 1);
    let peers = ["tokio-tungstenite + serde_json", "fastwebsockets + sonic-rs", "mio + tungstenite + simd-json, park"];
    let names = texts_of_lines(&report, "name");
    assert_contains(&names, &peers);
    assert_contains(&names, &["hoga, park", "hoga, spin", "bare socket, spin"]);
    assert_contains(&names, &peers.map(|peer| format!("hoga, park / {peer}")).each_ref().map(String::as_str));
    let tables = texts_of_lines(&report, "table");
    assert_contains(&tables, &["saturated, ticker, plain", "saturated, ticker, TLS", "ticker, plain, 100 k/s"]);
    assert_contains(&tables, &["ticker, plain, bursts of 256", "ratios, ticker, TLS, bursts of 256"]);
    assert_contains(&tables, &["one by one, plain"]);
    assert_eq!(report["targets"].as_array().unwrap().len(), 15);
}

#[test]
fn stages_reports_every_stage_and_its_targets() {
    let report = report(&["stages", "--time", "1ms"]);
    let tables = texts_of_lines(&report, "table");
    assert_contains(&tables, &["decode, ticker, DEFAULT", "decode, book of 30, SIMPLE", "frames of 960 bytes, bulk"]);
    assert_contains(&tables, &["load, unchanged", "load, changed by another core", "publish"]);
    assert_contains(
        &texts_of_lines(&report, "name"),
        &["hoga", "simd-json", "sonic-rs", "serde_json", "fastwebsockets"],
    );
    assert_eq!(report["targets"].as_array().unwrap().len(), 13);
}

#[test]
fn the_help_is_printed_without_a_command() {
    let output = run(&[]);
    assert_eq!(output.code, Some(2));
    let text = output.stderr;
    assert!(text.contains("peers") && text.contains("stages") && !text.contains("publish"), "{text}");
    assert_eq!(run(&["peers", "--quick", "--time", "1s"]).code, Some(2));
}
