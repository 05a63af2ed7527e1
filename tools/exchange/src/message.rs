//! Prints data messages: the order of the keys, and the spelling of each number.

use crate::calendar::Moment;
use crate::dialect::Dialect;
use crate::format::{Format, Key, Writer};
use crate::market::book::{Level, WINDOW, Window};
use crate::market::candle::{Candle, UNITS};
use crate::market::{Market, Side, Trade};
use crate::number::{ONE, SCALE};
use crate::request::{Kind, Want};
use std::cmp::Ordering;

/// How to print a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Print {
    pub format: Format,
    pub snapshot: bool,
    pub dialect: Dialect,
    pub microseconds: bool,
    pub unknown_keys: bool,
}

const TYPE: Key = ("type", "ty");
const CODE: Key = ("code", "cd");
const TIMESTAMP: Key = ("timestamp", "tms");
const OPENING_PRICE: Key = ("opening_price", "op");
const HIGH_PRICE: Key = ("high_price", "hp");
const LOW_PRICE: Key = ("low_price", "lp");
const TRADE_PRICE: Key = ("trade_price", "tp");
const PREV_CLOSING_PRICE: Key = ("prev_closing_price", "pcp");
const LEVEL: Key = ("level", "lv");
const CHANGE: Key = ("change", "c");
const CHANGE_PRICE: Key = ("change_price", "cp");
const ASK_BID: Key = ("ask_bid", "ab");
const TRADE_VOLUME: Key = ("trade_volume", "tv");
const TRADE_TIME: Key = ("trade_time", "ttm");
const TRADE_TIMESTAMP: Key = ("trade_timestamp", "ttms");

impl Print {
    fn message(self, kind: &str, code: &str, fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::new(self.format, self.unknown_keys);
        writer.object(|w| {
            w.text(TYPE, kind);
            w.text(CODE, code);
            fields(w);
        });
        writer.finish()
    }

    fn is_bithumb(self) -> bool {
        self.dialect == Dialect::Bithumb
    }

    fn stream_type(self, w: &mut Writer) {
        w.text(("stream_type", "st"), if self.snapshot { "SNAPSHOT" } else { "REALTIME" });
    }
}

