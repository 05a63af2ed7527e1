//! The table of the fields that Upbit sends, in wire order. It generates both readers: the scanner, which expects this
//! order, and the tape walk, which accepts any order.

use crate::model::{
    Candle, Change, DateTime, Interval, Levels, Market, MarketState, MarketWarning, Maybe, Niche, NounKind, Orderbook,
    Side, StreamType, Ticker, Trade,
};

use super::cursor::Cursor;
use super::detour::{odd_key, odd_value};
use super::differences::{Differences, Tracked};
use super::error::Fault;
use super::field::{
    Code, ColonTime, CompactDate, CompactTime, DashedDate, FieldType, Flag, Id, Millis, NullableDate, Number, Price,
    StartKst, StartUtc, Timestamp, Units,
};
use super::json::Json;
use super::key::Key;
use super::loose::Loose;
use super::stand_in::StandIn;

/// A field's two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// In formats `DEFAULT` and `JSON_LIST`.
    pub long: &'static str,
    /// In formats `SIMPLE` and `SIMPLE_LIST`.
    pub short: &'static str,
}

/// The field with the type of a data message: its first field.
pub const TYPE: Names = Names { long: "type", short: "ty" };

/// Returns the names of the fields of a type of message in wire order, without the field `type`.
pub const fn names(kind: NounKind) -> &'static [Names] {
    with_noun!(kind, T => T::NAMES)
}

/// Returns the number of bytes that short names save in an object with all of these fields.
pub const fn short_saves(names: &[Names]) -> usize {
    let (mut saved, mut index) = (0, 0);
    while index < names.len() {
        saved += names[index].long.len() - names[index].short.len();
        index += 1;
    }
    saved
}

/// The field with the market code, in all data messages.
pub(super) const CODE: Names = Names { long: "code", short: "cd" };

/// The field with the units of a book.
pub(super) const UNITS: Names = Names { long: "orderbook_units", short: "obu" };

/// A struct that is read from a JSON object. `schema!` implements it.
pub(super) trait Record: Tracked + Sized + 'static {
    /// The fields in wire order, without the type.
    const FIELDS: &'static [Field<Self>];
    /// Their names, in the same order.
    const NAMES: &'static [Names];
    /// For each field that holds objects: its long name, and the names of their fields.
    const INSIDE: &'static [(&'static str, &'static [Names])];
    /// All fields. In this and the other masks, each field has one bit.
    const ALL: u64;
    /// Fields without which the message is refused.
    const REQUIRED: u64;
    /// Fields that may be absent without being a drift.
    const OPTIONAL: u64;
    /// Fields that may be absent, but must be readable if present, because they identify the stream of the message.
    const IDENTITY: u64;
    /// Fields with another short name.
    const ALIASED: u64;
    /// The value before the first message is read. It is never delivered.
    const BLANK: Self;
    /// Reads the fields up to and including the closing brace. Returns `None` at the first difference from the documented
    /// form if `STRICT`; the record is then unspecified. Otherwise writes down the differences, and returns `None` if the
    /// tape walk must read the message.
    fn scan<const SHORT: bool, const STRICT: bool>(
        &mut self,
        cursor: &mut Cursor<'_>,
        differences: &mut Differences,
    ) -> Option<()>;
    /// Fills in fields that other fields can stand in for. The error is the index of a field that none can stand in
    /// for.
    fn complete(&mut self) -> Result<(), usize>;
}

/// Reads the value at a position in a message into the record, and returns the position behind it.
type Scan<R> = fn(&[u8], u32, &mut R, &mut Differences) -> Option<u32>;

