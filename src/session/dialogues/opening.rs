//! Dialogues about opening a socket.

use super::super::testing::{Harness, START, Sent, config, frame, ms, secs, trade_message};
use super::super::{Action, Closed, Disconnect, Event, SocketId, Stage, State};
use super::{named, states};
use crate::config::{Config, Headers, Timeouts};
use crate::model::Epoch;
use std::io::ErrorKind;
use std::net::SocketAddr;

#[test]
fn nothing_is_dialed_before_a_stream_is_wanted() {
    let mut harness = Harness::new(config());
    harness.advance(secs(3600));
    assert_eq!((harness.session.state(), harness.actions.len()), (State::Disconnected, 0));
}

#[test]
fn a_connection_is_active_only_after_the_first_data() {
    let mut harness = Harness::new(named("wss://example.test/websocket/v1"));
    harness.subscribe(&["KRW-BTC"]);
    assert_eq!(harness.actions, [Action::Resolve]);
    harness.session.handle_resolved(harness.now, Ok(vec!["192.0.2.1:443".parse().unwrap()]));
    harness.settle();
    assert_eq!(harness.dials(), ["192.0.2.1:443".parse().unwrap()]);
    harness.session.handle_connected(harness.now, harness.socket);
    harness.settle();
    assert_eq!(harness.actions, [Action::StartTls(harness.socket, vec![])]);
    assert_eq!(harness.opening_request(), "", "nothing is sent before the TLS handshake is over");
    harness.session.handle_secured(harness.now, harness.socket);
    harness.settle();
    assert!(harness.opening_request().contains("\r\nHost: example.test\r\n"));
    assert!(!harness.opening_request().to_lowercase().contains("origin"));
    let answer = harness.switching_protocols();
    harness.receive(&answer);
    harness.message(r#"{"status":"UP"}"#);
    assert_eq!(harness.session.state(), State::Subscribing);
    harness.data("KRW-BTC", 1);
    use State::*;
    assert_eq!(states(&harness), [Connecting, TlsHandshake, Upgrading, Connected, Subscribing, Active]);
    assert_eq!(harness.delivered.0.len(), 1);
    assert_eq!(harness.session.epoch(), Epoch(1));
}

#[test]
fn each_header_is_in_the_opening_request_once() {
    let request = |config| {
        let mut harness = Harness::new(config);
        harness.subscribe(&["KRW-BTC"]);
        harness.connect();
        harness.opening_request()
    };
    let default = concat!("\r\nUser-Agent: hoga/", env!("CARGO_PKG_VERSION"), "\r\n");
    assert!(request(config()).contains(default));
    let mut headers = Headers::default();
    headers.set("user-agent", "mine/1");
    headers.set("X-Key", "first");
    headers.set("x-key", "second");
    let request = request(Config { headers, ..config() });
    assert!(request.ends_with("\r\nuser-agent: mine/1\r\nx-key: second\r\n\r\n"), "{request}");
    assert!(!request.contains("hoga/") && !request.contains("first"), "{request}");
}

#[test]
fn the_exchanges_date_is_reported_with_the_bounds_of_its_time() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.connect();
    let asked = harness.now;
    harness.advance(ms(30));
    let answer = String::from_utf8(harness.switching_protocols()).unwrap();
    let (status, rest) = answer.split_once("\r\n").unwrap();
    harness.receive(format!("{status}\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n{rest}").as_bytes());
    let dated = Event::Dated { asked, answered: asked + ms(30), date: START };
    assert!(harness.events.contains(&dated), "{:?}", harness.events);
    let is_dated = |event: &Event| matches!(event, Event::Dated { .. });
    assert!(!Harness::active(config()).events.iter().any(is_dated), "the `Date` header is optional");
}

#[test]
fn one_request_carries_the_whole_set_in_the_desired_format() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-ETH", "KRW-BTC"]);
    harness.open();
    let requests = harness.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].contains(r#"{"type":"trade","codes":["KRW-BTC","KRW-ETH"]},{"format":"SIMPLE"}]"#));
}

