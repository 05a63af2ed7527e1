//! Rules that hold for every message of the market model, with any seed.

use crate::common::*;
use hoga_exchange::Config;
use hoga_testing::frames;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Returns the exact value of a number in any notation, with 16 decimals.
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
        // A pong, so that a quiet market does not end the run.
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
fn trade_ids_are_unique_in_each_market() {
    let (mut count, mut ids_of_all) = (0, HashMap::<String, HashSet<String>>::new());
    for seed in 0..6 {
        let (mut seen, mut published) = (HashSet::new(), HashMap::new());
        for t in run(seed, "trade", &CODES, 20.0, 20) {
            if t["stream_type"] == "SNAPSHOT" {
                continue;
            }
            let code = t["code"].as_str().unwrap().to_owned();
            let (id, made) = (t["sequential_id"].as_u64().unwrap(), t["trade_timestamp"].as_u64().unwrap());
            assert_eq!((id / 10_000, id.to_string().len()), (made, 17));
            assert!(seen.insert((code.clone(), id)), "{code} {id} was sent twice");
            ids_of_all.entry(format!("{seed} {id}")).or_default().insert(code.clone());
            let stamp = t["timestamp"].as_u64().unwrap();
            assert!(made < stamp && published.insert(code, stamp).unwrap_or(0) <= stamp);
            assert!(exact(&t["best_bid_price"]) < exact(&t["best_ask_price"]));
            count += 1;
        }
    }
    assert!(count > 5_000, "{count}");
    assert!(ids_of_all.values().any(|codes| codes.len() > 1), "no id was shared by two markets");
}

/// In a capture of the real exchange, each late trade arrived 13 to 258 ms after the newer one.
#[test]
fn a_late_trade_arrives_soon_after_a_newer_one_also_in_quiet_markets() {
    let codes: Vec<String> =
        hoga_exchange::Exchange::new(Config::default(), START).markets().take(80).map(str::to_owned).collect();
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    let mut late = 0;
    for seed in 0..3 {
        let mut newest: HashMap<String, (u64, u64)> = HashMap::new();
        for trade in run(seed, "trade", &codes, 1.0, 300).iter().filter(|trade| trade["stream_type"] == "REALTIME") {
            let [id, made, published] =
                ["sequential_id", "trade_timestamp", "timestamp"].map(|key| trade[key].as_u64().unwrap());
            assert!((24..=258).contains(&(published - made)), "{trade}");
            let (newest_id, newest_published) = newest.entry(trade["code"].to_string()).or_default();
            if id < *newest_id {
                late += 1;
                assert!((13..=258).contains(&(published - *newest_published)), "{trade}");
            } else {
                (*newest_id, *newest_published) = (id, published);
            }
        }
    }
    assert!(late > 20, "{late}");
}

#[test]
fn of_ten_trades_a_second_two_percent_are_late() {
    let (mut late, mut count) = (0, 0);
    for seed in 0..10 {
        let mut newest = 0;
        for trade in run(seed, "trade", &["KRW-BTC"], 2.2, 100) {
            let id = trade["sequential_id"].as_u64().unwrap();
            (late, count) = (late + usize::from(id < newest), count + 1);
            newest = newest.max(id);
        }
    }
    let share = late as f64 / count as f64;
    assert!((0.015..0.025).contains(&share), "{late} of {count}");
}