/// One field, for code that looks up fields by key.
pub(super) struct Field<R> {
    pub(super) names: Names,
    /// The names as they are written in messages.
    pub(super) keys: [Key; 2],
    /// Another short name, which a clone of the exchange (Bithumb) uses.
    pub(super) also: Option<&'static str>,
    /// Whether it may be absent without being a drift.
    pub(super) is_optional: bool,
    /// Reads a value in the documented form from the bytes, with long and with short keys.
    pub(super) scan: [Scan<R>; 2],
    /// Reads a value in any form.
    pub(super) read: fn(&Loose<'_>, &mut R) -> Result<(), Fault>,
    /// Reads a value from simd-json's tape.
    pub(super) walk: fn(Json<'_>, &mut R, bool, &mut Differences) -> Result<(), Fault>,
    /// Makes the field absent.
    pub(super) clear: fn(&mut R),
}

/// Returns the index of the field with this key. The exchange's names come before those of a clone of the exchange.
pub(super) fn find<R: Record>(key: &str, short: bool) -> Option<usize> {
    let is_short = |field: &Field<R>| field.names.short == key;
    if !short {
        return R::FIELDS.iter().position(|field| field.names.long == key);
    }
    R::FIELDS.iter().position(is_short).or_else(|| R::FIELDS.iter().position(|field| field.also == Some(key)))
}

/// Returns a mask of the fields with the presence `which`.
const fn bits(presences: &[Presence], which: Presence) -> u64 {
    let (mut bits, mut index) = (0, 0);
    while index < presences.len() {
        bits |= (presences[index] as u64 == which as u64) as u64 * (1 << index);
        index += 1;
    }
    bits
}

/// Returns a mask of the fields with another short name.
const fn aliased<R>(fields: &[Field<R>]) -> u64 {
    let (mut bits, mut index) = (0, 0);
    while index < fields.len() {
        bits |= (fields[index].also.is_some() as u64) << index;
        index += 1;
    }
    bits
}

/// What the absence of a field means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// A drift: the exchange documents the field for each message.
    Documented,
    /// Nothing: the exchange may leave the field out.
    Optional,
    /// The message is refused.
    Required,
    /// Nothing, like `Optional`. But if the field is present and cannot be read, the message is refused.
    Identity,
}

/// Declares records. Each field is `place: FieldType = long / short`, in wire order. Another short name may follow
/// after `|`, and then a variant of [`Presence`] in lower case; without one, the field is `Documented`.
macro_rules! schema {
    ($($names:ident: $record:ident $(with $extra:ident)? {
        $($place:ident $(+ $more:ident)*: $kind:ty = $long:literal / $short:literal $(| $also:literal)? $($presence:ident)?;)*
    })*) => { $(
        /// The fields in wire order, without the type.
        pub const $names: &[Names] = &[$(Names { long: $long, short: $short }),*];

        impl Record for $record {
            const NAMES: &'static [Names] = $names;

            const INSIDE: &'static [(&'static str, &'static [Names])] =
                &[$(($long, <$kind as FieldType>::INSIDE)),*];

            const FIELDS: &'static [Field<Self>] = &[$(Field {
                names: Names { long: $long, short: $short },
                keys: [Key::new($long).unwrap(), Key::new($short).unwrap()],
                also: [$(Some($also),)? None][0],
                is_optional: is_optional!($($presence)?),
                scan: [
                    |bytes, position, record, differences| {
                        let mut cursor = Cursor::at(bytes, position);
                        let (ahead, place) = (cursor.ahead(<$kind as FieldType>::AHEAD)?, places!(record $place $($more)*));
                        <$kind as FieldType>::scan::<false, false>(ahead, &mut cursor, place, differences)?;
                        Some(cursor.position())
                    },
                    |bytes, position, record, differences| {
                        let mut cursor = Cursor::at(bytes, position);
                        let (ahead, place) = (cursor.ahead(<$kind as FieldType>::AHEAD)?, places!(record $place $($more)*));
                        <$kind as FieldType>::scan::<true, false>(ahead, &mut cursor, place, differences)?;
                        Some(cursor.position())
                    },
                ],
                read: |value, record| <$kind as FieldType>::read(value, places!(record $place $($more)*)),
                walk: |json, record, short, differences| {
                    <$kind as FieldType>::walk(json, places!(record $place $($more)*), short, differences)
                },
                clear: |record| <$kind as FieldType>::clear(places!(record $place $($more)*)),
            }),*];

            const ALL: u64 = u64::MAX >> (u64::BITS as usize - $names.len());
            const REQUIRED: u64 = bits(&[$(presence!($($presence)?)),*], Presence::Required);
            const OPTIONAL: u64 = bits(&[$(presence!($($presence)?)),*], Presence::Optional) | Self::IDENTITY;
            const IDENTITY: u64 = bits(&[$(presence!($($presence)?)),*], Presence::Identity);
            const ALIASED: u64 = aliased(Self::FIELDS);

            const BLANK: Self = Self {
                $($extra: Blank::BLANK,)?
                $($place: Blank::BLANK, $($more: Blank::BLANK,)*)*
            };

            #[inline(always)]
            fn scan<const SHORT: bool, const STRICT: bool>(&mut self, cursor: &mut Cursor<'_>, differences: &mut Differences) -> Option<()> {
                let index = 0;
                $(
                    let key = match (<Self as Tracked>::IN_UNIT && index == 0, SHORT) {
                        (false, false) => concat!(",\"", $long, "\":"),
                        (false, true) => concat!(",\"", $short, "\":"),
                        (true, false) => concat!("{\"", $long, "\":"),
                        (true, true) => concat!("{\"", $short, "\":"),
                    };
                    let key = key.as_bytes();
                    loop {
                        // Key and value are fetched together, to save a bounds check. Slack follows every message, so
                        // if there are not enough bytes, the field is missing.
                        let ahead = cursor.ahead(key.len() + <$kind as FieldType>::AHEAD);
                        let value = match ahead.map(|ahead| ahead.split_at(key.len())) {
                            Some((name, value)) if name == key => {
                                cursor.skip(key.len());
                                Some(value)
                            }
                            $(_ if SHORT && cursor.eat(concat!(",\"", $also, "\":").as_bytes()) => {
                                cursor.ahead(<$kind as FieldType>::AHEAD)
                            })?
                            _ => None,
                        };
                        let (bytes, position) = (cursor.bytes(), cursor.position());
                        if let Some(value) = value {
                            let place = places!(self $place $($more)*);
                            if <$kind as FieldType>::scan::<SHORT, STRICT>(value, cursor, place, differences).is_none() {
                                if STRICT {
                                    return None;
                                }
                                let end = odd_value::<Self, SHORT>(bytes, position, index, self, differences)?;
                                *cursor = cursor.moved_to(end);
                            }
                            break;
                        }
                        if STRICT {
                            if !is_optional!($($presence)?) {
                                return None;
                            }
                            <$kind as FieldType>::clear(places!(self $place $($more)*));
                            break;
                        }
                        let next = odd_key::<Self, SHORT>(bytes, position, index, self, differences)?;
                        *cursor = cursor.moved_to(next.position);
                        if next.is_done {
                            break;
                        }
                    }
                    let index = index + 1;
                )*
                while !STRICT && cursor.peek() != Some(b'}') {
                    let (bytes, position) = (cursor.bytes(), cursor.position());
                    let next = odd_key::<Self, SHORT>(bytes, position, index, self, differences)?;
                    *cursor = cursor.moved_to(next.position);
                }
                cursor.eat(b"}").then_some(())
            }

            fn complete(&mut self) -> Result<(), usize> {
                StandIn::stand_in(self).map_err(|name| position(name, Self::NAMES))
            }
        }
    )* };
}

