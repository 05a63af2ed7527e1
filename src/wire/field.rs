//! The types of values that fields hold. `scan` reads the documented form from bytes, `read` a value of any form. If
//! both accept a text, they read the same value.

use crate::model::{
    Change, Date, DateTime, Level, Levels, Market, MarketState, MarketWarning, Maybe, Niche, Side, StreamType, Time,
};

use super::cursor::Cursor;
use super::differences::Differences;
use super::error::Fault;
use super::json::Json;
use super::lenient;
use super::loose::Loose;
use super::number;
use super::schema::{Names, ORDERBOOK_UNIT, Quote, Record};
use super::skip::count_elements;
use super::tape::walk_members;

/// How a field's value is read into its place.
pub(super) trait FieldType {
    /// The place in the record that the value is written to.
    type Place<'a>;
    /// The number of bytes that `scan` gets as `ahead`.
    const AHEAD: usize;
    /// The names of the fields of the objects in the value; empty if it holds none.
    const INSIDE: &'static [Names] = &[];
    /// Reads the value at `cursor` in its documented form and steps over it. `ahead` holds the bytes at `cursor`. Returns
    /// `None` for any other form; `cursor` then stays, and `place` is unspecified. Units of a book may also have other
    /// forms, unless `STRICT`; they become `differences`.
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: Self::Place<'_>,
        differences: &mut Differences,
    ) -> Option<()>;
    /// Reads a value in any form. After an error other than [`Fault::Word`], the place is unspecified.
    fn read(value: &Loose<'_>, place: Self::Place<'_>) -> Result<(), Fault>;
    /// Reads a value from simd-json's tape.
    fn walk(json: Json<'_>, place: Self::Place<'_>, _short: bool, _: &mut Differences) -> Result<(), Fault> {
        Self::read(&json.loose(), place)
    }
    /// Sets the place to its value for an absent field. A required field may ignore this, because the message is
    /// refused.
    fn clear(place: Self::Place<'_>);
}

/// Reads a number, which may be in quotes unless `STRICT`.
#[inline(always)]
fn scan_number<const STRICT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>) -> Option<f64> {
    if STRICT || ahead.first() != Some(&b'"') {
        return number::number(ahead, cursor);
    }
    let (value, len) = number::quoted(cursor.rest())?;
    cursor.skip(len.get());
    Some(value)
}

/// Reads a whole number, which may be in quotes unless `STRICT`.
#[inline(always)]
fn scan_whole<const STRICT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>) -> Option<u64> {
    if STRICT || ahead.first() != Some(&b'"') {
        return number::whole(ahead, cursor);
    }
    let (value, len) = number::quoted_whole(cursor.rest())?;
    cursor.skip(len.get());
    Some(value)
}

/// A number, as an `f64`.
pub(super) enum Number {}

impl FieldType for Number {
    type Place<'a> = &'a mut Maybe<f64>;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: &mut Maybe<f64>,
        _: &mut Differences,
    ) -> Option<()> {
        *place = scan_number::<STRICT>(ahead, cursor)?.into();
        Some(())
    }
    fn read(value: &Loose<'_>, place: &mut Maybe<f64>) -> Result<(), Fault> {
        *place = lenient::number(value)?.into();
        Ok(())
    }
    fn clear(place: &mut Maybe<f64>) {
        *place = Maybe::ABSENT;
    }
}

/// A required number.
pub(super) enum Price {}

impl FieldType for Price {
    type Place<'a> = &'a mut f64;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: &mut f64,
        _: &mut Differences,
    ) -> Option<()> {
        *place = scan_number::<STRICT>(ahead, cursor)?;
        Some(())
    }
    fn read(value: &Loose<'_>, place: &mut f64) -> Result<(), Fault> {
        *place = lenient::number(value)?;
        Ok(())
    }
    fn clear(_: &mut f64) {}
}

/// A `u64`, such as an id.
pub(super) enum Id {}

impl FieldType for Id {
    type Place<'a> = &'a mut Maybe<u64>;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: &mut Maybe<u64>,
        _: &mut Differences,
    ) -> Option<()> {
        *place = scan_whole::<STRICT>(ahead, cursor)?.into();
        Some(())
    }
    fn read(value: &Loose<'_>, place: &mut Maybe<u64>) -> Result<(), Fault> {
        *place = lenient::whole(value)?.into();
        Ok(())
    }
    fn clear(place: &mut Maybe<u64>) {
        *place = Maybe::ABSENT;
    }
}

