//! The meaning of each message of the exchange, one promise per test, with the fixtures in this file.

use hoga::model::{
    Change, DataType, Format, Interval, Level, MarketState, MarketWarning, Maybe, NounKind, Side, StreamKey, StreamType,
};
use hoga::wire::{DecodeError, DecodeErrorKind, Decoder, Drift, ErrorName, Message, OtherType, Status, schema};
use hoga_testing::{Rng, messages};

use crate::support::{Collector, Data, RECEIPT, decode, decode_by_tape};

const TICKER: &str = r#"{"type":"ticker","code":"KRW-BTC","opening_price":122720000.00000000,"high_price":123135000.00000000,"low_price":122677000.00000000,"trade_price":122902000.00000000,"prev_closing_price":122720000.00000000,"acc_trade_price":19699800600.2538100000000000,"change":"EVEN","change_price":0E-8,"signed_change_price":-0E-8,"change_rate":0,"signed_change_rate":-0.0014830508,"ask_bid":"BID","trade_volume":0.00016274,"acc_trade_volume":160.23404402,"trade_date":"20250420","trade_time":"025403","trade_timestamp":1745117643124,"acc_ask_volume":81.37206433,"acc_bid_volume":78.86197969,"highest_52_week_price":163325000.00000000,"highest_52_week_date":"2025-01-20","lowest_52_week_price":72100000.00000000,"lowest_52_week_date":"2024-08-05","market_state":"ACTIVE","is_trading_suspended":false,"delisting_date":null,"market_warning":"NONE","timestamp":1745117643154,"acc_trade_price_24h":67648718116.20854000,"acc_trade_volume_24h":551.06443212,"stream_type":"REALTIME"}"#;

const TRADE: &str = r#"{"ty":"trade","cd":"KRW-BTC","tms":1787728554853,"td":"2026-08-26","ttm":"07:15:54","ttms":1787728554797,"tp":109847000.0,"tv":0.00509799,"ab":"ASK","pcp":109165000.0,"c":"RISE","cp":682000.0,"sid":17877285547970001,"bap":109867000,"bas":0.0099545,"bbp":109847000,"bbs":0.158367,"st":"SNAPSHOT"}"#;

const OLD_TRADE: &str = r#"{"ty":"trade","cd":"KRW-LAMB","tms":1618678262712,"td":"2021-04-17","ttm":"16:51:02","ttms":1618678262000,"tp":127.0,"tv":46.48838371,"ab":"BID","pcp":123.00000000,"c":"RISE","cp":4.00000000,"sid":1618678262000003,"st":"REALTIME"}"#;

const ORDERBOOK: &str = r#"{"type":"orderbook","code":"KRW-BTC","timestamp":1790134742106,"total_ask_size":2.51469375,"total_bid_size":1.63815297,"orderbook_units":[{"ask_price":1.16539E8,"bid_price":1.16538E8,"ask_size":0.02054761,"bid_size":0.08120946},{"ask_price":0,"bid_price":1.16537E8,"ask_size":0,"bid_size":7.9276E-4},{"ask_price":1.16542E8,"bid_price":0.0,"ask_size":6E-8,"bid_size":0}],"stream_type":"SNAPSHOT","level":10000}"#;

const CANDLE: &str = r#"{"type":"candle.240m","code":"KRW-BTC","candle_date_time_utc":"2026-07-30T04:00:00","candle_date_time_kst":"2026-07-30T13:00:00","opening_price":91154000.00000000,"high_price":91157000.00000000,"low_price":91142000.00000000,"trade_price":91157000.00000000,"candle_acc_trade_volume":0.15511395,"candle_acc_trade_price":14139448.26754000,"timestamp":1785397531885,"stream_type":"SNAPSHOT"}"#;

/// Bithumb's key order and spelling.
const FOREIGN_ORDERBOOK: &str = r#"{"type":"orderbook","code":"KRW-ETH","total_ask_size":369.9832,"total_bid_size":287.0216,"orderbook_units":[{"ask_price":3715000,"bid_price":3714000,"ask_size":8.4592,"bid_size":3.012}],"level":1,"timestamp":1790133505546514,"stream_type":"SNAPSHOT"}"#;

/// From Upbit Indonesia, where books have no level.
const INDONESIAN_ORDERBOOK: &str = r#"{"ty":"orderbook","cd":"IDR-BTC","tms":1790139297439,"tas":1.79426566,"tbs":0.99397409,"obu":[{"ap":87173.34,"bp":87170.3,"as":0.00344142,"bs":0.00172057}],"st":"REALTIME"}"#;

/// Returns the one data object of a message, which both readers must read alike.
#[track_caller]
fn one(message: &str) -> Data {
    let mut decoder = Decoder::new();
    let (result, mut data) = decode(&mut decoder, message.as_bytes());
    assert_eq!(result, Ok(Message::Data { count: 1 }), "{message}");
    assert_eq!(decode_by_tape(&mut decoder, message.as_bytes()), (result, data.clone()));
    assert_eq!(data.len(), 1);
    data.remove(0)
}

/// Returns the error of a message that delivers nothing.
#[track_caller]
fn error(message: &[u8]) -> DecodeErrorKind {
    let mut decoder = Decoder::new();
    let (result, data) = decode(&mut decoder, message);
    assert!(data.is_empty());
    assert_eq!(decoder.counters().malformed, 1);
    assert_eq!(decode_by_tape(&mut decoder, message).0, result);
    result.unwrap_err().kind
}

/// Decodes a message without data.
#[track_caller]
fn control(message: &str) -> Message {
    let (result, data) = decode(&mut Decoder::new(), message.as_bytes());
    assert!(data.is_empty());
    result.unwrap()
}

#[test]
fn a_ticker_has_every_field() {
    let Data::Ticker(ticker) = one(TICKER) else { panic!("no ticker") };
    assert_eq!(ticker.market.as_str(), "KRW-BTC");
    assert_eq!(ticker.trade_price, 122_902_000.0);
    assert_eq!(ticker.acc_trade_price.get(), Some(19_699_800_600.253_81));
    assert_eq!(ticker.change, Some(Change::Even));
    assert_eq!((ticker.change_price.get(), ticker.change_rate.get()), (Some(0.0), Some(0.0)));
    assert!(ticker.signed_change_price.get().unwrap().is_sign_positive(), "a negative zero reads as zero");
    assert_eq!(ticker.signed_change_rate.get(), Some(-0.001_483_050_8));
    assert_eq!(ticker.ask_bid, Some(Side::Bid));
    let (date, time) = (ticker.trade_date.get().unwrap(), ticker.trade_time.get().unwrap());
    assert_eq!((date.to_string(), time.to_string()), ("2025-04-20".into(), "02:54:03".into()));
    assert_eq!((ticker.trade_timestamp.get(), ticker.timestamp), (Some(1_745_117_643_124), 1_745_117_643_154));
    assert_eq!(ticker.highest_52_week_price.get(), Some(163_325_000.0));
    assert_eq!(ticker.lowest_52_week_price.get(), Some(72_100_000.0));
    assert_eq!(ticker.lowest_52_week_date.get().unwrap().to_string(), "2024-08-05");
    assert_eq!(ticker.market_state, Some(MarketState::Active));
    assert_eq!(ticker.market_warning, Some(MarketWarning::None));
    assert_eq!((ticker.is_trading_suspended, ticker.delisting_date.get()), (Some(false), None));
    assert_eq!(ticker.acc_trade_price_24h.get(), Some(67_648_718_116.208_54));
    assert_eq!(ticker.acc_trade_volume_24h.get(), Some(551.064_432_12));
    assert_eq!(ticker.stream_type, StreamType::Realtime);
}

