//! The types of field values. Each type has two readers: `scan` reads bytes, and `walk` reads a tape. Both must read a
//! text as the same value. `scan` may return `None` for a text that `walk` accepts; then `walk` decides.

use crate::model::{Change, Date, DateTime, Level, Levels, Market, MarketState, MarketWarning, Side, StreamType, Time};

use super::cursor::Cursor;
use super::error::Fault;
use super::json::Json;
use super::number;
use super::schema::{Names, ORDERBOOK_UNIT, Quote, Record};
use super::tape::{Walk, walk_record};

/// A type of field value, and how to read it.
pub(super) trait FieldType {
    /// The place to which the value is written.
    type Place<'a>;
    /// The number of bytes that `scan` receives in `ahead`.
    const AHEAD: usize;
    /// The field names of objects inside the value.
    const INSIDE: &'static [Names] = &[];
    /// Reads the value at `cursor` and steps over it. `ahead` holds the next bytes. `None` means "not the expected
    /// form", which is not an error, and leaves `place` unspecified.
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: Self::Place<'_>) -> Option<()>;
    /// Reads a value from the tape.
    fn walk(json: Json<'_>, place: Self::Place<'_>, walk: &mut Walk) -> Result<(), Fault>;
}

/// Any JSON number, as an `f64`.
pub(super) enum Number {}

impl FieldType for Number {
    type Place<'a> = &'a mut f64;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut f64) -> Option<()> {
        *place = number::number(ahead, cursor)?;
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut f64, _: &mut Walk) -> Result<(), Fault> {
        *place = json.as_f64().ok_or(Fault::Type)?;
        Ok(())
    }
}

/// A number or `null`. Any other value is counted and read as `None`, so that the rest of the message is not lost.
pub(super) enum MaybeNumber {}

impl FieldType for MaybeNumber {
    type Place<'a> = &'a mut Option<f64>;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Option<f64>) -> Option<()> {
        *place = if cursor.eat(b"null") { None } else { Some(number::number(ahead, cursor)?) };
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut Option<f64>, walk: &mut Walk) -> Result<(), Fault> {
        *place = json.as_f64();
        walk.counters.unknown_values += u64::from(place.is_none() && !json.is_null());
        Ok(())
    }
}

/// The step by which a book's prices are grouped, or `null`. Any other value is an error, because the step decides
/// which stream the book belongs to: without it, a grouped book would look like an ungrouped one.
pub(super) enum Step {}

impl FieldType for Step {
    type Place<'a> = &'a mut Option<f64>;
    const AHEAD: usize = MaybeNumber::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Option<f64>) -> Option<()> {
        MaybeNumber::scan::<SHORT>(ahead, cursor, place)
    }
    fn walk(json: Json<'_>, place: &mut Option<f64>, _: &mut Walk) -> Result<(), Fault> {
        *place = if json.is_null() { None } else { Some(json.as_f64().ok_or(Fault::Type)?) };
        Ok(())
    }
}

/// A `u64` that never passes through a float.
pub(super) enum Id {}

impl FieldType for Id {
    type Place<'a> = &'a mut u64;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut u64) -> Option<()> {
        *place = number::whole(ahead, cursor)?;
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut u64, _: &mut Walk) -> Result<(), Fault> {
        *place = json.as_u64().ok_or(Fault::Type)?;
        Ok(())
    }
}

/// A Unix time in ms. Upbit sent books with times in µs for some days in 2023; Bithumb always does.
pub(super) enum Millis {}

/// The largest time that is taken for ms: after the year 5000 in ms, before 1974 in µs.
const MILLIS_MAX: u64 = 100_000_000_000_000;

fn millis(value: u64) -> u64 {
    if value > MILLIS_MAX { value / 1000 } else { value }
}

impl FieldType for Millis {
    type Place<'a> = &'a mut u64;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut u64) -> Option<()> {
        *place = millis(number::whole(ahead, cursor)?);
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut u64, _: &mut Walk) -> Result<(), Fault> {
        *place = millis(json.as_u64().ok_or(Fault::Type)?);
        Ok(())
    }
}

/// `true` or `false`.
pub(super) enum Flag {}

