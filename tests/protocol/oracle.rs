//! A reference decoder, based on serde_json. It uses only the model types of the library and error kinds.

use hoga::model::{
    Candle, Change, DataType, Date, DateTime, Interval, Level, Levels, MAX_LEVELS, Market, MarketState, MarketWarning,
    Orderbook, Side, StreamType, Ticker, Time, Trade,
};
use hoga::wire::DecodeErrorKind;
use serde_json::{Map, Value};

use crate::support::Data;

/// Returns the data that must be delivered, and the error or the number of data objects that must be returned.
/// `Ok(None)` is a message without data.
pub fn read(message: &[u8]) -> (Result<Option<u32>, DecodeErrorKind>, Vec<Data>) {
    let mut data = Vec::new();
    let result = read_into(message, &mut data);
    (result, data)
}

fn read_into(message: &[u8], data: &mut Vec<Data>) -> Result<Option<u32>, DecodeErrorKind> {
    let value: Value = serde_json::from_slice(message).map_err(|_| DecodeErrorKind::NotJson)?;
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
        (true, 0) => Err(DecodeErrorKind::NotAMessage),
        (true, count) => Ok(Some(count as u32)),
        (false, _) => Ok(None),
    }
}

fn object(value: &Value, data: &mut Vec<Data>) -> Result<Option<u32>, DecodeErrorKind> {
    let map = value.as_object().ok_or(DecodeErrorKind::NotAMessage)?;
    let (name, short) = match (map.get("type"), map.get("ty")) {
        (Some(_), Some(name)) if map.contains_key("cd") && !map.contains_key("code") => (name, true),
        (Some(name), _) => (name, false),
        (None, Some(name)) => (name, true),
        (None, None) => return control(map),
    };
    let name = name.as_str().ok_or(DecodeErrorKind::WrongType("type"))?;
    let object = Object { map, short };
    data.push(match DataType::from_name(name) {
        Some(DataType::Ticker) => Data::Ticker(object.ticker()?),
        Some(DataType::Trade) => Data::Trade(object.trade()?),
        Some(DataType::Orderbook | DataType::GroupedOrderbook(_)) => Data::Orderbook(object.orderbook()?),
        Some(DataType::Candle(interval)) => Data::Candle(object.candle(interval)?),
        None => return Ok(None),
        Some(other) => panic!("the oracle cannot read {other}"),
    });
    Ok(Some(1))
}

fn control(map: &Map<String, Value>) -> Result<Option<u32>, DecodeErrorKind> {
    if let Some(error) = map.get("error") {
        return error.as_object().map(|_| None).ok_or(DecodeErrorKind::WrongType("error"));
    }
    if let Some(status) = map.get("status") {
        return status.as_str().map(|_| None).ok_or(DecodeErrorKind::WrongType("status"));
    }
    Err(DecodeErrorKind::NotAMessage)
}

/// An object with one of the two key sets. Methods take both names and return what the library must return.
struct Object<'a> {
    map: &'a Map<String, Value>,
    short: bool,
}

