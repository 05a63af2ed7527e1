//! What holds for every message of the market model, whatever the seed.

mod common;

use common::*;
use hoga_exchange::Config;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A number in any spelling, exactly, with 16 decimals.
fn exact(value: &Value) -> i128 {
    let text = value.to_string();
    let (mantissa, exponent) = text.split_once(['E', 'e']).unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let shift = 16 + exponent.parse::<i32>().unwrap() - fraction.len() as i32;
    let mut digits: i128 = format!("{whole}{fraction}").parse().unwrap();
    for _ in 0..shift.abs() {
        digits = if shift > 0 { digits * 10 } else { digits / 10 };
    }
    digits
}

fn run(seed: u64, kind: &str, codes: &[&str], speed: f64, seconds: u64) -> Vec<Value> {
    let mut link = Link::with(Config { seed, speed, output_limit: usize::MAX, ..Config::default() });
    link.say(&subscribe(kind, codes));
    for _ in 0..seconds {
        link.advance(SECOND);
        // A quiet market must not end the run.
        link.send(10, b"");
    }
    link.objects()
}

const CODES: [&str; 7] = ["KRW-BTC", "KRW-XRP", "KRW-SHIB", "KRW-USDT", "BTC-ETH", "BTC-SHIB", "USDT-BTC"];

#[test]
fn tickers_add_up() {
    for seed in 0..8 {
        for t in run(seed, "ticker", &CODES, 10.0, 20) {
            let n = |key: &str| exact(&t[key]);
            assert_eq!(n("acc_ask_volume") + n("acc_bid_volume"), n("acc_trade_volume"));
            assert_eq!(n("trade_price") - n("prev_closing_price"), n("signed_change_price"));
            assert_eq!(n("signed_change_price").abs(), n("change_price"));
            assert_eq!(n("signed_change_rate").signum(), n("signed_change_price").signum());
            let change = ["FALL", "EVEN", "RISE"][(n("signed_change_price").signum() + 1) as usize];
            assert_eq!(t["change"], change);
            assert!(n("low_price") <= n("trade_price") && n("trade_price") <= n("high_price"), "{t}");
            assert!(n("low_price") <= n("opening_price") && n("opening_price") <= n("high_price"), "{t}");
            assert!(
                n("lowest_52_week_price") <= n("low_price") && n("high_price") <= n("highest_52_week_price"),
                "{t}"
            );
            assert!(n("trade_volume") > 0 && n("trade_price") > 0);
        }
    }
}

#[test]
fn trades_have_ids_of_their_own_and_some_are_late() {
    let (mut late, mut count, mut ids_of_all) = (0, 0, HashMap::<String, HashSet<String>>::new());
    for seed in 0..6 {
        let (mut seen, mut newest, mut published) = (HashSet::new(), HashMap::new(), HashMap::new());
        for t in run(seed, "trade", &CODES, 20.0, 20) {
            if t["stream_type"] == "SNAPSHOT" {
                continue;
            }
            let code = t["code"].as_str().unwrap().to_owned();
            let (id, made) = (t["sequential_id"].as_u64().unwrap(), t["trade_timestamp"].as_u64().unwrap());
            assert_eq!((id / 10_000, id.to_string().len()), (made, 17));
            assert!(seen.insert((code.clone(), id)), "{code} {id} came twice");
            ids_of_all.entry(format!("{seed} {id}")).or_default().insert(code.clone());
            let stamp = t["timestamp"].as_u64().unwrap();
            assert!(made < stamp && published.insert(code.clone(), stamp).unwrap_or(0) <= stamp);
            assert!(exact(&t["best_bid_price"]) < exact(&t["best_ask_price"]));
            let newest = newest.entry(code).or_insert(0);
            late += usize::from(id < *newest);
            *newest = id.max(*newest);
            count += 1;
        }
    }
    let share = late as f64 / count as f64;
    assert!(count > 5_000 && (0.01..0.03).contains(&share), "{late} of {count}");
    assert!(ids_of_all.values().any(|codes| codes.len() > 1), "no id was shared by two markets");
}