impl FieldType for Flag {
    type Place<'a> = &'a mut bool;
    const AHEAD: usize = 5;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut bool) -> Option<()> {
        *place = ahead.starts_with(b"true");
        cursor.skip(if *place { 4 } else { 5 });
        (*place || ahead == b"false").then_some(())
    }
    fn walk(json: Json<'_>, place: &mut bool, _: &mut Walk) -> Result<(), Fault> {
        *place = json.as_bool().ok_or(Fault::Type)?;
        Ok(())
    }
}

/// A market code.
pub(super) enum Code {}

impl FieldType for Code {
    type Place<'a> = &'a mut Market;
    // Enough for every existing code; the tape walk reads longer ones.
    const AHEAD: usize = 17;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Market) -> Option<()> {
        let [b'"', text @ ..] = ahead else { return None };
        let (market, len) = Market::from_quoted(text.first_chunk()?)?;
        *place = market;
        cursor.skip(len + 2);
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut Market, _: &mut Walk) -> Result<(), Fault> {
        *place = Market::from_bytes(json.as_str().ok_or(Fault::Type)?.as_bytes()).map_err(|_| Fault::Market)?;
        Ok(())
    }
}

/// Declares types whose text has a fixed length and one parser.
macro_rules! stamp_kinds {
    ($($(#[$doc:meta])* $kind:ident: $place:ty, $len:literal bytes, $read:expr;)*) => { $(
        $(#[$doc])*
        pub(super) enum $kind {}

        impl FieldType for $kind {
            type Place<'a> = &'a mut $place;
            const AHEAD: usize = $len + 2;
            #[inline(always)]
            fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut $place) -> Option<()> {
                let [b'"', text @ .., b'"'] = ahead else { return None };
                *place = $read(text).ok()?;
                cursor.skip($len + 2);
                Some(())
            }
            fn walk(json: Json<'_>, place: &mut $place, _: &mut Walk) -> Result<(), Fault> {
                *place = $read(json.as_str().ok_or(Fault::Type)?.as_bytes()).map_err(|_| Fault::Value)?;
                Ok(())
            }
        }
    )* };
}

stamp_kinds! {
    /// `yyyyMMdd`: a ticker's trade date.
    CompactDate: Date, 8 bytes, Date::from_compact;
    /// `yyyy-MM-dd`.
    DashedDate: Date, 10 bytes, Date::from_dashed;
    /// `HHmmss`: a ticker's trade time.
    CompactTime: Time, 6 bytes, Time::from_compact;
    /// `HH:mm:ss`.
    ColonTime: Time, 8 bytes, Time::from_colons;
    /// `yyyy-MM-ddTHH:mm:ss`.
    IsoTime: DateTime, 19 bytes, DateTime::from_iso;
}

/// `yyyy-MM-dd`, `{"year":2026,"month":12,"day":24}`, `null` or `""`. Any other value is counted and read as `None`, so
/// that a market about to be delisted keeps its ticker if the exchange writes the date in an unknown form.
pub(super) enum MaybeDate {}

/// Reads a date in the form of an object, which the exchange's own SDK expects.
fn date_of_parts(json: Json<'_>) -> Option<Date> {
    let part = |name| json.member(name)?.as_u64();
    let (year, month, day) = (part("year")?, part("month")?, part("day")?);
    Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
}

impl FieldType for MaybeDate {
    type Place<'a> = &'a mut Option<Date>;
    const AHEAD: usize = 12;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Option<Date>) -> Option<()> {
        *place = None;
        if cursor.eat(b"null") || cursor.eat(b"\"\"") {
            return Some(());
        }
        let [b'"', text @ .., b'"'] = ahead else { return None };
        *place = Some(Date::from_dashed(text).ok()?);
        cursor.skip(12);
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut Option<Date>, walk: &mut Walk) -> Result<(), Fault> {
        let is_empty = json.is_null() || json.as_str() == Some("");
        *place = match json.as_str() {
            Some(text) => Date::from_dashed(text.as_bytes()).ok(),
            None => date_of_parts(json),
        };
        walk.counters.unknown_values += u64::from(place.is_none() && !is_empty);
        Ok(())
    }
}

