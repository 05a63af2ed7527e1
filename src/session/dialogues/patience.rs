//! Dialogues about networks that become slow, and fast again.

use std::time::Duration;

use super::super::testing::{Harness, Sent, config, frame, ms, secs};
use super::super::{Disconnect, Stage};
use crate::config::Timeouts;

/// Answers everything after a round trip, for this time. Returns the reasons why sockets or attempts ended.
fn live(harness: &mut Harness, round_trip: Duration, time: Duration) -> Vec<Disconnect> {
    let end = harness.now + time;
    let (mut connected_at, mut answers) = (None, Vec::new());
    let mut reasons = Vec::new();
    while harness.now < end {
        harness.advance(ms(50));
        if !harness.dials().is_empty() {
            connected_at = Some((harness.socket, harness.now + round_trip));
        }
        if let Some((socket, at)) = connected_at
            && harness.now >= at
        {
            connected_at = None;
            if socket == harness.socket {
                harness.connected();
            }
        }
        if harness.opening_request().starts_with("GET") {
            answers.push((harness.now + round_trip, harness.socket, harness.switching_protocols()));
        } else {
            for sent in harness.sent() {
                if let Sent::Ping(payload) = sent {
                    answers.push((harness.now + round_trip, harness.socket, frame(10, &payload)));
                }
            }
        }
        let (due, later): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(at, ..)| *at <= harness.now);
        answers = later;
        for (_, socket, bytes) in due {
            if socket == harness.socket {
                harness.receive(&bytes);
            }
        }
        reasons.extend(harness.disconnects());
    }
    reasons
}

/// Twenty times the usual round trip, for five minutes.
#[test]
fn a_slow_network_ends_no_socket_and_the_usual_deadline_returns_with_the_network() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    assert_eq!(live(&mut harness, ms(100), secs(5)), []);
    harness.data("KRW-BTC", 1);
    let mut reasons = Vec::new();
    for id in 2..62 {
        reasons.extend(live(&mut harness, secs(2), secs(5)));
        harness.data("KRW-BTC", id);
    }
    assert_eq!(reasons, []);
    assert_eq!(live(&mut harness, ms(100), secs(5)), []);
    // The exchange is gone: it is missed as soon as ever.
    harness.advance(Timeouts::default().silent_after);
    assert!(matches!(harness.disconnects()[..], [Disconnect::Silent(_)]));
}

/// Every attempt was once given up after the same 3 s.
#[test]
fn attempts_get_more_time_while_they_take_too_long() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    let reasons = live(&mut harness, secs(4), secs(60));
    assert!(!reasons.is_empty() && reasons.len() <= 2, "{reasons:?}");
    assert!(reasons.iter().all(|reason| *reason == Disconnect::Timeout(Stage::Connect)), "{reasons:?}");
    assert!(harness.session.state().is_open());
    // A fast connect ends the extension, so a dead address is given up after 3 s again.
    harness.closed(super::super::Closed::Eof);
    harness.events.clear();
    live(&mut harness, ms(10), secs(5));
    assert!(harness.session.state().is_open());
    harness.closed(super::super::Closed::Eof);
    harness.events.clear();
    while harness.dials().is_empty() {
        harness.advance(ms(10));
    }
    harness.advance(ms(2990));
    assert_eq!(harness.disconnects(), []);
    harness.advance(ms(10));
    assert_eq!(harness.disconnects(), [Disconnect::Timeout(Stage::Connect)]);
}
