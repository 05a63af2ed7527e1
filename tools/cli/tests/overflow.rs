//! The overflow policies of `hoga watch`, for events that it does not print in time.

use super::common::{Exchange, Hoga, run};
use serde_json::Value;

const MARKETS: &str = "KRW-BTC,KRW-ETH,KRW-XRP";

/// The output of a run, by kind of line.
struct Run {
    data: Vec<Value>,
    /// The numbers of missing events that gaps reported.
    gaps: Vec<u64>,
    /// The number of gaps between two sockets.
    new_sockets: u64,
    summary: Value,
}

impl Run {
    /// Watches three busy markets and reads slowly.
    #[track_caller]
    fn of(exchange: &Exchange, policy: &str, slow: &str) -> Self {
        Self::lasting(exchange, policy, slow, "2s")
    }

    #[track_caller]
    fn lasting(exchange: &Exchange, policy: &str, slow: &str, duration: &str) -> Self {
        let watch = ["watch", MARKETS, "--types", "ticker,trade,orderbook", "--json", "--endpoint", &exchange.url];
        let output = run(&[&watch[..], &["--overflow", policy, "--slow", slow, "--duration", duration]].concat());
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{policy}");
        let mut lines = output.json_lines();
        let summary = lines.pop().expect("a summary");
        // On a busy machine, a fast exchange may close the engine's socket.
        let new_sockets = lines.iter().filter(|line| line["reason"] == "new_socket").count() as u64;
        let gaps = lines.iter().filter(|line| line["reason"] == "feed_full");
        let gaps = gaps.map(|gap| gap["missed"].as_u64().expect("a number")).collect();
        lines.retain(|line| line["_hoga"].is_object());
        Self { data: lines, gaps, new_sockets, summary }
    }

    #[track_caller]
    fn count(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.summary))
    }

    #[track_caller]
    fn check(&self, policy: &str) {
        let summary = &self.summary;
        assert_eq!(summary["overflow"], policy);
        let fates = ["delivered", "dropped", "conflated", "filtered", "queued"];
        assert_eq!(self.count("received"), fates.map(|fate| self.count(fate)).iter().sum::<u64>(), "{summary}");
        assert_eq!(self.count("delivered"), self.data.len() as u64, "{summary}");
        assert_eq!(self.count("gaps"), self.gaps.len() as u64 + self.new_sockets, "{summary}");
        assert_eq!(self.count("missed"), self.gaps.iter().sum::<u64>(), "{summary}");
        assert_eq!(self.count("missed"), self.count("dropped"), "gaps must report each drop: {summary}");
        assert!(self.count("received") > 0 && self.count("queue_max") > 0, "{summary}");
        assert!(self.count("feed_bytes") + self.count("shared_bytes") > 0, "{summary}");
    }
}

#[test]
fn every_event_is_accounted_for_under_every_policy() {
    let exchange = Exchange::start(&["--plain", "--speed", "50"]);
    for policy in ["drop-newest:8", "drop-newest:4096", "drop-oldest", "conflate", "throttle:300ms", "by-type"] {
        Run::of(&exchange, policy, "20ms").check(policy);
    }
}

#[test]
fn a_short_queue_drops_the_newest_and_reports_each_drop_in_a_gap() {
    let exchange = Exchange::start(&["--plain", "--speed", "50"]);
    let run = Run::of(&exchange, "drop-newest:8", "50ms");
    assert!(!run.gaps.is_empty(), "{}", run.summary);
    assert_eq!((run.count("queue_max"), run.count("conflated"), run.count("shared_bytes")), (8, 0, 0));
}

#[test]
fn a_shared_ring_drops_the_oldest_once_it_is_full() {
    let exchange = Exchange::start(&["--plain", "--speed", "1000"]);
    // The number of messages depends on the machine. Each of the three types has a ring of 4096.
    let runs = ["2s", "8s", "30s", "120s"].into_iter().map(|time| Run::lasting(&exchange, "drop-oldest", "1h", time));
    let run = runs.into_iter().find(|run| run.count("received") > 3 * 4096).expect("a ring is full after two minutes");
    assert!(!run.gaps.is_empty(), "{}", run.summary);
    run.check("drop-oldest");
    assert_eq!(run.count("conflated"), 0);
    assert!(run.count("feed_bytes") < 1_000, "the feed itself only keeps the state of nine streams: {}", run.summary);
}

#[test]
fn conflated_streams_have_no_gaps_and_wait_with_one_event_each() {
    let exchange = Exchange::start(&["--plain", "--speed", "50"]);
    let run = Run::of(&exchange, "conflate", "50ms");
    assert!(run.gaps.is_empty() && run.count("conflated") > 0, "{}", run.summary);
    // One event of each stream may be queued.
    assert!((1..=9).contains(&run.count("queue_max")), "{}", run.summary);
}

#[test]
fn a_slow_reader_ends_at_once_on_a_signal_or_a_limit() {
    let exchange = Exchange::start(&["--plain"]);
    let args = ["watch", "KRW-BTC", "--types", "orderbook", "--json", "--slow", "1h", "--endpoint", &exchange.url];
    let mut watch = Hoga::start(&args);
    // The line is printed before the pause, not after it.
    watch.until(|line| line["_hoga"].is_object());
    watch.signal("INT");
    assert_eq!(watch.finish().code, Some(130));

    let output = run(&[&args[..], &["--duration", "500ms"]].concat());
    assert_eq!(output.json_lines().pop().expect("a summary")["end"], "duration");
    assert_eq!(run(&[&args[..], &["--count", "1"]].concat()).code, Some(0));
}

#[test]
fn an_invalid_policy_is_refused_with_a_remedy() {
    for (policy, reason) in [
        ("newest", "by-type, drop-oldest, drop-newest[:CAPACITY], conflate, throttle:INTERVAL"),
        ("drop-newest:many", "drop-oldest"),
        ("drop-newest:0", "a feed holds from 1 to"),
        ("throttle:0ms", "more than zero"),
        ("block", "block would make the exchange wait"),
    ] {
        let output = run(&["watch", "KRW-BTC", "--endpoint", "ws://127.0.0.1:9/", "--overflow", policy]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{policy}: {}", output.stderr);
        assert!(output.stderr.contains(reason), "{policy}: {}", output.stderr);
    }
}
