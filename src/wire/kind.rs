//! Wire: the kinds of values that fields hold. Each is read twice, by `scan` from bytes and by `walk` from a tape, and
//! both must accept the same texts; where `scan` is narrower it says `None` and the tape decides.

use crate::model::{Change, Date, DateTime, Level, Levels, Market, MarketState, MarketWarning, Side, StreamType, Time};

use super::cursor::Cursor;
use super::error::Fault;
use super::json::Json;
use super::number;
use super::schema::{Quote, Record};
use super::tape::{Walk, walk_record};

/// How a field's value is read into its place.
pub(super) trait Kind {
    /// Where the value goes.
    type Place<'a>;
    /// Reads the bytes at `cursor`. `None` means surprise, not error; what lies in the place is then garbage.
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: Self::Place<'_>) -> Option<()>;
    /// Reads a value of the tape.
    fn walk(json: Json<'_>, place: Self::Place<'_>, walk: &mut Walk) -> Result<(), Fault>;
}

/// Any JSON number, as an `f64`.
pub(super) enum Number {}

impl Kind for Number {
    type Place<'a> = &'a mut f64;
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut f64) -> Option<()> {
        *place = number::number(cursor)?;
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut f64, _: &mut Walk) -> Result<(), Fault> {
        *place = json.as_f64().ok_or(Fault::Type)?;
        Ok(())
    }
}

/// As [`Number`], for records of which each number is a field of its own: inlining the reader into each makes them slower,
/// a ticker by a sixth. The units of an order book go round one loop.
pub(super) enum SharedNumber {}

impl Kind for SharedNumber {
    type Place<'a> = &'a mut f64;
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut f64) -> Option<()> {
        *place = number::shared_number(cursor)?;
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut f64, walk: &mut Walk) -> Result<(), Fault> {
        Number::walk(json, place, walk)
    }
}

/// A number or `null`.
pub(super) enum MaybeNumber {}

impl Kind for MaybeNumber {
    type Place<'a> = &'a mut Option<f64>;
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut Option<f64>) -> Option<()> {
        *place = if cursor.eat(b"null") { None } else { Some(number::number(cursor)?) };
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut Option<f64>, _: &mut Walk) -> Result<(), Fault> {
        *place = if json.is_null() { None } else { Some(json.as_f64().ok_or(Fault::Type)?) };
        Ok(())
    }
}

/// A `u64`, never through a float.
pub(super) enum Id {}

impl Kind for Id {
    type Place<'a> = &'a mut u64;
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut u64) -> Option<()> {
        *place = number::whole(cursor)?;
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

impl Kind for Millis {
    type Place<'a> = &'a mut u64;
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut u64) -> Option<()> {
        *place = millis(number::whole(cursor)?);
        Some(())
    }
    fn walk(json: Json<'_>, place: &mut u64, _: &mut Walk) -> Result<(), Fault> {
        *place = millis(json.as_u64().ok_or(Fault::Type)?);
        Ok(())
    }
}

/// `true` or `false`.
pub(super) enum Flag {}

impl Kind for Flag {
    type Place<'a> = &'a mut bool;
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut bool) -> Option<()> {
        *place = !cursor.eat(b"false");
        (!*place || cursor.eat(b"true")).then_some(())
    }
    fn walk(json: Json<'_>, place: &mut bool, _: &mut Walk) -> Result<(), Fault> {
        *place = json.as_bool().ok_or(Fault::Type)?;
        Ok(())
    }
}

/// A market code.
pub(super) enum Code {}

impl Kind for Code {
    type Place<'a> = &'a mut Market;
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut Market) -> Option<()> {
        // Longer than any code there is; should one come, the general reader takes it.
        let [b'"', text @ ..] = cursor.chunk::<17>()? else { return None };
        let (market, len) = Market::from_quoted(text)?;
        *place = market;
        cursor.skip(len + 2)
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

        impl Kind for $kind {
            type Place<'a> = &'a mut $place;
            #[inline(always)]
            fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut $place) -> Option<()> {
                let [b'"', text @ .., b'"'] = cursor.chunk::<{ $len + 2 }>()? else { return None };
                *place = $read(text.as_slice()).ok()?;
                cursor.skip($len + 2)
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

/// `yyyy-MM-dd`, `null` or `""`. Text in any other spelling is counted and gives no date: a market about to be
/// delisted must not lose its ticker to a date that nobody has seen printed yet.
pub(super) enum MaybeDate {}

impl Kind for MaybeDate {
    type Place<'a> = &'a mut Option<Date>;
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut Option<Date>) -> Option<()> {
        *place = None;
        if cursor.eat(b"null") || cursor.eat(b"\"\"") {
            return Some(());
        }
        let [b'"', text @ .., b'"'] = cursor.chunk::<12>()? else { return None };
        *place = Some(Date::from_dashed(text.as_slice()).ok()?);
        cursor.skip(12)
    }
    fn walk(json: Json<'_>, place: &mut Option<Date>, walk: &mut Walk) -> Result<(), Fault> {
        *place = None;
        if json.is_null() {
            return Ok(());
        }
        let text = json.as_str().ok_or(Fault::Type)?;
        *place = Date::from_dashed(text.as_bytes()).ok();
        walk.counters.unknown_values += u64::from(place.is_none() && !text.is_empty());
        Ok(())
    }
}

/// The longest word, with its quotes.
const WORD_MAX: usize = 10;

/// Declares kinds that are one of a few words. `_` names the value that stands for words
/// this version does not know; without it they are an error.
macro_rules! word_kinds {
    ($($place:ident { $($variant:ident = $word:literal)* $(_ = $unknown:ident)? })*) => { $(
        impl Kind for $place {
            type Place<'a> = &'a mut $place;
            #[inline(always)]
            fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, place: &mut $place) -> Option<()> {
                // Selected, not branched to: which word comes next is anybody's guess.
                let head: &[u8; WORD_MAX] = cursor.chunk()?;
                let (mut found, mut len) = (None, 0);
                $(
                    let word = concat!("\"", $word, "\"").as_bytes();
                    if head.starts_with(word) {
                        (found, len) = (Some($place::$variant), word.len());
                    }
                )*
                *place = found?;
                cursor.skip(len)
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

impl Kind for Units {
    type Place<'a> = (&'a mut Levels, &'a mut Levels);
    #[inline(always)]
    fn scan<const SHORT: bool>(cursor: &mut Cursor<'_>, (asks, bids): (&mut Levels, &mut Levels)) -> Option<()> {
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
