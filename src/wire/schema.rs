//! The table of the fields that Upbit sends, in wire order. Both readers are generated from it: the scanner, which
//! expects exactly this order, and the tape walk, which accepts any order.

use crate::model::{
    Candle, Change, Date, DateTime, Interval, Levels, Market, MarketState, MarketWarning, NounKind, Orderbook, Side,
    StreamType, Ticker, Time, Trade,
};

use super::cursor::Cursor;
use super::error::Fault;
use super::field::{
    Code, ColonTime, CompactDate, CompactTime, DashedDate, FieldType, Flag, Id, IsoTime, MaybeDate, MaybeNumber,
    Millis, Number, Step, Units,
};
use super::json::Json;
use super::tape::Walk;

/// A field's two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The name in formats `DEFAULT` and `JSON_LIST`.
    pub long: &'static str,
    /// The name in formats `SIMPLE` and `SIMPLE_LIST`.
    pub short: &'static str,
}

/// The type of a message, which is its first field.
pub const TYPE: Names = Names { long: "type", short: "ty" };

/// Returns the fields of a noun in wire order, without the type.
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

/// A struct that is read from an object according to a table.
pub(super) trait Record: Sized + 'static {
    /// The fields in wire order, without the type.
    const FIELDS: &'static [Field<Self>];
    /// The names of the fields, in the same order.
    const NAMES: &'static [Names];
    /// The long name of each field, with the field names of the objects that it holds, if any.
    const INSIDE: &'static [(&'static str, &'static [Names])];
    /// An initial value. None of its fields is ever delivered.
    const BLANK: Self;
    /// Reads the fields in wire order and steps over the closing brace. `opened` means that the opening brace has been
    /// read, so that no comma precedes the first key.
    fn scan<const SHORT: bool>(&mut self, cursor: &mut Cursor<'_>, opened: bool) -> Option<()>;
}

/// One field, as the tape walk uses it.
pub(super) struct Field<R> {
    pub(super) names: Names,
    /// Another short name, used by an exchange with the same protocol.
    pub(super) also: Option<&'static str>,
    /// Reads the value into the record.
    pub(super) read: fn(Json<'_>, &mut R, &mut Walk) -> Result<(), Fault>,
    /// Writes the value that replaces an absent field. Returns false if the field is required.
    pub(super) absent: fn(&mut R) -> bool,
}

/// Declares records: `place: FieldType = long / short` in wire order, with another short name after `|`. A field is
/// required unless one of these follows: `optional` (an absent field is `None`), `or other` (it is a copy of an earlier
/// field) or `realtime` (it is `StreamType::Realtime`).
macro_rules! schema {
    ($($names:ident: $record:ident $(with $extra:ident)? {
        $($place:ident $(+ $more:ident)*: $kind:ty = $long:literal / $short:literal $(| $also:literal)? $($presence:ident $($other:ident)?)?;)*
    })*) => { $(
        /// The fields in wire order, without the type.
        pub const $names: &[Names] = &[$(Names { long: $long, short: $short }),*];

        impl Record for $record {
            const NAMES: &'static [Names] = $names;

            const INSIDE: &'static [(&'static str, &'static [Names])] =
                &[$(($long, <$kind as FieldType>::INSIDE)),*];

            const FIELDS: &'static [Field<Self>] = &[$(Field {
                names: Names { long: $long, short: $short },
                also: [$(Some($also),)? None][0],
                read: |json, record, walk| {
                    <$kind as FieldType>::walk(json, (&mut record.$place $(, &mut record.$more)*), walk)
                },
                absent: |record| absent!(record $place $($presence $($other)?)?),
            }),*];

            const BLANK: Self = Self {
                $($extra: Blank::BLANK,)?
                $($place: Blank::BLANK, $($more: Blank::BLANK,)*)*
            };

            #[inline(always)]
            fn scan<const SHORT: bool>(&mut self, cursor: &mut Cursor<'_>, opened: bool) -> Option<()> {
                let skip = usize::from(opened);
                $(
                    let key = if SHORT { concat!(",\"", $short, "\":") } else { concat!(",\"", $long, "\":") };
                    let key = &key.as_bytes()[skip..];
                    // One slice for key and value, because each slice costs a bounds check. Slack follows every
                    // message, so a slice out of bounds means that the field is missing.
                    let ahead = cursor.ahead(key.len() + <$kind as FieldType>::AHEAD).map(|ahead| ahead.split_at(key.len()));
                    let value = match ahead {
                        Some((name, value)) if name == key => {
                            cursor.skip(key.len());
                            Some(value)
                        }
                        $(_ if SHORT && cursor.eat(concat!(",\"", $also, "\":").as_bytes()) => {
                            cursor.ahead(<$kind as FieldType>::AHEAD)
                        })?
                        _ => None,
                    };
                    if let Some(value) = value {
                        <$kind as FieldType>::scan::<SHORT>(value, cursor, (&mut self.$place $(, &mut self.$more)*))?;
                    } else if !absent!(self $place $($presence $($other)?)?) {
                        return None;
                    }
                    let skip = 0;
                )*
                let _ = skip;
                cursor.eat(b"}").then_some(())
            }
        }
    )* };
}