#[test]
fn a_ticker_accumulates_exactly_the_trades() {
    let mut link = Link::with(Config { speed: 20.0, ..Config::default() });
    link.say(&request(r#"{"type":"ticker","codes":["KRW-ETH"]},{"type":"trade","codes":["KRW-ETH"]}"#, "DEFAULT"));
    // The second snapshot is later than the first: from here on both streams are complete.
    link.advance(200 * MS);
    link.take();
    link.advance(30 * SECOND);
    let (mut volume, mut turnover, mut checked) = (None, None, 0);
    let mut traded = (0, 0);
    for message in link.objects().into_iter().filter(|message| message["stream_type"] == "REALTIME") {
        if message["type"] == "trade" {
            let (price, size) = (exact(&message["trade_price"]), exact(&message["trade_volume"]));
            traded = (traded.0 + size, traded.1 + price / 100_000_000 * (size / 100_000_000));
            continue;
        }
        let now = (exact(&message["acc_trade_volume"]), exact(&message["acc_trade_price"]));
        if let (Some(volume), Some(turnover)) = (volume, turnover) {
            assert_eq!((now.0 - volume, now.1 - turnover), traded);
            checked += 1;
        }
        (volume, turnover, traded) = (Some(now.0), Some(now.1), (0, 0));
    }
    assert!(checked > 100);
}

#[test]
fn books_are_sorted_add_up_and_keep_to_their_grid() {
    let mut padded = 0;
    for seed in 0..6 {
        let mut phase = HashMap::new();
        let mut last = HashMap::new();
        for book in run(seed, "orderbook", &CODES, 5.0, 20) {
            let code = book["code"].as_str().unwrap().to_owned();
            let units = book["orderbook_units"].as_array().unwrap();
            assert_eq!(units.len(), 30);
            for (price, size, total, sign) in
                [("ask_price", "ask_size", "total_ask_size", 1), ("bid_price", "bid_size", "total_bid_size", -1)]
            {
                let side = units.iter().map(|unit| (exact(&unit[price]), exact(&unit[size])));
                let sum: i128 = side.clone().map(|(_, size)| size).sum();
                assert_eq!(sum, exact(&book[total]));
                let live: Vec<i128> = side.clone().filter(|(price, _)| *price > 0).map(|(price, _)| price).collect();
                assert!(!live.is_empty() && live.is_sorted_by(|a, b| a * sign < b * sign), "{live:?}");
                assert!(side.clone().all(|(price, size)| (price > 0) == (size > 0)));
                assert!(side.skip(live.len()).all(|(price, _)| price == 0), "zeros are at the end");
                padded += usize::from(live.len() < 30 && !code.starts_with("KRW"));
            }
            assert!(exact(&units[0]["bid_price"]) < exact(&units[0]["ask_price"]));
            assert_ne!(last.insert(code.clone(), units.clone()).as_ref(), Some(units), "only changes are sent");
            if book["stream_type"] == "REALTIME" {
                let at = book["timestamp"].as_u64().unwrap() % 100;
                assert_eq!(*phase.entry(code).or_insert(at), at);
            }
        }
    }
    assert!(padded > 0, "no thin book was seen");
}

#[test]
fn candles_hold_exactly_the_trades_of_their_second() {
    for seed in 0..10 {
        let mut link = Link::with(Config { seed, speed: 5.0, ..Config::default() });
        let types = r#"{"type":"candle.1s","codes":["KRW-ETH"]},{"type":"trade","codes":["KRW-ETH"]}"#;
        link.say(&request(types, "DEFAULT"));
        link.advance(30 * SECOND);
        let mut trades: BTreeMap<u64, Vec<(i128, i128)>> = BTreeMap::new();
        let mut candles = BTreeMap::new();
        let frames: Vec<_> = link.take().into_iter().map(|frame| (frame.at, frame.json())).collect();
        for (at, message) in frames.iter().filter(|(_, message)| message["stream_type"] == "REALTIME") {
            if message["type"] == "trade" {
                let second = message["trade_timestamp"].as_u64().unwrap() / 1_000;
                let trade = (exact(&message["trade_price"]), exact(&message["trade_volume"]));
                trades.entry(second).or_default().push(trade);
            } else {
                assert_eq!(at % SECOND, 0, "candles come on a one-second cycle");
                candles.insert(message["timestamp"].as_u64().unwrap() / 1_000, message.clone());
            }
        }
        // The first second was not seen from its beginning, the last one not to its end.
        let inner: Vec<u64> = trades.keys().copied().skip(2).collect();
        for second in &inner[..inner.len() - 2] {
            let (candle, trades) = (&candles[second], &trades[second]);
            let volume: i128 = trades.iter().map(|(_, volume)| volume).sum();
            assert_eq!(exact(&candle["candle_acc_trade_volume"]), volume, "{candle}");
            assert_eq!(exact(&candle["high_price"]), trades.iter().map(|(price, _)| *price).max().unwrap());
            assert_eq!(exact(&candle["low_price"]), trades.iter().map(|(price, _)| *price).min().unwrap());
        }
    }
}

#[test]
fn without_trades_there_are_no_candles() {
    let messages = run(1, "candle.1m", &["KRW-BTC"], 1e-9, 30);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["stream_type"], "SNAPSHOT");
}

#[test]
fn a_busy_market_is_about_as_busy_as_the_real_one() {
    let rate = |kind: &str| run(5, kind, &["KRW-BTC"], 1.0, 100).len() as f64 / 100.0;
    let (trades, books) = (rate("trade"), rate("orderbook"));
    assert!((3.5..5.5).contains(&trades) && (7.0..9.5).contains(&books), "{trades} {books}");
}

#[test]
fn a_hundred_venues_are_cheap_to_run() {
    // A thousand of these are meant to fit in a minute; the run time of this test says whether they do.
    let mut frames = 0;
    for seed in 0..100 {
        let mut link = Link::with(Config { seed, ..Config::default() });
        link.say(&subscribe("orderbook", &CODES));
        link.advance(30 * SECOND);
        frames += link.take().len();
    }
    assert!(frames > 10_000, "{frames}");
}

#[test]
fn a_full_venue_runs_and_sends_about_as_much_as_the_real_one() {
    let config = Config { markets: 855, output_limit: usize::MAX, ..Config::default() };
    let codes: Vec<String> = hoga_exchange::Exchange::new(config.clone(), START).markets().map(str::to_owned).collect();
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    let frames_per_second = |kinds: &[&str], speed: f64| {
        let mut link = Link::with(Config { speed, ..config.clone() });
        let list = serde_json::to_string(&codes).unwrap();
        let types: Vec<String> = kinds.iter().map(|kind| format!(r#"{{"type":"{kind}","codes":{list}}}"#)).collect();
        link.say(&request(&types.join(","), "SIMPLE"));
        link.advance(5 * SECOND);
        link.take().len() / 5
    };
    let books = frames_per_second(&["orderbook"], 1.0);
    assert!((100..1_500).contains(&books), "{books}");
    let all = frames_per_second(&["ticker", "trade", "orderbook", "candle.1s", "candle.240m"], 50.0);
    assert!(all > books, "{all}");
    println!("{books} books per second, {all} of all types at 50 times the speed");
}

#[test]
fn a_new_day_closes_the_one_before() {
    let mut link = Link::with(Config { speed: 2.0, ..Config::default() });
    link.say(&subscribe("ticker", &["KRW-ETH"]));
    // From 14:40:58 to just before midnight, without anything to do for the market.
    link.advance(SECOND);
    link.say(&subscribe("ticker", &["KRW-NOPE"]));
    for _ in 0..(33_500 / 50) {
        link.advance(50 * SECOND);
        link.send(9, b"");
    }
    link.take();
    link.say(&subscribe("ticker", &["KRW-ETH"]));
    link.advance(50 * SECOND);
    link.send(9, b"");
    link.advance(30 * SECOND);
    let tickers: Vec<Value> = link.objects().into_iter().filter(|value| value.get("type").is_some()).collect();
    let first = tickers.iter().position(|ticker| ticker["trade_date"] == "20260312").expect("the day turns");
    let (before, after) = (&tickers[first - 1], &tickers[first]);
    assert_eq!(after["prev_closing_price"], before["trade_price"]);
    assert_eq!(after["opening_price"], after["trade_price"]);
    assert_eq!(exact(&after["acc_trade_volume"]), exact(&after["trade_volume"]));
}