impl Object<'_> {
    fn value(&self, long: &'static str, short: &'static str) -> Option<&Value> {
        self.map.get(if self.short { short } else { long })
    }

    /// Reads an optional field. `None` if it is absent or cannot be read.
    fn any<T>(&self, long: &'static str, short: &'static str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        self.value(long, short).and_then(read)
    }

    fn number(&self, long: &'static str, short: &'static str) -> Option<f64> {
        self.any(long, short, number)
    }

    fn word<T: Copy>(&self, long: &'static str, short: &'static str, words: &[(&str, T)], unknown: T) -> Option<T> {
        let text = self.value(long, short)?.as_str().filter(|text| !text.is_empty())?;
        Some(words.iter().find(|(word, _)| *word == text).map_or(unknown, |(_, value)| *value))
    }

    /// Reads a required field.
    fn needed<T>(
        &self,
        long: &'static str,
        short: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, DecodeErrorKind> {
        let value = self.value(long, short).ok_or(DecodeErrorKind::MissingField(long))?;
        read(value).ok_or_else(|| wrong(value, long))
    }

    fn price(&self, long: &'static str, short: &'static str) -> Result<f64, DecodeErrorKind> {
        self.needed(long, short, number)
    }

    fn market(&self) -> Result<Market, DecodeErrorKind> {
        let read = |value: &Value| value.as_str()?.parse().ok();
        self.needed("code", "cd", read).map_err(|error| match self.value("code", "cd") {
            Some(Value::String(_)) => DecodeErrorKind::BadMarket,
            _ => error,
        })
    }

    fn change(&self) -> Option<Change> {
        let words = [("RISE", Change::Rise), ("EVEN", Change::Even), ("FALL", Change::Fall)];
        self.word("change", "c", &words, Change::Unknown)
    }

    fn side(&self) -> Option<Side> {
        self.word("ask_bid", "ab", &[("ASK", Side::Ask), ("BID", Side::Bid)], Side::Unknown)
    }

    fn stream_type(&self) -> StreamType {
        let is_snapshot = self.value("stream_type", "st").and_then(Value::as_str) == Some("SNAPSHOT");
        if is_snapshot { StreamType::Snapshot } else { StreamType::Realtime }
    }

    /// Returns the message's `timestamp`, or `other` if it cannot be read.
    fn timestamp(&self, other: Option<u64>) -> Result<u64, DecodeErrorKind> {
        self.needed("timestamp", "tms", unix_ms).or_else(|error| other.ok_or(error))
    }

    fn ticker(&self) -> Result<Ticker, DecodeErrorKind> {
        // Fields are evaluated in the written order. It is the order on the wire, so the first error is the same.
        Ok(Ticker {
            market: self.market()?,
            opening_price: self.number("opening_price", "op").into(),
            high_price: self.number("high_price", "hp").into(),
            low_price: self.number("low_price", "lp").into(),
            trade_price: self.price("trade_price", "tp")?,
            prev_closing_price: self.number("prev_closing_price", "pcp").into(),
            acc_trade_price: self.number("acc_trade_price", "atp").into(),
            change: self.change(),
            change_price: self.number("change_price", "cp").into(),
            signed_change_price: self.number("signed_change_price", "scp").into(),
            change_rate: self.number("change_rate", "cr").into(),
            signed_change_rate: self.number("signed_change_rate", "scr").into(),
            ask_bid: self.side(),
            trade_volume: self.number("trade_volume", "tv").into(),
            acc_trade_volume: self.number("acc_trade_volume", "atv").into(),
            trade_date: self.any("trade_date", "tdt", date).into(),
            trade_time: self.any("trade_time", "ttm", time).into(),
            trade_timestamp: self.any("trade_timestamp", "ttms", unix_ms).into(),
            acc_ask_volume: self.number("acc_ask_volume", "aav").into(),
            acc_bid_volume: self.number("acc_bid_volume", "abv").into(),
            highest_52_week_price: self.number("highest_52_week_price", "h52wp").into(),
            highest_52_week_date: self.any("highest_52_week_date", "h52wdt", date).into(),
            lowest_52_week_price: self.number("lowest_52_week_price", "l52wp").into(),
            lowest_52_week_date: self.any("lowest_52_week_date", "l52wdt", date).into(),
            market_state: self.word(
                "market_state",
                "ms",
                &[
                    ("PREVIEW", MarketState::Preview),
                    ("ACTIVE", MarketState::Active),
                    ("DELISTED", MarketState::Delisted),
                ],
                MarketState::Unknown,
            ),
            is_trading_suspended: self.any("is_trading_suspended", "its", |value| match value {
                Value::String(text) => text.parse().ok(),
                value => value.as_bool(),
            }),
            delisting_date: self.any("delisting_date", "dd", date).into(),
            market_warning: self.word(
                "market_warning",
                "mw",
                &[("NONE", MarketWarning::None), ("CAUTION", MarketWarning::Caution)],
                MarketWarning::Unknown,
            ),
            timestamp: self.timestamp(self.any("trade_timestamp", "ttms", unix_ms))?,
            acc_trade_price_24h: self.number("acc_trade_price_24h", "atp24h").into(),
            acc_trade_volume_24h: self.number("acc_trade_volume_24h", "atv24h").into(),
            stream_type: self.stream_type(),
        })
    }

    fn trade(&self) -> Result<Trade, DecodeErrorKind> {
        Ok(Trade {
            market: self.market()?,
            // Bithumb has `tdt`.
            trade_date: self.any("trade_date", if self.map.contains_key("td") { "td" } else { "tdt" }, date).into(),
            trade_time: self.any("trade_time", "ttm", time).into(),
            trade_timestamp: self.any("trade_timestamp", "ttms", unix_ms).into(),
            trade_price: self.price("trade_price", "tp")?,
            // After the price: a message that lacks both is refused for its price.
            timestamp: self.timestamp(self.any("trade_timestamp", "ttms", unix_ms))?,
            trade_volume: self.number("trade_volume", "tv").into(),
            ask_bid: self.side(),
            prev_closing_price: self.number("prev_closing_price", "pcp").into(),
            change: self.change(),
            change_price: self.number("change_price", "cp").into(),
            sequential_id: self.any("sequential_id", "sid", whole).into(),
            best_ask_price: self.number("best_ask_price", "bap").into(),
            best_ask_size: self.number("best_ask_size", "bas").into(),
            best_bid_price: self.number("best_bid_price", "bbp").into(),
            best_bid_size: self.number("best_bid_size", "bbs").into(),
            stream_type: self.stream_type(),
        })
    }

    fn orderbook(&self) -> Result<Orderbook, DecodeErrorKind> {
        let market = self.market()?;
        let (asks, bids) = self.units()?;
        let level = match self.value("level", "lv") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(_) => Some(self.price("level", "lv")?),
        };
        Ok(Orderbook {
            market,
            timestamp: self.timestamp(None)?,
            total_ask_size: self.number("total_ask_size", "tas").into(),
            total_bid_size: self.number("total_bid_size", "tbs").into(),
            asks,
            bids,
            stream_type: self.stream_type(),
            level: level.into(),
        })
    }

    fn units(&self) -> Result<(Levels, Levels), DecodeErrorKind> {
        const NAME: &str = "orderbook_units";
        let units = match self.value(NAME, "obu") {
            None => return Err(DecodeErrorKind::MissingField(NAME)),
            Some(Value::Null) => return Err(DecodeErrorKind::EmptyField(NAME)),
            Some(value) => value.as_array().ok_or(DecodeErrorKind::WrongType(NAME))?,
        };
        if !units.is_empty() && !units.iter().any(Value::is_object) {
            return Err(DecodeErrorKind::WrongType(NAME));
        }
        let side = |price: [&'static str; 2], size: [&'static str; 2]| {
            let pairs: Vec<_> = units
                .iter()
                .map(|unit| {
                    let unit = Object { map: unit.as_object()?, short: self.short };
                    Some((unit.number(price[0], price[1])?, unit.number(size[0], size[1])?))
                })
                .collect();
            let offers: Vec<_> = pairs.iter().flatten().filter(|(price, size)| *price != 0.0 && *size != 0.0).collect();
            if offers.is_empty() && pairs.contains(&None) {
                return Err(DecodeErrorKind::BadValue(NAME));
            }
            let mut levels = Levels::EMPTY;
            offers.into_iter().take(MAX_LEVELS).for_each(|&(price, size)| {
                levels.push(Level { price, size });
            });
            Ok(levels)
        };
        Ok((side(["ask_price", "ap"], ["ask_size", "as"])?, side(["bid_price", "bp"], ["bid_size", "bs"])?))
    }

    fn candle(&self, interval: Interval) -> Result<Candle, DecodeErrorKind> {
        let market = self.market()?;
        let [opening_price, high_price, low_price, trade_price] =
            [("opening_price", "op"), ("high_price", "hp"), ("low_price", "lp"), ("trade_price", "tp")]
                .map(|(long, short)| self.price(long, short));
        let prices = (opening_price?, high_price?, low_price?, trade_price?);
        let kst = self.any("candle_date_time_kst", "cdttmk", |value| date_time(value, 540));
        let start = self.any("candle_date_time_utc", "cdttmu", |value| date_time(value, 0));
        let start = start.or_else(|| kst.and_then(|kst| civil(minutes_of(kst) - 540, kst.time.second)));
        let time = self.timestamp(None);
        let start = match (start, time) {
            (Some(start), _) => start,
            (None, Ok(ms)) => {
                let seconds = ms / 1000 / u64::from(interval.seconds()) * u64::from(interval.seconds());
                civil(seconds as i64 / 60, (seconds % 60) as u8).ok_or(DecodeErrorKind::WrongType("timestamp"))?
            }
            (None, Err(error)) => return Err(error),
        };
        let seconds = minutes_of(start) * 60 + i64::from(start.time.second);
        Ok(Candle {
            interval,
            market,
            candle_date_time_utc: start,
            candle_date_time_kst: kst.into(),
            opening_price: prices.0,
            high_price: prices.1,
            low_price: prices.2,
            trade_price: prices.3,
            candle_acc_trade_volume: self.number("candle_acc_trade_volume", "catv").into(),
            candle_acc_trade_price: self.number("candle_acc_trade_price", "catp").into(),
            timestamp: time.or_else(|error| u64::try_from(seconds).map(|seconds| seconds * 1000).map_err(|_| error))?,
            stream_type: self.stream_type(),
        })
    }
}

