//! Data messages as the exchange writes them, with values from a seed. The field names are written here a second time,
//! so that a mistake in the library's table cannot hide.

use crate::Rng;

/// Returns the message followed by `slack` bytes of other content, as in a receive buffer.
pub fn padded(message: &[u8], slack: usize) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes.resize(message.len() + slack, b'7');
    bytes
}

/// A message before it is written: long key, short key and value of each field.
#[derive(Debug, Clone)]
pub struct Draft(pub Vec<(&'static str, &'static str, Text)>);

/// The text of a value as JSON.
#[derive(Debug, Clone)]
pub enum Text {
    /// The same text with long and short keys.
    Plain(String),
    /// Ask price, bid price, ask size and bid size of each level; their keys differ, too.
    Units(Vec<[String; 4]>),
}

impl Draft {
    /// Returns the message as the exchange writes it, with long or short keys.
    pub fn write(&self, short: bool) -> String {
        let members: Vec<String> =
            self.members(short).into_iter().map(|(key, text)| format!("\"{key}\":{text}")).collect();
        format!("{{{}}}", members.join(","))
    }

    /// Returns each field's key, long or short, and the text of its value, in the exchange's order.
    pub fn members(&self, short: bool) -> Vec<(&'static str, String)> {
        let key = |long: &'static str, abbreviation: &'static str| if short { abbreviation } else { long };
        self.0
            .iter()
            .map(|&(long, abbreviation, ref text)| match text {
                Text::Plain(text) => (key(long, abbreviation), text.clone()),
                Text::Units(units) => {
                    let [ap, bp, a, b] = if short {
                        ["ap", "bp", "as", "bs"]
                    } else {
                        ["ask_price", "bid_price", "ask_size", "bid_size"]
                    };
                    let units: Vec<String> = units
                        .iter()
                        .map(|[v, w, x, y]| format!("{{\"{ap}\":{v},\"{bp}\":{w},\"{a}\":{x},\"{b}\":{y}}}"))
                        .collect();
                    (key(long, abbreviation), format!("[{}]", units.join(",")))
                }
            })
            .collect()
    }
}

fn fixed(rng: &mut Rng, whole: u64, decimals: u32, zeros: usize) -> String {
    let fraction = rng.next() % 10u64.pow(decimals);
    format!("{}.{fraction:0width$}{}", rng.next() % whole, "0".repeat(zeros), width = decimals as usize)
}

fn price(rng: &mut Rng) -> String {
    format!("{}.00000000", 100_000_000 + rng.below(60_000) * 1000)
}

fn code(rng: &mut Rng) -> String {
    format!("\"{}\"", rng.pick(&["KRW-BTC", "KRW-ETH", "KRW-XRP", "USDT-BTC", "BTC-ETH", "KRW-SHIB", "KRW-1INCH"]))
}

fn plain(fields: Vec<(&'static str, &'static str, String)>) -> Draft {
    Draft(fields.into_iter().map(|(long, short, text)| (long, short, Text::Plain(text))).collect())
}

fn stream(rng: &mut Rng) -> String {
    format!("\"{}\"", rng.pick(&["REALTIME", "REALTIME", "REALTIME", "SNAPSHOT"]))
}

/// Returns a ticker as of 2025, about 960 bytes with long keys.
pub fn ticker(rng: &mut Rng) -> Draft {
    let time = 1_773_240_000_000 + rng.below(1_000_000_000);
    let even = rng.below(20) == 0;
    let change = format!("{}.00000000", rng.below(2000) * 1000);
    let rate = fixed(rng, 1, 10, 0);
    let sign = if rng.below(2) == 0 { "" } else { "-" };
    plain(vec![
        ("type", "ty", "\"ticker\"".into()),
        ("code", "cd", code(rng)),
        ("opening_price", "op", price(rng)),
        ("high_price", "hp", price(rng)),
        ("low_price", "lp", price(rng)),
        ("trade_price", "tp", price(rng)),
        ("prev_closing_price", "pcp", price(rng)),
        ("acc_trade_price", "atp", fixed(rng, 100_000_000_000, 5, 11)),
        ("change", "c", if even { "\"EVEN\"".into() } else { format!("\"{}\"", rng.pick(&["RISE", "FALL"])) }),
        ("change_price", "cp", if even { "0E-8".into() } else { change.clone() }),
        ("signed_change_price", "scp", if even { "0E-8".into() } else { format!("{sign}{change}") }),
        ("change_rate", "cr", if even { "0".into() } else { rate.clone() }),
        ("signed_change_rate", "scr", if even { "0".into() } else { format!("{sign}{rate}") }),
        ("ask_bid", "ab", format!("\"{}\"", rng.pick(&["ASK", "BID"]))),
        ("trade_volume", "tv", fixed(rng, 10, 8, 0)),
        ("acc_trade_volume", "atv", fixed(rng, 10_000, 8, 0)),
        ("trade_date", "tdt", format!("\"202603{:02}\"", 10 + rng.below(20))),
        ("trade_time", "ttm", format!("\"{:02}{:02}{:02}\"", rng.below(24), rng.below(60), rng.below(60))),
        ("trade_timestamp", "ttms", time.to_string()),
        ("acc_ask_volume", "aav", fixed(rng, 5000, 8, 0)),
        ("acc_bid_volume", "abv", fixed(rng, 5000, 8, 0)),
        ("highest_52_week_price", "h52wp", price(rng)),
        ("highest_52_week_date", "h52wdt", format!("\"2025-{:02}-14\"", 1 + rng.below(12))),
        ("lowest_52_week_price", "l52wp", price(rng)),
        ("lowest_52_week_date", "l52wdt", format!("\"2025-{:02}-05\"", 1 + rng.below(12))),
        ("market_state", "ms", "\"ACTIVE\"".into()),
        ("is_trading_suspended", "its", "false".into()),
        ("delisting_date", "dd", "null".into()),
        ("market_warning", "mw", "\"NONE\"".into()),
        ("timestamp", "tms", (time + rng.below(100)).to_string()),
        ("acc_trade_price_24h", "atp24h", fixed(rng, 300_000_000_000, 5, 3)),
        ("acc_trade_volume_24h", "atv24h", fixed(rng, 10_000, 8, 0)),
        ("stream_type", "st", stream(rng)),
    ])
}

