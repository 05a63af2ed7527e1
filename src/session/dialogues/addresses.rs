//! Dialogues about the addresses of the exchange: which is tried, when, and which one is used.

use super::super::testing::{Harness, START, config, ms, secs};
use super::super::{Action, Budget, Closed, DialBudget, Disconnect, Rate, SocketId, Stage, State};
use super::named;
use crate::config::{Backoff, Config, Timeouts};
use crate::model::Nanos;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const REFUSED: Closed = Closed::Io(ErrorKind::ConnectionRefused);

fn addresses<const N: usize>(texts: [&str; N]) -> [SocketAddr; N] {
    texts.map(|text| format!("{text}:443").parse().unwrap())
}

/// Returns a session that wants a stream of an exchange with these addresses.
fn resolved(config: Config, addresses: &[SocketAddr]) -> Harness {
    let mut harness = Harness::new(config);
    harness.subscribe(&["KRW-BTC"]);
    resolve(&mut harness, addresses);
    harness
}

fn resolve(harness: &mut Harness, addresses: &[SocketAddr]) {
    harness.session.handle_resolved(harness.now, Ok(addresses.to_vec()));
    harness.settle();
}

fn named_exchange() -> Config {
    named("wss://example.test/")
}

/// Advances the clock, and returns the dials with their times after the start, in milliseconds.
fn dials_for(harness: &mut Harness, time: Duration) -> Vec<(u64, SocketAddr)> {
    let (start, end, mut dials) = (harness.now, harness.now + time, Vec::new());
    loop {
        dials.extend(harness.dials().into_iter().map(|to| (harness.now.since(start).as_millis() as u64, to)));
        let next = harness.session.poll_timeout();
        if next > end {
            harness.advance(end.since(harness.now));
            return dials;
        }
        harness.advance(next.since(harness.now));
    }
}

/// Returns the sockets that were dropped since the actions were last taken.
fn dropped(harness: &Harness) -> Vec<u32> {
    let dropped = |action: &Action| if let Action::Disconnect(socket, _) = action { Some(socket.0) } else { None };
    harness.actions.iter().filter_map(dropped).collect()
}

fn connected(harness: &mut Harness, socket: u32) {
    harness.session.handle_connected(harness.now, SocketId(socket));
    harness.settle();
}

/// Sends data on an open socket for as long as it takes to count as working, and then ends it.
fn work_and_end(harness: &mut Harness) {
    harness.session.handle_secured(harness.now, harness.socket);
    harness.settle();
    let answer = harness.switching_protocols();
    harness.receive(&answer);
    harness.data("KRW-BTC", 1);
    harness.advance(secs(3));
    harness.closed(Closed::Eof);
    harness.advance(Duration::ZERO);
    harness.actions.clear();
}

#[test]
fn the_next_address_is_tried_after_a_quarter_of_a_second_and_the_families_alternate() {
    let all = addresses(["[2001:db8::1]", "[2001:db8::2]", "192.0.2.1", "192.0.2.2"]);
    let [six, other_six, four, other_four] = all;
    let mut harness = resolved(named_exchange(), &all);
    let expected = [(0, six), (250, four), (500, other_six), (750, other_four)];
    assert_eq!(dials_for(&mut harness, secs(2)), expected);
    assert_eq!(harness.session.state(), State::Connecting);
    assert_eq!(harness.session.counters().dials, 4);
}