#[test]
fn a_ticker_accumulates_exactly_the_trades() {
    let mut link = Link::with(Config { speed: 20.0, ..Config::default() });
    link.say(&request(r#"{"type":"ticker","codes":["KRW-ETH"]},{"type":"trade","codes":["KRW-ETH"]}"#, "DEFAULT"));
    // The second snapshot is later than the first. From here on both streams are complete.
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

/// Computes a window's candle from its trades: opening, highest, lowest and last price, volume, turnover.
fn candle_of(trades: &BTreeMap<u64, Value>) -> [i128; 6] {
    let of = |key: &str| trades.values().map(|trade| exact(&trade[key])).collect::<Vec<i128>>();
    let (prices, volumes) = (of("trade_price"), of("trade_volume"));
    // Prices and volumes have eight decimals, and turnover has sixteen.
    let turnover =
        prices.iter().zip(&volumes).map(|(price, volume)| price / 100_000_000 * (volume / 100_000_000)).sum();
    let (high, low) = (*prices.iter().max().unwrap(), *prices.iter().min().unwrap());
    [prices[0], high, low, prices[prices.len() - 1], volumes.iter().sum(), turnover]
}

/// Every trade is in the candle of its second and in the candle of its minute, regardless of when it is published. Late
/// trades change windows that were sent before, windows that have ended, and windows that had no trade before.
#[test]
fn candles_agree_with_the_trades() {
    const WIDTHS: [(&str, u64); 2] = [("candle.1s", 1_000), ("candle.1m", 60_000)];
    let codes = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SHIB"];
    let list = serde_json::to_string(&codes).unwrap();
    let (mut windows, mut in_ended_windows) = (0, 0);
    for (seed, speed) in (0..20).map(|seed| (seed, [0.5, 1.0, 1.0, 4.0][seed as usize % 4])) {
        let mut link = Link::with(Config { seed, speed, output_limit: usize::MAX, ..Config::default() });
        link.say(&request(
            &format!(
                r#"{{"type":"trade","codes":{list},"is_only_realtime":true}},{{"type":"candle.1s","codes":{list}}},
                   {{"type":"candle.1m","codes":{list}}}"#
            ),
            "DEFAULT",
        ));
        // Two seconds after the start there is a full minute.
        let (first, last) = (START / MS + 2_000, START / MS + 122_000);
        link.advance(125 * SECOND);

        let mut trades: BTreeMap<(String, &str, String), BTreeMap<u64, Value>> = BTreeMap::new();
        let mut candles: BTreeMap<(String, &str, String), Value> = BTreeMap::new();
        let mut newest = HashMap::new();
        for frame in link.take() {
            let message = frame.json();
            let code = message["code"].as_str().unwrap().to_owned();
            if let Some((name, _)) = WIDTHS.iter().find(|(name, _)| message["type"] == *name) {
                assert!(message["stream_type"] == "SNAPSHOT" || frame.at % SECOND == 0, "candles come each second");
                let start = message["candle_date_time_utc"].as_str().unwrap().to_owned();
                candles.insert((code, *name, start), message);
                continue;
            }
            let [id, made] = ["sequential_id", "trade_timestamp"].map(|key| message[key].as_u64().unwrap());
            let newest = newest.entry(code.clone()).or_insert(0);
            in_ended_windows += usize::from(made / 1_000 < *newest / 1_000);
            *newest = made.max(*newest);
            for (name, width) in WIDTHS.into_iter().filter(|_| (first..last).contains(&made)) {
                let window = trades.entry((code.clone(), name, start_of(made, width))).or_default();
                window.insert(id, message.clone());
            }
        }
        for (window, trades) in &trades {
            let Some(candle) = candles.get(window) else { panic!("seed {seed}: {window:?} has trades and no candle") };
            let keys = ["opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume"];
            let sent = keys.into_iter().chain(["candle_acc_trade_price"]).map(|key| exact(&candle[key]));
            assert_eq!(sent.collect::<Vec<i128>>(), candle_of(trades), "seed {seed}: {window:?}: {candle}");
        }
        windows += trades.len();
    }
    assert!(windows > 3_000 && in_ended_windows > 5, "{windows} {in_ended_windows}");
}

/// Returns the start of the window of `ms`, in the form of candles. All windows are on one day.
fn start_of(ms: u64, width_ms: u64) -> String {
    let second = (ms - ms % width_ms) / 1_000 % 86_400;
    format!("2026-03-11T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// The documented example: there are no trades for a while, and the snapshot is the last candle that exists.
#[test]
fn a_candle_starts_with_its_first_trade_and_the_snapshot_is_the_last_candle() {
    for seed in 0..10 {
        let mut link = Link::with(Config { seed, speed: 0.2, ..Config::default() });
        let types = r#"{"type":"candle.1s","codes":["KRW-XRP"]},{"type":"trade","codes":["KRW-XRP"]}"#;
        link.say(&request(types, "DEFAULT"));
        link.advance(180 * MS);
        let [candle, trade] = <[Value; 2]>::try_from(link.objects()).unwrap();
        assert_eq!(candle["timestamp"], trade["trade_timestamp"]);
        link.advance(50 * SECOND);
        let frames: Vec<_> = link.take().into_iter().map(|frame| (frame.at, frame.json())).collect();
        let first = frames.iter().position(|(_, message)| message["type"] == "candle.1s").unwrap();
        let (at, candle) = &frames[first];
        // Sent at the next full second after the first trade, and not before.
        let (traded_at, trade) = &frames[0];
        assert_eq!(
            (trade["type"].as_str(), at - at % SECOND),
            (Some("trade"), traded_at - traded_at % SECOND + SECOND)
        );
        assert_eq!(candle["opening_price"], trade["trade_price"]);
    }
}

/// Messages that were still due when the last subscriber left are dropped.
#[test]
fn a_later_subscriber_gets_no_messages_from_before_its_request() {
    let types = r#"{"type":"candle.1s","codes":["KRW-BTC"]},{"type":"trade","codes":["KRW-BTC"]},
        {"type":"orderbook","codes":["KRW-BTC"],"is_only_realtime":true}"#;
    for seed in 0..20 {
        let mut link = Link::with(Config { seed, stale_frames: 0, ..Config::default() });
        link.say(&request(types, "DEFAULT"));
        link.advance(5_050 * MS + seed * 41 * MS);
        link.say(&subscribe("ticker", &["KRW-NOPE"]));
        link.advance(50 * SECOND);
        link.take();
        let asked_ms = link.now / MS;
        link.say(&request(types, "DEFAULT"));
        link.advance(3 * SECOND);
        for message in link.objects().iter().filter(|message| message["stream_type"] == "REALTIME") {
            // Trades, and therefore candles, get their timestamp some time after the execution.
            assert!(message["timestamp"].as_u64().unwrap() + 258 >= asked_ms, "seed {seed}: {message}");
        }
    }
}

/// A group contains all orders of its prices, also those outside the window of the ungrouped book.
#[test]
fn grouped_books_cover_the_whole_book() {
    // Market, step, and the minimum number of groups on each side.
    let steps = [("KRW-BTC", 10_000, 30), ("KRW-BTC", 100_000, 30), ("KRW-BTC", 1_000_000, 30)];
    let steps = [&steps[..], &[("KRW-BTC", 100_000_000, 1), ("KRW-XRP", 10, 30), ("KRW-XRP", 1_000, 1)]].concat();
    let grouped =
        |(code, step, _): &(&str, i128, usize)| format!(r#"{{"type":"orderbook","codes":["{code}"],"level":{step}}}"#);
    let objects: Vec<String> = steps.iter().map(grouped).collect();
    let raw = r#"{"type":"orderbook","codes":["KRW-BTC","KRW-XRP"]}"#;
    let mut checked = 0;
    for seed in 0..4 {
        let mut link = Link::with(Config { seed, speed: 5.0, output_limit: usize::MAX, ..Config::default() });
        link.say(&request(&format!("{raw},{}", objects.join(",")), "DEFAULT"));
        link.advance(20 * SECOND);
        let books = link.objects();
        let key = |book: &Value| (book["code"].to_string(), book["timestamp"].as_u64().unwrap());
        let whole: HashMap<_, &Value> =
            books.iter().filter(|book| book["level"] == 0).map(|book| (key(book), book)).collect();
        for book in books.iter().filter(|book| book["level"] != 0) {
            let level = i128::from(book["level"].as_i64().unwrap());
            let (.., least) = *steps.iter().find(|(code, step, _)| book["code"] == *code && level == *step).unwrap();
            let raw = whole[&key(book)];
            for side in ["ask", "bid"] {
                check_groups(&levels(book, side), &levels(raw, side), level * ONE, side == "ask", least);
                let sizes = levels(book, side).into_iter().map(|(_, size)| size);
                assert_eq!(exact(&book[format!("total_{side}_size")]), sizes.sum::<i128>(), "{book}");
            }
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked}");
}

/// One, in the scale of [`exact`].
const ONE: i128 = 10_000_000_000_000_000;

/// Returns price and size of each level that is not padding.
fn levels(book: &Value, side: &str) -> Vec<(i128, i128)> {
    let units = book["orderbook_units"].as_array().unwrap().iter();
    let levels = units.map(|unit| [format!("{side}_price"), format!("{side}_size")].map(|key| exact(&unit[key])));
    levels.map(|[price, size]| (price, size)).filter(|(price, _)| *price > 0).collect()
}

fn check_groups(groups: &[(i128, i128)], raw: &[(i128, i128)], step: i128, are_asks: bool, least: usize) {
    assert!(groups.len() >= least, "{} groups of {step}", groups.len());
    let worst = raw[raw.len() - 1].0;
    let mut better = None;
    for (price, size) in groups {
        assert_eq!(price % step, 0);
        assert!(better.is_none_or(|better| if are_asks { better < *price } else { better > *price }), "{groups:?}");
        better = Some(*price);
        // An ask is rounded up to its group, a bid down.
        let prices = if are_asks { price - step + 1..price + 1 } else { *price..price + step };
        let seen: i128 = raw.iter().filter(|(price, _)| prices.contains(price)).map(|(_, size)| size).sum();
        let is_inside = if are_asks { *price <= worst } else { *price >= worst };
        assert!(if is_inside { *size == seen } else { *size >= seen }, "{price}: {size}, the window shows {seen}");
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
    // A thousand of these are meant to run in a minute; the run time of this test shows whether they do.
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
fn a_clock_that_starts_at_zero_causes_no_panic() {
    let mut exchange = hoga_exchange::Exchange::new(Config::default(), 0);
    let conn = exchange.connect(0, HOME);
    exchange.receive(0, conn, upgrade("/websocket/v1", "").as_bytes());
    exchange.receive(0, conn, &frames::client(frames::TEXT, subscribe("trade", &CODES).as_bytes()));
    for second in 0..30 {
        exchange.handle_timeout(second * SECOND);
        exchange.poll_transmit(second * SECOND, conn, &mut Vec::new());
    }
    assert!(exchange.stats().data_frames > 50);
}

#[test]
fn a_new_day_closes_the_one_before() {
    let mut link = Link::with(Config { speed: 2.0, ..Config::default() });
    link.say(&subscribe("ticker", &["KRW-ETH"]));
    // From 14:40:58 to just before midnight, without events of the market.
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