/// A Unix time, in ms.
pub(super) enum Millis {}

impl FieldType for Millis {
    type Place<'a> = &'a mut Maybe<u64>;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: &mut Maybe<u64>,
        _: &mut Differences,
    ) -> Option<()> {
        *place = lenient::to_ms(scan_whole::<STRICT>(ahead, cursor)?).into();
        Some(())
    }
    fn read(value: &Loose<'_>, place: &mut Maybe<u64>) -> Result<(), Fault> {
        *place = lenient::unix_ms(value)?.into();
        Ok(())
    }
    fn clear(place: &mut Maybe<u64>) {
        *place = Maybe::ABSENT;
    }
}

/// The time that orders messages, in ms. If it is missing, another time of the message may stand in for it.
pub(super) enum Timestamp {}

impl FieldType for Timestamp {
    type Place<'a> = &'a mut u64;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: &mut u64,
        _: &mut Differences,
    ) -> Option<()> {
        *place = lenient::to_ms(scan_whole::<STRICT>(ahead, cursor)?);
        Some(())
    }
    fn read(value: &Loose<'_>, place: &mut u64) -> Result<(), Fault> {
        *place = lenient::unix_ms(value)?;
        Ok(())
    }
    fn clear(place: &mut u64) {
        *place = Niche::ABSENT;
    }
}

/// `true` or `false`.
pub(super) enum Flag {}

impl FieldType for Flag {
    type Place<'a> = &'a mut Option<bool>;
    const AHEAD: usize = 5;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: &mut Option<bool>,
        _: &mut Differences,
    ) -> Option<()> {
        let value = ahead.starts_with(b"true");
        if !value && ahead != b"false" {
            return None;
        }
        *place = Some(value);
        cursor.skip(if value { 4 } else { 5 });
        Some(())
    }
    fn read(value: &Loose<'_>, place: &mut Option<bool>) -> Result<(), Fault> {
        *place = Some(match *value {
            Loose::Bool(value) => value,
            Loose::Text("true") => true,
            Loose::Text("false") => false,
            Loose::Null | Loose::Text("") => return Err(Fault::Empty),
            Loose::Text(_) => return Err(Fault::Value),
            _ => return Err(Fault::Type),
        });
        Ok(())
    }
    fn clear(place: &mut Option<bool>) {
        *place = None;
    }
}

/// A market code.
pub(super) enum Code {}

impl FieldType for Code {
    type Place<'a> = &'a mut Market;
    // A quote, and the 16 bytes that `from_quoted` checks: room for any existing code. `read` reads longer codes.
    const AHEAD: usize = 17;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: &mut Market,
        _: &mut Differences,
    ) -> Option<()> {
        let [b'"', text @ ..] = ahead else { return None };
        let (market, len) = Market::from_quoted(text.first_chunk()?)?;
        *place = market;
        cursor.skip(len + 2);
        Some(())
    }
    fn read(value: &Loose<'_>, place: &mut Market) -> Result<(), Fault> {
        *place = match value {
            Loose::Text(text) => Market::from_bytes(text.as_bytes()).map_err(|_| Fault::Market)?,
            Loose::Null => return Err(Fault::Empty),
            _ => return Err(Fault::Type),
        };
        Ok(())
    }
    fn clear(_: &mut Market) {}
}

