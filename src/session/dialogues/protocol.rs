//! Dialogues about invalid frames and messages.

use super::super::testing::{Harness, START, Sent, config, frame, ms, secs, trade_message};
use super::super::{Disconnect, Event, State};

#[test]
fn a_protocol_violation_is_answered_with_a_close_frame() {
    let masked = [0x82, 0x80, 1, 2, 3, 4];
    let reserved = [0xf2, 0x00];
    let huge = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let bad_text = frame(1, &[0xff, 0xfe]);
    for (bytes, code) in [(&masked[..], 1002), (&reserved, 1002), (&huge, 1009), (&bad_text, 1007)] {
        let mut harness = Harness::active(config());
        harness.sent();
        harness.receive(bytes);
        assert!(matches!(harness.disconnects()[..], [Disconnect::Violation(_)]), "{bytes:?}");
        assert_eq!(harness.sent(), [Sent::Close(code)], "{bytes:?}");
        assert_eq!(harness.session.state(), State::Reconnecting);
    }
}

#[test]
fn unreadable_messages_are_counted_and_have_no_other_effect() {
    let mut harness = Harness::active(config());
    for bad in ["", "null", "[]", "{", r#"{"type":"trade"}"#, "\u{0}", &"[".repeat(60_000)] {
        harness.message(bad);
    }
    harness.data("KRW-BTC", 2);
    assert_eq!(harness.session.counters().malformed, 7);
    assert_eq!((harness.disconnects(), harness.session.state(), harness.delivered.0.len()), (vec![], State::Active, 2));
}

#[test]
fn an_error_of_the_exchange_is_reported_and_its_close_causes_no_storm_of_dials() {
    let mut harness = Harness::new(config());
    harness.subscribe(&["KRW-BTC"]);
    let mut dials = 0;
    while harness.now < START + secs(60) {
        let n = harness.dials().len();
        dials += n;
        if n > 0 {
            harness.connected();
            let answer = harness.switching_protocols();
            harness.receive(&answer);
            harness.message(r#"{"error":{"message":"Format","name":"WRONG_FORMAT"}}"#);
            harness.receive(&frame(8, &1000u16.to_be_bytes()));
        }
        harness.advance(ms(10));
    }
    assert!(harness.events.iter().any(|e| matches!(e, Event::ServerError { .. })));
    assert!((3..40).contains(&dials), "{dials} dials in a minute");
}

#[test]
fn a_flood_of_pings_is_answered_as_far_as_the_pongs_are_sent_and_the_newest_always() {
    let mut harness = Harness::active(config());
    harness.sent();
    let flood: Vec<u8> = (0..5000u16).flat_map(|number| frame(9, &number.to_be_bytes().repeat(50))).collect();
    let mut fed = 0;
    // The peer does not read, so nothing is sent.
    for piece in flood.chunks(16 * 1024) {
        harness.session.spare(harness.socket)[..piece.len()].copy_from_slice(piece);
        harness.session.handle_received(harness.now, harness.socket, piece.len(), &mut harness.delivered);
        fed += 1;
    }
    assert!(fed > 30 && harness.session.poll_transmit(harness.socket).len() < 32 * 1024);
    let counters = harness.session.counters();
    assert_eq!(counters.pings_received, 5000);
    assert!(counters.pings_unanswered > 4000);
    harness.settle();
    let answered = 5000 - counters.pings_unanswered as usize;
    let pongs = harness.sent();
    assert_eq!((pongs.len(), pongs.last()), (answered, Some(&Sent::Pong(4999u16.to_be_bytes().repeat(50)))));
}

/// Sends data and reads nothing, so every change of the desired set waits in the outbox.
#[test]
fn a_peer_that_sends_data_and_does_not_read_is_replaced_and_named() {
    let mut harness = Harness::active(config());
    harness.sent();
    let codes: Vec<String> = (0..4000).map(|number| format!("KRW-M{number}")).collect();
    let (mut wanted, mut unsent_max) = (0, 0);
    while harness.session.state().is_open() {
        wanted += 1;
        assert!(wanted < 10_000, "the outbox grows without bound: {unsent_max} bytes are unsent");
        harness.want(&codes.iter().map(String::as_str).skip(wanted % 2).collect::<Vec<_>>());
        harness.now = harness.now + secs(1);
        let data = frame(2, trade_message("KRW-BTC", wanted as u64 + 1).as_bytes());
        harness.session.spare(harness.socket)[..data.len()].copy_from_slice(&data);
        harness.session.handle_received(harness.now, harness.socket, data.len(), &mut harness.delivered);
        harness.session.handle_timeout(harness.now);
        unsent_max = unsent_max.max(harness.session.poll_transmit(harness.socket).len());
    }
    assert!(((1 << 20)..(1 << 20) + 100_000).contains(&unsent_max), "{unsent_max}");
    harness.settle();
    assert!(matches!(harness.disconnects()[..], [Disconnect::NotReading { .. }]));
}
