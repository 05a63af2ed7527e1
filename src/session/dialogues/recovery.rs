//! Provokes each cause of failure, and compares what the session does with the table of rules.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::testing::{Harness, frame, ms, secs};
use super::super::{Cadence, Closed, Event, FailureCause, RecoveryAction, State};
use super::named;
use crate::config::{Backoff, Config, Proxy};
use crate::model::DisconnectKind;
use crate::wire::ErrorName;
use crate::ws::RejectionKind;

/// Enough attempts for every bound to be reached, and for the jitter to come near it.
const ATTEMPTS: usize = 40;

/// Answers the look-up, and waits until the session dials.
fn dial(harness: &mut Harness) {
    let address: SocketAddr = "192.0.2.1:443".parse().unwrap();
    harness.session.handle_resolved(harness.now, Ok(vec![address]));
    harness.settle();
    while harness.dials().is_empty() {
        harness.advance(ms(10));
    }
}

fn connect(harness: &mut Harness) {
    dial(harness);
    harness.connected();
}

fn secure(harness: &mut Harness) {
    connect(harness);
    harness.session.handle_secured(harness.now, harness.socket);
    harness.settle();
}

fn open(harness: &mut Harness) {
    secure(harness);
    let answer = harness.switching_protocols();
    harness.receive(&answer);
    assert!(harness.session.state().is_open());
}

/// Opens a socket and ends it.
fn end(harness: &mut Harness, how: Closed) {
    open(harness);
    harness.closed(how);
}

/// Waits until the attempt has taken too long.
fn expire(harness: &mut Harness) {
    while !harness.events.iter().any(|event| matches!(event, Event::Disconnected { .. })) {
        harness.advance(ms(100));
    }
}

/// Answers the upgrade with a status.
fn reject(harness: &mut Harness, status: u16) {
    secure(harness);
    harness.receive(format!("HTTP/1.1 {status} Why\r\nContent-Length: 0\r\n\r\n").as_bytes());
}

