//! Dialogues about upgrades that the server refuses.

use super::super::testing::{Harness, config, ms, secs};
use super::super::{Budget, Closed, DialBudget, Disconnect, Rate, State};
use crate::config::{BITHUMB, Config, Endpoint};
use crate::model::Nanos;
use crate::ws::RejectionKind;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn refuse(answer: &str) -> (Harness, Disconnect) {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.connect();
    harness.receive(answer.as_bytes());
    let mut disconnects = harness.disconnects();
    assert_eq!(disconnects.len(), 1, "{answer}");
    (harness, disconnects.remove(0))
}

#[test]
fn a_refusal_is_typed_and_its_wait_is_kept() {
    let (mut harness, disconnect) = refuse("HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow");
    let Disconnect::Rejected(rejection) = disconnect else { panic!("{disconnect:?}") };
    assert_eq!((rejection.kind, &*rejection.body), (RejectionKind::TooManyRequests, "slow"));
    harness.advance(secs(7) - ms(1));
    assert_eq!(harness.dials(), [], "no dial before the stated wait is over");
    harness.advance(secs(1));
    assert_eq!(harness.dials().len(), 1);
}

/// A budget that several connections share.
#[derive(Clone)]
struct SharedBudget(Arc<Mutex<Budget>>);

impl DialBudget for SharedBudget {
    fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos> {
        self.0.lock().unwrap().try_acquire(now)
    }

    fn hold(&mut self, _: Nanos, until: Nanos) {
        self.0.lock().unwrap().hold(until);
    }
}

#[test]
fn a_refusal_because_of_too_many_connects_holds_back_all_connections_that_share_the_budget() {
    for (status, holds) in [(418, true), (429, true), (503, false)] {
        let budget = Budget::new([Rate { count: 5, window: secs(1) }]);
        let mut budget = SharedBudget(Arc::new(Mutex::new(budget)));
        let mut harness = Harness::with_budget(config(), Box::new(budget.clone()));
        harness.subscribe(&["KRW-BTC"]);
        harness.connect();
        harness.receive(format!("HTTP/1.1 {status} No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").as_bytes());
        assert_eq!(harness.disconnects().len(), 1);
        assert_eq!(budget.try_acquire(harness.now + secs(7) - ms(1)).is_err(), holds, "{status}");
        assert_eq!(budget.try_acquire(harness.now + secs(8)), Ok(()), "{status}");
    }
}

