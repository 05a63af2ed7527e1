//! Upgrades that the server refuses.

use super::super::testing::{Life, config, ms, secs};
use super::super::{Closed, Disconnect, State};
use crate::ws::RejectionKind;
use std::io::ErrorKind;
use std::time::Duration;

fn refuse(answer: &str) -> (Life, Disconnect) {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    life.receive(answer.as_bytes());
    let mut disconnects = life.disconnects();
    assert_eq!(disconnects.len(), 1, "{answer}");
    (life, disconnects.remove(0))
}

#[test]
fn a_refusal_is_typed_and_its_wait_is_kept() {
    let (mut life, disconnect) = refuse("HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow");
    let Disconnect::Rejected(rejection) = disconnect else { panic!("{disconnect:?}") };
    assert_eq!((rejection.kind, &*rejection.body), (RejectionKind::TooManyRequests, "slow"));
    life.advance(secs(7) - ms(1));
    assert_eq!(life.dials(), [], "not before it was told to");
    life.advance(secs(1));
    assert_eq!(life.dials().len(), 1);
}

#[test]
fn a_ban_without_a_number_is_waited_out_for_longer_each_time() {
    let (mut life, _) = refuse("HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n");
    life.advance(secs(60) - ms(1));
    assert_eq!(life.dials(), []);
    life.advance(secs(1));
    life.session.handle_connected(life.now, life.socket);
    life.settle();
    life.actions.clear();
    life.receive(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n");
    life.advance(secs(120) - ms(1));
    assert_eq!(life.dials(), []);
}

#[test]
fn refusals_without_a_number_are_waited_out_for_longer_each_time_and_then_one_request_carries_the_newest() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    for n in 0..4 {
        life.connect();
        life.receive(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n");
        let refused = life.now;
        let blocked_until = life.session.blocked_until(life.now).unwrap();
        assert!(blocked_until >= refused + secs(1 << n));
        life.actions.clear();
        life.opening_request();
        // Demand changes all the time; it even goes away and comes back.
        while life.now + ms(100) < blocked_until {
            life.advance(ms(50));
            let changes = life.now.as_millis() / 50;
            life.want(&["KRW-BTC", &format!("KRW-C{changes}")]);
            if changes.is_multiple_of(7) {
                life.want(&[]);
            }
            assert_eq!(life.dials(), [], "blocked until {blocked_until:?}");
        }
        life.want(&["KRW-LAST"]);
        life.advance(blocked_until.since(life.now));
        assert_eq!(life.session.blocked_until(life.now), None);
    }
    life.open();
    let requests = life.requests();
    assert!(matches!(&requests[..], [one] if one.contains(r#"["KRW-LAST"]"#)), "{requests:?}");
}

#[test]
fn redirects_are_reported_and_not_followed() {
    let (mut life, disconnect) = refuse("HTTP/1.1 301 Moved\r\nLocation: wss://evil/\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(disconnect, Disconnect::Rejected(r) if r.kind == RejectionKind::Redirect));
    life.advance(secs(10));
    assert!(life.dials().iter().all(|to| to.ip().is_loopback()));
}

/// A server that refuses without having read the request ends the socket with a reset. That was called a reset, and the
/// wait that the refusal asked for was not kept.
#[test]
fn a_refusal_is_a_refusal_however_the_socket_ends() {
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    let ends = kinds.map(Closed::Io).into_iter().chain([Closed::Eof, Closed::Tls("bad record".to_owned())]);
    for how in ends {
        let mut life = Life::new(config());
        life.want(&["KRW-BTC"]);
        life.connect();
        life.receive(b"HTTP/1.1 418 I'm a teapot\r\nRetry-After: 90\r\n\r\nbanned");
        life.closed(how.clone());
        assert!(life.pause() >= secs(90), "{how:?}");
        assert!(life.session.blocked_until(life.now).is_some());
        let disconnects = life.disconnects();
        assert!(
            matches!(&disconnects[..], [Disconnect::Rejected(r)] if r.status == 418 && &*r.body == "banned"),
            "{disconnects:?}"
        );
    }
}

#[test]
fn a_socket_that_ends_before_it_has_answered_is_no_refusal() {
    for (how, code) in [(Closed::Eof, "handshake_failed"), (Closed::Io(ErrorKind::ConnectionReset), "reset")] {
        let mut life = Life::new(config());
        life.want(&["KRW-BTC"]);
        life.connect();
        life.receive(b"HTTP/1.1 418 I'm a");
        life.closed(how);
        assert!(life.pause() < secs(1));
        assert!(matches!(&life.disconnects()[..], [disconnect] if disconnect.code() == code));
    }
}

#[test]
fn the_date_until_which_a_refusal_asks_to_wait_is_kept() {
    let refused = |headers: &str| refuse_and_pause(&format!("HTTP/1.1 429 Too Many\r\n{headers}"));
    // The server's own clock counts, whatever ours shows.
    let pause = refused("Date: Wed, 21 Oct 2026 07:26:00 GMT\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n");
    assert!((secs(120)..secs(121)).contains(&pause), "{pause:?}");
    // It does not say what that shows, so ours has to do.
    let ours = "Sun, 09 Sep 2001 01:46:40 GMT";
    let pause = refused("Retry-After: Sun, 09 Sep 2001 01:48:10 GMT\r\n");
    assert!((secs(90)..secs(91)).contains(&pause), "{pause:?}");
    // A date that is over says nothing, and a refusal that says nothing is waited out for a second at first.
    for date in ["", &format!("Date: {ours}\r\n")] {
        let pause = refused(&format!("{date}Retry-After: Sun, 09 Sep 2001 01:46:39 GMT\r\n"));
        assert!((secs(1)..secs(2)).contains(&pause), "{date}: {pause:?}");
    }
}

#[test]
fn a_long_wait_is_kept_and_one_without_end_is_not() {
    let refused = |wait: &str| refuse_and_pause(&format!("HTTP/1.1 429 Too Many\r\nRetry-After: {wait}\r\n"));
    assert!(refused("7200") >= secs(7200));
    assert!(refused("86400") >= secs(86_400));
    let pause = refused("4294967295");
    assert!((secs(86_400)..secs(86_401)).contains(&pause), "136 years are a mistake: {pause:?}");
}

/// The pause after a refusal with these headers.
fn refuse_and_pause(headers: &str) -> Duration {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    life.receive(format!("{headers}Content-Length: 0\r\n\r\n").as_bytes());
    life.pause()
}

/// Wanting nothing for a moment was a way around every pause: the next desired set was dialed for at once.
#[test]
fn a_pause_is_kept_whatever_is_wanted_meanwhile() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    life.receive(b"HTTP/1.1 503 Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
    let retry_at = life.now + life.pause();
    life.dials();
    while life.now + secs(7) < retry_at {
        life.want(&[]);
        life.advance(secs(3));
        assert_eq!(life.session.state(), State::Disconnected);
        life.want(&["KRW-ETH"]);
        life.advance(secs(3));
        assert_eq!(life.session.state(), State::Reconnecting);
    }
    life.advance(retry_at.since(life.now) - ms(1));
    assert_eq!(life.dials(), []);
    life.advance(ms(1));
    assert_eq!(life.dials().len(), 1);
}

#[test]
fn a_refusal_whose_body_nobody_waits_for_is_kept_too() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    life.receive(b"HTTP/1.1 429 Too Many\r\nRetry-After: 60\r\nContent-Length: 100\r\n\r\n");
    life.want(&[]);
    assert_eq!(life.disconnects(), [Disconnect::Unwanted]);
    assert_eq!(life.session.blocked_until(life.now).map(|at| at.since(life.now) >= secs(60)), Some(true));
    life.want(&["KRW-BTC"]);
    life.advance(secs(60) - ms(1));
    assert_eq!(life.dials(), []);
}