#[test]
fn a_trade_keeps_its_id_exactly_with_and_without_the_best_prices() {
    let Data::Trade(trade) = one(TRADE) else { panic!("no trade") };
    // Over 2^53 and odd: a float would lose it.
    assert_eq!(trade.sequential_id.get(), Some(17_877_285_547_970_001));
    assert_eq!((trade.best_ask_price.get(), trade.best_bid_size.get()), (Some(109_867_000.0), Some(0.158_367)));
    let Data::Trade(old) = one(OLD_TRADE) else { panic!("no trade") };
    let best = [old.best_ask_price, old.best_ask_size, old.best_bid_price, old.best_bid_size];
    assert_eq!(best, [Maybe::ABSENT; 4]);
    let Data::Trade(null) = one(&TRADE.replace("\"bas\":0.0099545", "\"bas\":null")) else { panic!("no trade") };
    assert_eq!((null.best_ask_price.get(), null.best_ask_size.get()), (Some(109_867_000.0), None));
    let mut decoder = Decoder::new();
    decode(&mut decoder, TRADE.as_bytes()).0.unwrap();
    decode(&mut decoder, OLD_TRADE.as_bytes()).0.unwrap();
    assert_eq!((decoder.counters().scanned, decoder.counters().fallbacks), (2, 0));
}

#[test]
fn a_book_drops_the_padding_of_each_side() {
    let Data::Orderbook(book) = one(ORDERBOOK) else { panic!("no book") };
    let level = |price, size| Level { price, size };
    assert_eq!(book.asks[..], [level(116_539_000.0, 0.020_547_61), level(116_542_000.0, 6e-8)]);
    assert_eq!(book.bids[..], [level(116_538_000.0, 0.081_209_46), level(116_537_000.0, 7.9276e-4)]);
    assert_eq!(book.level.get(), Some(10_000.0));
    let Data::Orderbook(ungrouped) = one(&ORDERBOOK.replace(",\"level\":10000", "")) else { panic!("no book") };
    assert_eq!(ungrouped.level.get(), None);
}

/// Regression: the search for a missing key reached beyond the bytes that are known to follow a message, so the general
/// reader read the whole book.
#[test]
fn a_book_that_ends_before_an_optional_field_is_scanned() {
    for book in [ORDERBOOK.replace(",\"level\":10000", ""), INDONESIAN_ORDERBOOK.to_owned()] {
        let mut decoder = Decoder::new();
        assert_eq!(decode(&mut decoder, book.as_bytes()).0, Ok(Message::Data { count: 1 }), "{book}");
        assert_eq!((decoder.counters().scanned, decoder.counters().fallbacks), (1, 0), "{book}");
    }
}

#[test]
fn a_book_after_a_deeper_one_keeps_none_of_its_levels() {
    let mut decoder = Decoder::new();
    let deep = messages::orderbook(&mut Rng::new(1), 30, false).write(false);
    decode(&mut decoder, deep.as_bytes()).0.unwrap();
    let Data::Orderbook(book) = &decode(&mut decoder, ORDERBOOK.as_bytes()).1[0] else { panic!("no book") };
    assert_eq!((book.asks.len(), book.bids.len()), (2, 2));
}

#[test]
fn a_book_keeps_its_thirty_best_levels() {
    let book = |depth| messages::orderbook(&mut Rng::new(2), depth, true).write(true);
    let Data::Orderbook(read) = one(&book(30)) else { panic!("no book") };
    assert_eq!(read.asks.len(), 30);
    for depth in [31, 60, 500] {
        let Data::Orderbook(read) = one(&book(depth)) else { panic!("no book") };
        assert_eq!((read.asks.len(), read.bids.len()), (30, 30));
        let Data::Orderbook(best) = one(&book(1)) else { panic!("no book") };
        assert_eq!((read.best_ask().unwrap().price, read.best_bid().unwrap().price), {
            (best.best_ask().unwrap().price, best.best_bid().unwrap().price)
        });
        let mut decoder = Decoder::new();
        decode(&mut decoder, book(depth).as_bytes()).0.unwrap();
        assert_eq!(decoder.counters().drift.levels_cut, 2 * (depth as u64 - 30));
        assert_eq!((decoder.counters().tolerated, decoder.counters().fallbacks), (1, 0));
    }
    let Data::Orderbook(read) = one(&book(0)) else { panic!("no book") };
    assert!(read.asks.is_empty() && read.bids.is_empty());
}

#[test]
fn a_candle_has_its_interval() {
    let names = ["1s", "1m", "3m", "5m", "10m", "15m", "30m", "60m", "240m"];
    let seconds = [1, 60, 180, 300, 600, 900, 1800, 3600, 14400];
    for (name, seconds) in names.into_iter().zip(seconds) {
        let Data::Candle(candle) = one(&CANDLE.replace("240m", name)) else { panic!("no candle") };
        assert_eq!(candle.interval.seconds(), seconds);
        assert_eq!(candle.candle_date_time_kst.get().unwrap().to_string(), "2026-07-30T13:00:00");
        assert_eq!(candle.candle_acc_trade_price.get(), Some(14_139_448.267_54));
    }
    let Data::Candle(candle) = one(CANDLE) else { panic!("no candle") };
    assert_eq!(candle.interval, Interval::Minute240);
    assert_eq!(control(&CANDLE.replace("240m", "2m")), Message::Other(OtherType::Unknown));
}

#[test]
fn a_foreign_key_order_is_read_and_counted() {
    let mut decoder = Decoder::new();
    let (result, data) = decode(&mut decoder, FOREIGN_ORDERBOOK.as_bytes());
    assert_eq!(result, Ok(Message::Data { count: 1 }));
    let Data::Orderbook(book) = &data[0] else { panic!("no book") };
    assert_eq!(book.timestamp, 1_790_133_505_546, "µs become ms");
    let trade = TRADE
        .replace("17877285547970001", "1079953210371761701")
        .replace("\"ty\":\"trade\",", "")
        .replace("\"st\":", "\"ty\":\"trade\",\"st\":");
    let Data::Trade(trade) = &decode(&mut decoder, trade.as_bytes()).1[0] else { panic!("no trade") };
    assert_eq!(trade.sequential_id.get(), Some(1_079_953_210_371_761_701));
    let counters = decoder.counters();
    assert_eq!((counters.scanned, counters.tolerated, counters.fallbacks), (0, 2, 0));
    assert_eq!(counters.drift.unknown_keys, 0);
}

