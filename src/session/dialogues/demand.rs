//! Dialogues about changes of the desired set.

use super::super::testing::{Harness, Sent, config, frame, ms, secs, trades};
use super::super::{Closed, Disconnect, State};
use super::named;
use crate::config::{Config, Pacing, Timeouts};
use crate::model::{Format, Nanos};
use crate::plan::DesiredSet;
use std::time::Duration;

/// Changes the streams each millisecond for `length`. As the control thread does, collects changes for the pacing's
/// window and passes on only the newest set. Returns the number of requests, and the time from the last change to the
/// request that carries it.
fn storm(pacing: Pacing, length: Duration) -> (u64, Duration) {
    let mut harness = Harness::active(Config { pacing, ..config() });
    harness.answer_pings(secs(2));
    let before = harness.session.counters().requests;
    let last_change = harness.now + length;
    let mut window_ends = harness.now + pacing.window();
    while harness.session.counters().requests == before || !harness.requests().iter().any(|r| r.contains("KRW-LAST")) {
        harness.advance(ms(1));
        let n = harness.now.as_millis();
        if harness.now == window_ends {
            let newest = if harness.now < last_change { format!("KRW-C{n}") } else { "KRW-LAST".to_owned() };
            harness.subscribe(&["KRW-BTC", &newest]);
            window_ends = if harness.now < last_change { harness.now + ms(1) + pacing.window() } else { Nanos::NEVER };
        }
        harness.data("KRW-BTC", n);
    }
    (harness.session.counters().requests - before, harness.now.since(last_change))
}

#[test]
fn a_slower_pacing_spends_fewer_requests_and_a_faster_one_sends_the_last_change_sooner() {
    let pacings = [Pacing::Conservative, Pacing::Balanced, Pacing::Aggressive];
    let [slow, balanced, fast] = pacings.map(|pacing| storm(pacing, secs(15)));
    assert!((30..=33).contains(&slow.0), "three in each 1.5 s: {slow:?}");
    assert!((60..=65).contains(&balanced.0), "five in each 1.25 s: {balanced:?}");
    assert!((71..=76).contains(&fast.0), "five in each 1.05 s: {fast:?}");
    for (pacing, (_, delay)) in pacings.iter().zip([slow, balanced, fast]) {
        assert!(delay <= pacing.window() + secs(1) + pacing.margin(), "{pacing:?}: {delay:?}");
    }
    let short_storms = pacings.map(|pacing| storm(pacing, ms(35)));
    assert_eq!(short_storms, [(1, ms(165)), (1, ms(15)), (4, ms(8))]);
}

#[test]
fn many_quick_changes_become_few_requests_and_the_last_one_is_the_newest() {
    let mut harness = Harness::active(config());
    harness.requests();
    let mut requests = vec![];
    for n in 0..100 {
        harness.subscribe(&["KRW-BTC", &format!("KRW-C{n}")]);
        harness.advance(ms(10));
        requests.extend(harness.requests());
        harness.data("KRW-BTC", n + 10);
    }
    harness.advance(secs(1));
    requests.extend(harness.requests());
    assert!(requests.len() <= 8, "{} requests for 100 changes in a second", requests.len());
    assert!(requests.last().unwrap().contains("KRW-C99"));
    assert_eq!(harness.disconnects(), []);
}

#[test]
fn the_same_desired_set_twice_is_one_request() {
    let mut harness = Harness::active(config());
    harness.requests();
    let desired = DesiredSet { revision: 99, streams: trades(&["KRW-ETH"]), ..DesiredSet::default() };
    harness.session.set_desired(harness.now, desired.clone());
    harness.session.set_desired(harness.now, desired);
    harness.settle();
    assert_eq!(harness.requests().len(), 1);
}

