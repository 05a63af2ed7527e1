//! The list of markets: codes, reference prices and activity. Rows are never removed; markets are only listed or
//! delisted.

use super::tick::Quote;
use crate::number::ONE;
use crate::rng::Rng;
use std::collections::HashMap;

/// One row of the list.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub code: String,
    pub quote: Quote,
    /// The price near which the market starts, and to which it is drawn back.
    pub reference_price: i64,
    pub trades_per_second: f64,
    /// The rate of book changes other than trades.
    pub changes_per_second: f64,
    /// Levels per side. Books in other quote currencies than KRW often have fewer than the 30 levels of a frame.
    pub depth: usize,
    /// The seed of the market's random numbers.
    pub seed: u64,
}

/// Well-known assets and their prices in KRW, busiest first.
const ASSETS: [(&str, f64); 40] = [
    ("BTC", 116_539_000.0),
    ("ETH", 3_425_000.0),
    ("XRP", 2_045.0),
    ("SOL", 127_000.0),
    ("DOGE", 138.0),
    ("USDT", 1_463.0),
    ("SHIB", 0.00854),
    ("PEPE", 0.00493),
    ("ADA", 389.0),
    ("SUI", 1_436.0),
    ("LINK", 13_350.0),
    ("XLM", 236.0),
    ("TRX", 425.0),
    ("BCH", 667_000.0),
    ("AVAX", 14_120.0),
    ("DOT", 2_210.0),
    ("ETC", 12_450.0),
    ("NEAR", 1_920.0),
    ("HBAR", 142.0),
    ("ONDO", 382.0),
    ("SEI", 92.8),
    ("USDC", 1_462.0),
    ("FIL", 1_316.0),
    ("WLD", 531.0),
    ("SAND", 118.0),
    ("AAVE", 171_300.0),
    ("UNI", 5_540.0),
    ("ATOM", 2_690.0),
    ("APT", 1_390.0),
    ("ICP", 3_998.0),
    ("BSV", 22_680.0),
    ("COMP", 27_620.0),
    ("BERA", 851.0),
    ("ARB", 151.0),
    ("STX", 372.0),
    ("ICX", 58.3),
    ("PENGU", 10.6),
    ("VTHO", 0.878),
    ("BTT", 0.000521),
    ("ALGO", 131.0),
];

/// Of ten consecutive markets, this many are quoted in KRW and in BTC. The others are quoted in USDT.
const KRW_OF_TEN: usize = 6;
const BTC_OF_TEN: usize = 3;

/// All markets of the exchange, in the order of their index. A delisted market keeps its row.
#[derive(Debug)]
pub(crate) struct Listings {
    seed: u64,
    rows: Vec<Listing>,
    /// Only the listed markets.
    by_code: HashMap<String, usize>,
}

impl Listings {
    pub fn new(seed: u64, count: usize) -> Self {
        let mut next_rank = [0usize; 3];
        let rows: Vec<Listing> = (0..count)
            .map(|index| {
                let group = match index % 10 {
                    n if n < KRW_OF_TEN => 0,
                    n if n < KRW_OF_TEN + BTC_OF_TEN => 1,
                    _ => 2,
                };
                next_rank[group] += 1;
                Listing::generate(seed, index, group, next_rank[group] - 1)
            })
            .collect();
        let by_code = rows.iter().enumerate().map(|(index, row)| (row.code.clone(), index)).collect();
        Self { seed, rows, by_code }
    }

    pub fn index(&self, code: &str) -> Option<usize> {
        self.by_code.get(code).copied()
    }

    pub fn row(&self, index: usize) -> &Listing {
        &self.rows[index]
    }

    /// Returns the codes of all listed markets.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.code.as_str()).filter(|code| self.by_code.contains_key(*code))
    }

    /// Lists a new or a delisted market and returns its index. `None` if the code is invalid.
    pub fn list(&mut self, code: &str) -> Option<usize> {
        let known = self.rows.iter().position(|row| row.code == code);
        let index = known.or_else(|| self.add(code))?;
        self.by_code.insert(code.to_owned(), index);
        Some(index)
    }

    fn add(&mut self, code: &str) -> Option<usize> {
        let index = self.rows.len();
        self.rows.push(Listing::for_code(self.seed, index, code)?);
        Some(index)
    }

    /// Delists a market. Returns its index if it was listed.
    pub fn delist(&mut self, code: &str) -> Option<usize> {
        self.by_code.remove(code)
    }
}

/// The quote currencies, with the value of one unit in KRW.
const QUOTES: [(&str, Quote, f64); 3] =
    [("KRW", Quote::Krw, 1.0), ("BTC", Quote::Btc, ASSETS[0].1), ("USDT", Quote::Usdt, 1_463.0)];
