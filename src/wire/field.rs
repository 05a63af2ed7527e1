//! Wire: the types of values that fields hold. Each is read twice, by `scan` from bytes and by `walk` from a tape, and
//! both must accept the same texts; where `scan` is narrower it says `None` and the tape decides.

use crate::model::{Change, Date, DateTime, Level, Levels, Market, MarketState, MarketWarning, Side, StreamType, Time};

use super::cursor::Cursor;
use super::error::Fault;
use super::json::Json;
use super::number;
use super::schema::{Names, ORDERBOOK_UNIT, Quote, Record};
use super::tape::{Walk, walk_record};

/// How a field's value is read into its place.
pub(super) trait FieldType {
    /// Where the value goes.
    type Place<'a>;
    /// How many bytes `scan` is given.
    const AHEAD: usize;
    /// The names of the fields of objects inside it.
    const INSIDE: &'static [Names] = &[];
    /// Reads the value at `cursor` and steps over it; `ahead` are the next bytes. `None` means surprise, not error; what lies
    /// in the place is then garbage.
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: Self::Place<'_>) -> Option<()>;
    /// Reads a value of the tape.
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

/// A number or `null`. Anything else is counted and gives no number: the rest of the message must not be lost to it.
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

/// The step by which a book's prices are grouped, or `null`. It has to be right, because it says which stream the book
/// belongs to: without it a grouped book would pass for the whole one.
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

/// A `u64`, never through a float.
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

/// A Unix time in ms. Books came in µs for some days of 2023, and always do on Bithumb.
pub(super) enum Millis {}

/// Later than the year 5000 in ms, earlier than 1974 in µs.
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
    // Longer than any code there is; should one come, the general reader takes it.
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

/// Declares kinds whose text has one length and one reader.
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

/// `yyyy-MM-dd`, `{"year":2026,"month":12,"day":24}`, `null` or `""`. Anything else is counted and gives no date: a market
/// about to be delisted must not lose its ticker to a date that nobody has seen printed yet.
pub(super) enum MaybeDate {}

/// A date as an object: what the exchange's own SDK expects.
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

/// The longest word, with its quotes.
const WORD_MAX: usize = 10;

/// Declares kinds that are one of a few words. `_` names the value that stands for words
/// this version does not know; without it they are an error.
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
                // Selected, not branched to: which word comes next is anybody's guess.
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

/// The levels of a book: both sides at once, as the exchange sends them.
pub(super) enum Units {}

/// Appends one level to each side. The shallower side is padded with zero slots, which are no offers.
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