/// Returns the error for a required field with this value.
fn wrong(value: &Value, name: &'static str) -> DecodeErrorKind {
    match value {
        Value::Null => DecodeErrorKind::EmptyField(name),
        Value::String(text) if text.is_empty() => DecodeErrorKind::EmptyField(name),
        Value::String(text) if numeral(text).is_none() => DecodeErrorKind::BadValue(name),
        _ => DecodeErrorKind::WrongType(name),
    }
}

/// Returns the text if it is a JSON number.
fn numeral(text: &str) -> Option<&str> {
    let is_number = matches!(serde_json::from_str(text), Ok(Value::Number(_)));
    (is_number && text.trim() == text).then_some(text)
}

/// Returns the text of a number, which may be quoted.
fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Number(number) => Some(number.as_str()),
        Value::String(text) => numeral(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    text_of(value)?.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| number + 0.0)
}

fn whole(value: &Value) -> Option<u64> {
    let text = text_of(value)?;
    let float: f64 = text.parse().ok()?;
    let exact = text.parse().ok().filter(|whole| *whole < u64::MAX);
    let is_whole = (0.0..9_007_199_254_740_992.0).contains(&float) && float.fract() == 0.0;
    exact.or(is_whole.then_some(float as u64))
}

fn unix_ms(value: &Value) -> Option<u64> {
    let Some(text) = text_of(value) else { return moment(value.as_str()?).and_then(|(ms, ..)| u64::try_from(ms).ok()) };
    let float: f64 = text.parse().ok()?;
    let whole = text.parse().ok().filter(|whole| *whole < u64::MAX);
    match whole {
        None if !(0.0..18_446_744_073_709_551_615.0).contains(&float) => None,
        None if float < 1e11 => Some((float * 1000.0).round() as u64),
        whole => Some(match whole.unwrap_or(float as u64) {
            seconds if seconds < 100_000_000_000 => seconds * 1000,
            ms if ms <= 100_000_000_000_000 => ms,
            us if us <= 100_000_000_000_000_000 => us / 1000,
            ns => ns / 1_000_000,
        }),
    }
}