/// The length of the longest word, quotes included.
const WORD_MAX: usize = 10;

/// Declares types that hold one of a few words. `_` names the value for words that this version does not know; without
/// it, unknown words are an error.
macro_rules! word_kinds {
    ($($place:ident { $($variant:ident = $word:literal)* $(_ = $unknown:ident)? })*) => { $(
        impl FieldType for $place {
            type Place<'a> = &'a mut $place;
            const AHEAD: usize = {
                $(assert!($word.len() + 2 <= WORD_MAX);)*
                WORD_MAX
            };
            #[inline(always)]
            fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut $place) -> Option<()> {
                // Selected without a branch, because the processor cannot predict the word.
                let (mut found, mut len) = (None, 0);
                $(
                    let word = concat!("\"", $word, "\"").as_bytes();
                    if ahead.starts_with(word) {
                        (found, len) = (Some($place::$variant), word.len());
                    }
                )*
                *place = found?;
                cursor.skip(len);
                Some(())
            }
            #[allow(unused_variables, reason = "only kinds with `_` count")]
            fn walk(json: Json<'_>, place: &mut $place, walk: &mut Walk) -> Result<(), Fault> {
                *place = match json.as_str().ok_or(Fault::Type)? {
                    $($word => $place::$variant,)*
                    $(_ => { walk.counters.unknown_values += 1; $place::$unknown })?
                    #[allow(unreachable_patterns, reason = "only kinds without `_` get here")]
                    _ => return Err(Fault::Value),
                };
                Ok(())
            }
        }
    )* };
}

word_kinds! {
    Change { Rise = "RISE" Fall = "FALL" Even = "EVEN" }
    Side { Ask = "ASK" Bid = "BID" }
    StreamType { Realtime = "REALTIME" Snapshot = "SNAPSHOT" }
    MarketState { Active = "ACTIVE" Preview = "PREVIEW" Delisted = "DELISTED" _ = Unknown }
    MarketWarning { None = "NONE" Caution = "CAUTION" _ = Unknown }
}

/// The levels of a book. The exchange sends both sides together.
pub(super) enum Units {}

/// Appends one level to each side. Returns false if a side is full. Skips zero prices and sizes: the exchange pads the
/// shallower side with them.
#[inline(always)]
fn push((asks, bids): (&mut Levels, &mut Levels), quote: &Quote) -> bool {
    let offered = |price: f64, size: f64| price != 0.0 && size != 0.0;
    (!offered(quote.ask_price, quote.ask_size) || asks.push(Level { price: quote.ask_price, size: quote.ask_size }))
        && (!offered(quote.bid_price, quote.bid_size)
            || bids.push(Level { price: quote.bid_price, size: quote.bid_size }))
}

impl FieldType for Units {
    type Place<'a> = (&'a mut Levels, &'a mut Levels);
    const AHEAD: usize = 0;
    const INSIDE: &'static [Names] = ORDERBOOK_UNIT;
    #[inline(always)]
    fn scan<const SHORT: bool>(
        _: &[u8],
        cursor: &mut Cursor<'_>,
        (asks, bids): (&mut Levels, &mut Levels),
    ) -> Option<()> {
        asks.clear();
        bids.clear();
        if !cursor.eat(b"[") {
            return None;
        }
        if cursor.eat(b"]") {
            return Some(());
        }
        loop {
            let mut quote = Quote::BLANK;
            if !cursor.eat(b"{") {
                return None;
            }
            quote.scan::<SHORT>(cursor, true)?;
            if !push((asks, bids), &quote) {
                return None;
            }
            if !cursor.eat(b",") {
                return cursor.eat(b"]").then_some(());
            }
        }
    }
    fn walk(json: Json<'_>, (asks, bids): (&mut Levels, &mut Levels), walk: &mut Walk) -> Result<(), Fault> {
        asks.clear();
        bids.clear();
        for unit in json.elements().ok_or(Fault::Type)? {
            let mut quote = Quote::BLANK;
            walk_record(unit.members().ok_or(Fault::Type)?, &mut quote, walk).map_err(Fault::Inside)?;
            if !push((asks, bids), &quote) {
                return Err(Fault::Levels);
            }
        }
        Ok(())
    }
}