pub(crate) fn ticker(print: Print, market: &Market) -> Vec<u8> {
    let (day, trade) = (&market.day, &market.newest_trade);
    let change = i128::from(trade.price - day.previous_close);
    let traded_at = Moment::utc(trade.trade_ms);
    print.message("ticker", &market.code, |w| {
        price(w, OPENING_PRICE, day.open);
        price(w, HIGH_PRICE, day.high);
        price(w, LOW_PRICE, day.low);
        price(w, TRADE_PRICE, trade.price);
        price(w, PREV_CLOSING_PRICE, day.previous_close);
        w.big_decimal(("acc_trade_price", "atp"), day.turnover, 2 * SCALE);
        w.text(CHANGE, change_name(change));
        w.big_decimal(CHANGE_PRICE, change.abs(), SCALE);
        w.big_decimal(("signed_change_price", "scp"), change, SCALE);
        rate(w, ("change_rate", "cr"), change.abs(), day.previous_close);
        rate(w, ("signed_change_rate", "scr"), change, day.previous_close);
        w.text(ASK_BID, side_name(trade.taker));
        price(w, TRADE_VOLUME, trade.volume);
        w.big_decimal(("acc_trade_volume", "atv"), day.volume(), SCALE);
        w.text(("trade_date", "tdt"), &traded_at.date_compact());
        w.text(TRADE_TIME, &traded_at.time_compact());
        w.integer(TRADE_TIMESTAMP, trade.trade_ms);
        w.big_decimal(("acc_ask_volume", "aav"), day.ask_volume, SCALE);
        w.big_decimal(("acc_bid_volume", "abv"), day.bid_volume, SCALE);
        price(w, ("highest_52_week_price", "h52wp"), day.high_52w.0);
        w.text(("highest_52_week_date", "h52wdt"), &day.high_52w.1);
        price(w, ("lowest_52_week_price", "l52wp"), day.low_52w.0);
        w.text(("lowest_52_week_date", "l52wdt"), &day.low_52w.1);
        w.text(("market_state", "ms"), "ACTIVE");
        w.literal(("is_trading_suspended", "its"), "false");
        w.literal(("delisting_date", "dd"), if print.is_bithumb() { r#""""# } else { "null" });
        w.text(("market_warning", "mw"), "NONE");
        w.integer(TIMESTAMP, market.last_trade.timestamp_ms);
        turnover(w, ("acc_trade_price_24h", "atp24h"), day.turnover_24h);
        w.big_decimal(("acc_trade_volume_24h", "atv24h"), day.volume_24h, SCALE);
        print.stream_type(w);
    })
}

pub(crate) fn trade(print: Print, market: &Market, trade: &Trade) -> Vec<u8> {
    let previous_close = market.day.previous_close;
    let change = i128::from(trade.price - previous_close);
    let traded_at = Moment::utc(trade.trade_ms);
    print.message("trade", &market.code, |w| {
        w.integer(TIMESTAMP, trade.timestamp_ms);
        // `td` here but `tdt` in a ticker: an inconsistency of Upbit.
        w.text(("trade_date", if print.is_bithumb() { "tdt" } else { "td" }), &traded_at.date());
        w.text(TRADE_TIME, &traded_at.time());
        w.integer(TRADE_TIMESTAMP, trade.trade_ms);
        price(w, TRADE_PRICE, trade.price);
        price(w, TRADE_VOLUME, trade.volume);
        w.text(ASK_BID, side_name(trade.taker));
        price(w, PREV_CLOSING_PRICE, previous_close);
        w.text(CHANGE, change_name(change));
        w.big_decimal(CHANGE_PRICE, change.abs(), SCALE);
        w.integer(("sequential_id", "sid"), trade.sequential_id);
        if !print.is_bithumb() {
            best_quotes(w, trade);
        }
        print.stream_type(w);
    })
}

fn best_quotes(w: &mut Writer, trade: &Trade) {
    w.plain(("best_ask_price", "bap"), trade.best_ask.price.into());
    order_size(w, ("best_ask_size", "bas"), trade.best_ask);
    w.plain(("best_bid_price", "bbp"), trade.best_bid.price.into());
    order_size(w, ("best_bid_size", "bbs"), trade.best_bid);
}

pub(crate) fn orderbook(print: Print, market: &Market, units: usize, level: i64) -> Vec<u8> {
    // The totals cover the whole window, even if fewer units are printed.
    let window = Window::of(&market.shown, level);
    let in_microseconds = print.microseconds || print.is_bithumb();
    let timestamp = if in_microseconds { market.shown_ms * 1_000 } else { market.shown_ms };
    let level = print.dialect.level(level).into();
    print.message("orderbook", &market.code, |w| {
        if !print.is_bithumb() {
            w.integer(TIMESTAMP, timestamp);
        }
        book_units(w, &window, units);
        if print.is_bithumb() {
            w.plain(LEVEL, level);
            w.integer(TIMESTAMP, timestamp);
            return print.stream_type(w);
        }
        print.stream_type(w);
        w.plain(LEVEL, level);
    })
}

fn book_units(w: &mut Writer, window: &Window, units: usize) {
    book_number(w, ("total_ask_size", "tas"), window.total_ask_size);
    book_number(w, ("total_bid_size", "tbs"), window.total_bid_size);
    w.array(("orderbook_units", "obu"), |w| {
        for index in 0..units.min(WINDOW) {
            let ask = window.asks.get(index).copied().unwrap_or_default();
            let bid = window.bids.get(index).copied().unwrap_or_default();
            w.object(|w| {
                book_price(w, ("ask_price", "ap"), ask);
                book_price(w, ("bid_price", "bp"), bid);
                book_size(w, ("ask_size", "as"), ask);
                book_size(w, ("bid_size", "bs"), bid);
            });
        }
    });
}

pub(crate) fn candle(print: Print, market: &Market, unit: usize, candle: &Candle) -> Vec<u8> {
    print.message(UNITS[unit].0, &market.code, |w| {
        w.text(("candle_date_time_utc", "cdttmu"), &Moment::utc(candle.start_ms).date_time());
        w.text(("candle_date_time_kst", "cdttmk"), &Moment::kst(candle.start_ms).date_time());
        price(w, OPENING_PRICE, candle.open);
        price(w, HIGH_PRICE, candle.high);
        price(w, LOW_PRICE, candle.low);
        price(w, TRADE_PRICE, candle.close);
        w.big_decimal(("candle_acc_trade_volume", "catv"), candle.volume, SCALE);
        turnover(w, ("candle_acc_trade_price", "catp"), candle.turnover);
        w.integer(TIMESTAMP, candle.timestamp_ms);
        print.stream_type(w);
    })
}

/// The LIST_SUBSCRIPTIONS reply. It has the ticket of its request, and the codes as they were requested. Both are
/// guesses, and so is the list around the reply in the list formats: there is no recording.
pub(crate) fn subscriptions(format: Format, wants: &[Want], ticket: &str, dialect: Dialect) -> Vec<u8> {
    let mut writer = Writer::new(format, false);
    writer.object(|w| {
        w.text(("method", "mthd"), "LIST_SUBSCRIPTIONS");
        w.array(("result", "rslt"), |w| {
            for want in wants {
                w.object(|w| {
                    w.text(TYPE, want.kind.name());
                    w.array(("codes", "cds"), |w| want.codes.iter().for_each(|code| w.item(code)));
                    if want.kind == Kind::Orderbook {
                        w.plain(LEVEL, dialect.level(want.level).into());
                    }
                });
            }
        });
        w.text(("ticket", "tckt"), ticket);
    });
    writer.finish()
}

fn price(w: &mut Writer, key: Key, value: i64) {
    w.big_decimal(key, value.into(), SCALE);
}

/// Turnover has up to 16 decimals. It is printed with 8 if the others are zero.
fn turnover(w: &mut Writer, key: Key, value: i128) {
    let one = i128::from(ONE);
    if value % one == 0 {
        return w.big_decimal(key, value / one, SCALE);
    }
    w.big_decimal(key, value, 2 * SCALE);
}

/// Prints a change as a fraction of `of`, with ten decimals, rounded half up; exactly `0` if there is no change.
fn rate(w: &mut Writer, key: Key, change: i128, of: i64) {
    if change == 0 {
        return w.literal(key, "0");
    }
    let of = i128::from(of);
    let scaled = (2 * change.abs() * 10_000_000_000 + of) / (2 * of);
    w.big_decimal(key, scaled * change.signum(), 10);
}

fn change_name(change: i128) -> &'static str {
    match change.cmp(&0) {
        Ordering::Greater => "RISE",
        Ordering::Equal => "EVEN",
        Ordering::Less => "FALL",
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Ask => "ASK",
        Side::Bid => "BID",
    }
}

fn order_size(w: &mut Writer, key: Key, level: Level) {
    match level.stripped || level.size == 0 {
        true => w.plain(key, level.size.into()),
        false => w.big_decimal(key, level.size.into(), SCALE),
    }
}

// Order books: DEFAULT prints prices as doubles and sizes as decimals; SIMPLE prints prices plainly and sizes as
// doubles.

fn book_price(w: &mut Writer, key: Key, level: Level) {
    if w.is_short() { w.plain(key, level.price.into()) } else { w.double(key, level.price.into()) }
}

fn book_size(w: &mut Writer, key: Key, level: Level) {
    if w.is_short() { w.double(key, level.size.into()) } else { order_size(w, key, level) }
}

fn book_number(w: &mut Writer, key: Key, value: i128) {
    if w.is_short() { w.double(key, value) } else { w.big_decimal(key, value, SCALE) }
}
