//! JSON to a struct of all fields: hoga's decoder; simd-json, sonic-rs and serde_json through serde.

use std::any::Any;
use std::hint::black_box;

use hoga::model::{ConnectionId, Epoch, Nanos, Noun, Receipt, Sink};
use hoga::wire::schema::{self, Names};
use hoga::wire::{Decoder, SLACK};
use hoga_cli::rounds::{Candidate, Error, Line};
use serde::de::DeserializeOwned;

use super::timing::{Measure, row};
use super::{HOGA, part};
use crate::peers::message::{Orderbook, Ticker, Trade, simple};
use crate::peers::parser::{Parser, SerdeJson, SimdJson, SonicRs};
use crate::report::Target;
use crate::serving::traffic::Recording;

/// Different messages, read in turn: too many for the branch predictor to memorize.
const MESSAGES: usize = 256;
const RECEIPT: Receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(0) };
const SIMD_JSON: &str = "simd-json";

/// Name, type, depth, and the limit of hoga's time as a part of simd-json's.
const SUBJECTS: [(&str, &str, Option<usize>, f64); 4] = [
    ("ticker", "ticker", None, 1.0 / 4.0),
    ("trade", "trade", None, 1.0 / 4.0),
    ("book of 15", "orderbook", Some(15), 1.0 / 3.0),
    ("book of 30", "orderbook", None, 1.0 / 3.0),
];
const FORMATS: [&str; 2] = ["DEFAULT", "SIMPLE"];

/// Returns one candidate for each message and reader.
pub fn candidates(measure: &Measure) -> Result<Vec<Candidate<'static>>, Error> {
    let mut all = Vec::new();
    for (name, data_type, depth, _) in SUBJECTS {
        if !FORMATS.iter().any(|format| measure.wants(&table(name, format))) {
            continue;
        }
        let messages = record(data_type, depth)?;
        let short: Vec<_> = messages.iter().map(|message| shortened(message)).collect();
        let [default, simple] = FORMATS.map(|format| table(name, format));
        match data_type {
            "ticker" => {
                all.extend(readers::<Ticker>(&default, &messages, measure)?);
                all.extend(readers::<simple::Ticker>(&simple, &short, measure)?);
            }
            "trade" => {
                all.extend(readers::<Trade>(&default, &messages, measure)?);
                all.extend(readers::<simple::Trade>(&simple, &short, measure)?);
            }
            _ => {
                all.extend(readers::<Orderbook>(&default, &messages, measure)?);
                all.extend(readers::<simple::Orderbook>(&simple, &short, measure)?);
            }
        }
    }
    Ok(all)
}

/// Returns the targets.
pub fn targets(lines: &[Line]) -> Vec<Target> {
    let each = |(name, _, _, most)| FORMATS.map(|format| part(lines, &table(name, format), HOGA, SIMD_JSON, most));
    SUBJECTS.into_iter().flat_map(each).flatten().collect()
}

fn table(name: &str, format: &str) -> String {
    format!("decode, {name}, {format}")
}

/// Records messages as the exchange sends them in the DEFAULT format.
fn record(data_type: &'static str, depth: Option<usize>) -> Result<Vec<String>, Error> {
    let recording = Recording { markets: MESSAGES, data_types: vec![data_type], depth, frames: MESSAGES };
    let traffic = recording.run()?;
    let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).map_err(|e| Error::failed("a message", e));
    traffic.frames.iter().take(MESSAGES).map(|frame| text(frame.payload())).collect()
}

/// Converts a message to the SIMPLE format: the same fields under short names.
fn shortened(message: &str) -> String {
    let fields = match message {
        m if m.starts_with("{\"type\":\"ticker\"") => schema::TICKER,
        m if m.starts_with("{\"type\":\"trade\"") => schema::TRADE,
        _ => schema::ORDERBOOK,
    };
    let names = [schema::TYPE].into_iter().chain(fields.iter().copied()).chain(schema::ORDERBOOK_UNIT.iter().copied());
    names.fold(message.to_owned(), |message, Names { long, short }| {
        message.replace(&format!("\"{long}\":"), &format!("\"{short}\":"))
    })
}