/// Returns a trade as of 2026, about 450 bytes with long keys.
pub fn trade(rng: &mut Rng) -> Draft {
    let time = 1_773_240_000_000 + rng.below(1_000_000_000);
    plain(vec![
        ("type", "ty", "\"trade\"".into()),
        ("code", "cd", code(rng)),
        ("timestamp", "tms", (time + 42).to_string()),
        ("trade_date", "td", format!("\"2026-03-{:02}\"", 10 + rng.below(20))),
        ("trade_time", "ttm", format!("\"{:02}:{:02}:{:02}\"", rng.below(24), rng.below(60), rng.below(60))),
        ("trade_timestamp", "ttms", time.to_string()),
        ("trade_price", "tp", price(rng)),
        ("trade_volume", "tv", fixed(rng, 10, 8, 0)),
        ("ask_bid", "ab", format!("\"{}\"", rng.pick(&["ASK", "BID"]))),
        ("prev_closing_price", "pcp", price(rng)),
        ("change", "c", format!("\"{}\"", rng.pick(&["RISE", "FALL", "EVEN"]))),
        ("change_price", "cp", format!("{}.00000000", rng.below(2000) * 1000)),
        ("sequential_id", "sid", format!("{time}{:04}", rng.below(10))),
        ("best_ask_price", "bap", (100_000_000 + rng.below(60_000) * 1000).to_string()),
        ("best_ask_size", "bas", fixed(rng, 3, 8, 0)),
        ("best_bid_price", "bbp", (100_000_000 + rng.below(60_000) * 1000).to_string()),
        ("best_bid_size", "bbs", fixed(rng, 3, 8, 0)),
        ("stream_type", "st", stream(rng)),
    ])
}

/// Returns an order book of `depth` levels with numbers as written in 2026: `1.16539E8` and `0.00077720` with long
/// keys, plain prices and `7.9276E-4` with short keys.
pub fn orderbook(rng: &mut Rng, depth: usize, short: bool) -> Draft {
    let time = 1_773_240_000_000 + rng.below(1_000_000_000);
    let middle = 100_000 + rng.below(60_000);
    let price = |thousands: usize| {
        if short {
            return format!("{thousands}000");
        };
        let digits = thousands.to_string();
        let rest = digits[1..].trim_end_matches('0');
        format!("{}.{}E8", &digits[..1], if rest.is_empty() { "0" } else { rest })
    };
    let size = |rng: &mut Rng| match rng.below(8) {
        0 if short => format!("{}.{}E-4", 1 + rng.below(9), 1 + rng.below(9999)),
        1 => fixed(rng, 30, 4, 0),
        _ => fixed(rng, 3, 8, 0),
    };
    let units = (0..depth).map(|i| [price(middle + 1 + i), price(middle - i), size(rng), size(rng)]).collect();
    Draft(vec![
        ("type", "ty", Text::Plain("\"orderbook\"".into())),
        ("code", "cd", Text::Plain(code(rng))),
        ("timestamp", "tms", Text::Plain(time.to_string())),
        ("total_ask_size", "tas", Text::Plain(fixed(rng, 20, 8, 0))),
        ("total_bid_size", "tbs", Text::Plain(fixed(rng, 20, 8, 0))),
        ("orderbook_units", "obu", Text::Units(units)),
        ("stream_type", "st", Text::Plain(stream(rng))),
        ("level", "lv", Text::Plain("0".into())),
    ])
}

/// Returns a candle as of 2026, about 385 bytes with long keys.
pub fn candle(rng: &mut Rng) -> Draft {
    let time = 1_773_240_000_000 + rng.below(1_000_000_000);
    let interval = *rng.pick(&["1s", "1m", "3m", "5m", "10m", "15m", "30m", "60m", "240m"]);
    let minute = rng.below(60);
    plain(vec![
        ("type", "ty", format!("\"candle.{interval}\"")),
        ("code", "cd", code(rng)),
        ("candle_date_time_utc", "cdttmu", format!("\"2026-03-11T05:{minute:02}:00\"")),
        ("candle_date_time_kst", "cdttmk", format!("\"2026-03-11T14:{minute:02}:00\"")),
        ("opening_price", "op", price(rng)),
        ("high_price", "hp", price(rng)),
        ("low_price", "lp", price(rng)),
        ("trade_price", "tp", price(rng)),
        ("candle_acc_trade_volume", "catv", fixed(rng, 10, 8, 0)),
        ("candle_acc_trade_price", "catp", fixed(rng, 100_000_000, 5, 11)),
        ("timestamp", "tms", time.to_string()),
        ("stream_type", "st", stream(rng)),
    ])
}
