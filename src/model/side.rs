//! The side of a trade.

/// The taker's side of a trade: `ask_bid` of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// `ASK`: a sell.
    Ask,
    /// `BID`: a buy.
    Bid,
    /// A word this version does not know.
    Unknown,
}

impl Side {
    /// The exchange's spelling; `UNKNOWN` for [`Unknown`](Self::Unknown).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ASK",
            Self::Bid => "BID",
            Self::Unknown => "UNKNOWN",
        }
    }
}
