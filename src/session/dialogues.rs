//! What a session promises, as dialogues with a scripted peer.

use super::testing::{Life, START, Sent, config, frame, ms, secs, trade_message, trades};
use super::{Action, Closed, Event, Loss, Stage, State};
use crate::config::{Endpoint, KeepAlive, Pacing, Timeouts};
use crate::model::{Epoch, Format, Nanos};
use crate::plan::{Mode, Want, Wish};
use crate::ws::RejectionKind;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

fn named(url: &str) -> super::Config {
    super::Config { endpoint: Endpoint::custom(url).unwrap(), ..config() }
}

fn states(life: &Life) -> Vec<State> {
    life.events.iter().filter_map(|e| if let Event::State { to, .. } = e { Some(*to) } else { None }).collect()
}

// ---- opening ----

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
    life.session.handle_connected(life.now);
    life.settle();
    assert_eq!(life.actions, [Action::StartTls]);
    assert_eq!(life.opening_request(), "", "nothing is sent before TLS is agreed");
    life.session.handle_secured(life.now);
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
    assert_eq!(life.losses(), [Loss::Timeout(Stage::Resolve)]);

    let mut life = Life::new(named("wss://127.0.0.1/"));
    life.want(&["KRW-BTC"]);
    life.advance(t.connect);
    assert_eq!(life.losses(), [Loss::Timeout(Stage::Connect)]);

    let mut life = Life::new(named("wss://127.0.0.1/"));
    life.want(&["KRW-BTC"]);
    life.connect();
    life.advance(t.tls - ms(1));
    assert_eq!(life.losses(), []);
    life.advance(ms(1));
    assert_eq!(life.losses(), [Loss::Timeout(Stage::Tls)]);

    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    life.receive(b"HTTP/1.1 101 Switching Proto");
    life.advance(t.upgrade);
    assert_eq!(life.losses(), [Loss::Timeout(Stage::Upgrade)]);
}