/// The list request names a format, as every request does, and must not change the socket's format.
#[test]
fn a_list_request_names_the_format_of_the_desired_set() {
    let mut harness = Harness::active(config());
    harness.requests();
    let (streams, format) = (trades(&["KRW-BTC"]), Format::JsonList);
    harness.session.set_desired(harness.now, DesiredSet { revision: 99, streams, format, ..DesiredSet::default() });
    harness.session.list(harness.now);
    harness.settle();
    harness.advance(secs(1));
    let formats: Vec<_> = harness.requests().iter().map(|text| text.ends_with(r#"{"format":"JSON_LIST"}]"#)).collect();
    assert_eq!(formats, [true, true], "the subscription and the list request");
}

fn list_requests(harness: &mut Harness) -> usize {
    harness.requests().iter().filter(|text| text.contains("LIST_SUBSCRIPTIONS")).count()
}

/// Each question would cost a socket.
#[test]
fn an_exchange_that_refuses_to_list_subscriptions_is_not_asked_again() {
    let refusals: [fn(&mut Harness); 2] = [
        |harness| harness.message(r#"{"error":{"name":"WRONG_FORMAT","message":"unknown method"}}"#),
        |harness| harness.receive(&frame(8, &1000u16.to_be_bytes())),
    ];
    for refuse in refusals {
        let mut harness = Harness::active(config());
        harness.requests();
        harness.session.list(harness.now);
        harness.settle();
        assert_eq!(list_requests(&mut harness), 1);
        refuse(&mut harness);
        harness.closed(Closed::Eof);
        harness.advance(secs(1));
        harness.open();
        harness.session.list(harness.now);
        harness.advance(secs(5));
        assert_eq!(list_requests(&mut harness), 0);
    }
}

#[test]
fn an_error_long_after_the_question_or_after_an_answer_is_not_a_refusal_to_list() {
    for is_answered in [false, true] {
        let mut harness = Harness::active(config());
        harness.session.list(harness.now);
        harness.advance(secs(1));
        if is_answered {
            harness.message(r#"{"method":"LIST_SUBSCRIPTIONS","result":[],"ticket":"t"}"#);
        } else {
            harness.answer_pings(secs(5));
        }
        harness.closed(Closed::Eof);
        harness.advance(secs(1));
        harness.open();
        harness.requests();
        harness.session.list(harness.now);
        harness.advance(secs(5));
        assert_eq!(list_requests(&mut harness), 1, "answered: {is_answered}");
    }
}

/// The exchange counts every request.
#[test]
fn requests_for_the_list_are_charged_to_the_budget() {
    let mut harness = Harness::active(config());
    let before = harness.session.counters().requests;
    for _ in 0..1_000 {
        harness.session.list(harness.now);
        harness.settle();
        harness.advance(ms(1));
    }
    // Five are allowed in this second, and the subscription was the first.
    assert_eq!(harness.session.counters().requests - before, 4);
}

#[test]
fn a_connection_closes_when_no_stream_is_wanted_and_reopens_on_demand() {
    let mut harness = Harness::active(config());
    harness.sent();
    harness.subscribe(&[]);
    assert_eq!(harness.session.state(), State::Closing);
    assert_eq!(harness.sent(), [Sent::Close(1000)]);
    harness.data("KRW-BTC", 5);
    assert_eq!(harness.delivered.0.len(), 1, "messages under way are not delivered");
    assert_eq!(harness.session.counters().after_close, 1, "the dropped message is counted");
    harness.subscribe(&["KRW-ETH"]);
    harness.receive(&frame(8, &1000u16.to_be_bytes()));
    assert_eq!(harness.disconnects(), [Disconnect::Unwanted]);
    harness.open();
    assert!(harness.requests()[0].contains("KRW-ETH"));
}

#[test]
fn stopping_waits_for_the_peers_close_but_not_forever() {
    let mut harness = Harness::active(config());
    harness.session.stop(harness.now);
    harness.settle();
    assert!(!harness.session.is_stopped());
    harness.advance(Timeouts::default().close);
    assert!(harness.session.is_stopped());
    harness.subscribe(&["KRW-ETH"]);
    harness.advance(secs(100));
    assert!(harness.session.is_stopped(), "a stopped session never dials again");
}

#[test]
fn stopping_ends_every_state() {
    let mut opening = Harness::new(named("wss://example.test/"));
    opening.subscribe(&["KRW-BTC"]);
    let mut connecting = Harness::new(config());
    connecting.subscribe(&["KRW-BTC"]);
    let mut upgrading = Harness::new(config());
    upgrading.subscribe(&["KRW-BTC"]);
    upgrading.connect();
    let mut reconnecting = Harness::active(config());
    reconnecting.closed(Closed::Eof);
    for mut harness in [Harness::new(config()), opening, connecting, upgrading, reconnecting] {
        harness.session.stop(harness.now);
        harness.settle();
        assert!(harness.session.is_stopped());
        assert_eq!(harness.session.poll_timeout(), Nanos::NEVER);
    }
}
