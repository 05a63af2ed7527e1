//! Requests that the exchange refuses in band.

use super::super::testing::{Life, config, frame, ms, secs};
use super::super::{Event, State};
use crate::config::Pacing;
use std::time::Duration;

const TOO_MANY: &str = r#"{"error":{"name":"TOO_MANY_REQUEST","message":"slow down"}}"#;

/// The exchange refuses, then closes, as it does after every error.
fn refuse_request(life: &mut Life) {
    life.message(TOO_MANY);
    life.advance(ms(150));
    life.receive(&frame(8, &1000u16.to_be_bytes()));
}

#[test]
fn a_refused_request_is_not_sent_again_by_way_of_a_new_socket() {
    let mut life = Life::active(config());
    life.advance(ms(250));
    life.want(&["KRW-ETH"]);
    let refused = life.now;
    refuse_request(&mut life);
    assert_eq!(life.session.counters().requests_refused, 1);
    assert!(life.events.iter().any(|e| matches!(e, Event::ServerError(_))));
    let blocked_until = life.session.blocked_until(life.now).unwrap();
    assert_eq!(blocked_until, refused + secs(1) + Pacing::default().margin());

    life.advance(Duration::ZERO);
    life.open();
    life.requests();
    for n in 0..10 {
        life.want(&["KRW-ETH", &format!("KRW-C{n}")]);
        life.advance(ms(50));
        assert_eq!(life.requests(), [] as [String; 0], "the block outlives the socket");
    }
    life.advance(blocked_until.since(life.now));
    let requests = life.requests();
    assert!(matches!(&requests[..], [one] if one.contains("KRW-C9")), "the newest, once: {requests:?}");
    life.answer_pings(secs(5));
    assert_eq!(life.requests(), [] as [String; 0]);
}

#[test]
fn blocks_grow_with_each_refusal_in_a_row_and_are_forgotten_after_an_answer() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    let mut blocks = vec![];
    for _ in 0..8 {
        while life.dials().is_empty() {
            life.advance(ms(10));
        }
        life.connected();
        let answer = life.switching_protocols();
        life.receive(&answer);
        life.answer_pings(life.session.blocked_until(life.now).map_or(Duration::ZERO, |at| at.since(life.now)));
        assert_eq!(life.session.state(), State::Subscribing, "asked as soon as the block was over");
        let refused = life.now;
        refuse_request(&mut life);
        blocks.push(life.session.blocked_until(life.now).unwrap().since(refused) - Pacing::default().margin());
    }
    assert_eq!(blocks, [1, 2, 4, 8, 16, 32, 60, 60].map(secs));

    while life.dials().is_empty() {
        life.advance(ms(10));
    }
    life.connected();
    let answer = life.switching_protocols();
    life.receive(&answer);
    life.answer_pings(secs(62));
    life.data("KRW-BTC", 1);
    life.message(TOO_MANY);
    let block = life.session.blocked_until(life.now).unwrap().since(life.now);
    assert_eq!(block, secs(1) + Pacing::default().margin());
}

#[test]
fn should_the_exchange_not_close_what_it_refused_is_asked_for_again_on_the_same_socket() {
    let mut life = Life::active(config());
    life.want(&["KRW-ETH"]);
    life.requests();
    life.message(TOO_MANY);
    life.advance(ms(1249));
    assert_eq!(life.requests(), [] as [String; 0]);
    life.advance(ms(1));
    assert!(matches!(&life.requests()[..], [one] if one.contains("KRW-ETH")));
    assert_eq!(life.disconnects(), []);
}

/// Only the first data of a socket was taken for an answer, so blocks grew to a minute although requests were answered.
#[test]
fn a_refusal_is_forgotten_after_an_answer_on_the_same_socket() {
    let mut life = Life::active(config());
    for n in 0..7 {
        life.want_with_running(&["KRW-BTC", ["KRW-ETH", "KRW-XRP"][n % 2]], &["KRW-BTC"]);
        life.message(TOO_MANY);
        let block = life.session.blocked_until(life.now).unwrap().since(life.now);
        assert_eq!(block, secs(1) + Pacing::default().margin(), "refusal {n}");
        for id in 0..60 {
            life.advance(secs(1));
            life.data("KRW-BTC", 10 + id);
        }
    }
    assert_eq!(life.disconnects(), []);
}

/// What runs goes on while each request for more is refused: its data answers none of them.
#[test]
fn data_that_runs_anyway_does_not_make_a_refusal_forgotten() {
    let mut life = Life::active(config());
    life.want_with_running(&["KRW-BTC", "KRW-ETH"], &["KRW-BTC"]);
    let mut blocks = vec![];
    for n in 0..4 {
        life.message(TOO_MANY);
        let blocked_until = life.session.blocked_until(life.now).unwrap();
        blocks.push(blocked_until.since(life.now) - Pacing::default().margin());
        life.requests();
        while life.requests().is_empty() {
            life.advance(ms(100));
            life.data("KRW-BTC", 10 + n);
        }
    }
    assert_eq!(blocks, [1, 2, 4, 8].map(secs));
}