/// The rank that sets the activity of a newly listed market.
const NEW_MARKET_RANK: usize = 5;

impl Listing {
    /// Creates the market with this rank in its quote group: 0 KRW, 1 BTC, 2 USDT.
    fn generate(seed: u64, index: usize, group: usize, rank: usize) -> Self {
        let mut rng = Rng::for_part(seed, index as u64);
        // BTC-BTC does not exist; USDT-BTC does.
        let (asset, krw) = asset(if group == 1 { rank + 1 } else { rank }, &mut rng);
        Self::row(group, rank, &asset, krw, &mut rng)
    }

    /// Creates a market that is listed at run time. `None` if the code is invalid or its quote currency is unknown.
    fn for_code(seed: u64, index: usize, code: &str) -> Option<Self> {
        let (prefix, asset) = code.split_once('-')?;
        let group = QUOTES.iter().position(|(quote, ..)| *quote == prefix)?;
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if asset.is_empty() || asset == prefix || !asset.bytes().all(is_code) {
            return None;
        }
        let known = ASSETS.iter().find(|(name, _)| *name == asset);
        let mut rng = Rng::for_part(seed, index as u64);
        Some(Self::row(group, NEW_MARKET_RANK, asset, known.map_or(1_000.0, |(_, krw)| *krw), &mut rng))
    }

    fn row(group: usize, rank: usize, asset: &str, krw: f64, rng: &mut Rng) -> Self {
        let (prefix, mut quote, per_quote) = QUOTES[group];
        if group == 0 && (asset == "USDT" || asset == "USDC") {
            quote = Quote::KrwStable;
        }
        // A heavy-tailed distribution: KRW-BTC trades several times a second, most markets a few times an hour.
        let share = 1.0 / (1 + rank) as f64;
        let quiet = if group == 0 { 1.0 } else { 0.02 };
        Self {
            code: format!("{prefix}-{asset}"),
            quote,
            reference_price: quote.snap(((krw / per_quote * ONE as f64) as i64).max(1)),
            trades_per_second: 4.5 * share.powf(1.3) * quiet,
            changes_per_second: 17.0 * share.powf(0.6) * if group == 0 { 1.0 } else { 0.1 },
            depth: if group == 0 { 30 } else { rng.between(2, 36).min(30) as usize },
            seed: rng.next(),
        }
    }
}

fn asset(rank: usize, rng: &mut Rng) -> (String, f64) {
    if let Some((name, price)) = ASSETS.get(rank) {
        return ((*name).to_owned(), *price);
    }
    // Invented names contain their rank, so that they are unique and differ from real ones.
    let letter = |n: u64| char::from(b'A' + n as u8);
    let name = format!("{}{}{}", letter(rng.below(26)), letter(rng.below(26)), rank);
    (name, 10f64.powf(rng.unit() * 6.5 - 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_markets_come_first_and_codes_are_unique() {
        let listings = Listings::new(7, 855);
        let codes: Vec<&str> = listings.codes().collect();
        assert_eq!(&codes[..6], ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL", "KRW-DOGE", "KRW-USDT"]);
        assert!(listings.index("BTC-ETH").is_some() && listings.index("USDT-BTC").is_some());
        assert_eq!(listings.by_code.len(), 855);
        assert_eq!(listings.index("BTC-BTC"), None);
    }

    #[test]
    fn markets_can_be_listed_delisted_and_listed_again() {
        let mut listings = Listings::new(7, 10);
        assert_eq!(["KRW-NEW1", "BTC-NEW1", "KRW-BTC"].map(|code| listings.list(code)), [Some(10), Some(11), Some(0)]);
        assert_eq!(listings.codes().count(), 12);
        assert_eq!(listings.row(10).quote, Quote::Krw);
        let index = listings.delist("KRW-BTC");
        assert_eq!((index, listings.delist("KRW-BTC"), listings.index("KRW-BTC")), (Some(0), None, None));
        assert!(!listings.codes().any(|code| code == "KRW-BTC"));
        assert_eq!((listings.list("KRW-BTC"), listings.index("KRW-BTC")), (Some(0), Some(0)));
        for none in ["", "KRW", "KRW-", "-BTC", "krw-new", "KRW-new", "EUR-BTC", "KRW-A-B", "KRW-KRW", "KRW-*"] {
            assert_eq!(listings.list(none), None, "{none}");
        }
    }

    #[test]
    fn activity_is_heavy_tailed() {
        let listings = Listings::new(7, 855);
        let rates: Vec<f64> = listings.rows.iter().map(|row| row.trades_per_second).collect();
        assert!(rates[0] > 4.0 && rates.iter().filter(|rate| **rate < 0.02).count() > 400);
    }
}
