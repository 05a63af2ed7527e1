//! A reference decoder, based on serde_json. Of the library it uses only the structs.

use hoga::model::{
    Candle, Change, DataType, Date, DateTime, Level, Levels, Market, MarketState, MarketWarning, Orderbook, Side,
    StreamType, Ticker, Time, Trade,
};
use hoga::wire::DecodeError;
use serde_json::{Map, Value};

use crate::support::Data;

/// Returns the data that must be delivered, and the error or the number of data objects that must be returned.
/// `Ok(None)` is a message without data.
pub fn read(message: &[u8]) -> (Result<Option<u32>, DecodeError>, Vec<Data>) {
    let mut data = Vec::new();
    let result = read_into(message, &mut data);
    (result, data)
}

fn read_into(message: &[u8], data: &mut Vec<Data>) -> Result<Option<u32>, DecodeError> {
    let value: Value = serde_json::from_slice(message).map_err(|_| DecodeError::NotJson)?;
    let Value::Array(elements) = &value else { return object(&value, data) };
    let (mut only_data, mut refusal) = (true, None);
    for element in elements {
        match object(element, data) {
            Ok(found) => only_data &= found.is_some(),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    if let Some(error) = refusal {
        return Err(error);
    }
    match (only_data, data.len()) {
        (true, 0) => Err(DecodeError::NotAMessage),
        (true, count) => Ok(Some(count as u32)),
        (false, _) => Ok(None),
    }
}

fn object(value: &Value, data: &mut Vec<Data>) -> Result<Option<u32>, DecodeError> {
    let map = value.as_object().ok_or(DecodeError::NotAMessage)?;
    let (name, short) = match (map.get("type"), map.get("ty")) {
        (Some(_), Some(name)) if map.contains_key("cd") && !map.contains_key("code") => (name, true),
        (Some(name), _) => (name, false),
        (None, Some(name)) => (name, true),
        (None, None) => return control(map),
    };
    let name = name.as_str().ok_or(DecodeError::WrongType("type"))?;
    let object = Object { map, short };
    data.push(match DataType::from_name(name) {
        Some(DataType::Ticker) => Data::Ticker(object.ticker()?),
        Some(DataType::Trade) => Data::Trade(object.trade()?),
        Some(DataType::Orderbook | DataType::GroupedOrderbook(_)) => Data::Orderbook(object.orderbook()?),
        Some(DataType::Candle(interval)) => Data::Candle(Candle { interval, ..object.candle()? }),
        None => return Ok(None),
        Some(other) => panic!("the oracle cannot read {other}"),
    });
    Ok(Some(1))
}

fn control(map: &Map<String, Value>) -> Result<Option<u32>, DecodeError> {
    if let Some(error) = map.get("error") {
        return error.as_object().map(|_| None).ok_or(DecodeError::WrongType("error"));
    }
    if let Some(status) = map.get("status") {
        return status.as_str().map(|_| None).ok_or(DecodeError::WrongType("status"));
    }
    Err(DecodeError::NotAMessage)
}

/// An object with one of the two key sets. Methods take both names and return what the library must return.
struct Object<'a> {
    map: &'a Map<String, Value>,
    short: bool,
}

impl Object<'_> {
    fn optional(&self, long: &'static str, short: &'static str) -> Option<&Value> {
        self.map.get(if self.short { short } else { long })
    }

    fn value(&self, long: &'static str, short: &'static str) -> Result<&Value, DecodeError> {
        self.optional(long, short).ok_or(DecodeError::MissingField(long))
    }

    fn number(&self, long: &'static str, short: &'static str) -> Result<f64, DecodeError> {
        number(self.value(long, short)?).ok_or(DecodeError::WrongType(long))
    }

    fn maybe_number(&self, long: &'static str, short: &'static str) -> Option<f64> {
        self.optional(long, short).and_then(number)
    }

    fn whole(&self, long: &'static str, short: &'static str) -> Result<u64, DecodeError> {
        let value = self.value(long, short)?;
        value.as_number().and_then(|n| n.as_str().parse().ok()).ok_or(DecodeError::WrongType(long))
    }

    fn millis(&self, long: &'static str, short: &'static str) -> Result<u64, DecodeError> {
        let value = self.whole(long, short)?;
        Ok(if value > 100_000_000_000_000 { value / 1000 } else { value })
    }

    fn text(&self, long: &'static str, short: &'static str) -> Result<&str, DecodeError> {
        self.value(long, short)?.as_str().ok_or(DecodeError::WrongType(long))
    }

    fn read<T, E>(
        &self,
        long: &'static str,
        short: &'static str,
        read: impl Fn(&[u8]) -> Result<T, E>,
    ) -> Result<T, DecodeError> {
        read(self.text(long, short)?.as_bytes()).map_err(|_| DecodeError::BadValue(long))
    }

    fn word<T: Copy>(
        &self,
        long: &'static str,
        short: &'static str,
        words: &[(&str, T)],
        unknown: Option<T>,
    ) -> Result<T, DecodeError> {
        let text = self.text(long, short)?;
        let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        known.or(unknown).ok_or(DecodeError::BadValue(long))
    }

    fn market(&self) -> Result<Market, DecodeError> {
        self.text("code", "cd")?.parse().map_err(|_| DecodeError::BadMarket)
    }

    fn change(&self) -> Result<Change, DecodeError> {
        let words = [("RISE", Change::Rise), ("EVEN", Change::Even), ("FALL", Change::Fall)];
        self.word("change", "c", &words, None)
    }

    fn side(&self) -> Result<Side, DecodeError> {
        self.word("ask_bid", "ab", &[("ASK", Side::Ask), ("BID", Side::Bid)], None)
    }

    fn stream_type(&self) -> Result<StreamType, DecodeError> {
        let words = [("SNAPSHOT", StreamType::Snapshot), ("REALTIME", StreamType::Realtime)];
        self.word("stream_type", "st", &words, None)
    }

    fn ticker(&self) -> Result<Ticker, DecodeError> {
        // A struct literal evaluates its fields as written, which is wire order, so the first error is the same.
        Ok(Ticker {
            market: self.market()?,
            opening_price: self.number("opening_price", "op")?,
            high_price: self.number("high_price", "hp")?,
            low_price: self.number("low_price", "lp")?,
            trade_price: self.number("trade_price", "tp")?,
            prev_closing_price: self.number("prev_closing_price", "pcp")?,
            acc_trade_price: self.number("acc_trade_price", "atp")?,
            change: self.change()?,
            change_price: self.number("change_price", "cp")?,
            signed_change_price: self.number("signed_change_price", "scp")?,
            change_rate: self.number("change_rate", "cr")?,
            signed_change_rate: self.number("signed_change_rate", "scr")?,
            ask_bid: self.side()?,
            trade_volume: self.number("trade_volume", "tv")?,
            acc_trade_volume: self.number("acc_trade_volume", "atv")?,
            trade_date: self.read("trade_date", "tdt", Date::from_compact)?,
            trade_time: self.read("trade_time", "ttm", Time::from_compact)?,
            trade_timestamp: self.millis("trade_timestamp", "ttms")?,
            acc_ask_volume: self.number("acc_ask_volume", "aav")?,
            acc_bid_volume: self.number("acc_bid_volume", "abv")?,
            highest_52_week_price: self.number("highest_52_week_price", "h52wp")?,
            highest_52_week_date: self.read("highest_52_week_date", "h52wdt", Date::from_dashed)?,
            lowest_52_week_price: self.number("lowest_52_week_price", "l52wp")?,
            lowest_52_week_date: self.read("lowest_52_week_date", "l52wdt", Date::from_dashed)?,
            market_state: self.word(
                "market_state",
                "ms",
                &[
                    ("PREVIEW", MarketState::Preview),
                    ("ACTIVE", MarketState::Active),
                    ("DELISTED", MarketState::Delisted),
                ],
                Some(MarketState::Unknown),
            )?,
            is_trading_suspended: self
                .value("is_trading_suspended", "its")?
                .as_bool()
                .ok_or(DecodeError::WrongType("is_trading_suspended"))?,
            delisting_date: match self.optional("delisting_date", "dd") {
                Some(Value::String(text)) => Date::from_dashed(text.as_bytes()).ok(),
                Some(Value::Object(parts)) => date(parts),
                _ => None,
            },
            market_warning: self.word(
                "market_warning",
                "mw",
                &[("NONE", MarketWarning::None), ("CAUTION", MarketWarning::Caution)],
                Some(MarketWarning::Unknown),
            )?,
            timestamp: match self.optional("timestamp", "tms") {
                None => self.millis("trade_timestamp", "ttms")?,
                Some(_) => self.millis("timestamp", "tms")?,
            },
            acc_trade_price_24h: self.number("acc_trade_price_24h", "atp24h")?,
            acc_trade_volume_24h: self.number("acc_trade_volume_24h", "atv24h")?,
            stream_type: self.stream_type()?,
        })
    }

    fn trade(&self) -> Result<Trade, DecodeError> {
        Ok(Trade {
            market: self.market()?,
            timestamp: self.millis("timestamp", "tms")?,
            // Bithumb has `tdt`.
            trade_date: self.read(
                "trade_date",
                if self.map.contains_key("td") { "td" } else { "tdt" },
                Date::from_dashed,
            )?,
            trade_time: self.read("trade_time", "ttm", Time::from_colons)?,
            trade_timestamp: self.millis("trade_timestamp", "ttms")?,
            trade_price: self.number("trade_price", "tp")?,
            trade_volume: self.number("trade_volume", "tv")?,
            ask_bid: self.side()?,
            prev_closing_price: self.number("prev_closing_price", "pcp")?,
            change: self.change()?,
            change_price: self.number("change_price", "cp")?,
            sequential_id: self.whole("sequential_id", "sid")?,
            best_ask_price: self.maybe_number("best_ask_price", "bap"),
            best_ask_size: self.maybe_number("best_ask_size", "bas"),
            best_bid_price: self.maybe_number("best_bid_price", "bbp"),
            best_bid_size: self.maybe_number("best_bid_size", "bbs"),
            stream_type: self.stream_type()?,
        })
    }

    fn orderbook(&self) -> Result<Orderbook, DecodeError> {
        let market = self.market()?;
        let timestamp = self.millis("timestamp", "tms")?;
        let total_ask_size = self.number("total_ask_size", "tas")?;
        let total_bid_size = self.number("total_bid_size", "tbs")?;
        let (asks, bids) = self.units()?;
        let stream_type = match self.stream_type() {
            Err(DecodeError::MissingField(_)) => StreamType::Realtime,
            other => other?,
        };
        let level = match self.optional("level", "lv") {
            None | Some(Value::Null) => None,
            Some(value) => Some(number(value).ok_or(DecodeError::WrongType("level"))?),
        };
        Ok(Orderbook { market, timestamp, total_ask_size, total_bid_size, asks, bids, stream_type, level })
    }

    fn units(&self) -> Result<(Levels, Levels), DecodeError> {
        let wrong = DecodeError::WrongType("orderbook_units");
        let (mut asks, mut bids) = (Levels::EMPTY, Levels::EMPTY);
        for unit in self.value("orderbook_units", "obu")?.as_array().ok_or(wrong)? {
            let unit = Object { map: unit.as_object().ok_or(wrong)?, short: self.short };
            let ask_price = unit.number("ask_price", "ap")?;
            let bid_price = unit.number("bid_price", "bp")?;
            let ask_size = unit.number("ask_size", "as")?;
            let bid_size = unit.number("bid_size", "bs")?;
            for (side, price, size) in [(&mut asks, ask_price, ask_size), (&mut bids, bid_price, bid_size)] {
                if price != 0.0 && size != 0.0 && !side.push(Level { price, size }) {
                    return Err(DecodeError::TooManyLevels);
                }
            }
        }
        Ok((asks, bids))
    }

    fn candle(&self) -> Result<Candle, DecodeError> {
        Ok(Candle {
            interval: hoga::model::Interval::Second1,
            market: self.market()?,
            candle_date_time_utc: self.read("candle_date_time_utc", "cdttmu", DateTime::from_iso)?,
            candle_date_time_kst: self.read("candle_date_time_kst", "cdttmk", DateTime::from_iso)?,
            opening_price: self.number("opening_price", "op")?,
            high_price: self.number("high_price", "hp")?,
            low_price: self.number("low_price", "lp")?,
            trade_price: self.number("trade_price", "tp")?,
            candle_acc_trade_volume: self.number("candle_acc_trade_volume", "catv")?,
            candle_acc_trade_price: self.number("candle_acc_trade_price", "catp")?,
            timestamp: self.millis("timestamp", "tms")?,
            stream_type: self.stream_type()?,
        })
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_number().map(|number| number.as_str().parse().unwrap()).filter(|number: &f64| number.is_finite())
}

fn date(parts: &Map<String, Value>) -> Option<Date> {
    let part = |name| parts.get(name)?.as_number()?.as_str().parse::<u16>().ok();
    Date::new(part("year")?, part("month")?.try_into().ok()?, part("day")?.try_into().ok()?).ok()
}
