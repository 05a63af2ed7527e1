//! A market: the exchange's `code`, `QUOTE-BASE`, such as `KRW-BTC`. Stored inline, so it is `Copy` and never
//! allocates.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytemuck::cast;
use wide::i8x16;

use super::Words;

/// A market code such as `KRW-BTC`: upper case, quote currency first, at most [`Market::MAX_LEN`] bytes.
///
/// The exchange silently ignores codes in any other spelling, so a `Market` cannot hold one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C, align(8))]
pub struct Market {
    // Padded with zeros, so that equality and hashing can compare all bytes. ASCII only.
    bytes: [u8; Market::MAX_LEN],
    len: u8,
}

/// Why a text is not a market code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMarket {
    /// The text is empty.
    Empty,
    /// Longer than [`Market::MAX_LEN`] bytes.
    TooLong,
    /// Not of the form `QUOTE-BASE` with both halves present.
    NotAPair,
    /// A byte other than `A-Z`, `0-9` and the one `-`. The exchange ignores lower-case codes.
    Character,
}

impl fmt::Display for InvalidMarket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the market code is empty",
            Self::TooLong => "the market code is longer than 23 bytes",
            Self::NotAPair => "a market code has the form QUOTE-BASE, for example KRW-BTC",
            Self::Character => "a market code holds only A-Z, 0-9 and one '-'; the exchange ignores lower case",
        })
    }
}

impl std::error::Error for InvalidMarket {}

impl Market {
    /// Maximum length of a code, in bytes. The longest code known on the exchange has 11.
    pub const MAX_LEN: usize = 23;

    /// The empty code: no market. Decoders hold it before the first message, and `Scope::ACCOUNT` wraps it. Users never
    /// see it.
    pub(crate) const BLANK: Self = Self { bytes: [0; Self::MAX_LEN], len: 0 };

    /// Stores a code without checking it, for types that share the layout of a market but not its rules.
    pub(super) fn unchecked(code: &str) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..code.len()].copy_from_slice(code.as_bytes());
        Self { bytes, len: code.len() as u8 }
    }

    /// Parses a code from the bytes of a frame or a request.
    pub fn from_bytes(code: &[u8]) -> Result<Self, InvalidMarket> {
        if code.is_empty() {
            return Err(InvalidMarket::Empty);
        }
        if code.len() > Self::MAX_LEN {
            return Err(InvalidMarket::TooLong);
        }
        let mut dashes = 0;
        for &byte in code {
            match byte {
                b'A'..=b'Z' | b'0'..=b'9' => {}
                b'-' => dashes += 1,
                _ => return Err(InvalidMarket::Character),
            }
        }
        if dashes != 1 || code[0] == b'-' || code[code.len() - 1] == b'-' {
            return Err(InvalidMarket::NotAPair);
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..code.len()].copy_from_slice(code);
        Ok(Self { bytes, len: code.len() as u8 })
    }

    /// Parses a code of at most 15 bytes that is followed by a `"`, all bytes at once. Also returns its length. Returns
    /// `None` for any other text, even if it is a longer valid code.
    #[inline(always)]
    pub(crate) fn from_quoted(text: &[u8; 16]) -> Option<(Self, usize)> {
        let all: i8x16 = cast(*text);
        let is = |byte: u8| all.simd_eq(i8x16::splat(byte as i8));
        let within = |first: u8, last: u8| {
            all.simd_gt(i8x16::splat(first as i8 - 1)) & all.simd_lt(i8x16::splat(last as i8 + 1))
        };
        let len = is(b'"').to_bitmask().trailing_zeros() as usize;
        if len > 15 {
            return None;
        }
        let inside = (1u32 << len) - 1;
        let good = (within(b'A', b'Z') | within(b'0', b'9') | is(b'-')).to_bitmask();
        let dash = is(b'-').to_bitmask() & inside;
        // Exactly one dash, not at either end.
        if good & inside != inside || !dash.is_power_of_two() || dash == 1 || dash << 1 > inside {
            return None;
        }
        let kept: i8x16 = cast(*KEEP[16 - len..].first_chunk::<16>()?);
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..16].copy_from_slice(&cast::<_, [u8; 16]>(all & kept));
        Some((Self { bytes, len: len as u8 }, len))
    }

    /// The code as the exchange writes it.
    pub fn as_str(&self) -> &str {
        // The constructors accept only ASCII. A market that was read from arbitrary words may be invalid; its code is
        // empty.
        let code = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(code).unwrap_or_default()
    }

    /// The quote currency, in which prices are counted: `KRW` of `KRW-BTC`.
    pub fn quote(&self) -> &str {
        self.as_str().split_once('-').map_or("", |(quote, _)| quote)
    }

    /// The base currency, in which sizes are counted: `BTC` of `KRW-BTC`.
    pub fn base(&self) -> &str {
        self.as_str().split_once('-').map_or("", |(_, base)| base)
    }

    /// All bytes as three words, for hashing.
    fn words(&self) -> [u64; 3] {
        let word = |i: usize| {
            let mut w = [0; 8];
            for (to, from) in w.iter_mut().zip(self.bytes[i * 8..].iter()) {
                *to = *from;
            }
            u64::from_le_bytes(w)
        };
        [word(0), word(1), word(2)]
    }
}