#[test]
fn timestamps_in_microseconds_become_milliseconds_on_both_paths() {
    let Data::Orderbook(book) = one(&ORDERBOOK.replace("1790134742106", "1691530805062123")) else { panic!("no book") };
    assert_eq!(book.timestamp, 1_691_530_805_062);
    let Data::Orderbook(book) = one(&ORDERBOOK.replace("1790134742106", "100000000000000")) else { panic!("no book") };
    assert_eq!(book.timestamp, 100_000_000_000_000);
}

#[test]
fn a_ticker_without_a_timestamp_takes_the_trade_timestamp() {
    let Data::Ticker(ticker) = one(&TICKER.replace(",\"timestamp\":1745117643154", "")) else { panic!("no ticker") };
    assert_eq!(ticker.timestamp, 1_745_117_643_124);
}

#[test]
fn a_delisting_date_is_a_date_or_nothing() {
    let read = |date: &str| {
        let message = TICKER.replace("\"delisting_date\":null", &format!("\"delisting_date\":{date}"));
        let Data::Ticker(ticker) = one(&message) else { panic!("no ticker") };
        ticker.delisting_date.get().map(|date| date.to_string())
    };
    for date in [
        "\"2026-04-13\"",
        "\"20260413\"",
        "\"2026-04-13T00:00:00+09:00\"",
        r#"{"year":2026,"month":4,"day":13}"#,
        r#"{"day":13,"x":1e400,"month":4,"year":2026}"#,
    ] {
        assert_eq!(read(date).as_deref(), Some("2026-04-13"), "{date}");
    }
    for nothing in ["null", "\"\"", "\"soon\"", "20260413", "1e400", "true", "[]", "{}", r#"{"year":2026,"month":4}"#] {
        assert_eq!(read(nothing), None, "{nothing}");
    }
    for beyond in [(99_999, 4, 13), (2026, 13, 13), (2026, 4, 269)] {
        let (year, month, day) = beyond;
        assert_eq!(read(&format!("{{\"year\":{year},\"month\":{month},\"day\":{day}}}")), None, "{beyond:?}");
    }
    let Data::Ticker(absent) = one(&TICKER.replace("\"delisting_date\":null,", "")) else { panic!("no ticker") };
    assert_eq!(absent.delisting_date.get(), None);
}

#[test]
fn a_delisting_date_that_cannot_be_read_is_counted() {
    let mut decoder = Decoder::new();
    let mut counted = |date: &str| {
        let before = decoder.counters().drift.unreadable_fields;
        let message = TICKER.replace("\"delisting_date\":null", &format!("\"delisting_date\":{date}"));
        decode(&mut decoder, message.as_bytes()).0.unwrap();
        decoder.counters().drift.unreadable_fields - before
    };
    for known in ["null", "\"\"", "\"2026-04-13\"", r#"{"year":2026,"month":4,"day":13}"#] {
        assert_eq!(counted(known), 0, "{known}");
    }
    for unknown in ["\"soon\"", "20260413", "{}", "1e400"] {
        assert_eq!(counted(unknown), 1, "{unknown}");
    }
}

#[test]
fn the_best_prices_of_a_trade_are_numbers_or_nothing() {
    let read = |odd: &str| {
        let Data::Trade(trade) = one(&TRADE.replace("\"bas\":0.0099545", &format!("\"bas\":{odd}"))) else {
            panic!("no trade")
        };
        assert_eq!(trade.best_ask_price.get(), Some(109_867_000.0), "{odd}");
        let mut decoder = Decoder::new();
        let text = TRADE.replace("\"bbp\":109847000", &format!("\"bbp\":{odd}"));
        decode(&mut decoder, text.as_bytes()).0.unwrap();
        (trade.best_ask_size.get(), decoder.counters().drift.unreadable_fields)
    };
    for odd in ["1e400", "true", "{}", "[1]", "\"many\""] {
        assert_eq!(read(odd), (None, 1), "{odd}");
    }
    assert_eq!((read("\"0.5\""), read("null"), read("\"\"")), ((Some(0.5), 0), (None, 0), (None, 0)));
}

/// A grouped book with an unknown step would look like the ungrouped book.
#[test]
fn a_book_whose_step_cannot_be_read_is_refused() {
    let book = |level: &str| ORDERBOOK.replace("\"level\":10000", &format!("\"level\":{level}"));
    for odd in ["1e400", "true", "{}"] {
        assert_eq!(error(book(odd).as_bytes()), DecodeErrorKind::WrongType("level"), "{odd}");
    }
    assert_eq!(error(book("\"all\"").as_bytes()), DecodeErrorKind::BadValue("level"));
    let Data::Orderbook(read) = one(&book("\"10000\"")) else { panic!("no book") };
    assert_eq!(read.level.get(), Some(10_000.0));
}

/// Regression: a number too large for an `f64` is valid JSON, but made the whole message fail.
#[test]
fn an_unused_value_never_fails_the_message() {
    let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
    let digits = "9".repeat(400);
    let values = [
        "1e400",
        "-1E+400",
        "[1e400000,{\"type\":-1e999}]",
        &digits,
        "123456789012345678901234567890",
        "1e99999999999999999999",
        "\"\\u0000\\\"}\"",
        "{\"code\":[],\"cd\":{}}",
        &deep,
    ];
    for (message, key) in [(TICKER, "code"), (TRADE, "cd"), (ORDERBOOK, "code"), (CANDLE, "code")] {
        let plain = one(message);
        for value in values {
            // Before the code, where the strict pass gives up, and after the last field, where it has read all.
            let first = message.replace(&format!("\"{key}\":"), &format!("\"novelty\":{value},\"{key}\":"));
            let last = message.strip_suffix('}').unwrap().to_owned() + &format!(",\"novelty\":{value}}}");
            for text in [&first, &last, &format!("[{first}]"), &format!(" {last} ")] {
                assert_eq!(one(text), plain, "{text}");
            }
        }
    }
    let unit = ORDERBOOK.replacen("{\"ask_price\"", "{\"novelty\":1e400,\"ask_price\"", 1);
    assert_eq!(one(&unit), one(ORDERBOOK));
}

