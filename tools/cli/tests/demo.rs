//! `hoga demo` without a terminal.

use super::common::{json, run};

#[test]
fn it_prints_its_progress_and_then_a_summary() {
    let output = run(&["demo", "--duration", "2s", "--markets", "8"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    let progress = output.stdout.lines().filter(|line| line.contains("streams live")).count();
    assert!((1..=2).contains(&progress), "{}", output.stdout);
    let parts = ["exchange→receive", "above the fastest", "kernel→user", "receive→publish", "fan-out"];
    let words = ["Summary", "24 live", "sent by the exchange", "gaps 0", "publish→read", "p99.9", "± ", "CPU"];
    for word in parts.into_iter().chain(words) {
        assert!(output.stdout.contains(word), "{word} is missing in {}", output.stdout);
    }
    assert!(!output.stdout.contains('\u{1b}'), "escape codes without a terminal");
}

#[test]
fn with_json_stdout_has_only_the_summary() {
    // Without a command, `hoga` runs the demo, too.
    let output = run(&["--duration", "1s", "--markets", "5", "--json"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let summary = json(&output.stdout);
    assert_eq!(summary["streams"], 15);
    assert_eq!(summary["sent"], summary["data"], "the reader must get every message sent: {summary}");
    for loss in ["gaps", "malformed", "reconnects", "unrouted", "late", "duplicate"] {
        assert_eq!(summary[loss], 0, "{loss} in {summary}");
    }
    let way = &summary["latencies"]["connections"][0];
    for part in ["exchange_to_receive", "above_fastest", "receive_to_publish", "fan_out"] {
        assert!(way[part]["count"].as_u64().is_some_and(|count| count > 0), "{part} in {summary}");
    }
    assert!(way["exchange_to_receive"]["error_ns"].is_u64(), "{summary}");
    assert!(way["receive_to_publish"]["p999_ns"].as_u64().is_some_and(|ns| ns > 0), "{summary}");
    assert!(summary["latencies"]["publish_to_read"]["count"].is_u64(), "{summary}");
}
