//! How long does it take to decode a message into a struct? The rows of each type and format are the library's
//! `scanner`, its fallback `tape` (which walks simd-json's tape), and for comparison `simd_json_serde`, `serde_json`
//! and `sonic_rs`, which fill a struct of the same fields. `baseline` iterates over the messages without decoding them.
//!
//! One iteration decodes one message: `time` is per message, and `thrpt` is based on the average message size in bytes.
//! The rows of a group run one after the other, so on a busy machine their ratios need several runs. A run takes two
//! minutes.
//!
//! The rows of other libraries keep codes and dates as borrowed text, which is cheaper than the checked types of this
//! library. `serde_json` runs with `float_roundtrip`: without it, one ticker in five is not rounded correctly.

use std::any::Any;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use hoga::model::{Candle, ConnectionId, Epoch, Nanos, Noun, Orderbook, Receipt, Sink, Ticker, Trade};
use hoga::wire::{Decoder, Message, SLACK};
use serde::Deserialize;

use hoga_testing::Rng;
use hoga_testing::messages::{self, Draft, padded};

const RECEIPT: Receipt = Receipt { connection: ConnectionId(1), epoch: Epoch(2), received: Nanos(3) };

/// The number of different messages that are read in turn: more than the branch predictor can remember.
const ROUND: usize = 256;

/// Adds up one price of each message, so that decoding cannot be optimized away.
#[derive(Default)]
struct Sum(f64);

impl Sink for Sum {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        let message: &dyn Any = black_box(message);
        if let Some(ticker) = message.downcast_ref::<Ticker>() {
            self.0 += ticker.trade_price;
        } else if let Some(trade) = message.downcast_ref::<Trade>() {
            self.0 += trade.trade_price;
        } else if let Some(book) = message.downcast_ref::<Orderbook>() {
            self.0 += book.asks.last().map_or(0.0, |level| level.price);
        } else if let Some(candle) = message.downcast_ref::<Candle>() {
            self.0 += candle.trade_price;
        }
    }
}

/// Declares a struct that serde fills from either format: each field has the key of DEFAULT and the short key of
/// SIMPLE.
macro_rules! yardstick {
    ($name:ident<'a> { $($field:ident / $short:literal: $type:ty,)* }) => {
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "only deserialization is measured")]
        struct $name<'a> { $(#[serde(alias = $short)] $field: $type,)* }
    };
}

yardstick! { SerdeTicker<'a> {
    code / "cd": &'a str, opening_price / "op": f64, high_price / "hp": f64, low_price / "lp": f64,
    trade_price / "tp": f64, prev_closing_price / "pcp": f64, acc_trade_price / "atp": f64, change / "c": &'a str,
    change_price / "cp": f64, signed_change_price / "scp": f64, change_rate / "cr": f64,
    signed_change_rate / "scr": f64, ask_bid / "ab": &'a str, trade_volume / "tv": f64, acc_trade_volume / "atv": f64,
    trade_date / "tdt": &'a str, trade_time / "ttm": &'a str, trade_timestamp / "ttms": u64,
    acc_ask_volume / "aav": f64, acc_bid_volume / "abv": f64, highest_52_week_price / "h52wp": f64,
    highest_52_week_date / "h52wdt": &'a str, lowest_52_week_price / "l52wp": f64,
    lowest_52_week_date / "l52wdt": &'a str, market_state / "ms": &'a str, is_trading_suspended / "its": bool,
    delisting_date / "dd": Option<&'a str>, market_warning / "mw": &'a str, timestamp / "tms": u64,
    acc_trade_price_24h / "atp24h": f64, acc_trade_volume_24h / "atv24h": f64, stream_type / "st": &'a str,
} }