/// Declares field types whose documented text has a fixed length: the place, its value for an absent field, the length,
/// the function that scans the text, and the function that reads any form.
macro_rules! time_kinds {
    ($($(#[$doc:meta])* $kind:ident: $place:ty = $absent:expr, $len:literal bytes, $scan:expr, $read:expr;)*) => { $(
        $(#[$doc])*
        pub(super) enum $kind {}

        impl FieldType for $kind {
            type Place<'a> = &'a mut $place;
            const AHEAD: usize = $len + 2;
            #[inline(always)]
            fn scan<const SHORT: bool, const STRICT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut $place, _: &mut Differences) -> Option<()> {
                let [b'"', text @ .., b'"'] = ahead else { return None };
                *place = $scan(text).ok()?.into();
                cursor.skip($len + 2);
                Some(())
            }
            fn read(value: &Loose<'_>, place: &mut $place) -> Result<(), Fault> {
                *place = $read(value)?.into();
                Ok(())
            }
            fn clear(place: &mut $place) {
                *place = $absent;
            }
        }
    )* };
}

/// Korean time is this many minutes ahead of UTC.
const KST: i32 = 9 * 60;

time_kinds! {
    /// `yyyyMMdd`: a ticker's trade date.
    CompactDate: Maybe<Date> = Maybe::ABSENT, 8 bytes, Date::from_compact, lenient::date;
    /// `yyyy-MM-dd`.
    DashedDate: Maybe<Date> = Maybe::ABSENT, 10 bytes, Date::from_dashed, lenient::date;
    /// `HHmmss`: a ticker's trade time.
    CompactTime: Maybe<Time> = Maybe::ABSENT, 6 bytes, Time::from_compact, lenient::time;
    /// `HH:mm:ss`.
    ColonTime: Maybe<Time> = Maybe::ABSENT, 8 bytes, Time::from_colons, lenient::time;
    /// `yyyy-MM-ddTHH:mm:ss` in UTC: the start of a candle. If it is missing, another time may stand in for it.
    StartUtc: DateTime = Niche::ABSENT, 19 bytes, DateTime::from_iso, |value| lenient::date_time(value, 0);
    /// `yyyy-MM-ddTHH:mm:ss` in Korean time.
    StartKst: Maybe<DateTime> = Maybe::ABSENT, 19 bytes, DateTime::from_iso, |value| lenient::date_time(value, KST);
}

/// `null`, or a date.
pub(super) enum NullableDate {}

impl FieldType for NullableDate {
    type Place<'a> = &'a mut Maybe<Date>;
    const AHEAD: usize = DashedDate::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        ahead: &[u8],
        cursor: &mut Cursor<'_>,
        place: &mut Maybe<Date>,
        differences: &mut Differences,
    ) -> Option<()> {
        // Bithumb sends an empty string.
        if cursor.eat(b"null") || cursor.eat(b"\"\"") {
            *place = Maybe::ABSENT;
            return Some(());
        }
        DashedDate::scan::<SHORT, STRICT>(ahead, cursor, place, differences)
    }
    fn read(value: &Loose<'_>, place: &mut Maybe<Date>) -> Result<(), Fault> {
        DashedDate::read(value, place)
    }
    fn clear(place: &mut Maybe<Date>) {
        *place = Maybe::ABSENT;
    }
}

/// Maximum length of a word, quotes included.
const WORD_MAX: usize = 10;

/// Declares field types that hold one of a few words: the type of the place, and its value for each word, for an
/// unknown word, and for an absent field.
macro_rules! word_kinds {
    ($($kind:ident: $place:ty { $($value:expr => $word:literal)*; unknown $unknown:expr; absent $absent:expr; })*) => { $(
        impl FieldType for $kind {
            type Place<'a> = &'a mut $place;
            const AHEAD: usize = {
                $(assert!($word.len() + 2 <= WORD_MAX);)*
                WORD_MAX
            };
            #[inline(always)]
            fn scan<const SHORT: bool, const STRICT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut $place, _: &mut Differences) -> Option<()> {
                // Selected without a branch, because which word is next cannot be predicted.
                let (mut found, mut len) = (None, 0);
                $(
                    let word = concat!("\"", $word, "\"").as_bytes();
                    if ahead.starts_with(word) {
                        (found, len) = (Some($value), word.len());
                    }
                )*
                *place = found?.into();
                cursor.skip(len);
                Some(())
            }
            fn read(value: &Loose<'_>, place: &mut $place) -> Result<(), Fault> {
                *place = match *value {
                    $(Loose::Text($word) => $value.into(),)*
                    Loose::Null | Loose::Text("") => return Err(Fault::Empty),
                    Loose::Text(_) => {
                        *place = $unknown.into();
                        return Err(Fault::Word);
                    }
                    _ => return Err(Fault::Type),
                };
                Ok(())
            }
            fn clear(place: &mut $place) {
                *place = $absent;
            }
        }
    )* };
}