#[test]
fn the_first_that_is_open_wins_and_the_others_are_closed_before_anything_is_sent() {
    let all = addresses(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    for winner in 1..=3 {
        let mut harness = resolved(named_exchange(), &all);
        harness.advance(ms(600));
        harness.actions.clear();
        connected(&mut harness, winner);
        let others: Vec<_> = (1..=3).filter(|socket| *socket != winner).collect();
        assert_eq!(dropped(&harness), others);
        assert_eq!(harness.actions.last(), Some(&Action::StartTls(SocketId(winner), vec![])));
        // They may have been opened as well, or have failed, before the caller dropped them.
        harness.actions.clear();
        connected(&mut harness, others[0]);
        harness.session.handle_closed(harness.now, SocketId(others[1]), REFUSED);
        harness.settle();
        assert_eq!((harness.session.state(), harness.session.epoch().0), (State::TlsHandshake, 1));
        assert_eq!(harness.actions, []);
    }
}

#[test]
fn a_failed_attempt_does_not_delay_the_next_address() {
    let all = addresses(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    let mut harness = resolved(named_exchange(), &all);
    harness.advance(ms(100));
    harness.session.handle_closed(harness.now, SocketId(1), REFUSED);
    harness.settle();
    assert_eq!(harness.dials(), all[..2]);
    assert_eq!(dials_for(&mut harness, ms(300)), [(250, all[2])]);
}

#[test]
fn each_attempt_has_its_own_deadline_and_the_race_fails_with_the_last() {
    let all = addresses(["192.0.2.1", "192.0.2.2"]);
    let connect = Timeouts::default().connect;
    let mut harness = resolved(named_exchange(), &all);
    harness.advance(connect - ms(1));
    harness.actions.clear();
    harness.advance(ms(1));
    assert_eq!(dropped(&harness), [1]);
    assert_eq!(harness.disconnects(), []);
    harness.advance(ms(250));
    assert_eq!(dropped(&harness), [1, 2]);
    assert_eq!(harness.disconnects(), [Disconnect::Timeout(Stage::Connect)]);
}

/// The machine has no IPv6, and the exchange is down.
#[test]
fn an_unreachable_family_does_not_hide_why_the_others_failed() {
    let unreachable = Closed::Io(ErrorKind::NetworkUnreachable);
    for (first, second) in [(unreachable.clone(), REFUSED), (REFUSED, unreachable)] {
        let mut harness = resolved(named_exchange(), &addresses(["192.0.2.1", "[2001:db8::1]"]));
        harness.closed(first);
        harness.closed(second);
        assert_eq!(harness.disconnects(), [Disconnect::Connect(ErrorKind::ConnectionRefused)]);
    }
}

#[test]
fn the_end_of_demand_drops_all_attempts() {
    let mut harness = resolved(named_exchange(), &addresses(["192.0.2.1", "192.0.2.2", "192.0.2.3"]));
    harness.advance(ms(250));
    harness.subscribe(&[]);
    assert_eq!(dropped(&harness), [1, 2]);
    assert_eq!(harness.session.state(), State::Disconnected);
    harness.advance(secs(60));
    assert_eq!(harness.session.counters().dials, 2);
}

/// The dead address once cost its whole deadline of 3 s at every reconnect.
#[test]
fn a_dead_first_address_costs_a_quarter_of_a_second_once() {
    let all = addresses(["[2001:db8::1]", "192.0.2.1"]);
    let [dead, good] = all;
    let mut harness = resolved(named_exchange(), &all);
    assert_eq!(dials_for(&mut harness, ms(250)), [(0, dead), (250, good)]);
    for _ in 0..5 {
        harness.connected();
        work_and_end(&mut harness);
        resolve(&mut harness, &all);
        assert_eq!(harness.dials(), [good]);
    }
    // The good one dies, and the other one works again.
    assert_eq!(dials_for(&mut harness, ms(250)), [(250, dead)]);
    harness.connected();
    work_and_end(&mut harness);
    resolve(&mut harness, &all);
    assert_eq!(harness.dials(), [dead]);
}

/// An address that accepts TCP and fails later must not hide the others, not even the last good one.
#[test]
fn addresses_that_fail_after_tcp_are_tried_last() {
    let all = addresses(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    let mut harness = resolved(named_exchange(), &all);
    let mut first = Vec::new();
    for _ in 0..6 {
        first.extend(harness.dials());
        harness.connected();
        harness.closed(Closed::Tls("bad certificate".to_owned()));
        while harness.session.state() != State::Connecting {
            harness.advance(ms(10));
        }
        harness.actions.clear();
        resolve(&mut harness, &all);
    }
    assert_eq!(first, [&all[..], &all[..]].concat());
}

/// Only the winner of a race sends a request to the exchange, so a race costs one connect, and a failed race does, too.
#[test]
fn a_race_is_charged_to_the_budget_once_even_if_it_fails() {
    let soon = Backoff::constant(ms(1));
    let mut harness = Harness::new(Config { backoff: soon, ..named_exchange() });
    harness.subscribe(&["KRW-BTC"]);
    let all: Vec<SocketAddr> = (1..=7).map(|n| format!("192.0.2.{n}:443").parse().unwrap()).collect();
    let mut races: Vec<Nanos> = Vec::new();
    while harness.now < START + secs(20) {
        if harness.actions.contains(&Action::Resolve) {
            harness.actions.clear();
            resolve(&mut harness, &all);
        }
        if !harness.dials().is_empty() {
            races.push(harness.now);
            for n in 1..all.len() {
                harness.closed(REFUSED);
                assert_eq!(harness.dials().len(), 1, "attempt {n} of a race needs no further connect");
            }
            harness.closed(REFUSED);
        }
        harness.advance(ms(1));
    }
    assert!(races.len() > 60, "{} races", races.len());
    for (i, first) in races.iter().enumerate() {
        assert!(races[i..].iter().take_while(|at| at.since(*first) < secs(1)).count() <= 5);
    }
}

#[test]
fn a_literal_address_has_no_race() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    assert_eq!(dials_for(&mut harness, secs(2)).len(), 1);
}

/// A connect budget that other connections share.
#[derive(Clone)]
struct Shared(Arc<Mutex<Budget>>);

impl DialBudget for Shared {
    fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos> {
        self.0.lock().unwrap().try_acquire(now)
    }

    fn hold(&mut self, _: Nanos, until: Nanos) {
        self.0.lock().unwrap().hold(until);
    }
}

/// The exchange has refused another connection, so this one waits.
#[test]
fn addresses_that_grew_old_in_a_long_wait_are_looked_up_again() {
    for (wait, is_old) in [(secs(50), false), (secs(600), true)] {
        let budget = Shared(Arc::new(Mutex::new(Budget::new([Rate { count: 5, window: secs(1) }]))));
        let mut harness = Harness::with_budget(named_exchange(), Box::new(budget.clone()));
        harness.subscribe(&["KRW-BTC"]);
        budget.0.lock().unwrap().hold(harness.now + wait);
        let all = addresses(["192.0.2.1"]);
        resolve(&mut harness, &all);
        harness.actions.clear();
        harness.advance(wait - ms(1));
        assert_eq!(harness.actions, []);
        harness.advance(ms(1));
        if is_old {
            assert_eq!(harness.actions, [Action::Resolve]);
            resolve(&mut harness, &all);
        }
        assert_eq!(harness.dials(), all);
    }
}