#[test]
fn bytes_that_arrive_with_the_101_are_read() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.connect();
    let mut bytes = harness.switching_protocols();
    bytes.extend(frame(2, br#"{"status":"UP"}"#));
    bytes.extend(frame(9, b"early"));
    harness.receive(&bytes);
    assert_eq!(harness.session.counters().status_messages, 1);
    assert!(harness.sent().contains(&Sent::Pong(b"early".to_vec())));
}

#[test]
fn every_split_of_the_stream_delivers_the_same() {
    let mut tail: Vec<u8> = [1, 2].iter().flat_map(|&id| frame(2, trade_message("KRW-BTC", id).as_bytes())).collect();
    tail.extend(frame(9, b"?"));
    for cut in 0..=tail.len() {
        let mut harness = Harness::new(config());
        harness.subscribe(&["KRW-BTC"]);
        harness.open();
        harness.sent();
        harness.receive(&tail[..cut]);
        harness.receive(&tail[cut..]);
        assert_eq!(harness.delivered.0.len(), 2, "cut after byte {cut}");
        assert_eq!(harness.sent(), [Sent::Pong(b"?".to_vec())], "cut after byte {cut}");
    }
}

#[test]
fn each_step_has_its_own_deadline() {
    let t = Timeouts::default();
    let mut harness = Harness::new(named("wss://example.test/"));
    harness.subscribe(&["KRW-BTC"]);
    harness.advance(t.resolve);
    assert_eq!(harness.disconnects(), [Disconnect::Timeout(Stage::Resolve)]);

    let mut harness = Harness::new(named("wss://127.0.0.1/"));
    harness.subscribe(&["KRW-BTC"]);
    harness.advance(t.connect);
    assert_eq!(harness.disconnects(), [Disconnect::Timeout(Stage::Connect)]);

    let mut harness = Harness::new(named("wss://127.0.0.1/"));
    harness.subscribe(&["KRW-BTC"]);
    harness.connect();
    harness.advance(t.tls - ms(1));
    assert_eq!(harness.disconnects(), []);
    harness.advance(ms(1));
    assert_eq!(harness.disconnects(), [Disconnect::Timeout(Stage::Tls)]);

    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.connect();
    harness.receive(b"HTTP/1.1 101 Switching Proto");
    harness.advance(t.upgrade);
    assert_eq!(harness.disconnects(), [Disconnect::Timeout(Stage::Upgrade)]);
}

#[test]
fn an_answer_after_its_deadline_changes_nothing() {
    let mut harness = Harness::new(named("wss://example.test/"));
    harness.subscribe(&["KRW-BTC"]);
    harness.advance(Timeouts::default().resolve);
    let state = harness.session.state();
    harness.session.handle_resolved(harness.now, Ok(vec!["192.0.2.1:443".parse().unwrap()]));
    harness.session.handle_secured(harness.now, harness.socket);
    harness.settle();
    assert_eq!(harness.session.state(), state);
    assert_eq!(harness.dials(), []);
}

/// If the first name server is down, every answer arrives just after its deadline. Such answers were once thrown away,
/// and nothing was ever dialed.
#[test]
fn a_late_answer_is_used_by_the_next_dial() {
    let asks = |harness: &Harness| harness.actions.contains(&Action::Resolve);
    let late: SocketAddr = "192.0.2.1:443".parse().unwrap();
    let mut harness = Harness::new(named("wss://example.test/"));
    harness.subscribe(&["KRW-BTC"]);
    harness.advance(Timeouts::default().resolve);
    assert_eq!(harness.disconnects(), [Disconnect::Timeout(Stage::Resolve)]);
    harness.actions.clear();
    harness.session.handle_resolved(harness.now, Ok(vec![late]));
    harness.advance(secs(1));
    assert!(!asks(&harness));
    assert_eq!(harness.dials(), [late]);

    // A late answer serves one dial, and none once it is too old.
    harness.closed(Closed::Io(ErrorKind::ConnectionRefused));
    harness.advance(secs(1));
    assert!(asks(&harness));
    harness.subscribe(&[]);
    harness.session.handle_resolved(harness.now, Ok(vec![late]));
    harness.advance(secs(61));
    harness.actions.clear();
    harness.subscribe(&["KRW-BTC"]);
    assert_eq!(harness.actions, [Action::Resolve]);
}

#[test]
fn addresses_are_tried_in_turn_and_looked_up_again_each_time() {
    let mut harness = Harness::new(named("wss://example.test/"));
    harness.subscribe(&["KRW-BTC"]);
    let addresses: Vec<_> = (1..=3).map(|n| format!("192.0.2.{n}:443").parse().unwrap()).collect();
    harness.session.handle_resolved(harness.now, Ok(addresses.clone()));
    harness.settle();
    harness.closed(Closed::Io(ErrorKind::ConnectionRefused));
    harness.advance(Timeouts::default().connect);
    assert_eq!(harness.dials(), addresses);
    harness.closed(Closed::Io(ErrorKind::ConnectionRefused));
    assert_eq!(harness.disconnects(), [Disconnect::Connect(ErrorKind::ConnectionRefused)]);
    harness.advance(secs(1));
    assert_eq!(harness.actions.last(), Some(&Action::Resolve));
}

#[test]
fn a_machine_without_file_descriptors_is_named_and_dials_again() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.closed(Closed::OutOfResources("Too many open files (os error 24)".to_owned()));
    let disconnects = harness.disconnects();
    let [disconnect] = &disconnects[..] else { panic!("{disconnects:?}") };
    assert_eq!(disconnect.code(), "out_of_resources");
    let text = disconnect.to_string();
    assert_eq!(text, "this machine could not create a socket: Too many open files (os error 24)");
    harness.advance(secs(1));
    harness.open();
}

/// The first socket ends inside a frame. Neither the rest of that frame nor late reports about the first socket may
/// affect the second one.
#[test]
fn late_reports_about_a_dropped_socket_change_nothing() {
    let mut harness = Harness::active(config());
    let first = harness.socket;
    harness.receive(&[0x82, 100, b'x']);
    harness.closed(Closed::Eof);
    harness.advance(secs(1));
    harness.connect();
    let (second, state) = (harness.socket, harness.session.state());
    assert!(second > first);
    for late in [first, SocketId(second.0 + 1)] {
        harness.session.handle_connected(harness.now, late);
        harness.session.handle_secured(harness.now, late);
        harness.session.handle_received(harness.now, late, 0, &mut harness.delivered);
        harness.session.handle_closed(harness.now, late, Closed::Eof);
        assert!(harness.session.spare(late).is_empty() && harness.session.poll_transmit(late).is_empty());
    }
    assert_eq!(harness.session.state(), state);
    let answer = harness.switching_protocols();
    harness.receive(&answer);
    harness.data("KRW-BTC", 2);
    assert_eq!(
        (harness.session.state(), harness.delivered.0.len()),
        (State::Active, 2),
        "nothing is left of the first one"
    );
}