#[test]
fn a_list_of_several_survives_an_unused_number() {
    let odd = TRADE.replace("\"st\":", "\"x\":1e400,\"st\":");
    let (result, data) = decode(&mut Decoder::new(), format!("[{TICKER},{odd},{CANDLE}]").as_bytes());
    assert_eq!((result, data), (Ok(Message::Data { count: 3 }), vec![one(TICKER), one(TRADE), one(CANDLE)]));
}

/// Regression: a key `type` decided that the message has long keys, regardless of the other keys.
#[test]
fn a_new_field_called_type_does_not_change_the_keys_of_a_message_with_short_keys() {
    for value in ["\"LIMIT\"", "\"ticker\"", "7", "null"] {
        for text in [
            TRADE.replace("\"st\":", &format!("\"type\":{value},\"st\":")),
            TRADE.replace("{\"ty\":", &format!("{{\"type\":{value},\"ty\":")),
        ] {
            assert_eq!(one(&text), one(TRADE), "{text}");
        }
        let long = TICKER.replace("{\"type\":", &format!("{{\"ty\":{value},\"type\":"));
        assert_eq!(one(&long), one(TICKER), "{long}");
    }
    let list = r#"{"mthd":"LIST_SUBSCRIPTIONS","rslt":[{"ty":"ticker","cds":["KRW-BTC"],"type":"x","codes":7}],"ticket":7,"tckt":"t1"}"#;
    let Message::Subscriptions(list) = control(list) else { panic!("no list") };
    assert_eq!((&*list.ticket, &*list.entries[0].type_name, &*list.entries[0].codes[0]), ("t1", "ticker", "KRW-BTC"));
}

#[test]
fn unknown_words_and_keys_are_counted_and_harmless() {
    let mut decoder = Decoder::new();
    let strange = TICKER
        .replace("ACTIVE", "RESTING")
        .replace("\"NONE\"", "\"WATCH\"")
        .replace("\"change\":", "\"novelty\":{\"type\":[1e400000,{}]},\"change\":");
    let (_, data) = decode(&mut decoder, strange.as_bytes());
    let Data::Ticker(ticker) = &data[0] else { panic!("no ticker") };
    assert_eq!(
        (ticker.market_state, ticker.market_warning),
        (Some(MarketState::Unknown), Some(MarketWarning::Unknown))
    );
    let counters = decoder.counters();
    assert_eq!((counters.drift.unknown_keys, counters.drift.unknown_words), (1, 2));
    assert_eq!((counters.tolerated, counters.fallbacks), (1, 0));
}

#[test]
fn the_last_of_repeated_keys_counts() {
    let twice = |first: &str, last: &str| {
        TICKER.replace("\"trade_price\":122902000.00000000", &format!("\"trade_price\":{first},\"trade_price\":{last}"))
    };
    let Data::Ticker(ticker) = one(&twice("1", "2")) else { panic!("no ticker") };
    assert_eq!(ticker.trade_price, 2.0);
    let Data::Ticker(ticker) = one(&twice("\"wrong\"", "3")) else { panic!("no ticker") };
    assert_eq!(ticker.trade_price, 3.0);
    assert_eq!(error(twice("4", "\"wrong\"").as_bytes()), DecodeErrorKind::BadValue("trade_price"));
    // This holds for the type too.
    let Data::Trade(_) = one(&TRADE.replace("\"ty\":\"trade\"", "\"ty\":\"nonsense\",\"ty\":\"trade\"")) else {
        panic!("no trade")
    };
}

#[test]
fn escapes_are_read_and_differ_from_the_documented_form() {
    let mut decoder = Decoder::new();
    let (_, data) = decode(&mut decoder, TICKER.replace("KRW-BTC", "KRW\\u002dBTC").as_bytes());
    assert!(matches!(&data[..], [Data::Ticker(ticker)] if ticker.market.as_str() == "KRW-BTC"), "{data:?}");
    let (_, data) = decode(&mut decoder, TRADE.replace("\"tp\"", "\"t\\u0070\"").as_bytes());
    assert!(matches!(&data[..], [Data::Trade(trade)] if trade.trade_price == 109_847_000.0), "{data:?}");
    let counters = decoder.counters();
    assert_eq!((counters.delivered, counters.malformed, counters.drift.unreadable_fields), (2, 0, 0));
    // Whichever reader reads them, they do not count as messages in the documented form.
    assert_eq!((counters.scanned, counters.tolerated + counters.fallbacks), (0, 2));
}

/// Returns whether a message is refused without this field. Another time stands in for a missing time.
fn is_required(type_name: &str, name: &str) -> bool {
    match name {
        "code" => true,
        "timestamp" | "orderbook_units" => type_name == "orderbook",
        "opening_price" | "high_price" | "low_price" => type_name.starts_with("candle"),
        "trade_price" => true,
        _ => false,
    }
}

/// Returns a message of each type, with long and with short keys.
fn drafts() -> impl Iterator<Item = (messages::Draft, bool)> {
    let rng = &mut Rng::new(3);
    [messages::ticker(rng), messages::trade(rng), messages::orderbook(rng, 5, false), messages::candle(rng)]
        .into_iter()
        .flat_map(|draft| [(draft.clone(), false), (draft, true)])
}

