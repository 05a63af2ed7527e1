//! Dialogues with the exchange under virtual time. Each test checks one rule of the protocol.

use crate::common::*;
use hoga_exchange::{Config, ErrorName, Fault, Flow};
use hoga_testing::frames;
use serde_json::Value;

fn names(objects: &[Value]) -> Vec<String> {
    objects
        .iter()
        .map(|object| {
            let field = |long: &str, short: &str| object.get(long).or(object.get(short)).unwrap().as_str().unwrap();
            format!("{} {} {}", field("type", "ty"), field("code", "cd"), field("stream_type", "st"))
        })
        .collect()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_upgrade_is_answered_like_upbit_does() {
    let link = Link::open();
    assert!(link.head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{}", link.head);
    assert!(link.head.contains("remaining-req: group=websocket; min=300; sec=4\r\n"));
    assert!(link.head.contains("limit-by-ip: Yes\r\n"));
    assert!(!link.head.contains("Extensions"));
}

#[test]
fn an_upgrade_in_pieces_is_accepted_and_frames_may_follow_at_once() {
    let whole = [upgrade("/websocket/v1", "").into_bytes(), frames::client(frames::PING, b"hi")].concat();
    for cut in 1..whole.len() {
        let mut link = Link::connected(Config::default());
        link.receive(&whole[..cut]);
        link.receive(&whole[cut..]);
        assert_eq!(link.take().len(), 1, "cut after byte {cut}");
    }
}

#[test]
fn invalid_upgrades_are_refused() {
    for (request, status) in [
        ("POST /websocket/v1 HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /websocket/v1 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        (upgrade("/websocket/v1", "").replace("13", "8"), 426),
        (upgrade("/websocket/v1", "").replace("dGhl", ""), 400),
        (upgrade("/nowhere", ""), 404),
        (upgrade("/websocket/v1/private", ""), 401),
        (upgrade("/websocket/v1/info", "Authorization: Bearer x\r\n"), 401),
    ] {
        let mut link = Link::connected(Config::default());
        link.receive(request.as_bytes());
        assert!(link.head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {}", link.head);
        assert_eq!(link.flow, Flow::Close);
    }
}

/// Upbit has done so for any header since July 2026.
#[test]
fn a_header_that_is_sent_twice_is_refused() {
    for headers in [
        "User-Agent: a\r\nUser-Agent: b\r\n",
        "User-Agent: a\r\nuser-agent: a\r\n",
        "Host: localhost\r\n",
        "Connection: Upgrade\r\n",
        "X-A: 1\r\nX-B: 1\r\nX-A: 1\r\n",
    ] {
        let mut link = Link::connected(Config::default());
        link.receive(upgrade("/websocket/v1", headers).as_bytes());
        assert!(link.head.starts_with("HTTP/1.1 400 "), "{headers}: {}", link.head);
        assert_eq!((link.flow, link.exchange.stats().malformed_upgrades), (Flow::Close, 1));
    }
    let mut link = Link::connected(Config::default());
    link.receive(b"GET /v1/market/all HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nAccept: */*\r\n\r\n");
    assert!(link.head.starts_with("HTTP/1.1 400 "), "{}", link.head);
}

#[test]
fn every_message_is_one_binary_frame() {
    let mut link = Link::open();
    link.say("PING");
    link.say(&subscribe("trade", &["KRW-BTC"]));
    link.advance(10 * SECOND);
    let frames = link.take();
    assert!(frames.len() > 5);
    assert!(frames.iter().all(|frame| frame.opcode == 2 && frame.fin));
}

#[test]
fn snapshots_come_in_two_bursts_and_before_realtime() {
    let mut link = Link::open();
    let begin = link.now;
    link.say(&subscribe("orderbook", &["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL"]));
    link.advance(3 * SECOND);
    let frames = link.take();
    let snapshots: Vec<_> = frames.iter().filter(|frame| frame.text().contains("SNAPSHOT")).collect();
    let at: Vec<u64> = snapshots.iter().map(|frame| (frame.at - begin) / MS).collect();
    assert_eq!(at, [10, 10, 170, 170]);
    for code in ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL"] {
        let of_code: Vec<_> = frames.iter().filter(|frame| frame.text().contains(code)).collect();
        assert!(of_code[0].text().contains("SNAPSHOT"));
        assert!(of_code[1..].iter().all(|frame| frame.text().contains("REALTIME")));
    }
}

#[test]
fn a_request_replaces_the_one_before_after_at_most_two_stale_frames() {
    let mut stale_seen = [0; 3];
    for seed in 0..60 {
        let mut link = Link::with(Config { seed, speed: 20.0, ..Config::default() });
        link.say(&subscribe("trade", &["KRW-BTC"]));
        link.advance(SECOND);
        link.take();
        link.say(&subscribe("trade", &["KRW-ETH"]));
        link.advance(2 * SECOND);
        let codes = names(&link.objects());
        let stale = codes.iter().filter(|name| name.contains("KRW-BTC")).count();
        assert!(codes.iter().any(|name| name == "trade KRW-ETH SNAPSHOT"));
        stale_seen[stale] += 1;
        link.advance(SECOND);
        assert!(names(&link.objects()).iter().all(|name| name.contains("KRW-ETH")));
    }
    assert!(stale_seen.iter().all(|count| *count > 0), "{stale_seen:?}");
}

/// One event of a market may be several frames: one for each stream of its book, and two if trades are doubled.
#[test]
fn stale_frames_are_counted_one_by_one() {
    for (types, fault) in [
        (
            r#"{"type":"orderbook","codes":["KRW-BTC","KRW-BTC.1","KRW-BTC.5","KRW-BTC.15"]},
               {"type":"orderbook","codes":["KRW-BTC"],"level":10000}"#,
            Fault::DuplicateTrades(false),
        ),
        (r#"{"type":"trade","codes":["KRW-BTC"]},{"type":"ticker","codes":["KRW-BTC"]}"#, Fault::DuplicateTrades(true)),
        (r#"{"type":"trade","codes":["KRW-BTC"]}"#, Fault::DuplicateTrades(true)),
    ] {
        let mut stale_seen = [0; 3];
        for seed in 0..60 {
            let mut link = Link::with(Config { seed, speed: 20.0, ..Config::default() });
            link.exchange.inject(link.now, fault.clone());
            link.say(&request(types, "DEFAULT"));
            link.advance(SECOND + seed * 7 * MS);
            link.take();
            link.say(&subscribe("ticker", &["KRW-XRP"]));
            link.advance(SECOND);
            stale_seen[names(&link.objects()).iter().filter(|name| name.contains("KRW-BTC")).count()] += 1;
        }
        assert!(stale_seen.iter().all(|count| *count > 0), "{types}: {stale_seen:?}");
    }
}

#[test]
fn unknown_and_lower_case_codes_are_ignored_without_an_error() {
    let mut link = Link::open();
    link.say(&subscribe("ticker", &["krw-btc", "KRW-NOPE"]));
    link.advance(20 * SECOND);
    assert!(link.take().is_empty() && link.flow == Flow::Open);
    link.say(&subscribe("ticker", &["KRW-NOPE", "KRW-BTC"]));
    link.advance(SECOND);
    assert!(names(&link.objects()).iter().all(|name| name.starts_with("ticker KRW-BTC")));
}

#[test]
fn the_suffix_sets_the_units_but_totals_cover_thirty() {
    let mut link = Link::open();
    for (code, units) in [
        ("KRW-BTC.1", 1),
        ("KRW-ETH.5", 5),
        ("KRW-XRP.15", 15),
        ("KRW-SOL.30", 30),
        ("KRW-ETH.20", 30),
        ("KRW-BTC", 30),
    ] {
        link.say(&subscribe("orderbook", &[code]));
        link.advance(SECOND);
        for book in link.objects() {
            if book["code"] != code.split('.').next().unwrap() {
                continue;
            }
            assert_eq!(book["orderbook_units"].as_array().unwrap().len(), units);
        }
    }
    let mut totals = Vec::new();
    for code in ["KRW-BTC.1", "KRW-BTC"] {
        let mut link = Link::open();
        link.say(&subscribe("orderbook", &[code]));
        link.advance(50 * MS);
        totals.push(link.objects()[0]["total_ask_size"].to_string());
    }
    assert_eq!(totals[0], totals[1]);
}

#[test]
fn levels_group_krw_books_and_other_books_send_nothing() {
    let mut link = Link::open();
    link.say(&request(r#"{"type":"orderbook","codes":["KRW-BTC.5"],"level":10000}"#, "DEFAULT"));
    link.advance(SECOND);
    let book = link.objects().remove(0);
    assert_eq!(book["level"].to_string(), "10000");
    let ask: f64 = book["orderbook_units"][0]["ask_price"].to_string().parse().unwrap();
    assert_eq!(ask % 10_000.0, 0.0);
    for unsupported in [
        r#"{"type":"orderbook","codes":["BTC-ETH"],"level":100}"#,
        r#"{"type":"orderbook","codes":["USDT-BTC"],"level":100}"#,
        r#"{"type":"orderbook","codes":["KRW-BTC"],"level":7}"#,
    ] {
        link.advance(SECOND);
        link.say(&request(unsupported, "DEFAULT"));
        link.advance(SECOND);
        link.take();
        link.advance(10 * SECOND);
        assert!(link.take().is_empty() && link.flow == Flow::Open, "{unsupported}");
    }
}

#[test]
fn a_level_is_ignored_for_types_other_than_order_books() {
    let answer = |object: &str| {
        let mut link = Link::open();
        link.say(&request(object, "DEFAULT"));
        link.advance(3 * SECOND);
        link.take()
    };
    for (kind, code) in [("ticker", "BTC-ETH"), ("trade", "KRW-BTC"), ("candle.1s", "KRW-BTC"), ("ticker", "KRW-BTC")] {
        let without = answer(&format!(r#"{{"type":"{kind}","codes":["{code}"]}}"#));
        assert!(!without.is_empty());
        for level in ["10000", "7", "\"5\"", "true"] {
            let with = answer(&format!(r#"{{"type":"{kind}","codes":["{code}"],"level":{level}}}"#));
            assert!(with == without, "{kind} {code} level {level}");
        }
    }
}

#[test]
fn only_snapshot_and_only_realtime_limit_the_stream_types() {
    let mut link = Link::open();
    link.say(&request(r#"{"type":"trade","codes":["KRW-BTC"],"is_only_snapshot":true}"#, "JSON_LIST"));
    link.advance(10 * SECOND);
    let frames = link.take();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].json().as_array().unwrap().len(), 1);
    link.say(&request(r#"{"type":"trade","codes":["KRW-BTC"],"is_only_realtime":true}"#, "SIMPLE_LIST"));
    link.advance(10 * SECOND);
    let seen = names(&link.objects());
    assert!(seen.len() > 5 && seen.iter().all(|name| name == "trade KRW-BTC REALTIME"));
}

#[test]
fn keys_come_in_the_order_of_the_wire() {
    let types = r#"{"type":"ticker","codes":["KRW-BTC"]},{"type":"trade","codes":["KRW-BTC"]},
        {"type":"orderbook","codes":["KRW-BTC.1"]},{"type":"candle.1m","codes":["KRW-BTC"]}"#;
    let of = |format: &str| {
        let mut link = Link::open();
        link.say(&request(types, format));
        link.advance(180 * MS);
        let objects = link.objects();
        let find =
            |kind: &str| objects.iter().find(|o| o.get("type").or(o.get("ty")).unwrap() == kind).unwrap().clone();
        ["ticker", "trade", "orderbook", "candle.1m"].map(find)
    };
    let [ticker, trade, book, candle] = of("DEFAULT");
    assert_eq!(
        keys(&ticker).join(" "),
        "type code opening_price high_price low_price trade_price prev_closing_price acc_trade_price change \
         change_price signed_change_price change_rate signed_change_rate ask_bid trade_volume acc_trade_volume \
         trade_date trade_time trade_timestamp acc_ask_volume acc_bid_volume highest_52_week_price \
         highest_52_week_date lowest_52_week_price lowest_52_week_date market_state is_trading_suspended \
         delisting_date market_warning timestamp acc_trade_price_24h acc_trade_volume_24h stream_type"
    );
    assert_eq!(
        keys(&trade).join(" "),
        "type code timestamp trade_date trade_time trade_timestamp trade_price trade_volume ask_bid \
         prev_closing_price change change_price sequential_id best_ask_price best_ask_size best_bid_price \
         best_bid_size stream_type"
    );
    assert_eq!(
        keys(&book).join(" "),
        "type code timestamp total_ask_size total_bid_size orderbook_units stream_type level"
    );
    assert_eq!(keys(&book["orderbook_units"][0]).join(" "), "ask_price bid_price ask_size bid_size");
    assert_eq!(
        keys(&candle).join(" "),
        "type code candle_date_time_utc candle_date_time_kst opening_price high_price low_price trade_price \
         candle_acc_trade_volume candle_acc_trade_price timestamp stream_type"
    );
    let [ticker, trade, book, candle] = of("SIMPLE_LIST");
    assert_eq!(
        keys(&ticker).join(" "),
        "ty cd op hp lp tp pcp atp c cp scp cr scr ab tv atv tdt ttm ttms aav abv h52wp h52wdt l52wp l52wdt ms its \
         dd mw tms atp24h atv24h st"
    );
    assert_eq!(keys(&trade).join(" "), "ty cd tms td ttm ttms tp tv ab pcp c cp sid bap bas bbp bbs st");
    assert_eq!(keys(&book).join(" "), "ty cd tms tas tbs obu st lv");
    assert_eq!(keys(&book["obu"][0]).join(" "), "ap bp as bs");
    assert_eq!(keys(&candle).join(" "), "ty cd cdttmu cdttmk op hp lp tp catv catp tms st");
}

#[test]
fn numbers_are_spelled_as_on_the_wire() {
    let spelled = |kind: &str, format: &str, key: &str| {
        let mut link = Link::open();
        let code = if kind == "orderbook" { "KRW-BTC.1" } else { "KRW-BTC" };
        link.say(&request(&format!(r#"{{"type":"{kind}","codes":["{code}"]}}"#), format));
        link.advance(50 * MS);
        let text = link.take()[0].text().to_owned();
        let start = text.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
        text[start..].split([',', '}']).next().unwrap().to_owned()
    };
    let decimals = |text: &str| text.split_once('.').unwrap().1.len();
    assert_eq!(decimals(&spelled("ticker", "DEFAULT", "trade_price")), 8);
    assert_eq!(decimals(&spelled("ticker", "DEFAULT", "acc_trade_price")), 16);
    assert_eq!(decimals(&spelled("trade", "SIMPLE", "tp")), 8);
    assert_eq!(spelled("trade", "DEFAULT", "best_ask_price"), "116540000");
    assert_eq!(spelled("orderbook", "DEFAULT", "ask_price"), "1.1654E8");
    assert_eq!(spelled("orderbook", "SIMPLE", "ap"), "116540000");
    assert_eq!(spelled("orderbook", "DEFAULT", "level"), "0");
}

#[test]
fn list_subscriptions_answers_and_sets_the_format() {
    let mut link = Link::open();
    link.say(&request(
        r#"{"type":"ticker","codes":["KRW-BTC"]},{"type":"orderbook","codes":["KRW-ETH.5"]}"#,
        "DEFAULT",
    ));
    link.advance(SECOND);
    link.take();
    link.say(r#"[{"method":"LIST_SUBSCRIPTIONS"},{"ticket":"mine"},{"format":"SIMPLE"}]"#);
    assert_eq!(
        link.take()[0].text(),
        r#"{"mthd":"LIST_SUBSCRIPTIONS","rslt":[{"ty":"ticker","cds":["KRW-BTC"]},{"ty":"orderbook","cds":["KRW-ETH.5"],"lv":0}],"tckt":"mine"}"#
    );
    link.advance(5 * SECOND);
    let objects = link.objects();
    assert!(objects.len() > 5 && objects.iter().all(|object| object.get("ty").is_some()));
}

/// Messages after a request have its format, and a request without a snapshot causes no pause.
#[test]
fn another_format_takes_effect_at_its_request() {
    let mut link = Link::open();
    link.say(&request(r#"{"type":"trade","codes":["KRW-BTC"]}"#, "DEFAULT"));
    let mut ids = Vec::new();
    for format in ["SIMPLE", "JSON_LIST", "DEFAULT", "SIMPLE_LIST"].into_iter().cycle().take(12) {
        link.advance(5 * SECOND);
        ids.extend(link.take().iter().map(|frame| id(&frame.json())));
        link.say(&request(r#"{"type":"trade","codes":["KRW-BTC"],"is_only_realtime":true}"#, format));
        link.advance(5 * SECOND);
        let frames = link.take();
        let (start, key) =
            (if format.ends_with("LIST") { "[{" } else { "{" }, if format.starts_with('S') { "ty" } else { "type" });
        let begins = format!("{start}\"{key}\":");
        assert!(!frames.is_empty() && frames.iter().all(|frame| frame.text().starts_with(&begins)), "{format}");
        ids.extend(frames.iter().map(|frame| id(&frame.json())));
    }
    // The same time without any change of format.
    let mut other = Link::open();
    other.say(&request(r#"{"type":"trade","codes":["KRW-BTC"]}"#, "DEFAULT"));
    other.advance(120 * SECOND);
    assert_eq!(ids, other.take().iter().map(|frame| id(&frame.json())).collect::<Vec<_>>());
}

fn id(message: &Value) -> u64 {
    let object = message.get(0).unwrap_or(message);
    object.get("sequential_id").or(object.get("sid")).and_then(Value::as_u64).unwrap()
}

#[test]
fn a_text_ping_starts_status_messages_on_the_ten_second_tick() {
    let mut link = Link::open();
    link.advance(500 * MS);
    link.say("PING");
    link.advance(35 * SECOND);
    let frames = link.take();
    let at: Vec<u64> = frames.iter().map(|frame| frame.at / MS).collect();
    assert!(frames.iter().all(|frame| frame.text() == r#"{"status":"UP"}"#));
    assert_eq!(at, [1_773_240_060_000, 1_773_240_070_000, 1_773_240_080_000, 1_773_240_090_000]);
    assert_eq!(link.exchange.stats().text_pings, 1);
}

#[test]
fn an_idle_connection_ends_at_the_timeout_without_a_close_frame() {
    let mut link = Link::open();
    link.advance(60 * SECOND - MS);
    assert_eq!(link.flow, Flow::Open);
    link.advance(MS);
    assert_eq!((link.flow, link.take().len()), (Flow::Close, 0));
    assert_eq!(link.exchange.stats().idle_closes, 1);
}

#[test]
fn pings_are_answered_at_once_and_keep_the_connection_open() {
    let mut link = Link::open();
    for _ in 0..5 {
        link.advance(50 * SECOND);
        link.send(9, b"stay");
        let frames = link.take();
        assert_eq!((frames[0].opcode, frames[0].text(), frames[0].at), (10, "stay", link.now));
    }
    assert_eq!(link.flow, Flow::Open);
}

/// Regression: each ping of a client that reads no pongs was answered, which took 776 MB in four seconds.
#[test]
fn a_flood_of_pings_leaves_one_pong_to_send_for_the_newest() {
    let mut link = Link::open();
    for round in 0..100u32 {
        let pings: Vec<u8> =
            (0..1_000u32).flat_map(|n| frames::client(frames::PING, &(round * 1_000 + n).to_be_bytes())).collect();
        link.exchange.receive(link.now, link.conn, &pings);
    }
    link.send(9, b"last");
    let pongs = link.take();
    assert_eq!((pongs.len(), pongs[0].opcode, pongs[0].text()), (1, 10, "last"));
    assert_eq!(link.exchange.stats().ping_frames, 100_001);
    link.send(9, b"again");
    assert_eq!(link.take()[0].text(), "again", "the next answer waits for nothing");
}

/// Regression: the bytes after each frame were moved, so a few MB of small frames took minutes.
#[test]
fn a_message_of_300_000_fragments_is_read_once() {
    let mut link = Link::open();
    let request = subscribe("trade", &["KRW-BTC"]);
    let mut flood = frames::client(0x01, b"[");
    flood.extend(frames::client(0x00, b" ").repeat(300_000));
    flood.extend(frames::client(0x80, &request.as_bytes()[1..]));
    link.receive(&flood);
    link.advance(SECOND);
    assert_eq!(link.objects()[0]["stream_type"], "SNAPSHOT");
}

#[test]
fn an_error_is_followed_by_a_close_and_ends_the_subscription() {
    let mut link = Link::open();
    link.say(&subscribe("trade", &["KRW-BTC"]));
    link.advance(SECOND);
    link.take();
    let begin = link.now;
    link.say("hello");
    link.advance(SECOND / 2);
    let frames = link.take();
    assert_eq!(frames[0].text(), r#"{"error":{"message":"Format 이 맞지 않습니다.","name":"WRONG_FORMAT"}}"#);
    assert_eq!((frames[1].opcode, &frames[1].payload[..]), (8, &1000u16.to_be_bytes()[..]));
    assert_eq!(frames[1].at - begin, 165 * MS);
    assert_eq!((frames.len(), link.flow), (2, Flow::Open));
    link.send(8, &1000u16.to_be_bytes());
    assert_eq!(link.flow, Flow::Close);
}

#[test]
fn each_error_has_its_name_text_and_key_order() {
    for (request, error) in [
        (
            r#"[{"type":"ticker","codes":["KRW-BTC"]}]"#,
            r#"{"name":"NO_TICKET","message":"티켓이 존재하지 않거나, 유효하지 않습니다."}"#,
        ),
        (r#"[{"ticket":"t"}]"#, r#"{"name":"NO_TYPE","message":"type 필드가 존재하지 않습니다."}"#),
        (r#"[{"ticket":"t"},{"type":"ticker"}]"#, r#"{"name":"NO_CODES","message":"codes 필드가 존재하지 않습니다."}"#),
        (
            r#"[{"ticket":"t"},{"type":"nope","codes":["KRW-BTC"]}]"#,
            r#"{"message":"nope 은 지원하지 않는 타입입니다.","name":"INVALID_PARAM"}"#,
        ),
    ] {
        let mut link = Link::open();
        link.say(request);
        assert_eq!(link.take()[0].text(), format!(r#"{{"error":{error}}}"#));
        assert_eq!(link.exchange.stats().malformed_requests, 1);
    }
}

#[test]
fn the_sixth_request_in_a_second_is_refused() {
    let mut link = Link::open();
    for _ in 0..5 {
        link.say(&subscribe("ticker", &["KRW-NOPE"]));
    }
    assert!(link.take().is_empty());
    link.say(&subscribe("ticker", &["KRW-NOPE"]));
    assert!(link.take()[0].text().contains("TOO_MANY_REQUEST"));
    assert_eq!(link.exchange.stats().requests_over_limit, 1);
    link.advance(SECOND);
    assert!(link.take().iter().any(|frame| frame.opcode == 8));
}

#[test]
fn the_hundred_and_first_request_in_a_minute_is_refused() {
    let mut link = Link::open();
    for _ in 0..100 {
        link.say(&subscribe("ticker", &["KRW-NOPE"]));
        link.advance(250 * MS);
    }
    assert!(link.take().is_empty());
    link.say(&subscribe("ticker", &["KRW-NOPE"]));
    assert!(link.take()[0].text().contains("TOO_MANY_REQUEST"));
}

#[test]
fn connecting_too_often_returns_429_then_418_with_a_growing_block() {
    let mut link = Link::open();
    let mut statuses = Vec::new();
    for _ in 0..12 {
        link.reconnect();
        link.receive(upgrade("/websocket/v1", "").as_bytes());
        statuses.push(link.head[9..12].to_owned());
    }
    assert_eq!(statuses.join(" "), "101 101 101 101 429 429 429 429 429 418 418 418");
    assert!(link.head.contains("Blocked for 10 seconds"), "{}", link.head);
    link.advance(10 * SECOND);
    link.reconnect();
    link.receive(upgrade("/websocket/v1", "").as_bytes());
    assert!(link.head.starts_with("HTTP/1.1 101"));
    let stats = link.exchange.stats();
    assert_eq!((stats.connects_over_limit, stats.connects_while_blocked, stats.violations()), (5, 3, 8));
}

#[test]
fn an_origin_header_is_accepted_once_in_ten_seconds() {
    let mut link = Link::connected(Config::default());
    link.receive(upgrade("/websocket/v1", "Origin: http://localhost\r\n").as_bytes());
    assert!(link.head.starts_with("HTTP/1.1 101"));
    link.advance(9 * SECOND);
    link.reconnect();
    link.receive(upgrade("/websocket/v1", "Origin: http://localhost\r\n").as_bytes());
    assert!(link.head.starts_with("HTTP/1.1 429"));
    assert_eq!(link.exchange.stats().origins_over_limit, 1);
}

#[test]
fn a_close_is_echoed_and_an_unmasked_frame_is_a_violation() {
    let mut link = Link::open();
    link.send(8, &1001u16.to_be_bytes());
    assert_eq!(link.take()[0].payload, 1001u16.to_be_bytes());
    assert_eq!(link.flow, Flow::Close);
    let mut link = Link::open();
    link.receive(&[0x81, 1, b'x']);
    assert_eq!(link.take()[0].payload, 1002u16.to_be_bytes());
    assert_eq!((link.flow, link.exchange.stats().unmasked_frames), (Flow::Close, 1));
}

#[test]
fn a_reader_that_falls_behind_is_cut_off() {
    let mut link = Link::with(Config { output_limit: 100_000, ..Config::default() });
    link.say(&subscribe("orderbook", &["KRW-BTC"]));
    for _ in 0..200 {
        let due = link.exchange.poll_timeout();
        link.now = link.now.max(due);
        link.exchange.handle_timeout(link.now);
    }
    link.drain();
    assert_eq!((link.flow, link.exchange.stats().slow_readers), (Flow::Drop, 1));
}

#[test]
fn the_same_seed_produces_the_same_bytes() {
    let run = |seed| {
        let mut link = Link::with(Config { seed, ..Config::default() });
        link.say(&subscribe("orderbook", &["KRW-BTC", "BTC-ETH", "KRW-DOGE"]));
        link.advance(10 * SECOND);
        link.take()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

// Faults

fn busy() -> Link {
    let mut link = Link::open();
    let types = r#"{"type":"trade","codes":["KRW-BTC"]},{"type":"orderbook","codes":["KRW-BTC"]}"#;
    link.say(&request(types, "DEFAULT"));
    link.advance(2 * SECOND);
    assert!(link.take().len() > 10);
    link
}

/// Returns the number of messages of each type in ten seconds.
fn heard(link: &mut Link) -> [usize; 3] {
    link.take();
    link.advance(10 * SECOND);
    let types: Vec<_> = link.take().iter().map(|frame| frame.json()["type"].to_string()).collect();
    ["ticker", "trade", "orderbook"].map(|name| types.iter().filter(|kind| kind.trim_matches('"') == name).count())
}

#[test]
fn a_mute_stream_sends_nothing_until_it_is_switched_on_and_stays_on_the_list() {
    const TYPES: &str = r#"{"type":"ticker","codes":["KRW-BTC"]},{"type":"trade","codes":["KRW-BTC"]},
        {"type":"orderbook","codes":["KRW-BTC"]}"#;
    let mute = |on| Fault::MuteStream { type_name: "trade".into(), code: "KRW-BTC".into(), on };
    let mut link = Link::open();
    link.say(&request(TYPES, "DEFAULT"));
    assert!(heard(&mut link).iter().all(|count| *count > 0));
    link.exchange.inject(link.now, mute(true));
    // Another request is not answered with a snapshot of it either.
    link.say(&request(TYPES, "DEFAULT"));
    let [ticker, trade, orderbook] = heard(&mut link);
    assert!(ticker > 0 && trade == 0 && orderbook > 0);
    link.take();
    link.say(r#"[{"ticket":"t"},{"method":"LIST_SUBSCRIPTIONS"}]"#);
    link.advance(SECOND / 10);
    assert!(link.take().iter().any(|frame| frame.text().contains("result") && frame.text().contains("trade")));
    link.exchange.inject(link.now, mute(false));
    assert!(heard(&mut link)[1] > 0);
}

#[test]
fn a_forgotten_stream_is_off_the_list_until_it_is_requested_again() {
    const TYPES: &str = r#"{"type":"ticker","codes":["KRW-BTC"]},{"type":"trade","codes":["KRW-BTC"]}"#;
    let mut link = Link::open();
    link.say(&request(TYPES, "DEFAULT"));
    assert!(heard(&mut link)[1] > 0);
    link.exchange.inject(link.now, Fault::Forget { type_name: "trade".into(), code: "KRW-BTC".into() });
    let [ticker, trade, _] = heard(&mut link);
    assert!(ticker > 0 && trade == 0);
    link.say(r#"[{"ticket":"t"},{"method":"LIST_SUBSCRIPTIONS"}]"#);
    link.advance(SECOND / 10);
    let frames = link.take();
    let list = frames.iter().find(|frame| frame.text().contains("result")).unwrap().text();
    assert!(list.contains("ticker") && !list.contains("trade"), "{list}");
    link.say(&request(TYPES, "DEFAULT"));
    assert!(heard(&mut link)[1] > 0);
}

#[test]
fn mute_answers_pings_and_sends_no_data() {
    let mut link = busy();
    link.exchange.inject(link.now, Fault::Mute(true));
    link.advance(5 * SECOND);
    link.send(9, b"?");
    let frames = link.take();
    assert_eq!((frames.len(), frames[0].opcode), (1, 10));
    link.exchange.inject(link.now, Fault::Mute(false));
    link.advance(2 * SECOND);
    assert!(link.take().len() > 5);
}

#[test]
fn stall_reads_and_writes_nothing_until_it_ends() {
    let mut link = busy();
    link.exchange.inject(link.now, Fault::Stall(true));
    link.send(9, b"?");
    link.advance(300 * SECOND);
    assert_eq!((link.take().len(), link.flow), (0, Flow::Open));
    link.exchange.inject(link.now, Fault::Stall(false));
    link.advance(SECOND);
    let frames = link.take();
    assert!(frames.iter().any(|frame| frame.opcode == 10) && frames.len() > 5);
    assert!(frames.len() < 40, "events during the stall must not be sent afterwards");
    let mut late = Link::connected(Config::default());
    late.exchange.inject(late.now, Fault::Stall(true));
    late.receive(upgrade("/websocket/v1", "").as_bytes());
    assert!(late.head.is_empty());
    late.exchange.inject(late.now, Fault::Stall(false));
    late.drain();
    assert!(late.head.starts_with("HTTP/1.1 101"));
}

#[test]
fn connections_can_be_dropped_closed_refused_and_failed() {
    let mut link = busy();
    link.exchange.inject(link.now, Fault::DropAll);
    link.drain();
    assert_eq!((link.flow, link.take().len()), (Flow::Drop, 0));

    let mut link = busy();
    link.exchange.inject(link.now, Fault::Drop(hoga_exchange::ConnId(u64::MAX)));
    assert_eq!(link.exchange.flow(link.conn), Flow::Open, "only the other connection was dropped");
    link.exchange.inject(link.now, Fault::Drop(link.conn));
    assert_eq!(link.exchange.flow(link.conn), Flow::Drop);

    let mut link = busy();
    link.exchange.inject(link.now, Fault::CloseAll(1012));
    link.drain();
    assert_eq!(link.take()[0].payload, 1012u16.to_be_bytes());
    link.advance(SECOND);
    assert_eq!(link.flow, Flow::Close);

    let mut link = busy();
    link.exchange.inject(link.now, Fault::ErrorNow(ErrorName::InvalidAuth));
    link.drain();
    assert!(link.take()[0].text().contains("INVALID_AUTH"));

    let mut link = busy();
    link.exchange.inject(link.now, Fault::RefuseConnects(true));
    link.reconnect();
    link.drain();
    assert_eq!(link.flow, Flow::Drop);
}

#[test]
fn the_requested_number_of_upgrades_is_rejected() {
    let mut link = Link::connected(Config::default());
    let fault = Fault::RejectUpgrades { count: 1, status: 503, retry_after: Some(7), body: "later".into() };
    link.exchange.inject(link.now, fault);
    link.receive(upgrade("/websocket/v1", "").as_bytes());
    assert!(link.head.starts_with("HTTP/1.1 503 ") && link.head.contains("Retry-After: 7\r\n"));
    assert!(link.head.ends_with("\r\n\r\nlater"));
    link.reconnect();
    link.receive(upgrade("/websocket/v1", "").as_bytes());
    assert!(link.head.starts_with("HTTP/1.1 101"));
}

#[test]
fn garbage_is_not_a_frame() {
    let mut link = busy();
    link.exchange.inject(link.now, Fault::Garbage);
    link.drain();
    assert_eq!((link.unread().len(), link.unread()[0]), (65, 0xFF));
}

#[test]
fn messages_can_be_text_fragmented_doubled_and_strange() {
    let with = |fault: Fault, format: &str| {
        let mut link = Link::open();
        link.exchange.inject(link.now, fault);
        let types = r#"{"type":"trade","codes":["KRW-BTC"]},{"type":"orderbook","codes":["KRW-BTC.1"]},
            {"type":"ticker","codes":["KRW-BTC"]}"#;
        link.say(&request(types, format));
        link.advance(10 * SECOND);
        link.take()
    };
    assert!(with(Fault::SendText(true), "DEFAULT").iter().all(|frame| frame.opcode == 1));

    let pieces = with(Fault::Fragment(true), "DEFAULT");
    let shape: Vec<(u8, bool)> = pieces[..4].iter().map(|frame| (frame.opcode, frame.fin)).collect();
    assert_eq!(shape, [(2, false), (0, false), (9, true), (0, true)]);
    let whole = [&pieces[0].payload[..], &pieces[1].payload, &pieces[3].payload].concat();
    assert!(serde_json::from_slice::<Value>(&whole).unwrap()["type"].is_string());

    let books = with(Fault::MicrosecondTimestamps(true), "DEFAULT");
    let book = books.iter().find(|frame| frame.text().contains("orderbook")).unwrap().json();
    assert!(book["timestamp"].to_string().len() == 16);

    let trades = with(Fault::DuplicateTrades(true), "DEFAULT");
    let trades: Vec<_> =
        trades.iter().filter(|f| f.text().contains(r#""type":"trade""#) && f.text().contains("REALTIME")).collect();
    assert!(trades.len() > 10 && trades.chunks(2).all(|pair| pair[0].payload == pair[1].payload));

    let strange = with(Fault::UnknownKeys(true), "SIMPLE");
    assert!(strange.iter().all(|frame| frame.json()["zz_new"].is_object()));

    let lists = with(Fault::MultiElementLists(true), "JSON_LIST");
    assert!(lists.iter().any(|frame| frame.json().as_array().unwrap().len() > 1));
}

/// Messages of two formats are queued together if a slow client requests another format.
#[test]
fn a_list_of_several_messages_has_keys_of_one_format() {
    let mut lists = 0;
    for seed in 0..20 {
        let mut link = Link::with(Config { seed, speed: 20.0, ..Config::default() });
        link.exchange.inject(link.now, Fault::MultiElementLists(true));
        for (format, code) in [("JSON_LIST", "KRW-BTC"), ("SIMPLE_LIST", "KRW-ETH")] {
            let types = format!(r#"{{"type":"trade","codes":["{code}"]}},{{"type":"ticker","codes":["{code}"]}}"#);
            let text = frames::client(frames::TEXT, request(&types, format).as_bytes());
            link.exchange.receive(link.now, link.conn, &text);
            for _ in 0..200 {
                link.now += 5 * MS;
                link.exchange.handle_timeout(link.now);
            }
        }
        link.drain();
        for list in link.take().iter().map(|frame| frame.json()) {
            let list = list.as_array().unwrap();
            lists += usize::from(list.len() > 1);
            assert!(list.iter().all(|message| message.get("type").is_some() == list[0].get("type").is_some()));
        }
    }
    assert!(lists >= 40, "{lists}");
}

#[test]
fn early_data_arrives_together_with_the_upgrade() {
    let mut link = Link::connected(Config::default());
    link.exchange.inject(link.now, Fault::EarlyData(true));
    link.exchange.receive(link.now, link.conn, upgrade("/websocket/v1", "").as_bytes());
    let mut bytes = Vec::new();
    link.exchange.poll_transmit(link.now, link.conn, &mut bytes);
    assert!(bytes.starts_with(b"HTTP/1.1 101") && bytes.ends_with(br#"{"status":"UP"}"#));
}
