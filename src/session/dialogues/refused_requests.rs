//! Dialogues about requests that the exchange refuses in band.

use super::super::testing::{Harness, config, frame, ms, secs};
use super::super::{Event, State};
use crate::config::Pacing;
use std::time::Duration;

const TOO_MANY: &str = r#"{"error":{"name":"TOO_MANY_REQUEST","message":"slow down"}}"#;

/// Refuses a request and closes, as the exchange does after every error.
fn refuse_request(harness: &mut Harness) {
    harness.message(TOO_MANY);
    harness.advance(ms(150));
    harness.receive(&frame(8, &1000u16.to_be_bytes()));
}

#[test]
fn a_refused_request_is_not_sent_again_on_a_new_socket_during_the_block() {
    let mut harness = Harness::active(config());
    harness.advance(ms(250));
    harness.subscribe(&["KRW-ETH"]);
    let refused = harness.now;
    refuse_request(&mut harness);
    assert_eq!(harness.session.counters().requests_refused, 1);
    assert!(harness.events.iter().any(|e| matches!(e, Event::ServerError { .. })));
    let blocked_until = harness.session.blocked_until(harness.now).unwrap();
    assert_eq!(blocked_until, refused + secs(1) + Pacing::default().margin());

    harness.advance(Duration::ZERO);
    harness.open();
    harness.requests();
    for n in 0..10 {
        harness.subscribe(&["KRW-ETH", &format!("KRW-C{n}")]);
        harness.advance(ms(50));
        assert_eq!(harness.requests(), [] as [String; 0], "the block outlives the socket");
    }
    harness.advance(blocked_until.since(harness.now));
    let requests = harness.requests();
    assert!(matches!(&requests[..], [one] if one.contains("KRW-C9")), "one request for the newest set: {requests:?}");
    harness.answer_pings(secs(5));
    assert_eq!(harness.requests(), [] as [String; 0]);
}

#[test]
fn blocks_grow_with_each_refusal_in_a_row_and_an_answer_resets_them() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    let mut blocks = vec![];
    for _ in 0..8 {
        while harness.dials().is_empty() {
            harness.advance(ms(10));
        }
        harness.connected();
        let answer = harness.switching_protocols();
        harness.receive(&answer);
        harness.answer_pings(
            harness.session.blocked_until(harness.now).map_or(Duration::ZERO, |at| at.since(harness.now)),
        );
        assert_eq!(harness.session.state(), State::Subscribing, "the request is sent as soon as the block is over");
        let refused = harness.now;
        refuse_request(&mut harness);
        blocks.push(harness.session.blocked_until(harness.now).unwrap().since(refused) - Pacing::default().margin());
    }
    assert_eq!(blocks, [1, 2, 4, 8, 16, 32, 60, 60].map(secs));

    while harness.dials().is_empty() {
        harness.advance(ms(10));
    }
    harness.connected();
    let answer = harness.switching_protocols();
    harness.receive(&answer);
    harness.answer_pings(secs(62));
    harness.data("KRW-BTC", 1);
    harness.message(TOO_MANY);
    let block = harness.session.blocked_until(harness.now).unwrap().since(harness.now);
    assert_eq!(block, secs(1) + Pacing::default().margin());
}

#[test]
fn a_refused_request_is_repeated_on_the_same_socket_if_the_exchange_does_not_close_it() {
    let mut harness = Harness::active(config());
    harness.subscribe(&["KRW-ETH"]);
    harness.requests();
    harness.message(TOO_MANY);
    harness.advance(ms(1249));
    assert_eq!(harness.requests(), [] as [String; 0]);
    harness.advance(ms(1));
    assert!(matches!(&harness.requests()[..], [one] if one.contains("KRW-ETH")));
    assert_eq!(harness.disconnects(), []);
}

/// Only a socket's first data once counted as an answer, so blocks grew to a minute although requests were answered.
#[test]
fn a_refusal_is_forgotten_after_an_answer_on_the_same_socket() {
    let mut harness = Harness::active(config());
    for n in 0..7 {
        harness.subscribe_with_running(&["KRW-BTC", ["KRW-ETH", "KRW-XRP"][n % 2]], &["KRW-BTC"]);
        harness.message(TOO_MANY);
        let block = harness.session.blocked_until(harness.now).unwrap().since(harness.now);
        assert_eq!(block, secs(1) + Pacing::default().margin(), "refusal {n}");
        for id in 0..60 {
            harness.advance(secs(1));
            harness.data("KRW-BTC", 10 + id);
        }
    }
    assert_eq!(harness.disconnects(), []);
}

/// Running streams continue while each request for more is refused. Their data answers none of these requests.
#[test]
fn data_of_running_streams_does_not_reset_a_refusal() {
    let mut harness = Harness::active(config());
    harness.subscribe_with_running(&["KRW-BTC", "KRW-ETH"], &["KRW-BTC"]);
    let mut blocks = vec![];
    for n in 0..4 {
        harness.message(TOO_MANY);
        let blocked_until = harness.session.blocked_until(harness.now).unwrap();
        blocks.push(blocked_until.since(harness.now) - Pacing::default().margin());
        harness.requests();
        while harness.requests().is_empty() {
            harness.advance(ms(100));
            harness.data("KRW-BTC", 10 + n);
        }
    }
    assert_eq!(blocks, [1, 2, 4, 8].map(secs));
}