/// Answers the request with an error, and closes.
fn refuse(harness: &mut Harness, name: &str) {
    open(harness);
    while harness.session.state() == State::Connected {
        harness.answer_pings(ms(100));
    }
    harness.message(&format!(r#"{{"error":{{"name":"{name}","message":"why"}}}}"#));
    harness.receive(&frame(8, &1000u16.to_be_bytes()));
}

/// Makes the attempt that has begun fail for this cause. Returns false if another test provokes it.
fn provoke(harness: &mut Harness, cause: FailureCause) -> bool {
    match cause {
        FailureCause::Disconnect(kind) => return provoke_disconnect(harness, kind),
        FailureCause::Rejected(kind) => reject(
            harness,
            match kind {
                RejectionKind::Redirect => 301,
                RejectionKind::Unauthorized => 401,
                RejectionKind::Banned => 418,
                RejectionKind::TooManyRequests => 429,
                RejectionKind::ServerError => 502,
                RejectionKind::Other => 404,
            },
        ),
        FailureCause::ServerError(name) => refuse(harness, name.as_str()),
    }
    true
}

fn provoke_disconnect(harness: &mut Harness, kind: DisconnectKind) -> bool {
    use DisconnectKind as Kind;
    let io = Closed::Io;
    match kind {
        Kind::DnsFailed => {
            harness.session.handle_resolved(harness.now, Err("no such host".to_owned()));
            harness.settle();
        }
        Kind::DnsTimeout => expire(harness),
        Kind::ConnectRefused => {
            dial(harness);
            harness.closed(io(ErrorKind::ConnectionRefused));
        }
        Kind::ConnectFailed => {
            dial(harness);
            harness.closed(io(ErrorKind::HostUnreachable));
        }
        Kind::ConnectTimeout => {
            dial(harness);
            expire(harness);
        }
        Kind::OutOfResources => {
            dial(harness);
            harness.closed(Closed::OutOfResources("too many open files".to_owned()));
        }
        Kind::ProxyFailed => {
            dial(harness);
            harness.closed(io(ErrorKind::ConnectionRefused));
        }
        Kind::ProxyRefused => {
            connect(harness);
            harness.receive(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        }
        Kind::ProxyTimeout => {
            connect(harness);
            expire(harness);
        }
        Kind::TlsEnded => {
            connect(harness);
            harness.closed(Closed::TlsEnded("the server closed".to_owned()));
        }
        Kind::TlsFailed => {
            connect(harness);
            harness.closed(Closed::Tls("the certificate has expired".to_owned()));
        }
        Kind::TlsTimeout => {
            connect(harness);
            expire(harness);
        }
        Kind::UpgradeTimeout => {
            secure(harness);
            expire(harness);
        }
        Kind::HandshakeFailed => {
            secure(harness);
            harness.receive(b"SSH-2.0-OpenSSH_9.6\r\n\r\n");
        }
        Kind::ClosedByPeer => {
            open(harness);
            harness.receive(&frame(8, &1001u16.to_be_bytes()));
        }
        Kind::Eof => end(harness, Closed::Eof),
        Kind::Reset => end(harness, io(ErrorKind::ConnectionReset)),
        Kind::Truncated => end(harness, io(ErrorKind::UnexpectedEof)),
        Kind::IoFailed => end(harness, io(ErrorKind::BrokenPipe)),
        Kind::ProtocolError => {
            open(harness);
            harness.receive(&[0xFF; 8]);
        }
        Kind::Silent => {
            open(harness);
            harness.advance(secs(5));
        }
        Kind::Panicked => {
            open(harness);
            harness.session.handle_panic(harness.now, "index out of bounds");
            harness.settle();
        }
        Kind::Unwanted => {
            open(harness);
            harness.subscribe(&[]);
        }
        Kind::Stopped => {
            open(harness);
            harness.session.stop(harness.now);
            harness.settle();
        }
        // See `liveness.rs`, `refusals.rs`, and `Rejected` above.
        Kind::Mute | Kind::NotReading | Kind::UpgradeRejected => return false,
    }
    true
}

/// Returns the configuration in which a cause can occur.
fn config_for(cause: FailureCause) -> Config {
    use DisconnectKind::{ProxyFailed, ProxyRefused, ProxyTimeout};
    let needs_proxy = matches!(cause, FailureCause::Disconnect(ProxyFailed | ProxyRefused | ProxyTimeout));
    let proxy = needs_proxy.then(|| Proxy::new("http://proxy.test").unwrap());
    Config { proxy, ..named("wss://example.test/websocket/v1") }
}

/// Lets attempts fail for one cause. Returns the pauses after them.
fn pauses(harness: &mut Harness, cause: FailureCause) -> Vec<Duration> {
    let mut pauses = Vec::new();
    for _ in 0..ATTEMPTS {
        assert!(provoke(harness, cause));
        pauses.push(harness.pause());
        harness.events.clear();
        harness.advance(pauses[pauses.len() - 1]);
        harness.actions.clear();
    }
    pauses
}

/// The bounds between which the longest pause must be: the cap, and most of it, because it is the longest of many.
fn assert_bound(code: &str, pauses: &[Duration], cap: Duration) {
    let longest = pauses.iter().max().unwrap();
    assert!(*longest <= cap && *longest > cap.mul_f64(0.6), "{code}: {longest:?} for a cap of {cap:?}");
}

#[test]
fn each_cause_of_failure_is_answered_as_the_table_says() {
    let backoff = Backoff::default();
    let mut provoked = 0;
    for cause in FailureCause::all() {
        let mut harness = Harness::new(config_for(cause));
        harness.subscribe(&["KRW-BTC"]);
        let (rule, code) = (cause.rule(), cause.code());
        if rule.cadence == Cadence::Never {
            assert!(provoke(&mut harness, cause));
            harness.receive(&frame(8, &1000u16.to_be_bytes()));
            assert_eq!(harness.session.state(), State::Disconnected, "{code}");
            continue;
        }
        if matches!(cause, FailureCause::Disconnect(DisconnectKind::Mute | DisconnectKind::NotReading)) {
            continue;
        }
        provoked += 1;
        let pauses = pauses(&mut harness, cause);
        match rule.cadence {
            Cadence::Short => assert_bound(code, &pauses, backoff.network_cap),
            Cadence::Long => assert_bound(code, &pauses, backoff.cap),
            Cadence::Slow => assert_bound(code, &pauses, backoff.slow_cap),
            Cadence::Search => {
                assert_bound(code, &pauses[..16], backoff.network_cap);
                assert_bound(code, &pauses[16..], backoff.cap);
            }
            // How long the exchange demands is tested in `refusals.rs` and `refused_requests.rs`.
            Cadence::Stated => assert!(!pauses[0].is_zero(), "{code}: {pauses:?}"),
            Cadence::Never => unreachable!(),
        }
    }
    assert!(provoked > 25, "{provoked}");
}

#[test]
fn the_action_for_an_answer_of_the_exchange_is_the_one_in_the_table() {
    for name in ErrorName::ALL {
        let mut harness = Harness::new(named("wss://example.test/websocket/v1"));
        harness.subscribe(&["KRW-BTC"]);
        refuse(&mut harness, name.as_str());
        let is_split = harness.events.iter().any(|event| matches!(event, Event::RequestRefused { revision: 1, .. }));
        let is_held = harness.session.blocked_until(harness.now).is_some();
        let action = match (is_split, is_held) {
            (true, false) => RecoveryAction::SplitRequest,
            (false, true) => RecoveryAction::HoldRequests,
            _ => RecoveryAction::Reconnect,
        };
        assert_eq!(action, FailureCause::ServerError(name).rule().action, "{name:?}");
    }
}

/// A panic leaves the state of the socket in doubt, so the socket is replaced. The demand stays.
#[test]
fn after_a_panic_the_demand_is_requested_on_another_socket() {
    for phase in 0..5 {
        let mut harness = Harness::new(named("wss://example.test/websocket/v1"));
        harness.subscribe(&["KRW-BTC"]);
        [|_: &mut Harness| {}, dial, connect, secure, open][phase](&mut harness);
        let epoch = harness.session.epoch();
        harness.session.handle_panic(harness.now, "planted");
        harness.settle();
        assert_eq!(harness.disconnects().len(), 1, "phase {phase}");
        assert_eq!(harness.session.counters().panics, 1);
        while harness.session.state() != State::Connecting {
            harness.advance(ms(10));
        }
        open(&mut harness);
        assert!(harness.session.epoch() > epoch);
        assert!(matches!(&harness.requests()[..], [one] if one.contains("KRW-BTC")));
    }
    let mut idle = Harness::new(named("wss://example.test/websocket/v1"));
    idle.session.handle_panic(idle.now, "planted");
    idle.settle();
    assert_eq!((idle.session.state(), idle.disconnects()), (State::Disconnected, vec![]));
}

/// An error that cannot be the answer to the request says nothing about its streams.
#[test]
fn only_the_answer_to_a_request_is_its_refusal() {
    let is_refused = |harness: &Harness| harness.events.iter().any(|e| matches!(e, Event::RequestRefused { .. }));
    let error = r#"{"error":{"name":"WRONG_FORMAT","message":"why"}}"#;
    let active = || Harness::active(super::config());
    let mut late = active();
    late.answer_pings(ms(3001));
    late.message(error);
    assert!(!is_refused(&late), "the request was accepted long ago");
    let mut of_list = active();
    of_list.session.list(of_list.now);
    of_list.settle();
    of_list.message(error);
    assert!(!is_refused(&of_list), "it is the answer to the request for a list");
    let mut twice = active();
    twice.message(error);
    assert!(is_refused(&twice));
    twice.events.clear();
    twice.message(error);
    assert!(!is_refused(&twice), "a request is refused once");
}
