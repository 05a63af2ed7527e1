//! The exchange's messages for serde, with all fields of hoga's model.

use arrayvec::{ArrayString, ArrayVec};
use serde::Deserialize;

/// A market's code, stored inline.
pub type Code = ArrayString<23>;
/// A date or a time as text.
pub type When = ArrayString<10>;

/// Declares each struct twice: with the DEFAULT names and with the short names of the SIMPLE format. With `alias`
/// instead, serde would compare each key with more names than necessary.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($field:ident / $short:literal: $type:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[allow(dead_code, reason = "reading is the point")]
        pub struct $name { $(#[doc = concat!("`", $short, "` in SIMPLE.")] pub $field: $type,)* })*

        /// The same structs in the SIMPLE format.
        pub mod simple {
            use super::{ArrayVec, Change, Code, MarketState, MarketWarning, Side, StreamType, When};
            use serde::Deserialize;

            $($(#[$doc])*
            #[derive(Debug, Clone, Deserialize)]
            #[allow(dead_code, reason = "reading is the point")]
            pub struct $name {
                $(#[doc = concat!("`", stringify!($field), "` in DEFAULT.")]
                #[serde(rename = $short)]
                pub $field: $type,)*
            })*
        }
    };
}

messages! {
    /// Last price and statistics of a market.
    Ticker {
        code / "cd": Code,
        opening_price / "op": f64,
        high_price / "hp": f64,
        low_price / "lp": f64,
        trade_price / "tp": f64,
        prev_closing_price / "pcp": f64,
        acc_trade_price / "atp": f64,
        change / "c": Change,
        change_price / "cp": f64,
        signed_change_price / "scp": f64,
        change_rate / "cr": f64,
        signed_change_rate / "scr": f64,
        ask_bid / "ab": Side,
        trade_volume / "tv": f64,
        acc_trade_volume / "atv": f64,
        trade_date / "tdt": When,
        trade_time / "ttm": When,
        trade_timestamp / "ttms": u64,
        acc_ask_volume / "aav": f64,
        acc_bid_volume / "abv": f64,
        highest_52_week_price / "h52wp": f64,
        highest_52_week_date / "h52wdt": When,
        lowest_52_week_price / "l52wp": f64,
        lowest_52_week_date / "l52wdt": When,
        market_state / "ms": MarketState,
        is_trading_suspended / "its": bool,
        delisting_date / "dd": Option<When>,
        market_warning / "mw": MarketWarning,
        timestamp / "tms": u64,
        acc_trade_price_24h / "atp24h": f64,
        acc_trade_volume_24h / "atv24h": f64,
        stream_type / "st": StreamType,
    }

    /// One execution.
    Trade {
        code / "cd": Code,
        timestamp / "tms": u64,
        trade_date / "td": When,
        trade_time / "ttm": When,
        trade_timestamp / "ttms": u64,
        trade_price / "tp": f64,
        trade_volume / "tv": f64,
        ask_bid / "ab": Side,
        prev_closing_price / "pcp": f64,
        change / "c": Change,
        change_price / "cp": f64,
        sequential_id / "sid": u64,
        best_ask_price / "bap": Option<f64>,
        best_ask_size / "bas": Option<f64>,
        best_bid_price / "bbp": Option<f64>,
        best_bid_size / "bbs": Option<f64>,
        stream_type / "st": StreamType,
    }

    /// The whole visible order book of a market. Its units are stored inline: a `Vec` would grow four times to hold 30.
    Orderbook {
        code / "cd": Code,
        timestamp / "tms": u64,
        total_ask_size / "tas": f64,
        total_bid_size / "tbs": f64,
        orderbook_units / "obu": ArrayVec<Unit, 30>,
        stream_type / "st": StreamType,
        level / "lv": Option<f64>,
    }

    /// The i-th best ask and the i-th best bid.
    Unit {
        ask_price / "ap": f64,
        bid_price / "bp": f64,
        ask_size / "as": f64,
        bid_size / "bs": f64,
    }
}

/// Direction of the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Change {
    /// Above the previous close.
    Rise,
    /// Equal to the previous close.
    Even,
    /// Below the previous close.
    Fall,
}

/// Taker side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Side {
    /// The taker sold.
    Ask,
    /// The taker bought.
    Bid,
}

/// The trading state of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MarketState {
    /// Not yet trading.
    Preview,
    /// Trading.
    Active,
    /// No longer trading.
    Delisted,
}

/// The exchange's warning flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MarketWarning {
    /// None.
    None,
    /// Take care.
    Caution,
}

/// Snapshot or realtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StreamType {
    /// The first message of a requested stream.
    Snapshot,
    /// A later message.
    Realtime,
}