/// The `absent` function of a field in `schema!`.
macro_rules! absent {
    ($record:ident $place:ident) => {{
        let _ = &$record.$place;
        false
    }};
    ($record:ident $place:ident optional) => {{
        $record.$place = None;
        true
    }};
    ($record:ident $place:ident realtime) => {{
        $record.$place = StreamType::Realtime;
        true
    }};
    ($record:ident $place:ident or $other:ident) => {{
        $record.$place = $record.$other;
        true
    }};
}

/// One unit of a book on the wire: the i-th best ask and the i-th best bid.
pub(super) struct Quote {
    pub(super) ask_price: f64,
    pub(super) bid_price: f64,
    pub(super) ask_size: f64,
    pub(super) bid_size: f64,
}

schema! {
    TICKER: Ticker {
        market: Code = "code" / "cd";
        opening_price: Number = "opening_price" / "op";
        high_price: Number = "high_price" / "hp";
        low_price: Number = "low_price" / "lp";
        trade_price: Number = "trade_price" / "tp";
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
        delisting_date: MaybeDate = "delisting_date" / "dd" optional;
        market_warning: MarketWarning = "market_warning" / "mw";
        timestamp: Millis = "timestamp" / "tms" or trade_timestamp;
        acc_trade_price_24h: Number = "acc_trade_price_24h" / "atp24h";
        acc_trade_volume_24h: Number = "acc_trade_volume_24h" / "atv24h";
        stream_type: StreamType = "stream_type" / "st";
    }
    TRADE: Trade {
        market: Code = "code" / "cd";
        timestamp: Millis = "timestamp" / "tms";
        // Upbit's trades use `td`; its tickers, and Bithumb's trades, use `tdt`. Tickers also spell date and time in
        // another way.
        trade_date: DashedDate = "trade_date" / "td" | "tdt";
        trade_time: ColonTime = "trade_time" / "ttm";
        trade_timestamp: Millis = "trade_timestamp" / "ttms";
        trade_price: Number = "trade_price" / "tp";
        trade_volume: Number = "trade_volume" / "tv";
        ask_bid: Side = "ask_bid" / "ab";
        prev_closing_price: Number = "prev_closing_price" / "pcp";
        change: Change = "change" / "c";
        change_price: Number = "change_price" / "cp";
        sequential_id: Id = "sequential_id" / "sid";
        best_ask_price: MaybeNumber = "best_ask_price" / "bap" optional;
        best_ask_size: MaybeNumber = "best_ask_size" / "bas" optional;
        best_bid_price: MaybeNumber = "best_bid_price" / "bbp" optional;
        best_bid_size: MaybeNumber = "best_bid_size" / "bbs" optional;
        stream_type: StreamType = "stream_type" / "st";
    }
    ORDERBOOK: Orderbook {
        market: Code = "code" / "cd";
        timestamp: Millis = "timestamp" / "tms";
        total_ask_size: Number = "total_ask_size" / "tas";
        total_bid_size: Number = "total_bid_size" / "tbs";
        asks + bids: Units = "orderbook_units" / "obu";
        // The exchange's documentation shows books without it.
        stream_type: StreamType = "stream_type" / "st" realtime;
        level: Step = "level" / "lv" optional;
    }
    ORDERBOOK_UNIT: Quote {
        ask_price: Number = "ask_price" / "ap";
        bid_price: Number = "bid_price" / "bp";
        ask_size: Number = "ask_size" / "as";
        bid_size: Number = "bid_size" / "bs";
    }
    CANDLE: Candle with interval {
        market: Code = "code" / "cd";
        candle_date_time_utc: IsoTime = "candle_date_time_utc" / "cdttmu";
        candle_date_time_kst: IsoTime = "candle_date_time_kst" / "cdttmk";
        opening_price: Number = "opening_price" / "op";
        high_price: Number = "high_price" / "hp";
        low_price: Number = "low_price" / "lp";
        trade_price: Number = "trade_price" / "tp";
        candle_acc_trade_volume: Number = "candle_acc_trade_volume" / "catv";
        candle_acc_trade_price: Number = "candle_acc_trade_price" / "catp";
        timestamp: Millis = "timestamp" / "tms";
        stream_type: StreamType = "stream_type" / "st";
    }
}

/// Declares the field names of types without a struct.
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

/// An initial value.
trait Blank {
    const BLANK: Self;
}

macro_rules! blank {
    ($($type:ty = $value:expr;)*) => { $(impl Blank for $type { const BLANK: Self = $value; })* };
}

const DATE: Date = Date { year: 0, month: 1, day: 1 };
const TIME: Time = Time { hour: 0, minute: 0, second: 0 };

blank! {
    f64 = 0.0;
    u64 = 0;
    bool = false;
    Market = Market::BLANK;
    Date = DATE;
    Time = TIME;
    DateTime = DateTime { date: DATE, time: TIME };
    Change = Change::Even;
    Side = Side::Ask;
    StreamType = StreamType::Snapshot;
    MarketState = MarketState::Unknown;
    MarketWarning = MarketWarning::Unknown;
    Interval = Interval::Second1;
    Levels = Levels::EMPTY;
}

impl<T> Blank for Option<T> {
    const BLANK: Self = None;
}