/// The place of a value in a record: one member of the struct, or a tuple of several.
macro_rules! places {
    ($record:ident $place:ident) => { &mut $record.$place };
    ($record:ident $place:ident $($more:ident)+) => { (&mut $record.$place, $(&mut $record.$more),+) };
}

macro_rules! presence {
    () => {
        Presence::Documented
    };
    (optional) => {
        Presence::Optional
    };
    (required) => {
        Presence::Required
    };
    (identity) => {
        Presence::Identity
    };
}

macro_rules! is_optional {
    ($($presence:ident)?) => {
        matches!(presence!($($presence)?), Presence::Optional | Presence::Identity)
    };
}

fn position(name: &str, names: &[Names]) -> usize {
    names.iter().position(|names| names.long == name).unwrap_or_default()
}

/// One unit of a book: the n-th best ask and the n-th best bid.
pub(super) struct Quote {
    pub(super) ask_price: Maybe<f64>,
    pub(super) bid_price: Maybe<f64>,
    pub(super) ask_size: Maybe<f64>,
    pub(super) bid_size: Maybe<f64>,
}

schema! {
    TICKER: Ticker {
        market: Code = "code" / "cd" required;
        opening_price: Number = "opening_price" / "op";
        high_price: Number = "high_price" / "hp";
        low_price: Number = "low_price" / "lp";
        trade_price: Price = "trade_price" / "tp" required;
        prev_closing_price: Number = "prev_closing_price" / "pcp";
        acc_trade_price: Number = "acc_trade_price" / "atp";
        change: Change = "change" / "c";
        change_price: Number = "change_price" / "cp";
        signed_change_price: Number = "signed_change_price" / "scp";
        change_rate: Number = "change_rate" / "cr";
        signed_change_rate: Number = "signed_change_rate" / "scr";
        ask_bid: Side = "ask_bid" / "ab";
        trade_volume: Number = "trade_volume" / "tv";
        acc_trade_volume: Number = "acc_trade_volume" / "atv";
        trade_date: CompactDate = "trade_date" / "tdt";
        trade_time: CompactTime = "trade_time" / "ttm";
        trade_timestamp: Millis = "trade_timestamp" / "ttms";
        acc_ask_volume: Number = "acc_ask_volume" / "aav";
        acc_bid_volume: Number = "acc_bid_volume" / "abv";
        highest_52_week_price: Number = "highest_52_week_price" / "h52wp";
        highest_52_week_date: DashedDate = "highest_52_week_date" / "h52wdt";
        lowest_52_week_price: Number = "lowest_52_week_price" / "l52wp";
        lowest_52_week_date: DashedDate = "lowest_52_week_date" / "l52wdt";
        market_state: MarketState = "market_state" / "ms";
        is_trading_suspended: Flag = "is_trading_suspended" / "its";
        delisting_date: NullableDate = "delisting_date" / "dd" optional;
        market_warning: MarketWarning = "market_warning" / "mw";
        timestamp: Timestamp = "timestamp" / "tms";
        acc_trade_price_24h: Number = "acc_trade_price_24h" / "atp24h";
        acc_trade_volume_24h: Number = "acc_trade_volume_24h" / "atv24h";
        stream_type: StreamType = "stream_type" / "st";
    }
    TRADE: Trade {
        market: Code = "code" / "cd" required;
        timestamp: Timestamp = "timestamp" / "tms";
        // In tickers the short name is `tdt`, as in Bithumb's trades, and date and time are spelled differently.
        trade_date: DashedDate = "trade_date" / "td" | "tdt";
        trade_time: ColonTime = "trade_time" / "ttm";
        trade_timestamp: Millis = "trade_timestamp" / "ttms";
        trade_price: Price = "trade_price" / "tp" required;
        trade_volume: Number = "trade_volume" / "tv";
        ask_bid: Side = "ask_bid" / "ab";
        prev_closing_price: Number = "prev_closing_price" / "pcp";
        change: Change = "change" / "c";
        change_price: Number = "change_price" / "cp";
        sequential_id: Id = "sequential_id" / "sid";
        best_ask_price: Number = "best_ask_price" / "bap" optional;
        best_ask_size: Number = "best_ask_size" / "bas" optional;
        best_bid_price: Number = "best_bid_price" / "bbp" optional;
        best_bid_size: Number = "best_bid_size" / "bbs" optional;
        stream_type: StreamType = "stream_type" / "st";
    }
    ORDERBOOK: Orderbook {
        market: Code = "code" / "cd" required;
        timestamp: Timestamp = "timestamp" / "tms";
        total_ask_size: Number = "total_ask_size" / "tas";
        total_bid_size: Number = "total_bid_size" / "tbs";
        asks + bids: Units = "orderbook_units" / "obu" required;
        // The examples in the documentation do not have it.
        stream_type: StreamType = "stream_type" / "st" optional;
        // It identifies the stream: if it were ignored, a grouped book would pass for an ungrouped one.
        level: Number = "level" / "lv" identity;
    }
    ORDERBOOK_UNIT: Quote {
        ask_price: Number = "ask_price" / "ap";
        bid_price: Number = "bid_price" / "bp";
        ask_size: Number = "ask_size" / "as";
        bid_size: Number = "bid_size" / "bs";
    }
    CANDLE: Candle with interval {
        market: Code = "code" / "cd" required;
        candle_date_time_utc: StartUtc = "candle_date_time_utc" / "cdttmu";
        candle_date_time_kst: StartKst = "candle_date_time_kst" / "cdttmk";
        opening_price: Price = "opening_price" / "op" required;
        high_price: Price = "high_price" / "hp" required;
        low_price: Price = "low_price" / "lp" required;
        trade_price: Price = "trade_price" / "tp" required;
        candle_acc_trade_volume: Number = "candle_acc_trade_volume" / "catv";
        candle_acc_trade_price: Number = "candle_acc_trade_price" / "catp";
        timestamp: Timestamp = "timestamp" / "tms";
        stream_type: StreamType = "stream_type" / "st";
    }
}

