//! How a socket comes to be.

use super::super::testing::{Life, START, Sent, config, frame, ms, secs, trade_message};
use super::super::{Action, Closed, Disconnect, Event, SocketId, Stage, State};
use super::{named, states};
use crate::config::Timeouts;
use crate::model::Epoch;
use std::io::ErrorKind;
use std::net::SocketAddr;

#[test]
fn nothing_is_dialed_before_anything_is_wanted() {
    let mut life = Life::new(config());
    life.advance(secs(3600));
    assert_eq!((life.session.state(), life.actions.len()), (State::Disconnected, 0));
}

#[test]
fn a_connection_is_active_only_after_the_first_data() {
    let mut life = Life::new(named("wss://example.test/websocket/v1"));
    life.want(&["KRW-BTC"]);
    assert_eq!(life.actions, [Action::Resolve]);
    life.session.handle_resolved(life.now, Ok(vec!["192.0.2.1:443".parse().unwrap()]));
    life.settle();
    assert_eq!(life.dials(), ["192.0.2.1:443".parse().unwrap()]);
    life.session.handle_connected(life.now, life.socket);
    life.settle();
    assert_eq!(life.actions, [Action::StartTls(life.socket)]);
    assert_eq!(life.opening_request(), "", "nothing is sent before TLS is agreed");
    life.session.handle_secured(life.now, life.socket);
    life.settle();
    assert!(life.opening_request().contains("\r\nHost: example.test\r\n"));
    assert!(!life.opening_request().to_lowercase().contains("origin"));
    let answer = life.switching_protocols();
    life.receive(&answer);
    life.message(r#"{"status":"UP"}"#);
    assert_eq!(life.session.state(), State::Subscribing);
    life.data("KRW-BTC", 1);
    use State::*;
    assert_eq!(states(&life), [Connecting, TlsHandshake, Upgrading, Connected, Subscribing, Active]);
    assert_eq!(life.delivered.0.len(), 1);
    assert_eq!(life.session.epoch(), Epoch(1));
}

#[test]
fn what_the_exchanges_clock_showed_is_told_with_the_times_it_was_between() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    let asked = life.now;
    life.advance(ms(30));
    let answer = String::from_utf8(life.switching_protocols()).unwrap();
    let (status, rest) = answer.split_once("\r\n").unwrap();
    life.receive(format!("{status}\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n{rest}").as_bytes());
    let dated = Event::Dated { asked, answered: asked + ms(30), date: START };
    assert!(life.events.contains(&dated), "{:?}", life.events);
    let is_dated = |event: &Event| matches!(event, Event::Dated { .. });
    assert!(!Life::active(config()).events.iter().any(is_dated), "an exchange need not say so");
}

#[test]
fn one_request_carries_the_whole_set_in_the_wanted_format() {
    let mut life = Life::new(config());
    life.want(&["KRW-ETH", "KRW-BTC"]);
    life.open();
    let requests = life.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].contains(r#"{"type":"trade","codes":["KRW-BTC","KRW-ETH"]},{"format":"SIMPLE"}]"#));
}

