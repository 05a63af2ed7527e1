//! Changes of what is wanted.

use super::super::testing::{Life, Sent, config, frame, ms, secs, trades};
use super::super::{Closed, Disconnect, State};
use super::named;
use crate::config::{Config, Pacing, Timeouts};
use crate::model::{Format, Nanos};
use crate::plan::DesiredSet;
use std::time::Duration;

/// What a change each millisecond for `length` costs: requests in all, and the time from the last change to the request
/// that carries it. Whoever owns the demand gathers changes for the window of the pacing, from the first one on.
fn storm(pacing: Pacing, length: Duration) -> (u64, Duration) {
    let mut life = Life::active(Config { pacing, ..config() });
    life.answer_pings(secs(2));
    let before = life.session.counters().requests;
    let last_change = life.now + length;
    let mut window_ends = life.now + pacing.window();
    while life.session.counters().requests == before || !life.requests().iter().any(|r| r.contains("KRW-LAST")) {
        life.advance(ms(1));
        let n = life.now.as_millis();
        if life.now == window_ends {
            let newest = if life.now < last_change { format!("KRW-C{n}") } else { "KRW-LAST".to_owned() };
            life.want(&["KRW-BTC", &newest]);
            window_ends = if life.now < last_change { life.now + ms(1) + pacing.window() } else { Nanos::NEVER };
        }
        life.data("KRW-BTC", n);
    }
    (life.session.counters().requests - before, life.now.since(last_change))
}

#[test]
fn a_slower_pacing_spends_fewer_requests_and_a_faster_one_is_sooner_with_the_last_change() {
    let pacings = [Pacing::Conservative, Pacing::Balanced, Pacing::Aggressive];
    let [slow, balanced, fast] = pacings.map(|pacing| storm(pacing, secs(15)));
    assert!((30..=33).contains(&slow.0), "three in each 1.5 s: {slow:?}");
    assert!((60..=65).contains(&balanced.0), "five in each 1.25 s: {balanced:?}");
    assert!((71..=76).contains(&fast.0), "five in each 1.05 s: {fast:?}");
    for (pacing, (_, delay)) in pacings.iter().zip([slow, balanced, fast]) {
        assert!(delay <= pacing.window() + secs(1) + pacing.margin(), "{pacing:?}: {delay:?}");
    }
    let gusts = pacings.map(|pacing| storm(pacing, ms(35)));
    assert_eq!(gusts, [(1, ms(165)), (1, ms(15)), (4, ms(8))]);
}

#[test]
fn changes_in_a_rush_become_few_requests_and_the_last_one_is_the_newest() {
    let mut life = Life::active(config());
    life.requests();
    let mut requests = vec![];
    for n in 0..100 {
        life.want(&["KRW-BTC", &format!("KRW-C{n}")]);
        life.advance(ms(10));
        requests.extend(life.requests());
        life.data("KRW-BTC", n + 10);
    }
    life.advance(secs(1));
    requests.extend(life.requests());
    assert!(requests.len() <= 8, "{} requests for 100 changes in a second", requests.len());
    assert!(requests.last().unwrap().contains("KRW-C99"));
    assert_eq!(life.disconnects(), []);
}

#[test]
fn the_same_desired_set_twice_is_one_request() {
    let mut life = Life::active(config());
    life.requests();
    let desired = DesiredSet { revision: 99, streams: trades(&["KRW-ETH"]), ..DesiredSet::default() };
    life.session.set_desired(life.now, desired.clone());
    life.session.set_desired(life.now, desired);
    life.settle();
    assert_eq!(life.requests().len(), 1);
}

/// The question names a format as every request does, and must not change the one that the socket has.
#[test]
fn what_is_subscribed_is_asked_for_in_the_format_of_the_desired_set() {
    let mut life = Life::active(config());
    life.requests();
    let (streams, format) = (trades(&["KRW-BTC"]), Format::JsonList);
    life.session.set_desired(life.now, DesiredSet { revision: 99, streams, format, ..DesiredSet::default() });
    life.session.list(life.now);
    life.settle();
    life.advance(secs(1));
    let formats: Vec<_> = life.requests().iter().map(|text| text.ends_with(r#"{"format":"JSON_LIST"}]"#)).collect();
    assert_eq!(formats, [true, true], "the request and the question");
}

#[test]
fn when_nothing_is_wanted_any_more_it_says_goodbye_and_comes_back_on_demand() {
    let mut life = Life::active(config());
    life.sent();
    life.want(&[]);
    assert_eq!(life.session.state(), State::Closing);
    assert_eq!(life.sent(), [Sent::Close(1000)]);
    life.data("KRW-BTC", 5);
    assert_eq!(life.delivered.0.len(), 1, "nobody wants what was under way");
    assert_eq!(life.session.counters().after_goodbye, 1, "so it is counted");
    life.want(&["KRW-ETH"]);
    life.receive(&frame(8, &1000u16.to_be_bytes()));
    assert_eq!(life.disconnects(), [Disconnect::Unwanted]);
    life.open();
    assert!(life.requests()[0].contains("KRW-ETH"));
}

#[test]
fn stopping_waits_for_the_peers_goodbye_but_not_for_ever() {
    let mut life = Life::active(config());
    life.session.stop(life.now);
    life.settle();
    assert!(!life.session.is_stopped());
    life.advance(Timeouts::default().close);
    assert!(life.session.is_stopped());
    life.want(&["KRW-ETH"]);
    life.advance(secs(100));
    assert!(life.session.is_stopped(), "stopped is for good");
}

#[test]
fn stopping_ends_every_state() {
    let mut opening = Life::new(named("wss://example.test/"));
    opening.want(&["KRW-BTC"]);
    let mut connecting = Life::new(config());
    connecting.want(&["KRW-BTC"]);
    let mut upgrading = Life::new(config());
    upgrading.want(&["KRW-BTC"]);
    upgrading.connect();
    let mut reconnecting = Life::active(config());
    reconnecting.closed(Closed::Eof);
    for mut life in [Life::new(config()), opening, connecting, upgrading, reconnecting] {
        life.session.stop(life.now);
        life.settle();
        assert!(life.session.is_stopped());
        assert_eq!(life.session.poll_timeout(), Nanos::NEVER);
    }
}