/// Declares the names of types that have no struct yet.
macro_rules! names {
    ($($(#[$doc:meta])* $names:ident { $($long:literal / $short:literal)* })*) => { $(
        $(#[$doc])*
        pub const $names: &[Names] = &[$(Names { long: $long, short: $short }),*];
    )* };
}

names! {
    /// Fields of `myOrder`, without the type.
    MY_ORDER {
        "code" / "cd" "uuid" / "uid" "ask_bid" / "ab" "order_type" / "ot" "state" / "s" "trade_uuid" / "tuid"
        "price" / "p" "avg_price" / "ap" "volume" / "v" "remaining_volume" / "rv" "executed_volume" / "ev"
        "trades_count" / "tc" "reserved_fee" / "rsf" "remaining_fee" / "rmf" "paid_fee" / "pf" "locked" / "l"
        "executed_funds" / "ef" "time_in_force" / "tif" "trade_fee" / "tf" "is_maker" / "im" "identifier" / "id"
        "smp_type" / "smpt" "prevented_volume" / "pv" "prevented_locked" / "pl" "trade_timestamp" / "ttms"
        "order_timestamp" / "otms" "timestamp" / "tms" "stream_type" / "st"
    }
    /// Fields of `myAsset`, without the type.
    MY_ASSET {
        "asset_uuid" / "astuid" "assets" / "ast" "asset_timestamp" / "asttms" "timestamp" / "tms" "stream_type" / "st"
    }
    /// Fields of each element of `assets`.
    MY_ASSET_ENTRY { "currency" / "cu" "balance" / "b" "locked" / "l" }
    /// Fields of `announcement`, without the type.
    ANNOUNCEMENT {
        "event_type" / "et" "uuid" / "uid" "title" / "tt" "category" / "cat" "url" / "url" "first_listed_at" / "flat"
        "listed_at" / "lat" "timestamp" / "tms" "stream_type" / "st" "body" / "bd"
    }
    /// Fields of `indicator` and `indicator_signal`, without the type.
    INDICATOR {
        "code" / "cd" "timeframe" / "tf" "indicator" / "ind" "params" / "p" "trigger" / "tr" "event_params" / "ep"
        "candle_date_time_utc" / "cdttmu" "value" / "v" "timestamp" / "tms" "stream_type" / "st"
    }
    /// Fields of `params` of an indicator.
    INDICATOR_PARAMS {
        "period" / "p" "type" / "t" "short_period" / "shp" "long_period" / "lop" "multiplier" / "m" "fast" / "f"
        "slow" / "s" "signal_period" / "sgp"
    }
    /// Fields of `event_params` of a signal.
    INDICATOR_EVENT { "threshold" / "th" "multiplier" / "mul" }
    /// Fields of `value` of an indicator.
    INDICATOR_VALUE {
        "volume" / "vol" "avg_volume" / "av" "ratio" / "rto" "rsi" / "rsi" "value" / "value" "ma_short" / "mas"
        "ma_long" / "mal" "bb_upper" / "bbu" "bb_middle" / "bbm" "bb_lower" / "bbl" "macd" / "macd"
        "macd_signal" / "macds" "histogram" / "hist"
    }
    /// Fields of the answer to `LIST_SUBSCRIPTIONS`, which has no type.
    SUBSCRIPTIONS { "method" / "mthd" "result" / "rslt" "ticket" / "tckt" }
    /// Fields of each element of `result`.
    SUBSCRIPTIONS_ENTRY { "type" / "ty" "codes" / "cds" "level" / "lv" }
}

/// The value of a field before the first message is read.
trait Blank {
    const BLANK: Self;
}

macro_rules! blank {
    ($($type:ty = $value:expr;)*) => { $(impl Blank for $type { const BLANK: Self = $value; })* };
}

blank! {
    f64 = 0.0;
    u64 = Niche::ABSENT;
    Market = Market::BLANK;
    DateTime = Niche::ABSENT;
    StreamType = StreamType::Realtime;
    Interval = Interval::Second1;
    Levels = Levels::EMPTY;
}

impl<T> Blank for Option<T> {
    const BLANK: Self = None;
}

impl<T: Niche> Blank for Maybe<T> {
    const BLANK: Self = Self::ABSENT;
}
