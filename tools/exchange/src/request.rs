//! Parses a request message into a [`Request`], or the error that answers it. Knows no markets and sends nothing.

use crate::dialect::Dialect;
use crate::format::Format;
use crate::market::candle;
use crate::number::ONE;
use crate::refusal::{ErrorName, Refusal};
use serde_json::{Map, Value};

/// A request of a client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    /// Replaces the whole subscription.
    Subscribe { ticket: String, wants: Vec<Want>, format: Format },
    /// Requests the list of subscriptions. Also sets the format.
    List { ticket: String, format: Format },
}

/// One type object of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    pub kind: Kind,
    /// The codes as written, with their suffixes.
    pub codes: Vec<String>,
    /// Grouping of order books, fixed point. Zero is none, and the value for all other types.
    pub level: i64,
    pub delivery: Delivery,
}

/// A public data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Ticker,
    Trade,
    Orderbook,
    /// Index into [`candle::UNITS`].
    Candle(usize),
}

/// The parts of a stream that are requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Both,
    OnlySnapshot,
    OnlyRealtime,
}

impl Kind {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "ticker" => Some(Self::Ticker),
            "trade" => Some(Self::Trade),
            "orderbook" => Some(Self::Orderbook),
            _ => candle::UNITS.iter().position(|(unit, _)| *unit == name).map(Self::Candle),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ticker => "ticker",
            Self::Trade => "trade",
            Self::Orderbook => "orderbook",
            Self::Candle(unit) => candle::UNITS[unit].0,
        }
    }
}

impl Delivery {
    pub fn has_snapshot(self) -> bool {
        self != Self::OnlyRealtime
    }

