//! Replayed lines are sent byte for byte, once, in file order, to all their subscribers.

use crate::common::*;
use hoga_exchange::{Config, Exchange, Observer, Pace, Recording, Replay};
use hoga_testing::frames;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

fn line(kind: &str, code: &str, n: usize) -> String {
    format!(r#"{{"type":"{kind}", "code":"{code}","n":{n}, "x":1.50E-8}}"#)
}

/// Returns 30 lines, alternately trades of two markets and an order book.
fn recorded() -> Vec<String> {
    let streams = [("trade", "KRW-BTC"), ("trade", "KRW-ETH"), ("orderbook", "KRW-BTC")];
    (0..30).map(|n| line(streams[n % 3].0, streams[n % 3].1, n)).collect()
}

fn replay(lines: &[String]) -> Arc<Replay> {
    let mut replay = Replay::default();
    replay.add(Recording::new("recorded", Cursor::new(lines.join("\n")))).unwrap();
    Arc::new(replay)
}

fn link(pace: Pace) -> Link {
    Link::with(Config { replay: Some(replay(&recorded())), pace, ..Config::default() })
}

fn texts(link: &mut Link) -> Vec<String> {
    link.take().iter().map(|frame| frame.text().to_owned()).collect()
}

#[test]
fn lines_are_sent_byte_for_byte_in_file_order_at_the_pace() {
    let mut link = link(Pace::PerSecond(10.0));
    let types = r#"{"type":"orderbook","codes":["KRW-BTC.5"]},{"type":"trade","codes":["KRW-BTC"]}"#;
    link.say(&request(types, "SIMPLE"));
    link.advance(950 * MS);
    let wanted: Vec<String> = recorded().into_iter().enumerate().filter(|(n, _)| n % 3 != 1).map(|(_, l)| l).collect();
    assert_eq!(texts(&mut link), wanted[..10]);
    link.advance(20 * SECOND);
    assert_eq!(texts(&mut link), wanted[10..]);
}

#[test]
fn nothing_is_sent_before_a_request_and_nothing_twice() {
    let mut link = link(Pace::Unlimited);
    link.advance(5 * SECOND);
    assert!(link.take().is_empty());
    link.say(&subscribe("trade", &["KRW-BTC"]));
    link.advance(SECOND);
    assert_eq!(link.take().len(), 10);
    link.say(&subscribe("trade", &["KRW-BTC", "KRW-ETH"]));
    link.advance(SECOND);
    let late = texts(&mut link);
    assert!(late.len() == 10 && late.iter().all(|line| line.contains("KRW-ETH")));
}

/// Replays 10 lines of KRW-BTC and 1000 of KRW-ETH.
fn looping_link() -> Link {
    let streams = (0..10).map(|n| line("trade", "KRW-BTC", n)).chain((0..1_000).map(|n| line("trade", "KRW-ETH", n)));
    let replay = replay(&streams.collect::<Vec<_>>());
    Link::with(Config { replay: Some(replay), replay_loops: true, ..Config::default() })
}

#[test]
fn a_replay_that_loops_starts_again_after_its_last_line() {
    let mut link = looping_link();
    link.say(&subscribe("trade", &["KRW-BTC"]));
    link.advance(245 * MS);
    let ten: Vec<String> = (0..10).map(|n| line("trade", "KRW-BTC", n)).collect();
    assert_eq!(texts(&mut link), [&ten[..], &ten, &ten[..5]].concat());
}

/// The streams that the second request drops may already be at their end.
#[test]
fn a_replay_that_loops_continues_after_the_next_request() {
    let mut link = looping_link();
    link.say(&subscribe("trade", &["KRW-BTC", "KRW-ETH"]));
    link.advance(2 * SECOND);
    assert!(texts(&mut link).len() > 150);
    link.say(&subscribe("trade", &["KRW-BTC"]));
    link.advance(10 * SECOND);
    let again = texts(&mut link);
    assert!(again.len() > 900 && again.iter().all(|line| line.contains("KRW-BTC")), "{}", again.len());
    // A stream that was not subscribed meanwhile continues where it was.
    link.say(&subscribe("trade", &["KRW-ETH"]));
    link.advance(SECOND);
    assert!(texts(&mut link)[0].contains(r#""n":19"#));
}

#[test]
fn only_order_book_codes_may_have_a_number_of_units() {
    let mut link = link(Pace::Unlimited);
    link.say(&subscribe("trade", &["KRW-BTC.5"]));
    link.advance(SECOND);
    assert!(link.take().is_empty());
    link.say(&subscribe("orderbook", &["KRW-BTC.5"]));
    link.advance(SECOND);
    assert_eq!(link.take().len(), 10);
}

#[test]
fn streams_that_are_not_recorded_come_from_the_model() {
    let mut link = link(Pace::Unlimited);
    link.say(&subscribe("ticker", &["KRW-BTC"]));
    link.advance(SECOND);
    assert!(texts(&mut link).iter().all(|line| line.contains(r#""type":"ticker","code":"KRW-BTC","opening_price""#)));
}

#[test]
fn an_unlimited_replay_waits_for_its_reader() {
    let big = line("trade", "KRW-BTC", 1).replace("1.50E-8", &format!("\"{}\"", "x".repeat(1_000)));
    let replay = replay(&vec![big; 2_000]);
    let mut link = Link::with(Config { replay: Some(replay), pace: Pace::Unlimited, ..Config::default() });
    let hello = frames::client(frames::TEXT, subscribe("trade", &["KRW-BTC"]).as_bytes());
    link.exchange.receive(link.now, link.conn, &hello);
    for _ in 0..100 {
        link.exchange.handle_timeout(link.now);
    }
    link.drain();
    let first = link.take().len();
    assert!((50..80).contains(&first), "{first}");
    link.advance(SECOND);
    assert_eq!(first + link.take().len(), 2_000);
}

#[derive(Default, Clone)]
struct Seen(Arc<Mutex<Vec<Vec<u8>>>>);

impl Observer for Seen {
    fn sent(&mut self, _: u64, _: hoga_exchange::ConnId, payload: &[u8]) {
        self.0.lock().unwrap().push(payload.to_vec());
    }
}

#[derive(Default, Clone)]
struct Asked(Arc<Mutex<Vec<(u64, String)>>>);

impl Observer for Asked {
    fn sent(&mut self, _: u64, _: hoga_exchange::ConnId, _: &[u8]) {}

    fn received(&mut self, received_ns: u64, _: hoga_exchange::ConnId, text: &[u8]) {
        self.0.lock().unwrap().push((received_ns, String::from_utf8(text.to_vec()).unwrap()));
    }
}

#[test]
fn the_observer_sees_every_request_including_refused_ones() {
    let mut link = Link::open();
    let asked = Asked::default();
    link.exchange.observe(Box::new(asked.clone()));
    let good = subscribe("ticker", &["KRW-BTC"]);
    for text in ["PING", &good, "nonsense"] {
        link.say(text);
    }
    assert_eq!(*asked.0.lock().unwrap(), [(link.now, good), (link.now, "nonsense".to_owned())]);
    assert_eq!(link.exchange.stats().malformed_requests, 1);
}

#[test]
fn the_observer_sees_exactly_the_data_that_was_sent() {
    let mut link = Link::open();
    let seen = Seen::default();
    link.exchange.observe(Box::new(seen.clone()));
    link.say("PING");
    link.say(&subscribe("orderbook", &["KRW-BTC"]));
    link.advance(20 * SECOND);
    let sent: Vec<Vec<u8>> =
        link.take().into_iter().map(|f| f.payload).filter(|payload| !payload.starts_with(b"{\"status\"")).collect();
    assert!(sent.len() > 100);
    assert_eq!(*seen.0.lock().unwrap(), sent);
    let stats = Exchange::stats(&link.exchange);
    assert_eq!((stats.data_frames as usize, stats.status_frames), (sent.len(), 2));
}
