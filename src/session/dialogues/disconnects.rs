//! Dialogues about sockets that end, fall silent or go mute, and about reconnecting.

use super::super::testing::{Harness, START, Sent, config, frame, ms, secs, trade_message, trades};
use super::super::{Action, Closed, Disconnect, Stage, State};
use super::{named, states};
use crate::config::{Backoff, Config, KeepAlive, Timeouts};
use crate::model::{Epoch, Nanos};
use crate::plan::{DesiredSet, Mode, StreamSpec};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

#[test]
fn after_a_clean_disconnect_the_first_attempt_has_no_delay_and_requests_all_streams() {
    let mut harness = Harness::active(config());
    harness.subscribe(&["KRW-BTC", "KRW-XRP"]);
    harness.advance(ms(250));
    harness.dials();
    harness.sent();
    harness.receive(&frame(8, &1000u16.to_be_bytes()));
    assert_eq!(harness.disconnects(), [Disconnect::ClosedByPeer { code: 1000, reason: "".into() }]);
    assert_eq!(harness.sent(), [Sent::Close(1000)], "a close frame is answered");
    harness.advance(Duration::ZERO);
    harness.open();
    assert_eq!(harness.session.epoch(), Epoch(2));
    assert!(harness.requests()[0].contains(r#"["KRW-BTC","KRW-XRP"]"#));
    harness.data("KRW-BTC", 2);
    assert_eq!(harness.delivered.0.last().map(|(epoch, _)| *epoch), Some(Epoch(2)));
}

#[test]
fn a_server_that_accepts_and_closes_is_not_dialed_faster_than_the_exchange_allows() {
    // Without pauses, only the budget limits the dials.
    let mut harness = Harness::active(Config { backoff: Backoff::constant(ms(1)), ..config() });
    harness.closed(Closed::Eof);
    let mut dialed: Vec<Nanos> = vec![];
    while harness.now < START + secs(60) {
        harness.advance(ms(1));
        if harness.dials().is_empty() {
            continue;
        }
        dialed.push(harness.now);
        // The server even sends some data before it closes.
        harness.connected();
        let answer = harness.switching_protocols();
        harness.receive(&answer);
        harness.data("KRW-BTC", dialed.len() as u64 + 1);
        harness.advance(ms(200));
        harness.closed(Closed::Io(ErrorKind::ConnectionReset));
    }
    assert!(dialed.len() > 100, "the session does not give up: {} dials", dialed.len());
    for (i, first) in dialed.iter().enumerate() {
        assert!(dialed[i..].iter().take_while(|t| t.since(*first) < secs(1)).count() <= 5);
    }
}

/// The server opens each WebSocket, sends something for `life`, and closes. Returns the number of dials in ten minutes.
fn dials_of_short_sockets(life: Duration, mut send: impl FnMut(&mut Harness, u64)) -> u64 {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    let (mut dials, mut sent) = (0, 0);
    while harness.now < START + secs(600) {
        if !harness.dials().is_empty() {
            dials += 1;
            harness.connected();
            let answer = harness.switching_protocols();
            harness.receive(&answer);
            let end = harness.now + life;
            loop {
                sent += 1;
                send(&mut harness, sent);
                if harness.now >= end {
                    break;
                }
                harness.advance(ms(50));
            }
            harness.closed(Closed::Eof);
        }
        harness.advance(ms(10));
    }
    dials
}

/// A server that sent data for 250 ms was once dialed again at once, forever.
#[test]
fn pauses_grow_if_the_server_sends_a_little_and_closes() {
    for life in [0, 250, 600, 1900] {
        let little: [fn(&mut Harness, u64); 4] = [
            |harness, sent| harness.data("KRW-BTC", sent),
            |harness, _| harness.message(r#"{"status":"UP"}"#),
            |harness, _| harness.message(r#"{"type":"trade"}"#),
            |harness, _| harness.receive(&frame(9, b"")),
        ];
        for (kind, send) in little.into_iter().enumerate() {
            let dials = dials_of_short_sockets(ms(life), send);
            assert!((20..100).contains(&dials), "{dials} dials in ten minutes, message {kind} for {life} ms");
        }
    }
    let dials = dials_of_short_sockets(secs(2), |harness, sent| harness.data("KRW-BTC", sent));
    assert!(dials > 250, "a socket that has worked for 2 s is replaced at once: {dials} dials in ten minutes");
}

/// Some sockets carry nothing but answers to pings. When the exchange closed them, each of these closes once counted as a
/// failed attempt, so the pauses grew.
#[test]
fn a_socket_that_lived_long_without_data_has_worked() {
    let mut harness = Harness::new(config());
    let changes =
        trades(&["KRW-BTC"]).specs().iter().map(|spec| StreamSpec { mode: Mode::RealtimeOnly, ..*spec }).collect();
    harness.session.set_desired(harness.now, DesiredSet { revision: 1, streams: changes, ..DesiredSet::default() });
    harness.settle();
    for _ in 0..10 {
        harness.open();
        harness.answer_pings(secs(100));
        harness.receive(&frame(8, &1000u16.to_be_bytes()));
        assert_eq!(harness.pause(), Duration::ZERO);
        harness.advance(Duration::ZERO);
    }
    // A socket that ends soon has not worked.
    for _ in 0..10 {
        harness.open();
        harness.answer_pings(secs(59));
        harness.receive(&frame(8, &1000u16.to_be_bytes()));
        harness.advance(harness.pause());
    }
    assert!(harness.pause() > secs(1));
}

#[test]
fn a_socket_that_worked_resets_the_failures_even_if_closed_on_purpose() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    for _ in 0..10 {
        harness.closed(Closed::Io(ErrorKind::ConnectionRefused));
        harness.advance(harness.pause());
    }
    assert!(harness.pause() > secs(1));
    harness.open();
    harness.data("KRW-BTC", 1);
    harness.advance(secs(2));
    harness.subscribe(&[]);
    harness.receive(&frame(8, &1000u16.to_be_bytes()));
    harness.subscribe(&["KRW-BTC"]);
    harness.closed(Closed::Io(ErrorKind::ConnectionRefused));
    assert!(harness.pause() <= ms(250), "the first failure in a row");
}

#[test]
fn an_address_that_fails_after_tcp_does_not_hide_the_others() {
    let mut harness = Harness::new(named("wss://example.test/"));
    harness.subscribe(&["KRW-BTC"]);
    let addresses: Vec<SocketAddr> = (1..=2).map(|n| format!("192.0.2.{n}:443").parse().unwrap()).collect();
    let mut tried = HashSet::new();
    for _ in 0..4 {
        harness.session.handle_resolved(harness.now, Ok(addresses.clone()));
        harness.settle();
        tried.extend(harness.dials());
        harness.session.handle_connected(harness.now, harness.socket);
        harness.closed(Closed::Tls("bad certificate".to_owned()));
        while harness.session.state() != State::Connecting {
            harness.advance(ms(10));
        }
    }
    assert_eq!(tried.len(), 2);
}

/// A flood of events about messages once pushed the disconnect event out of the queue, so the connection was still
/// reported as up.
#[test]
fn a_flood_of_unreadable_messages_or_lists_does_not_hide_the_disconnect_of_the_socket() {
    let list = br#"{"method":"LIST_SUBSCRIPTIONS","result":[],"ticket":"t"}"#;
    for (flood, dropped) in [(&b"{"[..], 0), (list, 100)] {
        let mut harness = Harness::active(config());
        // All in one read, so nothing is drained in between.
        let mut bytes: Vec<u8> = (0..256 + 100).flat_map(|_| frame(2, flood)).collect();
        bytes.extend(frame(8, &1000u16.to_be_bytes()));
        harness.events.clear();
        let spare = harness.session.spare(harness.socket);
        spare[..bytes.len()].copy_from_slice(&bytes);
        harness.session.handle_received(harness.now, harness.socket, bytes.len(), &mut harness.delivered);
        harness.settle();
        assert_eq!(harness.session.counters().events_dropped, dropped);
        assert_eq!(states(&harness), [State::Reconnecting]);
        assert!(matches!(harness.disconnects()[..], [Disconnect::ClosedByPeer { .. }]));
    }
}

#[test]
fn a_peer_that_sends_only_unreadable_messages_is_not_silent() {
    let mut harness = Harness::active(config());
    for _ in 0..9 {
        harness.advance(secs(1));
        harness.message(r#"{"type":"trade"}"#);
    }
    assert_eq!(harness.disconnects(), []);
}

#[test]
fn data_next_to_a_bad_element_of_a_list_is_delivered() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    harness.open();
    harness.message(&format!("[{},{{}},{}]", trade_message("KRW-BTC", 1), trade_message("KRW-BTC", 2)));
    assert_eq!((harness.session.state(), harness.delivered.0.len()), (State::Active, 2));
    let counters = harness.session.counters();
    assert_eq!((counters.data, counters.malformed), (2, 1));
}

/// Returns the number of dials in an hour in which each attempt fails in this way.
fn dials_in_an_hour(mut fail: impl FnMut(&mut Harness)) -> usize {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    let mut dials = 0;
    while harness.now < START + secs(3600) {
        harness.advance(secs(1));
        let n = harness.dials().len();
        dials += n;
        if n > 0 {
            fail(&mut harness);
        }
    }
    dials
}

/// An unreachable exchange was once dialed every 15 s on average, and up to 30 s after it was back.
#[test]
fn without_success_the_pauses_grow_as_the_cause_allows_and_never_end() {
    let refused = dials_in_an_hour(|harness| harness.closed(Closed::Io(ErrorKind::ConnectionRefused)));
    assert!((1200..3600).contains(&refused), "the network: {refused} dials");
    let answered = |status: &'static str| {
        move |harness: &mut Harness| {
            harness.connected();
            harness.receive(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    };
    let unavailable = dials_in_an_hour(answered("503 Service Unavailable"));
    assert!((120..600).contains(&unavailable), "the exchange: {unavailable} dials");
    let forbidden = dials_in_an_hour(answered("403 Forbidden"));
    assert!((30..150).contains(&forbidden), "a person: {forbidden} dials");
}

#[test]
fn silence_leads_to_a_ping_and_then_ends_the_connection() {
    let t = Timeouts::default();
    let mut harness = Harness::active(config());
    harness.sent();
    harness.advance(t.ping_after);
    assert!(matches!(harness.sent()[..], [Sent::Ping(_)]));
    harness.advance(t.silent_after - t.ping_after - ms(1));
    assert_eq!(harness.disconnects(), []);
    harness.advance(ms(1));
    assert_eq!(harness.disconnects(), [Disconnect::Silent(t.silent_after)]);
}

#[test]
fn single_bytes_are_not_a_sign_of_life() {
    let mut harness = Harness::active(config());
    let message = frame(2, trade_message("KRW-BTC", 9).as_bytes());
    for byte in &message[..20] {
        harness.receive(std::slice::from_ref(byte));
        harness.advance(ms(500));
    }
    assert!(matches!(harness.disconnects()[..], [Disconnect::Silent(_), ..]));
}

#[test]
fn a_mute_socket_is_probed_and_then_replaced() {
    let mut harness = Harness::active(config());
    harness.requests();
    harness.answer_pings(secs(16));
    assert!(matches!(harness.disconnects()[..], [Disconnect::Mute(time)] if time >= secs(15)));
    assert_eq!(harness.session.counters().requests, 2, "the subscription was sent again before the disconnect");
}

#[test]
fn a_quiet_market_is_not_mistaken_for_a_mute_exchange() {
    let mut harness = Harness::active(config());
    harness.requests();
    let mut requests = 0;
    while harness.now < START + secs(600) {
        harness.advance(ms(100));
        for sent in harness.sent() {
            match sent {
                Sent::Ping(payload) => harness.receive(&frame(10, &payload)),
                // There are no trades, so the snapshot is the same trade each time.
                Sent::Text(_) => {
                    requests += 1;
                    harness.data("KRW-BTC", 1);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(harness.disconnects(), []);
    assert!((55..=60).contains(&requests), "one probe each 10 s: {requests}");
}

/// Each change of the streams once restarted the wait for data. If they changed often, a mute socket was kept forever.
#[test]
fn a_mute_socket_is_found_however_often_the_streams_change() {
    for every in [1, 4, 5, 9, 14, 16] {
        let mut harness = Harness::active(config());
        let start = harness.now;
        for n in 0.. {
            assert!(harness.now.since(start) < secs(60), "a change each {every} s hides that data stopped");
            harness.subscribe_with_running(&["KRW-BTC", ["KRW-ETH", "KRW-XRP"][n % 2]], &["KRW-BTC"]);
            harness.answer_pings(secs(every));
            if !harness.session.state().is_open() {
                break;
            }
        }
        assert!(
            matches!(harness.disconnects()[..], [Disconnect::Mute(time)] if time == secs(15)),
            "a change each {every} s"
        );
    }
}

/// No desired stream is known to exist, so finding the mute socket takes longer.
#[test]
fn a_mute_socket_is_found_even_if_each_change_replaces_all_streams() {
    let mut harness = Harness::active(config());
    for n in 0..60 {
        harness.subscribe(&[&format!("KRW-C{n}")]);
        harness.answer_pings(secs(5));
    }
    assert!(matches!(harness.disconnects()[..], [Disconnect::Mute(time)] if time <= secs(90)));
}

#[test]
fn changes_of_the_streams_do_not_make_a_quiet_exchange_look_mute() {
    let mut harness = Harness::active(config());
    harness.requests();
    let (mut changes, mut requests) = (0, 0);
    while harness.now < START + secs(600) {
        if harness.now >= START + secs(7) * changes {
            changes += 1;
            // All streams run already, so the exchange owes no snapshot.
            harness
                .subscribe_with_running(&["KRW-BTC", "KRW-ETH"][..1 + changes as usize % 2], &["KRW-BTC", "KRW-ETH"]);
        }
        harness.advance(ms(100));
        for sent in harness.sent() {
            match sent {
                Sent::Ping(payload) => harness.receive(&frame(10, &payload)),
                Sent::Text(request) => {
                    requests += 1;
                    if !request.contains("is_only_realtime") {
                        harness.data("KRW-BTC", 1);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(harness.disconnects(), []);
    assert!(requests < 2 * changes, "{requests} requests for {changes} changes");
}

/// The second mute socket in a row was once kept forever.
#[test]
fn mute_sockets_in_a_row_are_replaced_each_after_a_longer_wait() {
    let mut harness = Harness::active(config());
    let mute_for = |harness: &mut Harness| {
        harness.answer_pings(secs(3600));
        let disconnects = harness.disconnects();
        let [Disconnect::Mute(time)] = disconnects[..] else { panic!("{disconnects:?}") };
        while harness.actions.last().is_none_or(|action| !matches!(action, Action::Connect(..))) {
            harness.advance(ms(10));
        }
        harness.open();
        time.as_secs()
    };
    assert_eq!([(); 6].map(|()| mute_for(&mut harness)), [15, 40, 150, 410, 930, 930]);
    harness.data("KRW-BTC", 2);
    assert_eq!(mute_for(&mut harness), 15, "data arrived, so the next mute socket is the first in a row");
}

/// Returns the number of sockets used in an hour, including the first, if the peer only answers pings.
fn sockets_in_an_hour(mut harness: Harness) -> u32 {
    let (end, mut sockets) = (harness.now + secs(3600), 1);
    while harness.now < end {
        harness.answer_pings(secs(1));
        if !harness.session.state().is_open() {
            harness.advance(secs(1));
            harness.open();
            sockets += 1;
        }
    }
    assert!(harness.disconnects().iter().all(|disconnect| matches!(disconnect, Disconnect::Mute(_))));
    sockets
}

/// The markets may not exist, or the socket may never have worked.
#[test]
fn codes_that_never_answer_cost_few_connections() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-NOPE"]);
    harness.open();
    harness.answer_pings(secs(149));
    assert_eq!(harness.disconnects(), []);
    assert_eq!(harness.session.counters().requests, 5, "probed with growing pauses");
    let sockets = sockets_in_an_hour(harness);
    assert!((6..=9).contains(&sockets), "{sockets}");
}

/// The market answered once and was then suspended. Each new socket was found mute and replaced, a hundred in an hour.
#[test]
fn a_market_that_falls_silent_for_good_costs_fewer_and_fewer_connections() {
    let sockets = sockets_in_an_hour(Harness::active(config()));
    assert!((6..=9).contains(&sockets), "{sockets}");
}

/// Frames of the old set once made the new set look answered, and the connection was replaced at once, again and again.
#[test]
fn frames_of_the_old_set_do_not_count_as_an_answer_for_the_new_one() {
    let mut harness = Harness::active(config());
    harness.subscribe(&["KRW-NOPE"]);
    harness.advance(ms(30));
    harness.data("KRW-BTC", 2);
    harness.answer_pings(secs(140));
    assert_eq!(harness.disconnects(), []);
}

/// Returns a session that wants only changes, and has received one on an open socket.
fn active_with_changes_only() -> Harness {
    let mut harness = Harness::new(config());
    let changes =
        trades(&["KRW-BTC"]).specs().iter().map(|spec| StreamSpec { mode: Mode::RealtimeOnly, ..*spec }).collect();
    harness.session.set_desired(harness.now, DesiredSet { revision: 1, streams: changes, ..DesiredSet::default() });
    harness.settle();
    harness.open();
    harness.data("KRW-BTC", 1);
    harness.sent();
    harness
}

/// A request for changes only is not answered, so it proves nothing. The socket was once replaced after each 15 s without
/// a trade.
#[test]
fn a_quiet_socket_that_answers_probes_is_not_mute_if_only_changes_are_wanted() {
    let mut harness = active_with_changes_only();
    for _ in 0..60 {
        harness.answer_pings(secs(9));
        harness.advance(secs(1));
        let probe =
            harness.sent().into_iter().find_map(|sent| if let Sent::Text(text) = sent { Some(text) } else { None });
        assert!(probe.is_some_and(|text| !text.contains("isOnlyRealtime") && !text.contains("is_only_realtime")));
        harness.data("KRW-BTC", 1);
    }
    assert_eq!(harness.disconnects(), []);
}

/// Such a socket was once kept without limit, because no data was owed.
#[test]
fn a_mute_socket_is_replaced_if_only_changes_are_wanted() {
    let mut harness = active_with_changes_only();
    harness.answer_pings(secs(20));
    assert_eq!(harness.disconnects(), [Disconnect::Mute(secs(15))]);
}

#[test]
fn the_status_option_sends_one_ping_text_and_up_is_not_data() {
    let mut harness = Harness::new(Config { keep_alive: KeepAlive::PingAndStatus, ..config() });
    harness.subscribe(&["KRW-BTC"]);
    harness.open();
    assert_eq!(harness.requests().last().map(String::as_str), Some("PING"));
    harness.data("KRW-BTC", 1);
    for _ in 0..20 {
        harness.advance(secs(1));
        harness.message(r#"{"status":"UP"}"#);
    }
    assert!(matches!(harness.disconnects()[..], [Disconnect::Mute(_), ..]), "UP is a sign of life, but not data");
}

#[test]
fn a_name_that_does_not_resolve_is_retried_forever() {
    let mut harness = Harness::new(named("wss://example.test/"));
    harness.subscribe(&["KRW-BTC"]);
    for answer in [Ok(vec![]), Err("no such host".to_owned())] {
        harness.session.handle_resolved(harness.now, answer);
        harness.settle();
        assert!(matches!(harness.disconnects()[..], [Disconnect::Resolve(_)]));
        harness.advance(secs(40));
        assert!(matches!(harness.disconnects()[..], [] | [Disconnect::Timeout(Stage::Resolve), ..]));
        harness.session.handle_resolved(harness.now, Err("again".to_owned()));
        harness.settle();
        harness.disconnects();
        while harness.session.state() != State::Connecting {
            harness.advance(ms(10));
        }
        harness.disconnects();
    }
}

#[test]
fn a_message_cut_off_by_the_end_of_the_socket_is_counted_and_not_delivered() {
    let mut harness = Harness::active(config());
    let message = frame(2, trade_message("KRW-BTC", 2).as_bytes());
    harness.receive(&message[..message.len() - 1]);
    harness.closed(Closed::Eof);
    assert_eq!(harness.disconnects(), [Disconnect::Io(ErrorKind::UnexpectedEof)]);
    harness.advance(secs(1));
    harness.open();
    harness.data("KRW-BTC", 3);
    assert_eq!((harness.session.counters().cut_off, harness.delivered.0.len()), (1, 2));
    harness.closed(Closed::Eof);
    assert_eq!(harness.disconnects(), [Disconnect::Eof]);
    assert_eq!(harness.session.counters().cut_off, 1, "between messages nothing is cut off");
    harness.advance(secs(1));
    harness.open();
    harness.subscribe(&[]);
    harness.receive(&message[..message.len() - 1]);
    harness.closed(Closed::Eof);
    assert_eq!(harness.session.counters().cut_off, 2, "after our close frame, too");
}
