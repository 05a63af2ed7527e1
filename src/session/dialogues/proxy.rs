//! Dialogues about reaching the exchange through a proxy.

use super::super::testing::{Harness, config, secs};
use super::super::{Action, Closed, Disconnect, ProxyFailure, Stage, State};
use super::{named, states};
use crate::config::{Config, Proxy};
use crate::ws::TunnelError;
use std::io::ErrorKind;

fn through(proxy: &str, config: Config) -> Config {
    Config { proxy: Some(Proxy::new(proxy).unwrap()), ..config }
}

/// Returns a session whose TCP connection to the proxy is open.
fn tunneling(config: Config) -> Harness {
    let mut harness = Harness::new(config);
    harness.subscribe(&["KRW-BTC"]);
    assert_eq!(harness.actions, [Action::Resolve]);
    harness.session.handle_resolved(harness.now, Ok(vec!["192.0.2.9:3128".parse().unwrap()]));
    harness.settle();
    assert_eq!(harness.dials(), ["192.0.2.9:3128".parse().unwrap()]);
    harness.connected();
    assert_eq!(harness.session.state(), State::Tunneling);
    harness
}

fn exchange() -> Config {
    named("wss://example.test/")
}

/// Only what a person must change is `proxy_refused`, which is dialed again slowly.
#[test]
fn what_a_person_must_change_has_its_own_kind() {
    let status = |status| TunnelError::Status { status, reason: "".into() };
    let refused = [
        TunnelError::CredentialsMissing,
        TunnelError::CredentialsRefused,
        TunnelError::Protocol("why".into()),
        status(403),
        status(405),
        status(501),
        TunnelError::Reply(2),
        TunnelError::Reply(7),
    ];
    let failed =
        [TunnelError::Closed, status(429), status(502), status(503), TunnelError::Reply(1), TunnelError::Reply(5)];
    for (errors, code) in [(&refused[..], "proxy_refused"), (&failed[..], "proxy_failed")] {
        for error in errors {
            let disconnect = Disconnect::Proxy { proxy: "p".into(), why: ProxyFailure::Tunnel(error.clone()) };
            assert_eq!(disconnect.code(), code, "{disconnect}");
        }
    }
}

#[track_caller]
fn failure(harness: &mut Harness) -> ProxyFailure {
    let disconnects = harness.disconnects();
    let [Disconnect::Proxy { proxy, why }] = &disconnects[..] else { panic!("{disconnects:?}") };
    assert_eq!(&**proxy, "http://proxy.test:3128");
    why.clone()
}

#[test]
fn tls_begins_after_the_proxys_answer_with_the_bytes_that_follow_it() {
    let answer = b"HTTP/1.1 200 OK\r\n\r\n";
    let whole = [&answer[..], b"early"].concat();
    for cut in 0..=whole.len() {
        let mut harness = tunneling(through("http://proxy.test:3128", exchange()));
        assert!(harness.opening_request().starts_with("CONNECT example.test:443 HTTP/1.1\r\n"));
        harness.receive(&whole[..cut]);
        let early = whole[..cut].strip_prefix(&answer[..]).map(<[u8]>::to_vec);
        let started: Vec<_> = early.into_iter().map(|early| Action::StartTls(harness.socket, early)).collect();
        assert_eq!(harness.actions, started, "cut at {cut}");
        if cut < answer.len() {
            harness.receive(&whole[cut..]);
            assert_eq!(harness.actions, [Action::StartTls(harness.socket, b"early".to_vec())], "cut at {cut}");
        }
        harness.session.handle_secured(harness.now, harness.socket);
        harness.settle();
        assert!(harness.opening_request().contains("\r\nHost: example.test\r\n"), "{}", harness.opening_request());
        use State::*;
        assert_eq!(states(&harness), [Connecting, Tunneling, TlsHandshake, Upgrading]);
    }
}