yardstick! { SerdeTrade<'a> {
    code / "cd": &'a str, timestamp / "tms": u64, trade_date / "td": &'a str, trade_time / "ttm": &'a str,
    trade_timestamp / "ttms": u64, trade_price / "tp": f64, trade_volume / "tv": f64, ask_bid / "ab": &'a str,
    prev_closing_price / "pcp": f64, change / "c": &'a str, change_price / "cp": f64, sequential_id / "sid": u64,
    best_ask_price / "bap": f64, best_ask_size / "bas": f64, best_bid_price / "bbp": f64, best_bid_size / "bbs": f64,
    stream_type / "st": &'a str,
} }

#[derive(Deserialize, Clone, Copy, Default)]
#[allow(dead_code, reason = "only deserialization is measured")]
struct SerdeUnit {
    #[serde(alias = "ap")]
    ask_price: f64,
    #[serde(alias = "bp")]
    bid_price: f64,
    #[serde(alias = "as")]
    ask_size: f64,
    #[serde(alias = "bs")]
    bid_size: f64,
}

/// Units in an array, which needs no allocation, as in the library's order book.
struct SerdeUnits {
    units: [SerdeUnit; 30],
    len: usize,
}

impl<'de> Deserialize<'de> for SerdeUnits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = SerdeUnits;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("units")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<SerdeUnits, A::Error> {
                let mut units = SerdeUnits { units: [SerdeUnit::default(); 30], len: 0 };
                while let Some(unit) = seq.next_element()? {
                    units.units[units.len] = unit;
                    units.len += 1;
                }
                Ok(units)
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

yardstick! { SerdeOrderbook<'a> {
    code / "cd": &'a str, timestamp / "tms": u64, total_ask_size / "tas": f64, total_bid_size / "tbs": f64,
    orderbook_units / "obu": SerdeUnits, stream_type / "st": &'a str, level / "lv": f64,
} }

yardstick! { SerdeCandle<'a> {
    code / "cd": &'a str, candle_date_time_utc / "cdttmu": &'a str, candle_date_time_kst / "cdttmk": &'a str,
    opening_price / "op": f64, high_price / "hp": f64, low_price / "lp": f64, trade_price / "tp": f64,
    candle_acc_trade_volume / "catv": f64, candle_acc_trade_price / "catp": f64, timestamp / "tms": u64,
    stream_type / "st": &'a str,
} }

/// A struct filled by serde, with the price that [`Sum`] also adds up.
trait Yardstick {
    fn price(&self) -> f64;
}

impl Yardstick for SerdeTicker<'_> {
    fn price(&self) -> f64 {
        self.trade_price
    }
}
impl Yardstick for SerdeTrade<'_> {
    fn price(&self) -> f64 {
        self.trade_price
    }
}
impl Yardstick for SerdeOrderbook<'_> {
    fn price(&self) -> f64 {
        self.orderbook_units.units[self.orderbook_units.len - 1].ask_price
    }
}
impl Yardstick for SerdeCandle<'_> {
    fn price(&self) -> f64 {
        self.trade_price
    }
}

fn messages(draft: impl Fn(&mut Rng) -> Draft, short: bool) -> Vec<String> {
    let mut rng = Rng::new(7);
    (0..ROUND).map(|_| draft(&mut rng).write(short)).collect()
}

/// Measures `read` on one message after the other, in a cycle.
fn row<T>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, messages: &[T], mut read: impl FnMut(&T) -> f64) {
    let mut turn = messages.iter().cycle();
    group.bench_function(name, |b| b.iter(|| read(turn.next().expect("a cycle does not end"))));
}

/// Decodes one message with the library, and returns one of its prices.
fn decode_one(decoder: &mut Decoder, (bytes, len): &(Vec<u8>, usize)) -> f64 {
    let mut sum = Sum::default();
    let message = decoder.decode(black_box(bytes), *len, RECEIPT, &mut sum);
    assert!(matches!(message, Ok(Message::Data { count: 1 })));
    sum.0
}

