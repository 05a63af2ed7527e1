//! Sockets that end, fall silent or go mute, and the way back.

use super::super::testing::{Life, START, Sent, config, frame, ms, secs, trade_message, trades};
use super::super::{Action, Closed, Disconnect, Stage, State};
use super::{named, states};
use crate::config::{Config, KeepAlive, Timeouts};
use crate::model::{Epoch, Nanos};
use crate::plan::{DesiredSet, Mode, StreamSpec};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

#[test]
fn after_a_clean_disconnect_the_first_try_is_at_once_and_everything_is_asked_for_again() {
    let mut life = Life::active(config());
    life.want(&["KRW-BTC", "KRW-XRP"]);
    life.advance(ms(250));
    life.dials();
    life.sent();
    life.receive(&frame(8, &1000u16.to_be_bytes()));
    assert_eq!(life.disconnects(), [Disconnect::ClosedByPeer { code: 1000, reason: "".into() }]);
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
    let changes =
        trades(&["KRW-BTC"]).specs().iter().map(|spec| StreamSpec { mode: Mode::RealtimeOnly, ..*spec }).collect();
    life.session.set_desired(life.now, DesiredSet { revision: 1, streams: changes, ..DesiredSet::default() });
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
        life.session.handle_connected(life.now, life.socket);
        life.closed(Closed::Tls("bad certificate".to_owned()));
        while life.session.state() != State::Connecting {
            life.advance(ms(10));
        }
    }
    assert_eq!(tried.len(), 2);
}

/// A flood of reports about messages once pushed the report of the disconnect out of the queue: the link stayed up.
#[test]
fn a_flood_of_unreadable_messages_does_not_hide_the_disconnect_of_the_socket() {
    let mut life = Life::active(config());
    let mut bytes: Vec<u8> = (0..300).flat_map(|_| frame(2, b"{")).collect();
    bytes.extend(frame(8, &1000u16.to_be_bytes()));
    life.events.clear();
    life.receive(&bytes);
    assert_eq!(states(&life), [State::Reconnecting]);
    assert!(matches!(life.disconnects()[..], [Disconnect::ClosedByPeer { .. }]));
    assert!(life.session.counters().events_dropped > 0);
}

#[test]
fn a_peer_that_sends_only_what_cannot_be_read_is_not_called_silent() {
    let mut life = Life::active(config());
    for _ in 0..9 {
        life.advance(secs(1));
        life.message(r#"{"type":"trade"}"#);
    }
    assert_eq!(life.disconnects(), []);
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
    assert_eq!(life.disconnects(), []);
    life.advance(ms(1));
    assert_eq!(life.disconnects(), [Disconnect::Silent(t.silent_after)]);
}

#[test]
fn bytes_that_trickle_are_no_sign_of_life() {
    let mut life = Life::active(config());
    let message = frame(2, trade_message("KRW-BTC", 9).as_bytes());
    for byte in &message[..20] {
        life.receive(std::slice::from_ref(byte));
        life.advance(ms(500));
    }
    assert!(matches!(life.disconnects()[..], [Disconnect::Silent(_), ..]));
}

#[test]
fn a_mute_exchange_is_asked_again_and_then_left() {
    let mut life = Life::active(config());
    life.requests();
    life.answer_pings(secs(16));
    assert!(matches!(life.disconnects()[..], [Disconnect::Mute(time)] if time >= secs(15)));
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
    assert_eq!(life.disconnects(), []);
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
        assert!(
            matches!(life.disconnects()[..], [Disconnect::Mute(time)] if time == secs(15)),
            "a change each {every} s"
        );
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
    assert!(matches!(life.disconnects()[..], [Disconnect::Mute(time)] if time <= secs(90)));
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
    assert_eq!(life.disconnects(), []);
    assert!(requests < 2 * changes, "{requests} requests for {changes} changes");
}

/// The second mute socket in a row was kept for ever.
#[test]
fn mute_sockets_in_a_row_are_replaced_each_after_a_longer_wait() {
    let mut life = Life::active(config());
    let mute_for = |life: &mut Life| {
        life.answer_pings(secs(3600));
        let disconnects = life.disconnects();
        let [Disconnect::Mute(time)] = disconnects[..] else { panic!("{disconnects:?}") };
        while life.actions.last().is_none_or(|action| !matches!(action, Action::Connect(..))) {
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
    assert!(life.disconnects().iter().all(|disconnect| matches!(disconnect, Disconnect::Mute(_))));
    sockets
}

/// Perhaps these markets do not exist, and perhaps the socket has never worked.
#[test]
fn codes_that_never_answer_cost_a_connection_now_and_then() {
    let mut life = Life::new(config());
    life.want(&["KRW-NOPE"]);
    life.open();
    life.answer_pings(secs(149));
    assert_eq!(life.disconnects(), []);
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
    assert_eq!(life.disconnects(), []);
}

/// Nothing answers for streams of which only changes are wanted. The socket was replaced after each 15 s without a trade.
#[test]
fn where_only_changes_are_wanted_quiet_is_not_mute() {
    let mut life = Life::new(config());
    let changes =
        trades(&["KRW-BTC"]).specs().iter().map(|spec| StreamSpec { mode: Mode::RealtimeOnly, ..*spec }).collect();
    life.session.set_desired(life.now, DesiredSet { revision: 1, streams: changes, ..DesiredSet::default() });
    life.settle();
    life.open();
    life.data("KRW-BTC", 1);
    life.answer_pings(secs(600));
    assert_eq!(life.disconnects(), []);
    assert!((10..=15).contains(&life.session.counters().requests), "asked with growing patience");
}

#[test]
fn the_status_option_asks_once_and_up_is_no_data() {
    let mut life = Life::new(Config { keep_alive: KeepAlive::PingAndStatus, ..config() });
    life.want(&["KRW-BTC"]);
    life.open();
    assert_eq!(life.requests().last().map(String::as_str), Some("PING"));
    life.data("KRW-BTC", 1);
    for _ in 0..20 {
        life.advance(secs(1));
        life.message(r#"{"status":"UP"}"#);
    }
    assert!(matches!(life.disconnects()[..], [Disconnect::Mute(_), ..]), "UP keeps the socket alive and hides nothing");
}

#[test]
fn a_name_that_does_not_resolve_is_tried_for_ever() {
    let mut life = Life::new(named("wss://example.test/"));
    life.want(&["KRW-BTC"]);
    for answer in [Ok(vec![]), Err("no such host".to_owned())] {
        life.session.handle_resolved(life.now, answer);
        life.settle();
        assert!(matches!(life.disconnects()[..], [Disconnect::Resolve(_)]));
        life.advance(secs(40));
        assert!(matches!(life.disconnects()[..], [] | [Disconnect::Timeout(Stage::Resolve), ..]));
        life.session.handle_resolved(life.now, Err("again".to_owned()));
        life.settle();
        life.disconnects();
        while life.session.state() != State::Connecting {
            life.advance(ms(10));
        }
        life.disconnects();
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
