//! The side of a trade.

/// The taker's side of a trade: `ask_bid` of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// `ASK`: a sell.
    Ask,
    /// `BID`: a buy.
    Bid,
}

impl Side {
    /// The exchange's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ASK",
            Self::Bid => "BID",
        }
    }
}