fn date(value: &Value) -> Option<Date> {
    if let Value::Object(parts) = value {
        let part = |name| parts.get(name)?.as_number()?.as_str().parse::<u16>().ok();
        return Date::new(part("year")?, part("month")?.try_into().ok()?, part("day")?.try_into().ok()?).ok();
    }
    let text = value.as_str()?;
    let compact = || (text.len() == 8).then(|| digits(text)).flatten().map(|n| [n / 10_000, n / 100 % 100, n % 100]);
    let [year, month, day] = match dashed(text).or_else(compact) {
        Some(parts) => parts,
        None => return moment(text).map(|(.., local)| local.date),
    };
    Date::new(year as u16, month as u8, day as u8).ok()
}

fn dashed(text: &str) -> Option<[u32; 3]> {
    let parts: Vec<_> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return None };
    ((year.len(), month.len(), day.len()) == (4, 2, 2)).then_some(())?;
    Some([digits(year)?, digits(month)?, digits(day)?])
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn time(value: &Value) -> Option<Time> {
    let text = value.as_str()?;
    if text.len() == 6 && digits(text).is_some() {
        let n = digits(text)?;
        return Time::new((n / 10_000) as u8, (n / 100 % 100) as u8, (n % 100) as u8).ok();
    }
    clock(text).filter(|(.., zone)| zone.unwrap_or(0) == 0).map(|(time, ..)| time)
}