    /// Returns the delivery that includes both.
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

/// The types of the other endpoints.
const PRIVATE: [&str; 5] = ["myOrder", "myAsset", "announcement", "indicator", "indicator_signal"];

impl Request {
    /// Parses a message that arrived on the public endpoint.
    ///
    /// The order of the objects does not matter. Some answers are guesses, for lack of a recording: an unknown format
    /// is DEFAULT, empty `codes` are NO_CODES, private types are INVALID_AUTH.
    pub fn parse(text: &[u8], dialect: Dialect) -> Result<Self, Refusal> {
        let Ok(Value::Array(items)) = serde_json::from_slice(text) else { return Err(ErrorName::WrongFormat.into()) };
        let (mut ticket, mut format, mut list, mut wants) = (None, Format::Default, false, Vec::new());
        let mut objects = Vec::with_capacity(items.len());
        for item in &items {
            objects.push(item.as_object().ok_or(ErrorName::WrongFormat)?);
        }
        if let Some(value) = objects.iter().find_map(|object| object.get("ticket")) {
            ticket = value.as_str();
        }
        let ticket = ticket.ok_or(ErrorName::NoTicket)?.to_owned();
        for object in objects {
            if object.contains_key("ticket") && object.len() == 1 {
                continue;
            }
            if let Some(method) = object.get("method") {
                let known = method.as_str() == Some("LIST_SUBSCRIPTIONS");
                list |= known.then_some(true).ok_or(ErrorName::InvalidParam)?;
            } else if let Some(value) = object.get("format").filter(|_| !object.contains_key("type")) {
                format = dialect.format(value.as_str().ok_or(ErrorName::WrongFormat)?);
            } else {
                wants.push(want(object, dialect)?);
            }
        }
        match (list, wants.is_empty()) {
            (true, _) => Ok(Self::List { ticket, format }),
            (false, true) => Err(dialect.no_type()),
            (false, false) => Ok(Self::Subscribe { ticket, wants, format }),
        }
    }
}

fn want(object: &Map<String, Value>, dialect: Dialect) -> Result<Want, Refusal> {
    let name = object.get("type").ok_or_else(|| dialect.no_type())?.as_str().ok_or(ErrorName::WrongFormat)?;
    if PRIVATE.contains(&name) {
        return Err(ErrorName::InvalidAuth.into());
    }
    let kind = dialect.kind(name).ok_or_else(|| Refusal::unknown_type(name))?;
    // Only order books have levels. For other types, this is one more unknown key.
    let level = match kind {
        Kind::Orderbook => dialect.grouping(level(object)?).ok_or(ErrorName::WrongFormat)?,
        _ => 0,
    };
    Ok(Want { kind, codes: codes(object, dialect)?, level, delivery: delivery(object, dialect)? })
}

fn codes(object: &Map<String, Value>, dialect: Dialect) -> Result<Vec<String>, Refusal> {
    let codes = object.get("codes").ok_or(ErrorName::NoCodes)?.as_array().ok_or(ErrorName::WrongFormat)?;
    if codes.is_empty() {
        return Err(dialect.no_codes());
    }
    codes.iter().map(|code| Ok(code.as_str().ok_or(ErrorName::WrongFormat)?.to_owned())).collect()
}

/// Accepts strings and numbers: the guide says string, but its examples use numbers.
fn level(object: &Map<String, Value>) -> Result<Option<i64>, Refusal> {
    let value = match object.get("level") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    let value = value.filter(|value| (0.0..1e10).contains(value)).ok_or(ErrorName::WrongFormat)?;
    Ok(Some((value * ONE as f64).round() as i64))
}

/// If both flags are set, the snapshot flag wins.
fn delivery(object: &Map<String, Value>, dialect: Dialect) -> Result<Delivery, Refusal> {
    let flag = |names: &[&str]| match names.iter().find_map(|name| object.get(*name)) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or(ErrorName::WrongFormat),
    };
    let only_realtime = flag(dialect.only_realtime())?;
    Ok(match (flag(dialect.only_snapshot())?, only_realtime) {
        (true, _) => Delivery::OnlySnapshot,
        (false, true) => Delivery::OnlyRealtime,
        (false, false) => Delivery::Both,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(types: &str) -> Result<Vec<Want>, ErrorName> {
        let text = format!(r#"[{{"format":"SIMPLE"}},{types},{{"ticket":"t"}}]"#);
        match Request::parse(text.as_bytes(), Dialect::Upbit) {
            Ok(Request::Subscribe { wants, format: Format::Simple, .. }) => Ok(wants),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal.name),
        }
    }

    #[test]
    fn options_are_parsed_in_both_spellings() {
        for (option, level, delivery) in [
            (r#""level":"10000""#, 10_000 * ONE, Delivery::Both),
            (r#""level":0.1"#, ONE / 10, Delivery::Both),
            (r#""isOnlySnapshot":true"#, 0, Delivery::OnlySnapshot),
            (r#""is_only_realtime":true"#, 0, Delivery::OnlyRealtime),
        ] {
            let want = wants(&format!(r#"{{"type":"orderbook","codes":["KRW-BTC"],{option}}}"#)).unwrap().remove(0);
            assert_eq!((want.level, want.delivery), (level, delivery), "{option}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for (object, name) in [
            (r#"{"type":"orderbook","codes":["KRW-BTC"],"level":true}"#, ErrorName::WrongFormat),
            (r#"{"type":"ticker","codes":["KRW-BTC"],"is_only_snapshot":1}"#, ErrorName::WrongFormat),
            (r#"{"type":"ticker","codes":"KRW-BTC"}"#, ErrorName::WrongFormat),
            (r#"{"type":"ticker","codes":[1]}"#, ErrorName::WrongFormat),
            (r#"{"type":"ticker","codes":[]}"#, ErrorName::NoCodes),
            (r#"{"type":"candle.2m","codes":["KRW-BTC"]}"#, ErrorName::InvalidParam),
            (r#"{"type":"myAsset"}"#, ErrorName::InvalidAuth),
            ("1", ErrorName::WrongFormat),
        ] {
            assert_eq!(wants(object), Err(name), "{object}");
        }
    }
}