#[test]
fn an_answer_that_comes_after_its_deadline_changes_nothing() {
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    life.advance(Timeouts::default().resolve);
    let state = life.session.state();
    life.session.handle_resolved(life.now, Ok(vec!["192.0.2.1:443".parse().unwrap()]));
    life.session.handle_secured(life.now);
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
    assert_eq!(life.losses(), [Loss::Timeout(Stage::Resolve)]);
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
    assert_eq!(life.losses(), [Loss::Connect(ErrorKind::ConnectionRefused)]);
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

// ---- refusals ----

fn refuse(answer: &str) -> (Life, Loss) {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.connect();
    life.receive(answer.as_bytes());
    let mut losses = life.losses();
    assert_eq!(losses.len(), 1, "{answer}");
    (life, losses.remove(0))
}

#[test]
fn a_refusal_is_typed_and_its_wait_is_kept() {
    let (mut life, loss) = refuse("HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow");
    let Loss::Rejected(rejection) = loss else { panic!("{loss:?}") };
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
    life.session.handle_connected(life.now);
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
    let (mut life, loss) = refuse("HTTP/1.1 301 Moved\r\nLocation: wss://evil/\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(loss, Loss::Rejected(r) if r.kind == RejectionKind::Redirect));
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
        let losses = life.losses();
        assert!(matches!(&losses[..], [Loss::Rejected(r)] if r.status == 418 && &*r.body == "banned"), "{losses:?}");
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
        assert!(matches!(&life.losses()[..], [loss] if loss.code() == code));
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

/// Wanting nothing for a moment was a way around every pause: the next wish was dialed for at once.
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
    assert_eq!(life.losses(), [Loss::Unwanted]);
    assert_eq!(life.session.blocked_until(life.now).map(|at| at.since(life.now) >= secs(60)), Some(true));
    life.want(&["KRW-BTC"]);
    life.advance(secs(60) - ms(1));
    assert_eq!(life.dials(), []);
}

// ---- losses and coming back ----

#[test]
fn after_a_clean_loss_the_first_try_is_at_once_and_everything_is_asked_for_again() {
    let mut life = Life::active(config());
    life.want(&["KRW-BTC", "KRW-XRP"]);
    life.advance(ms(250));
    life.dials();
    life.sent();
    life.receive(&frame(8, &1000u16.to_be_bytes()));
    assert_eq!(life.losses(), [Loss::ClosedByPeer { code: 1000, reason: "".into() }]);
    assert_eq!(life.sent(), [Sent::Close(1000)], "a close frame is answered");
    life.advance(Duration::ZERO);
    life.open();
    assert_eq!(life.session.epoch(), Epoch(2));
    assert!(life.requests()[0].contains(r#"["KRW-BTC","KRW-XRP"]"#));
    life.data("KRW-BTC", 2);
    assert_eq!(life.delivered.0.last().map(|(epoch, _)| *epoch), Some(Epoch(2)));
}

#[test]
fn a_server_that_accepts_and_closes_is_not_dialed_faster_than_the_exchange_allows() {
    let mut life = Life::active(config());
    life.closed(Closed::Eof);
    let mut dialed: Vec<Nanos> = vec![];
    while life.now < START + secs(60) {
        life.advance(ms(1));
        if life.dials().is_empty() {
            continue;
        }
        dialed.push(life.now);
        // It even sends data for a while before it closes, so that every try looks like a success.
        life.connected();
        let answer = life.switching_protocols();
        life.receive(&answer);
        life.data("KRW-BTC", dialed.len() as u64 + 1);
        life.advance(ms(250));
        life.closed(Closed::Io(ErrorKind::ConnectionReset));
    }
    assert!(dialed.len() > 100, "it does not give up: {} dials", dialed.len());
    for (i, first) in dialed.iter().enumerate() {
        assert!(dialed[i..].iter().take_while(|t| t.since(*first) < secs(1)).count() <= 5);
    }
}

#[test]
fn a_server_that_sends_a_snapshot_and_closes_is_met_with_growing_pauses() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    let mut dials = 0;
    while life.now < START + secs(600) {
        if !life.dials().is_empty() {
            dials += 1;
            life.connected();
            let answer = life.switching_protocols();
            life.receive(&answer);
            life.data("KRW-BTC", dials);
            life.closed(Closed::Eof);
        }
        life.advance(ms(10));
    }
    assert!((20..100).contains(&dials), "{dials} dials in ten minutes");
}

/// Of some sockets nothing but answered pings is to be expected. Each routine close of such a one, hours apart, counted as
/// a failed try, and the pauses grew.
#[test]
fn a_socket_that_lived_long_without_data_has_worked() {
    let mut life = Life::new(config());
    let changes = trades(&["KRW-BTC"]).wants().iter().map(|want| Want { mode: Mode::RealtimeOnly, ..*want }).collect();
    life.session.set_wish(life.now, Wish { revision: 1, streams: changes, ..Wish::default() });
    life.settle();
    for _ in 0..10 {
        life.open();
        life.answer_pings(secs(3600));
        life.receive(&frame(8, &1000u16.to_be_bytes()));
        assert_eq!(life.pause(), Duration::ZERO);
        life.advance(Duration::ZERO);
    }
    // One that ends soon has not.
    for _ in 0..10 {
        life.open();
        life.answer_pings(secs(59));
        life.receive(&frame(8, &1000u16.to_be_bytes()));
        life.advance(life.pause());
    }
    assert!(life.pause() > secs(1));
}

#[test]
fn failures_before_a_socket_that_worked_are_forgotten_though_it_was_left_on_purpose() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    for _ in 0..10 {
        life.closed(Closed::Io(ErrorKind::ConnectionRefused));
        life.advance(life.pause());
    }
    assert!(life.pause() > secs(1));
    life.open();
    life.data("KRW-BTC", 1);
    life.advance(secs(1));
    life.want(&[]);
    life.receive(&frame(8, &1000u16.to_be_bytes()));
    life.want(&["KRW-BTC"]);
    life.closed(Closed::Io(ErrorKind::ConnectionRefused));
    assert!(life.pause() <= ms(250), "the first failure in a row");
}

#[test]
fn an_address_that_fails_after_tcp_does_not_hide_the_others() {
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    let addresses: Vec<SocketAddr> = (1..=2).map(|n| format!("192.0.2.{n}:443").parse().unwrap()).collect();
    let mut tried = HashSet::new();
    for _ in 0..4 {
        life.session.handle_resolved(life.now, Ok(addresses.clone()));
        life.settle();
        tried.extend(life.dials());
        life.session.handle_connected(life.now);
        life.closed(Closed::Tls("bad certificate".to_owned()));
        while life.session.state() != State::Connecting {
            life.advance(ms(10));
        }
    }
    assert_eq!(tried.len(), 2);
}

/// A flood of reports about messages once pushed the report of the loss out of the queue: the link stayed up.
#[test]
fn a_flood_of_unreadable_messages_does_not_hide_the_loss_of_the_socket() {
    let mut life = Life::active(config());
    let mut bytes: Vec<u8> = (0..300).flat_map(|_| frame(2, b"{")).collect();
    bytes.extend(frame(8, &1000u16.to_be_bytes()));
    life.events.clear();
    life.receive(&bytes);
    assert_eq!(states(&life), [State::Reconnecting]);
    assert!(matches!(life.losses()[..], [Loss::ClosedByPeer { .. }]));
    assert!(life.session.counters().events_dropped > 0);
}

#[test]
fn a_peer_that_sends_only_what_cannot_be_read_is_not_called_silent() {
    let mut life = Life::active(config());
    for _ in 0..9 {
        life.advance(secs(1));
        life.message(r#"{"type":"trade"}"#);
    }
    assert_eq!(life.losses(), []);
}

#[test]
fn data_beside_a_bad_element_of_a_list_is_data() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    life.open();
    life.message(&format!("[{},{{}},{}]", trade_message("KRW-BTC", 1), trade_message("KRW-BTC", 2)));
    assert_eq!((life.session.state(), life.delivered.0.len()), (State::Active, 2));
    let counters = life.session.counters();
    assert_eq!((counters.data, counters.malformed), (2, 1));
}

#[test]
fn without_success_the_pauses_grow_and_never_end() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    let mut dials = 0;
    while life.now < START + secs(3600) {
        life.advance(secs(1));
        let n = life.dials().len();
        dials += n;
        if n > 0 {
            life.closed(Closed::Io(ErrorKind::ConnectionRefused));
        }
    }
    assert!((120..600).contains(&dials), "an hour of refusals: {dials} dials");
}

#[test]
fn silence_is_asked_about_and_then_ends_the_connection() {
    let t = Timeouts::default();
    let mut life = Life::active(config());
    life.sent();
    life.advance(t.ping_after);
    assert!(matches!(life.sent()[..], [Sent::Ping(_)]));
    life.advance(t.silent_after - t.ping_after - ms(1));
    assert_eq!(life.losses(), []);
    life.advance(ms(1));
    assert_eq!(life.losses(), [Loss::Silent(t.silent_after)]);
}

#[test]
fn bytes_that_trickle_are_no_sign_of_life() {
    let mut life = Life::active(config());
    let message = frame(2, trade_message("KRW-BTC", 9).as_bytes());
    for byte in &message[..20] {
        life.receive(std::slice::from_ref(byte));
        life.advance(ms(500));
    }
    assert!(matches!(life.losses()[..], [Loss::Silent(_), ..]));
}

#[test]
fn a_mute_exchange_is_asked_again_and_then_left() {
    let mut life = Life::active(config());
    life.requests();
    life.answer_pings(secs(16));
    assert!(matches!(life.losses()[..], [Loss::Mute(time)] if time >= secs(15)));
    assert_eq!(life.session.counters().requests, 2, "the subscription was sent again before");
}

#[test]
fn a_quiet_market_is_not_taken_for_a_mute_exchange() {
    let mut life = Life::active(config());
    life.requests();
    let mut requests = 0;
    while life.now < START + secs(600) {
        life.advance(ms(100));
        for sent in life.sent() {
            match sent {
                Sent::Ping(payload) => life.receive(&frame(10, &payload)),
                // Nobody trades, so the snapshot is the same trade each time.
                Sent::Text(_) => {
                    requests += 1;
                    life.data("KRW-BTC", 1);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(life.losses(), []);
    assert!((55..=60).contains(&requests), "one question each 10 s: {requests}");
}

/// Each change of the streams began the wait for data again. Where they changed often, a dead feed was kept for ever.
#[test]
fn a_mute_socket_is_found_however_often_the_streams_change() {
    for every in [1, 4, 5, 9, 14, 16] {
        let mut life = Life::active(config());
        let start = life.now;
        for n in 0.. {
            assert!(life.now.since(start) < secs(60), "a change each {every} s hides that data stopped");
            life.want_with_running(&["KRW-BTC", ["KRW-ETH", "KRW-XRP"][n % 2]], &["KRW-BTC"]);
            life.answer_pings(secs(every));
            if !life.session.state().is_open() {
                break;
            }
        }
        assert!(matches!(life.losses()[..], [Loss::Mute(time)] if time == secs(15)), "a change each {every} s");
    }
}

/// Nothing of what is wanted is known to exist, so it takes longer.
#[test]
fn a_mute_socket_is_found_though_the_streams_are_different_ones_each_time() {
    let mut life = Life::active(config());
    for n in 0..60 {
        life.want(&[&format!("KRW-C{n}")]);
        life.answer_pings(secs(5));
    }
    assert!(matches!(life.losses()[..], [Loss::Mute(time)] if time <= secs(90)));
}

#[test]
fn changes_of_the_streams_do_not_make_a_quiet_exchange_a_mute_one() {
    let mut life = Life::active(config());
    life.requests();
    let (mut changes, mut requests) = (0, 0);
    while life.now < START + secs(600) {
        if life.now >= START + secs(7) * changes {
            changes += 1;
            // All of it runs already, so nobody owes a snapshot.
            life.want_with_running(&["KRW-BTC", "KRW-ETH"][..1 + changes as usize % 2], &["KRW-BTC", "KRW-ETH"]);
        }
        life.advance(ms(100));
        for sent in life.sent() {
            match sent {
                Sent::Ping(payload) => life.receive(&frame(10, &payload)),
                Sent::Text(request) => {
                    requests += 1;
                    if !request.contains("is_only_realtime") {
                        life.data("KRW-BTC", 1);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(life.losses(), []);
    assert!(requests < 2 * changes, "{requests} requests for {changes} changes");
}

/// The second mute socket in a row was kept for ever.
#[test]
fn mute_sockets_in_a_row_are_replaced_each_after_a_longer_wait() {
    let mut life = Life::active(config());
    let mute_for = |life: &mut Life| {
        life.answer_pings(secs(3600));
        let losses = life.losses();
        let [Loss::Mute(time)] = losses[..] else { panic!("{losses:?}") };
        while life.actions.last().is_none_or(|action| !matches!(action, Action::Connect(_))) {
            life.advance(ms(10));
        }
        life.open();
        time.as_secs()
    };
    assert_eq!([(); 6].map(|()| mute_for(&mut life)), [15, 40, 150, 410, 930, 930]);
    life.data("KRW-BTC", 2);
    assert_eq!(mute_for(&mut life), 15, "data came, so the next one is the first in a row");
}

/// The sockets that it costs in an hour, the first included, if pings are answered and nothing else.
fn sockets_in_an_hour(mut life: Life) -> u32 {
    let (end, mut sockets) = (life.now + secs(3600), 1);
    while life.now < end {
        life.answer_pings(secs(1));
        if !life.session.state().is_open() {
            life.advance(secs(1));
            life.open();
            sockets += 1;
        }
    }
    assert!(life.losses().iter().all(|loss| matches!(loss, Loss::Mute(_))));
    sockets
}

/// Perhaps these markets do not exist, and perhaps the socket has never worked.
#[test]
fn codes_that_never_answer_cost_a_connection_now_and_then() {
    let mut life = Life::new(config());
    life.want(&["KRW-NOPE"]);
    life.open();
    life.answer_pings(secs(149));
    assert_eq!(life.losses(), []);
    assert_eq!(life.session.counters().requests, 5, "asked with growing patience");
    let sockets = sockets_in_an_hour(life);
    assert!((6..=9).contains(&sockets), "{sockets}");
}

/// A market that is suspended had answered once, and each new socket was replaced for its silence, a hundred an hour.
#[test]
fn a_market_that_falls_silent_for_good_costs_ever_fewer_connections() {
    let sockets = sockets_in_an_hour(Life::active(config()));
    assert!((6..=9).contains(&sockets), "{sockets}");
}

/// Frames of the old set made the new one look answered, and the connection was replaced at once, for ever.
#[test]
fn old_frames_do_not_answer_for_codes_that_never_will() {
    let mut life = Life::active(config());
    life.want(&["KRW-NOPE"]);
    life.advance(ms(30));
    life.data("KRW-BTC", 2);
    life.answer_pings(secs(140));
    assert_eq!(life.losses(), []);
}

/// Nothing answers for streams of which only changes are wanted. The socket was replaced after each 15 s without a trade.
#[test]
fn where_only_changes_are_wanted_quiet_is_not_mute() {
    let mut life = Life::new(config());
    let changes = trades(&["KRW-BTC"]).wants().iter().map(|want| Want { mode: Mode::RealtimeOnly, ..*want }).collect();
    life.session.set_wish(life.now, Wish { revision: 1, streams: changes, ..Wish::default() });
    life.settle();
    life.open();
    life.data("KRW-BTC", 1);
    life.answer_pings(secs(600));
    assert_eq!(life.losses(), []);
    assert!((10..=15).contains(&life.session.counters().requests), "asked with growing patience");
}

#[test]
fn the_status_option_asks_once_and_up_is_no_data() {
    let mut life = Life::new(super::Config { keep_alive: KeepAlive::PingAndStatus, ..config() });
    life.want(&["KRW-BTC"]);
    life.open();
    assert_eq!(life.requests().last().map(String::as_str), Some("PING"));
    life.data("KRW-BTC", 1);
    for _ in 0..20 {
        life.advance(secs(1));
        life.message(r#"{"status":"UP"}"#);
    }
    assert!(matches!(life.losses()[..], [Loss::Mute(_), ..]), "UP keeps the socket alive and hides nothing");
}

#[test]
fn a_name_that_does_not_resolve_is_tried_for_ever() {
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    for answer in [Ok(vec![]), Err("no such host".to_owned())] {
        life.session.handle_resolved(life.now, answer);
        life.settle();
        assert!(matches!(life.losses()[..], [Loss::Resolve(_)]));
        life.advance(secs(40));
        assert!(matches!(life.losses()[..], [] | [Loss::Timeout(Stage::Resolve), ..]));
        life.session.handle_resolved(life.now, Err("again".to_owned()));
        life.settle();
        life.losses();
        while life.session.state() != State::Connecting {
            life.advance(ms(10));
        }
        life.losses();
    }
}

#[test]
fn a_message_cut_off_by_the_end_of_the_socket_is_counted_and_not_delivered() {
    let mut life = Life::active(config());
    let message = frame(2, trade_message("KRW-BTC", 2).as_bytes());
    life.receive(&message[..message.len() - 1]);
    life.closed(Closed::Eof);
    life.advance(secs(1));
    life.open();
    life.data("KRW-BTC", 3);
    assert_eq!((life.session.counters().cut_off, life.delivered.0.len()), (1, 2));
    life.closed(Closed::Eof);
    assert_eq!(life.session.counters().cut_off, 1, "between messages nothing is cut off");
    life.advance(secs(1));
    life.open();
    life.want(&[]);
    life.receive(&message[..message.len() - 1]);
    life.closed(Closed::Eof);
    assert_eq!(life.session.counters().cut_off, 2, "after our goodbye, too");
}

// ---- protocol ----

#[test]
fn a_peer_that_breaks_the_protocol_is_told_so_and_left() {
    let masked = [0x82, 0x80, 1, 2, 3, 4];
    let reserved = [0xf2, 0x00];
    let huge = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let bad_text = frame(1, &[0xff, 0xfe]);
    for (bytes, code) in [(&masked[..], 1002), (&reserved, 1002), (&huge, 1009), (&bad_text, 1007)] {
        let mut life = Life::active(config());
        life.sent();
        life.receive(bytes);
        assert!(matches!(life.losses()[..], [Loss::Violation(_)]), "{bytes:?}");
        assert_eq!(life.sent(), [Sent::Close(code)], "{bytes:?}");
        assert_eq!(life.session.state(), State::Reconnecting);
    }
}

#[test]
fn messages_that_cannot_be_read_are_counted_and_cost_nothing_else() {
    let mut life = Life::active(config());
    for bad in ["", "null", "[]", "{", r#"{"type":"trade"}"#, "\u{0}", &"[".repeat(60_000)] {
        life.message(bad);
    }
    life.data("KRW-BTC", 2);
    assert_eq!(life.session.counters().malformed, 7);
    assert_eq!((life.losses(), life.session.state(), life.delivered.0.len()), (vec![], State::Active, 2));
}

#[test]
fn an_error_of_the_exchange_is_reported_and_its_close_is_not_met_with_a_storm() {
    let mut life = Life::new(config());
    life.want(&["KRW-BTC"]);
    let mut dials = 0;
    while life.now < START + secs(60) {
        let n = life.dials().len();
        dials += n;
        if n > 0 {
            life.connected();
            let answer = life.switching_protocols();
            life.receive(&answer);
            life.message(r#"{"error":{"message":"Format","name":"WRONG_FORMAT"}}"#);
            life.receive(&frame(8, &1000u16.to_be_bytes()));
        }
        life.advance(ms(10));
    }
    assert!(life.events.iter().any(|e| matches!(e, Event::ServerError(_))));
    assert!((3..40).contains(&dials), "{dials} dials in a minute");
}

#[test]
fn a_flood_of_pings_is_answered_only_as_far_as_the_answers_go_out() {
    let mut life = Life::active(config());
    let flood: Vec<u8> = (0..5000).flat_map(|_| frame(9, &[0; 100])).collect();
    let mut fed = 0;
    // Nothing is sent meanwhile: the peer does not read.
    for piece in flood.chunks(16 * 1024) {
        life.session.spare()[..piece.len()].copy_from_slice(piece);
        life.session.handle_received(life.now, piece.len(), &mut life.delivered);
        fed += 1;
    }
    assert!(fed > 30 && life.session.poll_transmit().len() < 32 * 1024);
    let counters = life.session.counters();
    assert_eq!(counters.pings_received, 5000);
    assert!(counters.pings_unanswered > 4000);
}

// ---- refused requests ----

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
    assert_eq!(life.losses(), []);
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
    assert_eq!(life.losses(), []);
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

// ---- changes of demand ----

/// What a change each millisecond for `length` costs: requests in all, and the time from the last change to the request
/// that carries it. Whoever owns the demand gathers changes for the window of the pacing, from the first one on.
fn storm(pacing: Pacing, length: Duration) -> (u64, Duration) {
    let mut life = Life::active(super::Config { pacing, ..config() });
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
    assert_eq!(life.losses(), []);
}

#[test]
fn the_same_wish_twice_is_one_request() {
    let mut life = Life::active(config());
    life.requests();
    let wish = Wish { revision: 99, streams: trades(&["KRW-ETH"]), ..Wish::default() };
    life.session.set_wish(life.now, wish.clone());
    life.session.set_wish(life.now, wish);
    life.settle();
    assert_eq!(life.requests().len(), 1);
}

/// The question names a format as every request does, and must not change the one that the socket has.
#[test]
fn what_is_subscribed_is_asked_for_in_the_format_of_the_wish() {
    let mut life = Life::active(config());
    life.requests();
    let (streams, format) = (trades(&["KRW-BTC"]), Format::JsonList);
    life.session.set_wish(life.now, Wish { revision: 99, streams, format, ..Wish::default() });
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
    assert_eq!(life.losses(), [Loss::Unwanted]);
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