word_kinds! {
    Change: Option<Change> {
        Change::Rise => "RISE" Change::Fall => "FALL" Change::Even => "EVEN"; unknown Change::Unknown; absent None;
    }
    Side: Option<Side> { Side::Ask => "ASK" Side::Bid => "BID"; unknown Side::Unknown; absent None; }
    StreamType: StreamType {
        StreamType::Realtime => "REALTIME" StreamType::Snapshot => "SNAPSHOT";
        unknown StreamType::Realtime;
        absent StreamType::Realtime;
    }
    MarketState: Option<MarketState> {
        MarketState::Active => "ACTIVE" MarketState::Preview => "PREVIEW" MarketState::Delisted => "DELISTED";
        unknown MarketState::Unknown;
        absent None;
    }
    MarketWarning: Option<MarketWarning> {
        MarketWarning::None => "NONE" MarketWarning::Caution => "CAUTION"; unknown MarketWarning::Unknown; absent None;
    }
}

/// The levels of a book: both sides at once, as the exchange sends them.
pub(super) enum Units {}

/// Appends one level to each side. Returns the number of levels that do not fit. The exchange pads the shallower side
/// with zeros, which are left out.
#[inline(always)]
fn push((asks, bids): (&mut Levels, &mut Levels), quote: &Quote) -> u64 {
    let offered = |price: f64, size: f64| price != 0.0 && size != 0.0;
    let ask = Level { price: quote.ask_price.raw(), size: quote.ask_size.raw() };
    let bid = Level { price: quote.bid_price.raw(), size: quote.bid_size.raw() };
    u64::from(offered(ask.price, ask.size) && !asks.push(ask))
        + u64::from(offered(bid.price, bid.size) && !bids.push(bid))
}

impl FieldType for Units {
    type Place<'a> = (&'a mut Levels, &'a mut Levels);
    const AHEAD: usize = 0;
    const INSIDE: &'static [Names] = ORDERBOOK_UNIT;
    #[inline(always)]
    fn scan<const SHORT: bool, const STRICT: bool>(
        _: &[u8],
        cursor: &mut Cursor<'_>,
        (asks, bids): (&mut Levels, &mut Levels),
        differences: &mut Differences,
    ) -> Option<()> {
        asks.clear();
        bids.clear();
        let mut local = *cursor;
        if !local.eat(b"[") {
            return None;
        }
        if !local.eat(b"]") {
            let mut quote = Quote::BLANK;
            loop {
                // The tolerant pass may look for the first field after a comma.
                if !STRICT && local.peek() != Some(b'{') {
                    return None;
                }
                quote.scan::<SHORT, STRICT>(&mut local, differences)?;
                if !STRICT && differences.layout::<Quote>(SHORT).progress.is_odd {
                    differences.finish_unit(SHORT, &mut quote);
                }
                let cut = push((asks, bids), &quote);
                if cut > 0 {
                    if STRICT {
                        return None;
                    }
                    differences.levels.count_cut(cut);
                }
                if !local.eat(b",") {
                    break;
                }
            }
            if !local.eat(b"]") {
                return None;
            }
        }
        let (bytes, start) = (cursor.bytes(), cursor.position());
        *cursor = local;
        if !STRICT {
            differences.finish_levels(SHORT, [asks, bids], move || count_elements(Cursor::at(bytes, start))).ok()?;
        }
        Some(())
    }
    fn read(value: &Loose<'_>, _: (&mut Levels, &mut Levels)) -> Result<(), Fault> {
        Err(if *value == Loose::Null { Fault::Empty } else { Fault::Type })
    }
    fn walk(
        json: Json<'_>,
        (asks, bids): (&mut Levels, &mut Levels),
        short: bool,
        differences: &mut Differences,
    ) -> Result<(), Fault> {
        let Some(elements) = json.elements() else { return Self::read(&json.loose(), (asks, bids)) };
        asks.clear();
        bids.clear();
        if !elements.is_empty() && elements.clone().all(|element| element.members().is_none()) {
            return Err(Fault::Type);
        }
        for unit in elements.clone() {
            let mut quote = Quote::BLANK;
            // An element that is not an object counts as a unit without fields.
            walk_members(unit.members().unwrap_or_default(), &mut quote, short, differences);
            differences.finish_unit(short, &mut quote);
            differences.levels.count_cut(push((asks, bids), &quote));
        }
        differences.finish_levels(short, [asks, bids], || elements.count() as u64)
    }
    fn clear((asks, bids): (&mut Levels, &mut Levels)) {
        asks.clear();
        bids.clear();
    }
}