#[test]
fn bytes_that_come_with_the_101_are_read() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    let mut bytes = life.switching_protocols();
    bytes.extend(frame(2, br#"{"status":"UP"}"#));
    bytes.extend(frame(9, b"early"));
    life.receive(&bytes);
    assert_eq!(life.session.counters().status_messages, 1);
    assert!(life.sent().contains(&Sent::Pong(b"early".to_vec())));
}

#[test]
fn every_split_of_the_stream_delivers_the_same() {
    let mut tail: Vec<u8> = [1, 2].iter().flat_map(|&id| frame(2, trade_message("KRW-BTC", id).as_bytes())).collect();
    tail.extend(frame(9, b"?"));
    for cut in 0..=tail.len() {
        let mut life = Life::new(config());
        life.want(&["KRW-BTC"]);
        life.open();
        life.sent();
        life.receive(&tail[..cut]);
        life.receive(&tail[cut..]);
        assert_eq!(life.delivered.0.len(), 2, "cut after byte {cut}");
        assert_eq!(life.sent(), [Sent::Pong(b"?".to_vec())], "cut after byte {cut}");
    }
}

#[test]
fn each_step_has_its_own_deadline() {
    let t = Timeouts::default();
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    life.advance(t.resolve);
    assert_eq!(life.disconnects(), [Disconnect::Timeout(Stage::Resolve)]);

    let mut life = Life::new(named("wss://127.0.0.1/"));
    life.want(&["KRW-BTC"]);
    life.advance(t.connect);
    assert_eq!(life.disconnects(), [Disconnect::Timeout(Stage::Connect)]);

    let mut life = Life::new(named("wss://127.0.0.1/"));
    life.want(&["KRW-BTC"]);
    life.connect();
    life.advance(t.tls - ms(1));
    assert_eq!(life.disconnects(), []);
    life.advance(ms(1));
    assert_eq!(life.disconnects(), [Disconnect::Timeout(Stage::Tls)]);

    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    life.receive(b"HTTP/1.1 101 Switching Proto");
    life.advance(t.upgrade);
    assert_eq!(life.disconnects(), [Disconnect::Timeout(Stage::Upgrade)]);
}

#[test]
fn an_answer_that_comes_after_its_deadline_changes_nothing() {
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    life.advance(Timeouts::default().resolve);
    let state = life.session.state();
    life.session.handle_resolved(life.now, Ok(vec!["192.0.2.1:443".parse().unwrap()]));
    life.session.handle_secured(life.now, life.socket);
    life.settle();
    assert_eq!(life.session.state(), state);
    assert_eq!(life.dials(), []);
}

/// Where the first name server is down, every answer came just after its deadline and was thrown away: nothing was ever
/// dialed.
#[test]
fn an_answer_that_comes_late_is_used_by_the_next_dial() {
    let asks = |life: &Life| life.actions.contains(&Action::Resolve);
    let late: SocketAddr = "192.0.2.1:443".parse().unwrap();
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    life.advance(Timeouts::default().resolve);
    assert_eq!(life.disconnects(), [Disconnect::Timeout(Stage::Resolve)]);
    life.actions.clear();
    life.session.handle_resolved(life.now, Ok(vec![late]));
    life.advance(secs(1));
    assert!(!asks(&life));
    assert_eq!(life.dials(), [late]);

    // It serves one dial, and none when it is old.
    life.closed(Closed::Io(ErrorKind::ConnectionRefused));
    life.advance(secs(1));
    assert!(asks(&life));
    life.want(&[]);
    life.session.handle_resolved(life.now, Ok(vec![late]));
    life.advance(secs(61));
    life.actions.clear();
    life.want(&["KRW-BTC"]);
    assert_eq!(life.actions, [Action::Resolve]);
}

#[test]
fn addresses_are_tried_in_turn_and_looked_up_again_each_time() {
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    let addresses: Vec<_> = (1..=3).map(|n| format!("192.0.2.{n}:443").parse().unwrap()).collect();
    life.session.handle_resolved(life.now, Ok(addresses.clone()));
    life.settle();
    life.closed(Closed::Io(ErrorKind::ConnectionRefused));
    life.advance(Timeouts::default().connect);
    assert_eq!(life.dials(), addresses);
    life.closed(Closed::Io(ErrorKind::ConnectionRefused));
    assert_eq!(life.disconnects(), [Disconnect::Connect(ErrorKind::ConnectionRefused)]);
    life.advance(secs(1));
    assert_eq!(life.actions.last(), Some(&Action::Resolve));
}

#[test]
fn a_dial_that_fails_is_charged_all_the_same() {
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    let addresses = (1..=7).map(|n| format!("192.0.2.{n}:443").parse().unwrap()).collect();
    life.session.handle_resolved(life.now, Ok(addresses));
    life.settle();
    for _ in 0..7 {
        life.closed(Closed::Io(ErrorKind::ConnectionRefused));
    }
    assert_eq!(life.dials().len(), 5, "the exchange may have seen them");
    life.advance(ms(1249));
    assert_eq!(life.dials(), []);
    life.advance(ms(1));
    assert_eq!(life.dials().len(), 1);
}

/// The first socket ended inside a frame. Neither that nor late news of it may reach the second.
#[test]
fn news_of_a_socket_that_was_dropped_changes_nothing() {
    let mut life = Life::active(config());
    let first = life.socket;
    life.receive(&[0x82, 100, b'x']);
    life.closed(Closed::Eof);
    life.advance(secs(1));
    life.connect();
    let (second, state) = (life.socket, life.session.state());
    assert!(second > first);
    for late in [first, SocketId(second.0 + 1)] {
        life.session.handle_connected(life.now, late);
        life.session.handle_secured(life.now, late);
        life.session.handle_received(life.now, late, 0, &mut life.delivered);
        life.session.handle_closed(life.now, late, Closed::Eof);
        assert!(life.session.spare(late).is_empty() && life.session.poll_transmit(late).is_empty());
    }
    assert_eq!(life.session.state(), state);
    let answer = life.switching_protocols();
    life.receive(&answer);
    life.data("KRW-BTC", 2);
    assert_eq!((life.session.state(), life.delivered.0.len()), (State::Active, 2), "nothing is left of the first one");
}
