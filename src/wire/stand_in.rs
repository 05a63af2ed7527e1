//! Fields that other fields of the same message can stand in for.

use crate::model::{Candle, DateTime, Maybe, Niche, Orderbook, Ticker, Trade};

use super::schema::Quote;

/// Fills in fields that other fields can stand in for. A field that was not read holds the value that stands for
/// "absent".
///
/// A message needs a time, because that orders the messages of a stream. The event time is `timestamp`. If it is missing,
/// another time of the message stands in: the time of the trade for tickers and trades, the start for candles. A book has
/// no other time.
pub(super) trait StandIn {
    /// Fills in the fields. The error is the name of a needed field that no other can stand in for.
    fn stand_in(&mut self) -> Result<(), &'static str>;
}

const TIME: &str = "timestamp";

impl StandIn for Ticker {
    fn stand_in(&mut self) -> Result<(), &'static str> {
        stand_in_for(&mut self.timestamp, self.trade_timestamp)
    }
}

impl StandIn for Trade {
    fn stand_in(&mut self) -> Result<(), &'static str> {
        stand_in_for(&mut self.timestamp, self.trade_timestamp)
    }
}

impl StandIn for Orderbook {
    fn stand_in(&mut self) -> Result<(), &'static str> {
        stand_in_for(&mut self.timestamp, Maybe::ABSENT)
    }
}

impl StandIn for Quote {
    fn stand_in(&mut self) -> Result<(), &'static str> {
        Ok(())
    }
}

fn stand_in_for(timestamp: &mut u64, other: Maybe<u64>) -> Result<(), &'static str> {
    if timestamp.is_absent() {
        *timestamp = other.get().ok_or(TIME)?;
    }
    Ok(())
}

/// The start and the event time of a candle stand in for each other.
impl StandIn for Candle {
    fn stand_in(&mut self) -> Result<(), &'static str> {
        /// Korean time is this many seconds ahead of UTC.
        const KST: i64 = 9 * 3600;

        if self.candle_date_time_utc.is_absent() {
            let from_kst = self.candle_date_time_kst.get().and_then(|kst| DateTime::from_unix(kst.to_unix() - KST));
            let from_time = || {
                let seconds = i64::try_from(self.timestamp).ok()? / 1000;
                DateTime::from_unix(seconds - seconds % i64::from(self.interval.seconds()))
            };
            self.candle_date_time_utc = from_kst.or_else(from_time).ok_or(TIME)?;
        }
        if self.timestamp.is_absent() {
            self.timestamp = u64::try_from(self.candle_date_time_utc.to_unix()).map_err(|_| TIME)? * 1000;
        }
        Ok(())
    }
}
