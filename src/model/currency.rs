//! A currency: one half of a market's code, such as `KRW`. Stored inline, so it is `Copy` and never allocates.

use std::fmt;
use std::str::FromStr;

use super::{InvalidMarket, Market};

/// The code of a currency, such as `KRW` or `BTC`: upper case, short enough for one half of a market's code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; Market::MAX_LEN]);

impl Currency {
    /// The code as the exchange writes it.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        // The constructor accepts only ASCII, so this cannot fail.
        std::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = InvalidMarket;
    fn from_str(text: &str) -> Result<Self, InvalidMarket> {
        // The rules are those of a market: followed by the shortest other half, it must be one.
        let market: Market = format!("{text}-X").parse()?;
        let mut bytes = [0; Market::MAX_LEN];
        bytes[..text.len()].copy_from_slice(market.quote().as_bytes());
        Ok(Self(bytes))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_half_of_a_market_or_refused_with_a_reason() {
        for code in ["KRW", "1INCH", "AAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(code.parse::<Currency>().unwrap().to_string(), code);
        }
        let reason = |text: &str| text.parse::<Currency>().unwrap_err();
        assert_eq!(reason("krw"), InvalidMarket::Character);
        assert_eq!(reason(""), InvalidMarket::NotAPair);
        assert_eq!(reason("KRW-BTC"), InvalidMarket::NotAPair);
        assert_eq!(reason("AAAAAAAAAAAAAAAAAAAAAA"), InvalidMarket::TooLong);
    }
}