fn own_rows(group: &mut BenchmarkGroup<'_, WallTime>, texts: &[String], expected: f64) {
    let plain: Vec<_> = texts.iter().map(|text| (padded(text.as_bytes(), SLACK), text.len())).collect();
    // A leading space makes the scanner fall back to the tape.
    let spaced: Vec<_> =
        texts.iter().map(|text| (padded(format!(" {text}").as_bytes(), SLACK), text.len() + 1)).collect();
    let mut decoder = Decoder::new();
    assert_eq!(plain.iter().map(|message| decode_one(&mut decoder, message)).sum::<f64>(), expected);
    assert_eq!(decoder.counters().fallbacks, 0);
    assert_eq!(spaced.iter().map(|message| decode_one(&mut decoder, message)).sum::<f64>(), expected);
    assert_eq!(decoder.counters().fallbacks, texts.len() as u64);

    row(group, "baseline", &plain, |(bytes, len)| f64::from(black_box(bytes)[*len]));
    row(group, "scanner", &plain, |message| decode_one(&mut decoder, message));
    row(group, "tape", &spaced, |message| decode_one(&mut decoder, message));
}

/// Measures the other libraries. A macro, because a type that borrows from each message cannot be a type parameter.
macro_rules! peer_rows {
    ($group:expr, $texts:expr, $expected:expr, $type:ident) => {{
        let group = $group;
        let texts: &[String] = $texts;
        let total = |read: &mut dyn FnMut(&String) -> f64| texts.iter().map(read).sum::<f64>();
        let mut serde_json =
            |text: &String| black_box(serde_json::from_str::<$type>(text).expect("valid JSON")).price();
        assert_eq!(total(&mut serde_json), $expected);
        row(group, "serde_json", texts, serde_json);
        let mut sonic = |text: &String| black_box(sonic_rs::from_str::<$type>(text).expect("valid JSON")).price();
        assert_eq!(total(&mut sonic), $expected);
        row(group, "sonic_rs", texts, sonic);
        let mut buffers = simd_json::Buffers::default();
        let mut scratch = Vec::new();
        let mut simd = |text: &String| {
            scratch.clear();
            scratch.extend_from_slice(text.as_bytes());
            let read: $type =
                simd_json::serde::from_slice_with_buffers(&mut scratch, &mut buffers).expect("valid JSON");
            black_box(read).price()
        };
        assert_eq!(total(&mut simd), $expected);
        row(group, "simd_json_serde", texts, simd);
    }};
}

/// Measures all rows of one message type, in both formats.
macro_rules! type_rows {
    ($criterion:expr, $name:literal, $type:ident, $draft:expr) => {
        for (format, short) in [("DEFAULT", false), ("SIMPLE", true)] {
            let texts = messages(|rng| $draft(rng, short), short);
            let expected: f64 =
                texts.iter().map(|text| serde_json::from_str::<$type>(text).expect("valid JSON").price()).sum();
            let mut group = $criterion.benchmark_group(format!("{}/{format}", $name));
            group.throughput(Throughput::Bytes((texts.iter().map(String::len).sum::<usize>() / ROUND) as u64));
            own_rows(&mut group, &texts, expected);
            peer_rows!(&mut group, &texts, expected, $type);
            group.finish();
        }
    };
}

fn decode(criterion: &mut Criterion) {
    type_rows!(criterion, "ticker", SerdeTicker, |rng: &mut Rng, _| messages::ticker(rng));
    type_rows!(criterion, "trade", SerdeTrade, |rng: &mut Rng, _| messages::trade(rng));
    type_rows!(criterion, "orderbook15", SerdeOrderbook, |rng: &mut Rng, short| messages::orderbook(rng, 15, short));
    type_rows!(criterion, "orderbook30", SerdeOrderbook, |rng: &mut Rng, short| messages::orderbook(rng, 30, short));
    type_rows!(criterion, "candle", SerdeCandle, |rng: &mut Rng, _| messages::candle(rng));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1)).sample_size(30);
    targets = decode
}
criterion_main!(benches);