/// Returns the message as JSON text, with one value replaced, or without that field if `value` is `None`.
fn with(draft: &messages::Draft, short: bool, index: usize, value: Option<&str>) -> String {
    let mut members = draft.members(short);
    match value {
        Some(value) => members[index].1 = value.to_owned(),
        None => drop(members.remove(index)),
    }
    let members: Vec<_> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Returns the value of a field as the struct's `Debug` output shows it.
fn field_of(data: &Data, name: &str) -> String {
    let name = match name {
        "code" => "market",
        "orderbook_units" => "asks",
        name => name,
    };
    let text = format!("{data:?}");
    let start = text.find(&format!(" {name}: ")).unwrap_or_else(|| panic!("{name} in {text}")) + name.len() + 3;
    text[start..].split([',', ' ', '}']).next().unwrap().to_owned()
}

#[test]
fn only_essential_fields_are_required() {
    for (draft, short) in drafts() {
        let names: Vec<_> = draft.0.iter().map(|(name, ..)| *name).collect();
        let type_name = draft.members(false)[0].1.trim_matches('"').to_owned();
        for (index, name) in names.into_iter().enumerate().skip(1) {
            let text = with(&draft, short, index, None);
            if is_required(&type_name, name) {
                assert_eq!(error(text.as_bytes()), DecodeErrorKind::MissingField(name), "{text}");
                for value in ["{}", "true"] {
                    let text = with(&draft, short, index, Some(value));
                    assert_eq!(error(text.as_bytes()), DecodeErrorKind::WrongType(name), "{text}");
                }
                continue;
            }
            for value in [None, Some("null"), Some("\"\""), Some("[]"), Some("{}"), Some("true"), Some("\"x\"")] {
                if name == "level" && matches!(value, Some("[]" | "{}" | "true" | "\"x\"")) {
                    continue;
                }
                let field = field_of(&one(&with(&draft, short, index, value)), name);
                let expected: &[&str] = match name {
                    // It has no absent value: another time stands in.
                    "timestamp" | "candle_date_time_utc" => {
                        assert!(field.starts_with("177") || field.starts_with("2026-"), "{name} {field}");
                        continue;
                    }
                    "stream_type" => &["Realtime"],
                    "change" | "ask_bid" | "market_state" | "market_warning" if value == Some("\"x\"") => {
                        &["Some(Unknown)"]
                    }
                    "is_trading_suspended" if value == Some("true") => &["Some(true)"],
                    _ => &["None"],
                };
                assert!(expected.contains(&&*field), "{name} {value:?}: {field}");
            }
        }
    }
}

#[test]
fn numbers_and_ids_may_be_strings() {
    for (draft, short) in drafts() {
        let expected = one(&draft.write(short));
        for (index, (name, text)) in draft.members(short).into_iter().enumerate().skip(2) {
            if text.parse::<f64>().is_ok() {
                let quoted = with(&draft, short, index, Some(&format!("\"{text}\"")));
                assert_eq!(one(&quoted), expected, "{name}");
            }
        }
    }
}

#[test]
fn times_are_read_in_any_unit_and_spelling() {
    let read = |from: &str, to: &str| {
        let Data::Ticker(ticker) = one(&TICKER.replace(from, to)) else { panic!("no ticker") };
        ticker
    };
    for time in
        ["1745117643", "1745117643154", "1745117643154999", "1745117643154999999", "\"2025-04-20T02:54:03.154Z\""]
    {
        let seconds = read("\"timestamp\":1745117643154", &format!("\"timestamp\":{time}")).timestamp / 1000;
        assert_eq!(seconds, 1_745_117_643, "{time}");
    }
    assert_eq!(read("025403", "02:54").trade_time.get().unwrap().to_string(), "02:54:00");
    assert_eq!(read("20250420", "2025-04-20").trade_date.get().unwrap().to_string(), "2025-04-20");
    let start = |spelled: &str| {
        let Data::Candle(candle) = one(&CANDLE.replace("2026-07-30T04:00:00", spelled)) else { panic!("no candle") };
        candle.candle_date_time_utc.to_string()
    };
    for spelled in ["2026-07-30T04:00:00.123Z", "2026-07-30T13:00:00+09:00", "2026-07-30T04:00", "2026-07-30 04:00:00"]
    {
        assert_eq!(start(spelled), "2026-07-30T04:00:00", "{spelled}");
    }
}

#[test]
fn the_times_of_a_candle_stand_in_for_each_other() {
    let without = |keys: &[&str]| {
        let mut text = CANDLE.to_owned();
        for key in keys {
            text = text.replace(&format!("\"{key}\":"), "\"x\":");
        }
        text
    };
    let read = |keys: &[&str]| {
        let Data::Candle(candle) = one(&without(keys)) else { panic!("no candle") };
        (candle.candle_date_time_utc.to_string(), candle.timestamp)
    };
    let (utc, kst, time) = ("candle_date_time_utc", "candle_date_time_kst", "timestamp");
    let start = "2026-07-30T04:00:00".to_owned();
    assert_eq!(read(&[utc]), (start.clone(), 1_785_397_531_885));
    // The interval of four hours that the time falls into.
    assert_eq!(read(&[utc, kst]), ("2026-07-30T04:00:00".to_owned(), 1_785_397_531_885));
    assert_eq!(read(&[time]), (start.clone(), 1_785_384_000_000));
    assert_eq!(read(&[utc, time]), (start, 1_785_384_000_000));
    assert_eq!(error(without(&[utc, kst, time]).as_bytes()), DecodeErrorKind::MissingField("timestamp"));
}

#[test]
fn a_level_without_a_price_or_a_size_is_left_out() {
    let book = |unit: &str| {
        ORDERBOOK.replace(
            r#"{"ask_price":1.16539E8,"bid_price":1.16538E8,"ask_size":0.02054761,"bid_size":0.08120946}"#,
            unit,
        )
    };
    for (unit, asks, bids) in [
        (r#"{"ask_price":1.16539E8,"bid_price":1.16538E8,"ask_size":null,"bid_size":0.08120946}"#, 1, 2),
        (r#"{"bid_price":1.16538E8,"ask_size":0.02054761,"bid_size":0.08120946}"#, 1, 2),
        (r#"{"ask_price":1.16539E8,"bid_price":"x","ask_size":0.02054761,"bid_size":0.08120946}"#, 2, 1),
        ("null", 1, 1),
        ("{}", 1, 1),
    ] {
        let Data::Orderbook(read) = one(&book(unit)) else { panic!("no book") };
        assert_eq!((read.asks.len(), read.bids.len()), (asks, bids), "{unit}");
        let all = read.asks.iter().chain(read.bids.iter());
        assert!(all.into_iter().all(|level| level.price > 0.0 && level.size > 0.0), "{unit}");
    }
    // A side must not appear empty because none of its levels could be read.
    let renamed = ORDERBOOK.replace("bid_size", "bidSize");
    assert_eq!(error(renamed.as_bytes()), DecodeErrorKind::BadValue("orderbook_units"));
}

#[test]
fn a_refused_message_names_its_stream() {
    let refused = |message: &str| decode(&mut Decoder::new(), message.as_bytes()).0.unwrap_err();
    let market = "KRW-BTC".parse().unwrap();
    let error = refused(&TICKER.replace("122902000.00000000", "null"));
    assert_eq!(error.kind, DecodeErrorKind::EmptyField("trade_price"));
    assert_eq!(error.stream, Some(StreamKey::of(DataType::Ticker, market)));
    assert_eq!(error.to_string(), "ticker KRW-BTC: field trade_price is empty");
    let error = refused(&CANDLE.replace("\"high_price\"", "\"high\""));
    assert_eq!(error.stream, Some(StreamKey::of(DataType::Candle(Interval::Minute240), market)));
    assert_eq!(refused(&TICKER.replace("KRW-BTC", "krw-btc")).stream, None);
    assert_eq!(refused("{\"type\":\"ticker\"}").stream, None);
}

/// Takes the drift that a decoder reports, as text.
fn drifts(decoder: &mut Decoder) -> Vec<String> {
    std::iter::from_fn(|| decoder.take_drift()).map(|drift: Drift| drift.to_string()).collect()
}

#[test]
fn each_drift_is_reported_once_with_a_sample() {
    let mut decoder = Decoder::new();
    let drifted = TICKER
        .replace("\"is_trading_suspended\":false,", "")
        .replace("\"change\":\"EVEN\"", "\"change\":\"LIMIT_UP\"")
        .replace("\"change_price\":0E-8,\"signed", "\"change_price\":[1],\"signed")
        .replace("\"stream_type\"", "\"grade\":\"A\\u001b\",\"stream_type\"");
    for _ in 0..3 {
        decode(&mut decoder, drifted.as_bytes()).0.unwrap();
        decode_by_tape(&mut decoder, drifted.as_bytes()).0.unwrap();
    }
    assert_eq!(
        drifts(&mut decoder),
        [
            "ticker (DEFAULT): field change holds an unknown word: \"LIMIT_UP\"",
            "ticker (DEFAULT): field change_price cannot be read: [1]",
            "ticker (DEFAULT): new field grade, ignored; first value \"A\\u001b\"",
            "ticker (DEFAULT): field is_trading_suspended is missing",
        ]
    );
    let counts = decoder.drift(NounKind::Ticker, Format::Default);
    assert_eq!(
        (counts.unknown_keys, counts.missing_fields, counts.unreadable_fields, counts.unknown_words),
        (6, 6, 6, 6)
    );
    assert_eq!(counts, decoder.counters().drift);
    assert_eq!(decoder.drift(NounKind::Ticker, Format::Simple), decoder.drift(NounKind::Trade, Format::Default));
    // Drift is also reported with short keys, and in the units of a book.
    let trade = TRADE.replace("\"ab\":\"ASK\"", "\"ab\":null");
    decode(&mut decoder, format!("[{trade}]").as_bytes()).0.unwrap();
    let book =
        messages::orderbook(&mut Rng::new(2), 31, false).write(false).replace("\"ask_size\"", "\"n\":1,\"ask_size\"");
    decode(&mut decoder, book.as_bytes()).0.unwrap();
    assert_eq!(
        drifts(&mut decoder),
        [
            "trade (SIMPLE_LIST): field ask_bid is empty: null",
            "orderbook (DEFAULT): new field n, ignored; first value 1",
            "orderbook (DEFAULT): field orderbook_units has 31 units, of which the best are kept",
        ]
    );
}

#[test]
fn a_message_that_is_refused_reports_no_drift() {
    let mut decoder = Decoder::new();
    let unknown = TICKER.replace("\"change\":", "\"new\":1,\"change\":");
    for message in [unknown.replace("122902000.00000000", "null"), unknown[..unknown.len() - 1].to_owned()] {
        assert!(decode(&mut decoder, message.as_bytes()).0.is_err());
    }
    assert_eq!((drifts(&mut decoder).len(), decoder.counters().drift.unknown_keys), (0, 0));
}

#[test]
fn the_samples_that_wait_are_bounded_and_none_is_lost() {
    let mut decoder = Decoder::new();
    let mut reported = std::collections::BTreeSet::new();
    for round in 0..40 {
        for (draft, short) in drafts() {
            for (index, (name, ..)) in draft.0.iter().enumerate().skip(2) {
                if *name != "trade_price" && !matches!(*name, "orderbook_units" | "level") {
                    decode(&mut decoder, with(&draft, short, index, Some("{\"a\":1}")).as_bytes()).0.ok();
                }
            }
        }
        let taken = drifts(&mut decoder);
        assert!(taken.len() <= 32, "{}", taken.len());
        for drift in taken {
            assert!(reported.insert(drift.clone()), "{drift} is reported again in round {round}");
        }
    }
    assert!(reported.len() > 100, "{}", reported.len());
}

/// Regression: the general reader read these messages, at eight times the cost of a documented one.
#[test]
fn a_message_that_drifts_in_any_one_way_is_read_without_the_tape_walk() {
    for (draft, short) in drafts() {
        let last = draft.0.len() - 1;
        let write = |members: Vec<(&str, String)>| {
            let members: Vec<_> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        };
        for index in 2..=last {
            let name = draft.0[index].0;
            if is_required(draft.members(false)[0].1.trim_matches('"'), name) {
                continue;
            }
            let changes: [&dyn Fn() -> String; 5] = [
                &|| with(&draft, short, index, None),
                &|| with(&draft, short, index, Some("null")),
                &|| {
                    let mut members = draft.members(short);
                    members.insert(index, ("novelty", "{\"a\":[\"b\",-1.5E3]}".to_owned()));
                    write(members)
                },
                &|| {
                    let mut members = draft.members(short);
                    members[index].0 = "novelty";
                    write(members)
                },
                &|| {
                    let mut members = draft.members(short);
                    let member = members.remove(index);
                    members.insert(2 + (index + 5) % (last - 2), member);
                    write(members)
                },
            ];
            for text in changes.into_iter().map(|change| change()) {
                let mut decoder = Decoder::new();
                for _ in 0..3 {
                    assert_eq!(decode(&mut decoder, text.as_bytes()).0, Ok(Message::Data { count: 1 }), "{text}");
                }
                assert_eq!(decoder.counters().fallbacks, 0, "{text}");
            }
        }
    }
}

#[test]
fn messages_in_the_documented_form_are_scanned_strictly_again() {
    let mut decoder = Decoder::new();
    let drifted = TICKER.replace("\"market_warning\":\"NONE\",", "");
    decode(&mut decoder, drifted.as_bytes()).0.unwrap();
    for _ in 0..1000 {
        decode(&mut decoder, TICKER.as_bytes()).0.unwrap();
        decode(&mut decoder, CANDLE.as_bytes()).0.unwrap();
    }
    let counters = decoder.counters();
    assert!(counters.tolerated < 100 && counters.fallbacks == 0, "{counters:?}");
    // A list of several objects in the documented form is always scanned strictly.
    decode(&mut decoder, drifted.as_bytes()).0.unwrap();
    decode(&mut decoder, format!("[{TICKER},{TICKER}]").as_bytes()).0.unwrap();
    assert_eq!((decoder.counters().scanned, decoder.counters().fallbacks), (counters.scanned + 1, 0));
}

#[test]
fn errors_say_what_is_wrong() {
    let damaged = |from: &str, to: &str| error(TICKER.replacen(from, to, 1).as_bytes());
    assert_eq!(error(b""), DecodeErrorKind::NotJson);
    assert_eq!(error(b"PONG"), DecodeErrorKind::NotJson);
    assert_eq!(error(b"7"), DecodeErrorKind::NotAMessage);
    assert_eq!(error(b"{}"), DecodeErrorKind::NotAMessage);
    assert_eq!(error(b"[]"), DecodeErrorKind::NotAMessage);
    assert_eq!(error(b"[1]"), DecodeErrorKind::NotAMessage);
    assert_eq!(error(b"{\"type\":1}"), DecodeErrorKind::WrongType("type"));
    assert_eq!(error(&TICKER.as_bytes()[..500]), DecodeErrorKind::NotJson);
    assert_eq!(damaged("KRW-BTC", "krw-btc"), DecodeErrorKind::BadMarket);
    assert_eq!(damaged("\"KRW-BTC\"", "7"), DecodeErrorKind::WrongType("code"));
    const PRICE: &str = "122902000.00000000";
    assert_eq!(damaged(PRICE, "\"x\""), DecodeErrorKind::BadValue("trade_price"));
    assert_eq!(damaged(PRICE, "null"), DecodeErrorKind::EmptyField("trade_price"));
    assert_eq!(damaged(PRICE, "\"\""), DecodeErrorKind::EmptyField("trade_price"));
    assert_eq!(damaged(PRICE, "1e999"), DecodeErrorKind::WrongType("trade_price"));
    assert_eq!(damaged(PRICE, "-1e999"), DecodeErrorKind::WrongType("trade_price"));
    assert_eq!(error(b"{\"type\":1e999}"), DecodeErrorKind::WrongType("type"));
    assert_eq!(error(b"{\"error\":1e999}"), DecodeErrorKind::WrongType("error"));
    assert_eq!(error(b"{\"status\":1e999}"), DecodeErrorKind::WrongType("status"));
    assert_eq!((error(b"1e999"), error(b"[1e999]")), (DecodeErrorKind::NotAMessage, DecodeErrorKind::NotAMessage));
    let units = ORDERBOOK.find("[{").unwrap()..ORDERBOOK.find("}]").unwrap() + 2;
    let book = |units_text: &str| [&ORDERBOOK[..units.start], units_text, &ORDERBOOK[units.end..]].concat();
    assert_eq!(error(book("1e999").as_bytes()), DecodeErrorKind::WrongType("orderbook_units"));
    assert_eq!(error(book("[1e999]").as_bytes()), DecodeErrorKind::WrongType("orderbook_units"));
    assert_eq!(error(book("null").as_bytes()), DecodeErrorKind::EmptyField("orderbook_units"));
    assert_eq!(damaged(PRICE, "0122720000"), DecodeErrorKind::BadNumber);
    // At least one time must be readable.
    let timeless = |time: &str| error(ORDERBOOK.replace("1790134742106", time).as_bytes());
    assert_eq!(timeless("1e999"), DecodeErrorKind::WrongType("timestamp"));
    assert_eq!(timeless("-1745117643124"), DecodeErrorKind::WrongType("timestamp"));
    assert_eq!(timeless("\"now\""), DecodeErrorKind::BadValue("timestamp"));
    assert_eq!(DecodeErrorKind::MissingField("code").to_string(), "field code is missing");
}

#[test]
fn invalid_utf8_is_an_error_in_any_place() {
    for at in [0, 1, 20, 200, TICKER.len() - 1] {
        for byte in [0x80, 0xC3, 0xFF] {
            let mut bytes = TICKER.as_bytes().to_vec();
            bytes[at] = byte;
            let (result, data) = decode(&mut Decoder::new(), &bytes);
            assert!(result.is_err() && data.is_empty());
        }
    }
    assert_eq!(error(b"{\"type\":\"\xff\"}"), DecodeErrorKind::NotJson);
}

#[test]
fn any_number_of_new_keys_costs_no_stack() {
    for (old, new) in [("\"ask_price\":", "\"new\":1,"), ("\"bid_size\":", "\"new\":1,"), ("\"code\":", "\"new\":1,")] {
        let mut decoder = Decoder::new();
        let book = ORDERBOOK.replacen(old, &(new.repeat(200_000) + old), 1);
        for _ in 0..3 {
            assert_eq!(decode(&mut decoder, book.as_bytes()).1, [one(ORDERBOOK)]);
        }
        assert_eq!(decoder.counters().fallbacks, 0);
    }
}

#[test]
fn nesting_is_bounded_and_costs_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |depth: usize| {
            TRADE.replace("\"st\":", &format!("\"x\":{}1{},\"st\":", open.repeat(depth), close.repeat(depth)))
        };
        one(&deep(60));
        assert_eq!(error(deep(100_000).as_bytes()), DecodeErrorKind::NotJson);
        assert_eq!(error(open.repeat(100_000).as_bytes()), DecodeErrorKind::NotJson);
    }
}

#[test]
fn a_list_delivers_its_elements_in_order() {
    let mut decoder = Decoder::new();
    let list = format!("[{TRADE},{TICKER},{OLD_TRADE},{ORDERBOOK},{CANDLE}]");
    let (result, data) = decode(&mut decoder, list.as_bytes());
    assert_eq!(result, Ok(Message::Data { count: 5 }));
    assert_eq!(data, [one(TRADE), one(TICKER), one(OLD_TRADE), one(ORDERBOOK), one(CANDLE)]);
    assert_eq!((decoder.counters().scanned, decoder.counters().fallbacks), (1, 0));
    assert_eq!(decode_by_tape(&mut decoder, list.as_bytes()), (result, data));
    assert_eq!(one(&format!("[{TRADE}]")), one(TRADE));
}

#[test]
fn a_bad_element_of_a_list_does_not_affect_the_others() {
    let bad = TRADE.replace("\"tp\":109847000.0", "\"tp\":\"?\"");
    let mut decoder = Decoder::new();
    for list in [format!("[{TICKER},{bad},{CANDLE}]"), format!(" [{TICKER},{bad},{CANDLE}]")] {
        let (result, data) = decode(&mut decoder, list.as_bytes());
        assert_eq!(result.unwrap_err().kind, DecodeErrorKind::BadValue("trade_price"));
        assert_eq!(data, [one(TICKER), one(CANDLE)]);
    }
    assert_eq!((decoder.counters().malformed, decoder.delivered()), (2, 4));
    // Text that is not JSON delivers nothing, even if it begins with valid messages.
    assert_eq!(error(format!("[{TICKER},{TRADE}").as_bytes()), DecodeErrorKind::NotJson);
}

#[test]
fn a_list_with_an_element_without_data_is_named_after_that_element() {
    let list = format!("[{TICKER},{{\"type\":\"myOrder\"}},{{\"status\":\"UP\"}},{TRADE}]");
    let (result, data) = decode(&mut Decoder::new(), list.as_bytes());
    assert_eq!(result, Ok(Message::Other(OtherType::MyOrder)));
    assert_eq!(data, [one(TICKER), one(TRADE)]);
}

#[test]
fn the_exchanges_errors_are_read_in_either_key_order() {
    for (word, name) in [
        ("INVALID_AUTH", ErrorName::InvalidAuth),
        ("WRONG_FORMAT", ErrorName::WrongFormat),
        ("NO_TICKET", ErrorName::NoTicket),
        ("NO_TYPE", ErrorName::NoType),
        ("NO_CODES", ErrorName::NoCodes),
        ("INVALID_PARAM", ErrorName::InvalidParam),
        ("TOO_MANY_REQUEST", ErrorName::TooManyRequest),
        ("SOMETHING_NEW", ErrorName::Other),
    ] {
        for text in [
            format!("{{\"error\":{{\"name\":\"{word}\",\"message\":\"티켓이 존재하지 않거나\"}}}}"),
            format!("[{{\"error\":{{\"message\":\"티켓이 존재하지 않거나\",\"name\":\"{word}\"}}}}]"),
        ] {
            let Message::Error(error) = control(&text) else { panic!("no error") };
            assert_eq!((error.name, &*error.raw_name, &*error.message), (name, word, "티켓이 존재하지 않거나"));
        }
    }
}

#[test]
fn an_error_text_is_bounded_and_cannot_drive_a_terminal() {
    let text = format!("{{\"error\":{{\"name\":\"A\\u001b[2J\\u202e\",\"message\":\"{}\\n\"}}}}", "가".repeat(10_000));
    let Message::Error(error) = control(&text) else { panic!("no error") };
    assert_eq!(&*error.raw_name, "A\u{fffd}[2J\u{fffd}");
    assert_eq!(error.message.chars().count(), 512);
    let Message::Error(error) = control("{\"error\":{}}") else { panic!("no error") };
    assert_eq!((error.name, error.message.len()), (ErrorName::Other, 0));
}

#[test]
fn status_and_private_types_are_named() {
    assert_eq!(control("{\"status\":\"UP\"}"), Message::Status(Status::Up));
    assert_eq!(control("{\"status\":\"DOWN\"}"), Message::Status(Status::Unknown));
    for (name, other) in [
        ("myOrder", OtherType::MyOrder),
        ("myAsset", OtherType::MyAsset),
        ("announcement", OtherType::Announcement),
        ("indicator", OtherType::Indicator),
        ("indicator_signal", OtherType::IndicatorSignal),
        ("myTrade", OtherType::Unknown),
    ] {
        assert_eq!(control(&format!("{{\"type\":\"{name}\",\"code\":\"KRW-BTC\"}}")), Message::Other(other));
        assert_eq!(control(&format!("[{{\"ty\":\"{name}\"}}]")), Message::Other(other));
    }
    let mut decoder = Decoder::new();
    decode(&mut decoder, b"{\"status\":\"UP\"}").0.unwrap();
    decode(&mut decoder, b"{\"type\":\"myAsset\"}").0.unwrap();
    let counters = decoder.counters();
    assert_eq!((counters.fallbacks, counters.skipped), (0, 1), "neither is a change of the exchange's protocol");
}

#[test]
fn a_subscription_list_is_read_with_both_key_sets() {
    for text in [
        r#"{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"ticker","codes":["KRW-BTC","KRW-ETH.5"]},{"type":"orderbook","codes":[],"level":10000},{"type":"myAsset"}],"ticket":"t1"}"#,
        r#"{"mthd":"LIST_SUBSCRIPTIONS","rslt":[{"ty":"ticker","cds":["KRW-BTC","KRW-ETH.5"]},{"ty":"orderbook","cds":[],"lv":10000},{"ty":"myAsset"}],"tckt":"t1"}"#,
    ] {
        let Message::Subscriptions(list) = control(text) else { panic!("no list") };
        assert_eq!(&*list.ticket, "t1");
        let entries: Vec<_> = list.entries.iter().map(|e| (&*e.type_name, e.codes.len(), e.level)).collect();
        assert_eq!(entries, [("ticker", 2, None), ("orderbook", 0, Some(10_000.0)), ("myAsset", 0, None)]);
        assert_eq!(&*list.entries[0].codes[1], "KRW-ETH.5");
    }
    assert_eq!(error(b"{\"method\":\"LIST_SUBSCRIPTIONS\"}"), DecodeErrorKind::MissingField("result"));
}

#[test]
fn bytes_after_the_message_change_nothing() {
    // The last value is a number, so digits after the end could be read as part of it.
    let message = ORDERBOOK.as_bytes();
    for slack in [&b""[..], b"0", b"}", b"\xff\xff", b"}}}}}}}}}}}}}}}}", b",\"level\":3}"] {
        for length in [0, 1, 63, 64, 65, 200] {
            let mut bytes = message.to_vec();
            bytes.extend(slack.iter().cycle().take(if slack.is_empty() { 0 } else { length }));
            let (mut decoder, mut kept) = (Decoder::new(), Collector::default());
            let result = decoder.decode(&bytes, message.len(), RECEIPT, &mut kept);
            assert_eq!(result, Ok(Message::Data { count: 1 }));
            assert_eq!(kept.0, [one(ORDERBOOK)]);
            assert_eq!(decoder.counters().fallbacks, 0);
        }
    }
    // Cut inside the last number or before the brace, with a well-formed rest as slack.
    for cut in 1..message.len() {
        let (mut decoder, mut kept) = (Decoder::new(), Collector::default());
        let bytes = [message, &[b' '; 64]].concat();
        let result = decoder.decode(&bytes, cut, RECEIPT, &mut kept);
        let kind = result.unwrap_err().kind;
        assert!(matches!(kind, DecodeErrorKind::NotJson | DecodeErrorKind::BadNumber), "cut at {cut}: {kind:?}");
        assert!(kept.0.is_empty());
    }
    // A length beyond the bytes means all bytes.
    assert_eq!(
        Decoder::new().decode(message, usize::MAX, RECEIPT, &mut Collector::default()),
        Ok(Message::Data { count: 1 })
    );
}

#[test]
fn results_of_decoding_are_small() {
    assert_eq!(size_of::<Message>(), 16);
    assert_eq!(size_of::<DecodeErrorKind>(), 24);
    // With the stream, and still less than two cache lines.
    assert_eq!(size_of::<DecodeError>(), size_of::<DecodeErrorKind>() + size_of::<Option<StreamKey>>());
    assert_eq!(size_of::<Result<Message, DecodeError>>(), size_of::<DecodeError>());
    assert!(size_of::<DecodeError>() <= 72);
}

#[test]
fn the_tables_of_names_have_no_duplicate_keys() {
    let others = [
        schema::ORDERBOOK_UNIT,
        schema::MY_ORDER,
        schema::MY_ASSET,
        schema::MY_ASSET_ENTRY,
        schema::ANNOUNCEMENT,
        schema::INDICATOR,
        schema::INDICATOR_PARAMS,
        schema::INDICATOR_EVENT,
        schema::INDICATOR_VALUE,
        schema::SUBSCRIPTIONS,
        schema::SUBSCRIPTIONS_ENTRY,
    ];
    for table in NounKind::ALL.map(schema::names).into_iter().chain(others) {
        for (i, names) in table.iter().enumerate() {
            for other in &table[i + 1..] {
                assert_ne!(names.long, other.long);
                assert_ne!(names.short, other.short);
            }
        }
        assert!(table.len() <= 64, "the tape walk keeps one bit per field");
    }
}
