//! Tickers of any number of markets, to fill a client with whose memory is measured.

use hoga_cli::rounds::Error;

use crate::serving::traffic::{Frame, Traffic};
use crate::stack::Want;

/// Returns one ticker for each of `markets` invented markets. It runs no simulation: memory that a simulation frees
/// would be used again by the client, and the client's growth would not show.
pub fn tickers(markets: usize) -> Result<Traffic, Error> {
    let codes: Vec<_> = (0..markets).map(|n| format!("KRW-C{n:04}")).collect();
    let frame = |(place, code): (usize, &String)| Frame::new(place, ticker(code).as_bytes());
    Ok(Traffic {
        snapshots: codes.iter().enumerate().map(frame).collect::<Result<_, _>>()?,
        frames: Vec::new(),
        streams: codes.iter().map(|code| ("ticker".to_owned(), code.clone())).collect(),
        wants: vec![Want { data_type: "ticker".to_owned(), codes }],
    })
}

fn ticker(code: &str) -> String {
    format!(
        concat!(
            r#"{{"type":"ticker","code":"{}","opening_price":102417000.00000000,"high_price":103988000.00000000,"#,
            r#""low_price":101150000.00000000,"trade_price":103458000.00000000,"prev_closing_price":102417000.00000000,"#,
            r#""acc_trade_price":104889335894.22629000,"change":"RISE","change_price":1041000.00000000,"#,
            r#""signed_change_price":1041000.00000000,"change_rate":0.0101643282,"signed_change_rate":0.0101643282,"#,
            r#""ask_bid":"BID","trade_volume":0.00500000,"acc_trade_volume":1024.29778103,"trade_date":"20260311","#,
            r#""trade_time":"144058","trade_timestamp":1773240058195,"acc_ask_volume":471.17697927,"#,
            r#""acc_bid_volume":553.12080176,"highest_52_week_price":179869000.00000000,"#,
            r#""highest_52_week_date":"2025-10-09","lowest_52_week_price":89000000.00000000,"#,
            r#""lowest_52_week_date":"2026-02-06","market_state":"ACTIVE","is_trading_suspended":false,"#,
            r#""delisting_date":null,"market_warning":"NONE","timestamp":1773240058519,"#,
            r#""acc_trade_price_24h":162997300132.123,"acc_trade_volume_24h":1587.73606087,"stream_type":"SNAPSHOT"}}"#
        ),
        code
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoga_bench::process::resident;

    #[test]
    fn each_market_has_its_own_ticker() {
        let traffic = tickers(300).unwrap();
        assert_eq!((traffic.snapshots.len(), traffic.streams.len(), traffic.wants[0].codes.len()), (300, 300, 300));
        assert_eq!(traffic.streams[299].1, "KRW-C0299");
        serde_json::from_str::<serde_json::Value>(&ticker("KRW-C0299")).unwrap();
    }

    #[test]
    fn memory_that_is_touched_is_resident() {
        let Some(before) = resident() else { return };
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(resident().unwrap() > before + (32 << 20), "{} bytes were touched", touched.len());
    }
}