#[test]
fn the_pause_after_a_ban_without_a_stated_wait_grows() {
    let (mut harness, _) = refuse("HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n");
    harness.advance(secs(60) - ms(1));
    assert_eq!(harness.dials(), []);
    harness.advance(secs(1));
    harness.session.handle_connected(harness.now, harness.socket);
    harness.settle();
    harness.actions.clear();
    harness.receive(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n");
    harness.advance(secs(120) - ms(1));
    assert_eq!(harness.dials(), []);
}

#[test]
fn pauses_after_refusals_without_a_stated_wait_grow_and_then_one_request_carries_the_newest_set() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    for n in 0..4 {
        harness.connect();
        harness.receive(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n");
        let refused = harness.now;
        let blocked_until = harness.session.blocked_until(harness.now).unwrap();
        assert!(blocked_until >= refused + secs(1 << n));
        harness.actions.clear();
        harness.opening_request();
        // The desired set changes all the time, and even becomes empty and comes back.
        while harness.now + ms(100) < blocked_until {
            harness.advance(ms(50));
            let changes = harness.now.as_millis() / 50;
            harness.subscribe(&["KRW-BTC", &format!("KRW-C{changes}")]);
            if changes.is_multiple_of(7) {
                harness.subscribe(&[]);
            }
            assert_eq!(harness.dials(), [], "blocked until {blocked_until:?}");
        }
        harness.subscribe(&["KRW-LAST"]);
        harness.advance(blocked_until.since(harness.now));
        assert_eq!(harness.session.blocked_until(harness.now), None);
    }
    harness.open();
    let requests = harness.requests();
    assert!(matches!(&requests[..], [one] if one.contains(r#"["KRW-LAST"]"#)), "{requests:?}");
}

#[test]
fn redirects_are_reported_and_not_followed() {
    let (mut harness, disconnect) = refuse("HTTP/1.1 301 Moved\r\nLocation: wss://evil/\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(disconnect, Disconnect::Rejected(r) if r.kind == RejectionKind::Redirect));
    harness.advance(secs(10));
    assert!(harness.dials().iter().all(|to| to.ip().is_loopback()));
}

/// A server that refuses without having read the request ends the socket with a reset. This was once reported as a
/// reset, and the stated wait was ignored.
#[test]
fn a_refusal_is_reported_however_the_socket_ends() {
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    let ends = kinds.map(Closed::Io).into_iter().chain([Closed::Eof, Closed::Tls("bad record".to_owned())]);
    for how in ends {
        let mut harness = Harness::new(config());
        harness.subscribe(&["KRW-BTC"]);
        harness.connect();
        harness.receive(b"HTTP/1.1 418 I'm a teapot\r\nRetry-After: 90\r\n\r\nbanned");
        harness.closed(how.clone());
        assert!(harness.pause() >= secs(90), "{how:?}");
        assert!(harness.session.blocked_until(harness.now).is_some());
        let disconnects = harness.disconnects();
        assert!(
            matches!(&disconnects[..], [Disconnect::Rejected(r)] if r.status == 418 && &*r.body == "banned"),
            "{disconnects:?}"
        );
    }
}

#[test]
fn a_socket_that_ends_before_an_answer_is_not_a_refusal() {
    for (how, code) in [(Closed::Eof, "handshake_failed"), (Closed::Io(ErrorKind::ConnectionReset), "reset")] {
        let mut harness = Harness::new(config());
        harness.subscribe(&["KRW-BTC"]);
        harness.connect();
        harness.receive(b"HTTP/1.1 418 I'm a");
        harness.closed(how);
        assert!(harness.pause() < secs(1));
        assert!(matches!(&harness.disconnects()[..], [disconnect] if disconnect.code() == code));
    }
}

#[test]
fn the_date_until_which_a_refusal_asks_to_wait_is_kept() {
    let refused = |headers: &str| refuse_and_pause(&format!("HTTP/1.1 429 Too Many\r\n{headers}"));
    // The server's own clock counts, not ours.
    let pause = refused("Date: Wed, 21 Oct 2026 07:26:00 GMT\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n");
    assert!((secs(120)..secs(121)).contains(&pause), "{pause:?}");
    // The server does not state its clock, so ours is used.
    let ours = "Sun, 09 Sep 2001 01:46:40 GMT";
    let pause = refused("Retry-After: Sun, 09 Sep 2001 01:48:10 GMT\r\n");
    assert!((secs(90)..secs(91)).contains(&pause), "{pause:?}");
    // A date in the past states no wait, and a refusal that states none first causes a pause of 1 s.
    for date in ["", &format!("Date: {ours}\r\n")] {
        let pause = refused(&format!("{date}Retry-After: Sun, 09 Sep 2001 01:46:39 GMT\r\n"));
        assert!((secs(1)..secs(2)).contains(&pause), "{date}: {pause:?}");
    }
}

/// A server with the status 429 and `Retry-After: 0` was once dialed as fast as the budget allowed.
#[test]
fn a_stated_wait_is_never_shorter_than_the_pause_of_the_status() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    let mut least = secs(1);
    for (status, retry_after) in [(429, "0"), (429, "1"), (418, "1"), (429, "2")] {
        harness.connect();
        harness.receive(
            format!("HTTP/1.1 {status} x\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        );
        assert!((least..2 * least).contains(&harness.pause()), "{status}, {retry_after}: {:?}", harness.pause());
        harness.dials();
        harness.advance(harness.pause());
        least *= 2;
    }
    assert!(refuse_and_pause("HTTP/1.1 418 x\r\nRetry-After: 0\r\n") >= secs(60), "zero states nothing");
    let pause = refuse_and_pause("HTTP/1.1 503 x\r\nRetry-After: 5\r\n");
    assert!((secs(5)..secs(6)).contains(&pause), "{pause:?}");
    let pause = refuse_and_pause(
        "HTTP/1.1 503 x\r\nDate: Wed, 21 Oct 2026 07:28:00 GMT\r\nRetry-After: Wednesday, 21-Oct-26 07:28:09 GMT\r\n",
    );
    assert!((secs(9)..secs(10)).contains(&pause), "{pause:?}");
}

#[test]
fn a_block_lasts_as_long_as_the_body_or_the_documentation_says() {
    let pause = |config, status: u16, headers: &str, body: &str| {
        let mut harness = Harness::new(config);
        harness.subscribe(&["KRW-BTC"]);
        harness.connect();
        let length = body.len();
        harness.receive(format!("HTTP/1.1 {status} x\r\n{headers}Content-Length: {length}\r\n\r\n{body}").as_bytes());
        harness.pause().as_secs()
    };
    let bithumb = || {
        let endpoint = Endpoint::custom("ws://127.0.0.1:9/").unwrap();
        Config { endpoint: endpoint.with_dialect(BITHUMB), ..config() }
    };
    let json = r#"{"error":{"name":"banned","message":"blocked for 300 seconds"}}"#;
    assert_eq!(pause(config(), 418, "", "banned"), 60);
    assert_eq!(pause(bithumb(), 418, "", "banned"), 600);
    assert_eq!(pause(config(), 418, "", json), 300);
    assert_eq!(pause(bithumb(), 418, "", json), 300);
    assert_eq!(pause(config(), 418, "", "blocked for 300 seconds"), 300);
    assert_eq!(pause(config(), 429, "", json), 300);
    assert_eq!(pause(config(), 503, "", json), 300);
    assert_eq!(pause(config(), 503, "", "<html>back in 300 seconds"), 0, "a page may mention any time");
    assert_eq!(pause(config(), 418, "Retry-After: 20\r\n", json), 20, "the header is exact");
    assert_eq!(pause(config(), 418, "", "blocked for 999 days"), 86_400);
}

#[test]
fn a_long_wait_is_kept_up_to_one_day() {
    let refused = |wait: &str| refuse_and_pause(&format!("HTTP/1.1 429 Too Many\r\nRetry-After: {wait}\r\n"));
    assert!(refused("7200") >= secs(7200));
    assert!(refused("86400") >= secs(86_400));
    let pause = refused("4294967295");
    assert!((secs(86_400)..secs(86_401)).contains(&pause), "136 years are a mistake: {pause:?}");
}

/// Returns the pause after a refusal with these headers.
fn refuse_and_pause(headers: &str) -> Duration {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.connect();
    harness.receive(format!("{headers}Content-Length: 0\r\n\r\n").as_bytes());
    harness.pause()
}

/// An empty desired set once ended every pause: the next set was dialed for at once.
#[test]
fn a_change_of_demand_does_not_shorten_a_pause() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.connect();
    harness.receive(b"HTTP/1.1 503 Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
    let retry_at = harness.now + harness.pause();
    harness.dials();
    while harness.now + secs(7) < retry_at {
        harness.subscribe(&[]);
        harness.advance(secs(3));
        assert_eq!(harness.session.state(), State::Disconnected);
        harness.subscribe(&["KRW-ETH"]);
        harness.advance(secs(3));
        assert_eq!(harness.session.state(), State::Reconnecting);
    }
    harness.advance(retry_at.since(harness.now) - ms(1));
    assert_eq!(harness.dials(), []);
    harness.advance(ms(1));
    assert_eq!(harness.dials().len(), 1);
}

#[test]
fn a_refusal_whose_body_is_incomplete_is_kept_too() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.connect();
    harness.receive(b"HTTP/1.1 429 Too Many\r\nRetry-After: 60\r\nContent-Length: 100\r\n\r\n");
    harness.subscribe(&[]);
    assert_eq!(harness.disconnects(), [Disconnect::Unwanted]);
    assert_eq!(harness.session.blocked_until(harness.now).map(|at| at.since(harness.now) >= secs(60)), Some(true));
    harness.subscribe(&["KRW-BTC"]);
    harness.advance(secs(60) - ms(1));
    assert_eq!(harness.dials(), []);
}