/// The 16 bytes from index n are a mask that keeps the first 16 - n of 16 bytes.
const KEEP: [u8; 32] = {
    let mut keep = [0; 32];
    let mut at = 0;
    while at < 16 {
        keep[at] = 0xFF;
        at += 1;
    }
    keep
};

/// Stored as in memory: the bytes, then the length.
impl Words for Market {
    const MAX: usize = 3;

    #[inline]
    fn put(&self, word: &mut impl FnMut(u64)) {
        let [first, second, third] = self.words();
        word(first);
        word(second);
        word(third | u64::from(self.len) << 56);
    }

    #[inline]
    fn take(word: &mut impl FnMut() -> u64) -> Self {
        // Byte by byte, which the compiler turns into three stores. It does not for a copy of seven bytes.
        let [a0, a1, a2, a3, a4, a5, a6, a7] = word().to_le_bytes();
        let [b0, b1, b2, b3, b4, b5, b6, b7] = word().to_le_bytes();
        let [c0, c1, c2, c3, c4, c5, c6, len] = word().to_le_bytes();
        let bytes = [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3, c4, c5, c6];
        Self { bytes, len }
    }
}

impl Hash for Market {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.words() {
            state.write_u64(word);
        }
    }
}

impl FromStr for Market {
    type Err = InvalidMarket;
    fn from_str(code: &str) -> Result<Self, InvalidMarket> {
        Self::from_bytes(code.as_bytes())
    }
}

impl TryFrom<&str> for Market {
    type Error = InvalidMarket;
    fn try_from(code: &str) -> Result<Self, InvalidMarket> {
        code.parse()
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_splits_into_quote_and_base() {
        let market: Market = "USDT-BTC".parse().unwrap();
        assert_eq!((market.quote(), market.base()), ("USDT", "BTC"));
        assert_eq!(market.to_string(), "USDT-BTC");
        assert_eq!(size_of::<Market>(), 24);
    }

    #[test]
    fn spellings_that_the_exchange_ignores_are_refused_with_a_reason() {
        let reason = |code: &str| code.parse::<Market>().unwrap_err();
        assert_eq!(reason(""), InvalidMarket::Empty);
        assert_eq!(reason("krw-btc"), InvalidMarket::Character);
        assert_eq!(reason("KRW-BTC.5"), InvalidMarket::Character);
        assert_eq!(reason("KRWBTC"), InvalidMarket::NotAPair);
        assert_eq!(reason("KRW-"), InvalidMarket::NotAPair);
        assert_eq!(reason("-BTC"), InvalidMarket::NotAPair);
        assert_eq!(reason("KRW-B-C"), InvalidMarket::NotAPair);
        assert_eq!(reason("KRW-AAAAAAAAAAAAAAAAAAAA"), InvalidMarket::TooLong);
        assert!("KRW-AAAAAAAAAAAAAAAAAAA".parse::<Market>().is_ok());
    }

    #[test]
    fn both_parsers_of_a_code_agree() {
        let mut seed = 7u64;
        let mut random = move |end: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % end
        };
        let mut good = 0;
        for _ in 0..200_000 {
            let mut text = [0; 16];
            text.fill_with(|| b"ABKRWZ0159"[random(10)]);
            let len = random(16);
            text[random(len + 1)] = b'-';
            if random(2) == 0 {
                text[random(16)] = random(256) as u8;
            }
            text[len] = b'"';
            let len = text.iter().position(|&byte| byte == b'"').unwrap();
            let expected = Market::from_bytes(&text[..len]).ok().map(|market| (market, len));
            assert_eq!(Market::from_quoted(&text), expected, "{text:?}");
            good += usize::from(expected.is_some());
        }
        assert!(good > 20_000, "{good}");
        assert_eq!(Market::from_quoted(b"KRW-AAAAAAAAAAAA"), None);
    }
}
