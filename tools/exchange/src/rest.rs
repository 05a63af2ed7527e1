//! The REST interface: only the list of markets. Each response ends its connection. Upbit's limits on REST requests are
//! not simulated.

use crate::market::listing::Listings;
use crate::upgrade::Answer;
use serde_json::{Value, json};

/// The path of the list of markets.
pub(crate) const MARKET_LIST: &str = "/v1/market/all";

/// Returns the response to a GET of `target`, which is a path and a query.
pub(crate) fn answer(target: &str, listings: &Listings) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        MARKET_LIST => Answer::ok(markets(listings, wants_details(query))),
        // In Upbit's REST errors, the name is a number; in all others it is a word. The text is a guess.
        _ => Answer::refuse(404, 404, "no such path"),
    }
}

/// Returns true if the query asks for details. Clients use both spellings.
fn wants_details(query: &str) -> bool {
    query.split('&').any(|part| part == "is_details=true" || part == "isDetails=true")
}

fn markets(listings: &Listings, details: bool) -> String {
    listings.codes().map(|code| market(code, details)).collect::<Value>().to_string()
}

fn market(code: &str, details: bool) -> Value {
    // Assets have no names here, only codes.
    let name = code.split_once('-').map_or(code, |(_, base)| base);
    let mut market = json!({"market": code, "korean_name": name, "english_name": name});
    if details {
        market["market_event"] = json!({
            "warning": false,
            "caution": {
                "PRICE_FLUCTUATIONS": false,
                "TRADING_VOLUME_SOARING": false,
                "DEPOSIT_AMOUNT_SOARING": false,
                "GLOBAL_PRICE_DIFFERENCES": false,
                "CONCENTRATION_OF_SMALL_ACCOUNTS": false,
            },
        });
    }
    market
}