/// Parses a time of day. Returns it with its ms, and the minutes by which its zone is ahead of UTC.
fn clock(text: &str) -> Option<(Time, u64, Option<i64>)> {
    let (clock, zone) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => (&text[..at], Some(zone(&text[at..])?)),
        None => (text, None),
    };
    let (clock, fraction) = match clock.find(['.', ',']) {
        Some(at) => (&clock[..at], Some(&clock[at + 1..])),
        None => (clock, None),
    };
    let parts: Vec<_> = clock.split(':').collect();
    if parts.iter().any(|part| part.len() != 2) || fraction.is_some_and(|_| parts.len() != 3) {
        return None;
    }
    let parts: Vec<u8> = parts.into_iter().map(|part| digits(part).map(|n| n as u8)).collect::<Option<_>>()?;
    let time = match parts[..] {
        [hour, minute] => Time::new(hour, minute, 0),
        [hour, minute, second] => Time::new(hour, minute, second),
        _ => return None,
    };
    let ms = match fraction {
        None => 0,
        Some(fraction) if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        Some(fraction) => format!("{fraction:0<3}")[..3].parse().ok()?,
    };
    Some((time.ok()?, ms, zone))
}

fn zone(text: &str) -> Option<i64> {
    if text == "Z" || text == "z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let rest = text.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at_checked(2)?,
        5 => rest.split_once(':')?,
        _ => return None,
    };
    let time = Time::new(digits(hours)?.try_into().ok()?, digits(minutes)?.try_into().ok()?, 0).ok()?;
    (hours.len() == 2 && minutes.len() == 2).then_some(sign * (i64::from(time.hour) * 60 + i64::from(time.minute)))
}

/// Parses a date and time. Returns Unix ms, -1 if before 1970; the minutes by which its zone is ahead of UTC; and the
/// date and time as written.
fn moment(text: &str) -> Option<(i64, Option<i64>, DateTime)> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = dashed(date)?;
    let (time, ms, zone) = clock(rest.strip_prefix(['T', ' '])?)?;
    let local = DateTime { date: Date::new(year as u16, month as u8, day as u8).ok()?, time };
    let seconds = (minutes_of(local) - zone.unwrap_or(0)) * 60 + i64::from(time.second);
    // -1 is not a valid timestamp, so callers that need one refuse times before 1970.
    Some((if seconds < 0 { -1 } else { seconds * 1000 + ms as i64 }, zone, local))
}

/// Reads a date and time, and converts it to the zone that is `wanted` minutes ahead of UTC.
fn date_time(value: &Value, wanted: i64) -> Option<DateTime> {
    let (_, zone, local) = moment(value.as_str()?)?;
    match zone.filter(|zone| *zone != wanted) {
        Some(zone) => civil(minutes_of(local) + wanted - zone, local.time.second),
        None => Some(local),
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64) -> [i64; 12] {
    [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Returns the days from 1970-01-01 to January 1 of `year`.
fn days_before(year: i64) -> i64 {
    let leap_years = |year: i64| (year - 1).div_euclid(4) - (year - 1).div_euclid(100) + (year - 1).div_euclid(400);
    (year - 1970) * 365 + leap_years(year) - leap_years(1970)
}

/// Returns whole minutes since 1970.
fn minutes_of(DateTime { date, time }: DateTime) -> i64 {
    let year = i64::from(date.year);
    let months: i64 = days_of(year)[..usize::from(date.month) - 1].iter().sum();
    let days = days_before(year) + months + i64::from(date.day) - 1;
    days * 1440 + i64::from(time.hour) * 60 + i64::from(time.minute)
}

/// The inverse of [`minutes_of`]. Second 60 is second 0 of the next minute.
fn civil(minutes: i64, second: u8) -> Option<DateTime> {
    let (minutes, second) = (minutes + i64::from(second / 60), second % 60);
    let (mut days, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let mut year = 1970 + days.div_euclid(366).min(days.div_euclid(365));
    while days_before(year + 1) <= days {
        year += 1;
    }
    days -= days_before(year);
    let mut month = 0;
    while days >= days_of(year)[month] {
        days -= days_of(year)[month];
        month += 1;
    }
    let date = Date::new(year.try_into().ok()?, month as u8 + 1, days as u8 + 1).ok()?;
    Some(DateTime { date, time: Time::new((minute / 60) as u8, (minute % 60) as u8, second).ok()? })
}