/// Adds up one price of each message, so that the optimizer cannot remove the work.
#[derive(Default)]
struct Sum(f64);

impl Sink for Sum {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        let message: &dyn Any = black_box(message);
        if let Some(ticker) = message.downcast_ref::<hoga::model::Ticker>() {
            self.0 += ticker.trade_price;
        } else if let Some(trade) = message.downcast_ref::<hoga::model::Trade>() {
            self.0 += trade.trade_price;
        } else if let Some(book) = message.downcast_ref::<hoga::model::Orderbook>() {
            self.0 += book.asks.first().map_or(0.0, |level| level.price);
        }
    }
}

/// A message with the price that [`Sum`] adds up.
trait Priced: DeserializeOwned + 'static {
    fn price(&self) -> f64;
}

macro_rules! priced {
    ($($type:ty: |$value:ident| $price:expr;)*) => { $(
        impl Priced for $type {
            #[inline]
            fn price(&self) -> f64 {
                let $value = self;
                $price
            }
        }
    )* };
}

priced! {
    Ticker: |ticker| ticker.trade_price;
    simple::Ticker: |ticker| ticker.trade_price;
    Trade: |trade| trade.trade_price;
    simple::Trade: |trade| trade.trade_price;
    Orderbook: |book| book.orderbook_units.first().map_or(0.0, |unit| unit.ask_price);
    simple::Orderbook: |book| book.orderbook_units.first().map_or(0.0, |unit| unit.ask_price);
}

/// Returns hoga and the parsers, after checking that all of them read the same values.
fn readers<T: Priced>(table: &str, messages: &[String], measure: &Measure) -> Result<Vec<Candidate<'static>>, Error> {
    if !measure.wants(table) {
        return Ok(Vec::new());
    }
    // In a receive buffer, other bytes follow a message, too.
    let padded: Vec<_> = messages.iter().map(|message| format!("{message}{:SLACK$}", "").into_bytes()).collect();
    let lengths: Vec<_> = messages.iter().map(String::len).collect();
    let mut decoder = Decoder::new();
    let mut own = move || {
        let mut sum = Sum::default();
        for (message, len) in padded.iter().zip(&lengths) {
            // A message that is not read is missing in the sum.
            let _ = decoder.decode(black_box(message), *len, RECEIPT, &mut sum);
        }
        (sum.0, decoder.counters().fallbacks)
    };
    let (expected, fallbacks) = own();
    if fallbacks > 0 {
        return Err(Error::Failed(format!("{table}: hoga's fast reader cannot read the recorded messages")));
    }
    let own = row(table, HOGA, measure, MESSAGES, move || _ = black_box(own()))?;
    Ok(vec![
        own,
        reader::<T>(table, SIMD_JSON, SimdJson::default(), messages, expected, measure)?,
        reader::<T>(table, "sonic-rs", SonicRs, messages, expected, measure)?,
        reader::<T>(table, "serde_json", SerdeJson, messages, expected, measure)?,
    ])
}

fn reader<T: Priced>(
    table: &str,
    name: &str,
    mut parser: impl Parser + 'static,
    messages: &[String],
    expected: f64,
    measure: &Measure,
) -> Result<Candidate<'static>, Error> {
    let messages = messages.to_vec();
    let mut read = move || {
        let prices = messages.iter().filter_map(|message| parser.parse::<T>(black_box(message.as_bytes())));
        prices.map(|value| black_box(&value).price()).sum::<f64>()
    };
    // Prices are short enough for every parser to read them exactly.
    let sum = read();
    if sum != expected {
        return Err(Error::Failed(format!("{table}: {name} reads {sum} where hoga reads {expected}")));
    }
    row(table, name, measure, MESSAGES, move || _ = black_box(read()))
}