#[test]
fn socks5_needs_two_answers_and_works_without_tls() {
    let mut harness = tunneling(through("socks5://proxy.test:3128", config()));
    assert_eq!(harness.opening_request().as_bytes(), [5, 1, 0]);
    harness.receive(&[5]);
    harness.receive(&[0]);
    assert_eq!(harness.opening_request().as_bytes(), [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 9]);
    // All but the last byte, and then also the beginning of an answer that the exchange sends too early.
    harness.receive(&[5, 0, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(harness.session.state(), State::Tunneling);
    harness.receive(b"\0HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(harness.disconnects()[..], [Disconnect::Rejected(_)]));
}

#[test]
fn data_flows_through_a_tunnel() {
    let mut harness = Harness::new(through("http://127.0.0.2:1", config()));
    harness.subscribe(&["KRW-BTC"]);
    assert_eq!(harness.dials(), ["127.0.0.2:1".parse().unwrap()], "an address needs no look-up");
    harness.connected();
    let request = harness.opening_request().len();
    harness.receive(b"HTTP/1.1 200 OK\r\n\r\n");
    assert!(harness.opening_request()[request..].starts_with("GET /websocket/v1 HTTP/1.1\r\n"));
    let answer = harness.switching_protocols();
    harness.receive(&answer);
    harness.data("KRW-BTC", 1);
    assert_eq!((harness.session.state(), harness.delivered.0.len()), (State::Active, 1));
}

#[test]
fn a_host_among_the_exceptions_is_dialed_directly() {
    let proxy = Proxy::new("http://proxy.test").unwrap().except("127.0.0.1");
    let mut harness = Harness::new(Config { proxy: Some(proxy), ..config() });
    harness.subscribe(&["KRW-BTC"]);
    harness.open();
    assert!(!states(&harness).contains(&State::Tunneling));
}

#[test]
fn failures_before_the_tunnel_name_the_proxy() {
    let proxied = || through("http://proxy.test:3128", exchange());
    let mut harness = Harness::new(proxied());
    harness.subscribe(&["KRW-BTC"]);
    harness.session.handle_resolved(harness.now, Err("no such host".to_owned()));
    harness.settle();
    assert_eq!(failure(&mut harness), ProxyFailure::Resolve("no such host".into()));

    let mut harness = Harness::new(proxied());
    harness.subscribe(&["KRW-BTC"]);
    harness.advance(secs(5));
    assert_eq!(failure(&mut harness), ProxyFailure::Timeout(Stage::Resolve));

    let resolved = || {
        let mut harness = Harness::new(proxied());
        harness.subscribe(&["KRW-BTC"]);
        harness.session.handle_resolved(harness.now, Ok(vec!["192.0.2.9:3128".parse().unwrap()]));
        harness.settle();
        harness
    };
    let mut harness = resolved();
    harness.closed(Closed::Io(ErrorKind::ConnectionRefused));
    assert_eq!(failure(&mut harness), ProxyFailure::Connect(ErrorKind::ConnectionRefused));
    let mut harness = resolved();
    harness.advance(secs(3));
    assert_eq!(failure(&mut harness), ProxyFailure::Timeout(Stage::Connect));
    let mut harness = resolved();
    harness.closed(Closed::OutOfResources("files".to_owned()));
    assert_eq!(harness.disconnects(), [Disconnect::OutOfResources("files".into())], "not the proxy's fault");
}

#[test]
fn failures_of_the_tunnel_are_named_and_dialed_again_after_a_pause() {
    let open = || tunneling(through("http://proxy.test:3128", exchange()));
    let answers: [(&[u8], TunnelError); 3] = [
        (b"HTTP/1.1 407 No\r\n\r\n", TunnelError::CredentialsMissing),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", TunnelError::Status { status: 502, reason: "Bad Gateway".into() }),
        (b"\x05\xff", TunnelError::Protocol("the answer is not HTTP".into())),
    ];
    for (answer, error) in answers {
        let mut harness = open();
        harness.receive(answer);
        assert_eq!(harness.session.state(), State::Reconnecting);
        assert_eq!(failure(&mut harness), ProxyFailure::Tunnel(error));
    }
    for how in [Closed::Eof, Closed::Io(ErrorKind::ConnectionReset)] {
        let mut harness = open();
        harness.receive(b"HTTP/1.1 200");
        harness.closed(how);
        assert_eq!(failure(&mut harness), ProxyFailure::Tunnel(TunnelError::Closed));
    }
    let mut harness = open();
    harness.receive(b"HTTP/1.1 200");
    harness.advance(secs(3));
    let disconnect = harness.disconnects().remove(0);
    assert_eq!(disconnect.code(), "proxy_timeout");
    assert!(
        disconnect.to_string().contains("the proxy http://proxy.test:3128 accepted the connection"),
        "{disconnect}"
    );
    // The exchange's failures stay the exchange's.
    let mut harness = open();
    harness.receive(b"HTTP/1.1 200 OK\r\n\r\n");
    harness.closed(Closed::Eof);
    assert_eq!(harness.disconnects(), [Disconnect::Eof]);
}

/// Otherwise the rest of the request would be sent to the exchange.
#[test]
fn a_proxy_that_answers_before_it_has_the_request_is_refused() {
    let mut harness = Harness::new(through("http://127.0.0.2:1", config()));
    harness.subscribe(&["KRW-BTC"]);
    harness.session.handle_connected(harness.now, harness.socket);
    let answer = b"HTTP/1.1 200 OK\r\n\r\n";
    harness.session.spare(harness.socket)[..answer.len()].copy_from_slice(answer);
    let (now, socket) = (harness.now, harness.socket);
    harness.session.handle_received(now, socket, answer.len(), &mut harness.delivered);
    harness.settle();
    let disconnects = harness.disconnects();
    assert!(disconnects[0].to_string().contains("before it had the whole request"), "{disconnects:?}");
}
