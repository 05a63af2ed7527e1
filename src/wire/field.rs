//! The types of values that fields hold. `scan` reads the documented form from bytes, `read` a value of any form. If
//! both accept a text, they read the same value.

use crate::model::{
    Change, Date, DateTime, Level, Levels, Market, MarketState, MarketWarning, Maybe, Niche, Side, StreamType, Time,
};

use super::cursor::Cursor;
use super::error::Fault;
use super::json::Json;
use super::lenient;
use super::loose::Loose;
use super::number;
use super::progress::Progress;
use super::schema::{Names, ORDERBOOK_UNIT, Quote, Record};
use super::tape::walk_record;
use super::tolerant::tolerate_record;

/// How a field's value is read into its place.
pub(super) trait FieldType {
    /// The place in the record that the value is written to.
    type Place<'a>;
    /// The number of bytes that `scan` gets as `ahead`.
    const AHEAD: usize;
    /// The names of the fields of the objects in the value; empty if it holds none.
    const INSIDE: &'static [Names] = &[];
    /// Reads the value at `cursor` in its documented form and steps over it. `ahead` holds the bytes at `cursor`.
    /// Returns `None` for any other form; `place` and `cursor` are then unspecified.
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: Self::Place<'_>) -> Option<()>;
    /// Like [`scan`](Self::scan), for the tolerant scanner. The units of a book also accept other forms here, and note
    /// them in the progress.
    #[inline(always)]
    fn tolerate<const SHORT: bool>(
        cursor: &mut Cursor<'_>,
        place: Self::Place<'_>,
        _: &mut Progress<'_>,
    ) -> Option<()> {
        Self::scan::<SHORT>(cursor.ahead(Self::AHEAD)?, cursor, place)
    }
    /// Reads a value in any form. After an error other than [`Fault::Word`], the place is unspecified.
    fn read(value: &Loose<'_>, place: Self::Place<'_>) -> Result<(), Fault>;
    /// Reads a value from simd-json's tape.
    fn walk(json: Json<'_>, place: Self::Place<'_>, _: &mut Progress<'_>) -> Result<(), Fault> {
        Self::read(&json.loose(), place)
    }
    /// Sets the place to its value for an absent field. A required field may ignore this, because the message is
    /// refused.
    fn clear(place: Self::Place<'_>);
}

/// A number, as an `f64`.
pub(super) enum Number {}

impl FieldType for Number {
    type Place<'a> = &'a mut Maybe<f64>;
    const AHEAD: usize = number::AHEAD;
    #[inline(always)]
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Maybe<f64>) -> Option<()> {
        *place = number::number(ahead, cursor)?.into();
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
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut f64) -> Option<()> {
        *place = number::number(ahead, cursor)?;
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
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Maybe<u64>) -> Option<()> {
        *place = number::whole(ahead, cursor)?.into();
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
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Maybe<u64>) -> Option<()> {
        *place = lenient::to_ms(number::whole(ahead, cursor)?).into();
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
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut u64) -> Option<()> {
        *place = lenient::to_ms(number::whole(ahead, cursor)?);
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
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Option<bool>) -> Option<()> {
        let value = ahead.starts_with(b"true");
        *place = Some(value);
        cursor.skip(if value { 4 } else { 5 });
        (value || ahead == b"false").then_some(())
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
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Market) -> Option<()> {
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
            fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut $place) -> Option<()> {
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
    fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut Maybe<Date>) -> Option<()> {
        // Bithumb sends an empty string.
        if cursor.eat(b"null") || cursor.eat(b"\"\"") {
            *place = Maybe::ABSENT;
            return Some(());
        }
        DashedDate::scan::<SHORT>(ahead, cursor, place)
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
            fn scan<const SHORT: bool>(ahead: &[u8], cursor: &mut Cursor<'_>, place: &mut $place) -> Option<()> {
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

/// Appends one level to each side. Returns false if a side is full. The exchange pads the shallower side with zeros,
/// which are left out.
#[inline(always)]
fn push((asks, bids): (&mut Levels, &mut Levels), quote: &Quote) -> bool {
    let offered = |price: f64, size: f64| price != 0.0 && size != 0.0;
    let ask = Level { price: quote.ask_price.raw(), size: quote.ask_size.raw() };
    let bid = Level { price: quote.bid_price.raw(), size: quote.bid_size.raw() };
    (!offered(ask.price, ask.size) || asks.push(ask)) && (!offered(bid.price, bid.size) || bids.push(bid))
}

/// The two sides of a book while its units are read, which may be incomplete or too many.
struct Sides<'a> {
    sides: [&'a mut Levels; 2],
    /// Whether a level of the side could not be read.
    lost: [bool; 2],
    /// The number of units that were read.
    units: u64,
    /// The number of levels that did not fit.
    cut: u64,
}

impl<'a> Sides<'a> {
    fn new((asks, bids): (&'a mut Levels, &'a mut Levels)) -> Self {
        asks.clear();
        bids.clear();
        Self { sides: [asks, bids], lost: [false; 2], units: 0, cut: 0 }
    }

    /// Appends one level to each side. Leaves out levels without a price or a size, and levels that do not fit.
    fn push(&mut self, quote: &Quote) {
        self.units += 1;
        for (side, price, size) in [(0, quote.ask_price, quote.ask_size), (1, quote.bid_price, quote.bid_size)] {
            match (price.get(), size.get()) {
                (Some(price), Some(size)) if price == 0.0 || size == 0.0 => {}
                (Some(price), Some(size)) => self.cut += u64::from(!self.sides[side].push(Level { price, size })),
                _ => self.lost[side] = true,
            }
        }
    }

    /// Notes the levels that did not fit. Refuses the book if a side is empty because its levels could not be read.
    fn finish(self, progress: &mut Progress<'_>) -> Result<(), Fault> {
        if self.cut > 0 {
            progress.note_levels_cut(self.units, self.cut);
        }
        let is_gone = |side: usize| self.lost[side] && self.sides[side].is_empty();
        if is_gone(0) || is_gone(1) { Err(Fault::Value) } else { Ok(()) }
    }
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
    #[inline(never)]
    fn tolerate<const SHORT: bool>(
        cursor: &mut Cursor<'_>,
        sides: (&mut Levels, &mut Levels),
        progress: &mut Progress<'_>,
    ) -> Option<()> {
        let mut sides = Sides::new(sides);
        if !cursor.eat(b"[") {
            return None;
        }
        if cursor.eat(b"]") {
            return Some(());
        }
        loop {
            let mut quote = Quote::BLANK;
            let start = *cursor;
            let is_documented =
                progress.units.is_strict() && cursor.eat(b"{") && quote.scan::<SHORT>(cursor, true).is_some();
            if !is_documented {
                *cursor = start;
                let mut unit = progress.unit();
                tolerate_record::<_, SHORT>(cursor, b'{', &mut quote, &mut unit)?;
                let is_new = unit.is_new;
                progress.note_odd_unit(is_new.then_some(start.position()));
            }
            sides.push(&quote);
            if !cursor.eat(b",") {
                break;
            }
        }
        sides.finish(progress).ok()?;
        cursor.eat(b"]").then_some(())
    }
    fn read(value: &Loose<'_>, _: (&mut Levels, &mut Levels)) -> Result<(), Fault> {
        Err(if *value == Loose::Null { Fault::Empty } else { Fault::Type })
    }
    fn walk(json: Json<'_>, sides: (&mut Levels, &mut Levels), progress: &mut Progress<'_>) -> Result<(), Fault> {
        let Some(elements) = json.elements() else { return Self::read(&json.loose(), sides) };
        let mut sides = Sides::new(sides);
        if !elements.is_empty() && elements.clone().all(|element| element.members().is_none()) {
            return Err(Fault::Type);
        }
        for unit in elements {
            let mut quote = Quote::BLANK;
            // An element that is not an object counts as a unit without fields.
            let members = unit.members().unwrap_or_default();
            // This cannot fail, because a unit has no required field.
            let _ = walk_record(members, &mut quote, &mut progress.unit());
            sides.push(&quote);
        }
        sides.finish(progress)
    }
    fn clear((asks, bids): (&mut Levels, &mut Levels)) {
        asks.clear();
        bids.clear();
    }
}
