//! Subscriptions: data types of markets. Problems are collected while a subscription is built.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use super::{Depth, IntoMarkets, InvalidCode, MarketSelector, Mode, Pattern, StreamSpec, Universe};
use crate::config::Dialect;
use crate::model::{Candle, DataType, Event, Grouping, Interval, Market, Noun, Orderbook, StreamKey, Ticker, Trade};

/// Streams that are requested together. Built with [`ticker`], [`trade`], [`orderbook`], [`candle`] and
/// [`Subscription::and`].
///
/// Markets are given by code (`KRW-BTC`) or by pattern (`KRW-*`, `*-BTC`, `*`). A pattern selects all existing markets
/// that match it, including those listed later. Patterns need an engine that has a universe or a source of the market
/// list.
///
/// `T` is the type that a feed of this subscription delivers: one noun, or an [`Event`] if several are requested
/// together.
///
/// The methods that build a subscription never fail. The call that takes it, such as
/// [`Engine::feed`](crate::Engine::feed), returns one error that names all problems.
#[must_use]
pub struct Subscription<T = Event> {
    untyped: UntypedSubscription,
    carries: PhantomData<fn() -> T>,
}

/// A subscription without the type that its feed delivers.
#[derive(Debug, Clone, Default, PartialEq)]
struct UntypedSubscription {
    selections: Vec<Selection>,
    offenders: Vec<(String, InvalidCode)>,
    empty_types: Vec<DataType>,
    options: Vec<InvalidOption>,
}

/// A market or a pattern, and how its streams are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Selection {
    selector: MarketSelector,
    data_type: DataType,
    mode: Mode,
    levels: Option<u8>,
}

/// A valid subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedSubscription {
    /// The streams of markets given by code, sorted and without duplicates.
    pub specs: Vec<StreamSpec>,
    /// The streams of markets given by pattern.
    pub patterns: Vec<PatternSpec>,
}

/// The streams of all markets of a pattern, and how they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternSpec {
    pattern: Pattern,
    data_type: DataType,
    mode: Mode,
    depth: Depth,
}

impl PatternSpec {
    /// Returns the streams of the markets that match now.
    fn specs(&self, universe: &Universe) -> impl Iterator<Item = StreamSpec> {
        let Self { data_type, mode, depth, .. } = *self;
        universe.matching(&self.pattern).map(move |market| StreamSpec {
            key: StreamKey::of(data_type, market),
            mode,
            depth,
        })
    }
}

impl CheckedSubscription {
    /// Checks a subscription for an exchange with this dialect. Returns all problems if it is invalid.
    pub fn of<T>(subscription: Subscription<T>, dialect: &Dialect) -> Result<Self, InvalidSubscription> {
        let UntypedSubscription { selections, offenders, empty_types, mut options } = subscription.untyped;
        let (mut specs, mut patterns) = (Vec::new(), Vec::new());
        for selection in &selections {
            options.extend(selection.problem(dialect));
            let Selection { selector, data_type, mode, .. } = *selection;
            let depth = selection.depth(dialect);
            match selector {
                MarketSelector::Market(market) => {
                    specs.push(StreamSpec { key: StreamKey::of(data_type, market), mode, depth })
                }
                MarketSelector::Pattern(pattern) => patterns.push(PatternSpec { pattern, data_type, mode, depth }),
            }
        }
        if selections.is_empty() || !offenders.is_empty() || !empty_types.is_empty() || !options.is_empty() {
            return Err(InvalidSubscription { offenders, empty_types, options });
        }
        Ok(Self { specs: merged(specs), patterns })
    }

    /// Returns the data types of the streams, without duplicates.
    pub fn data_types(&self) -> Vec<DataType> {
        let patterns = self.patterns.iter().map(|pattern| pattern.data_type);
        let types: BTreeSet<_> = self.specs.iter().map(|spec| spec.key.data_type).chain(patterns).collect();
        types.into_iter().collect()
    }

    /// Returns the streams for the markets of this universe, sorted and without duplicates.
    pub fn specs_in(&self, universe: &Universe) -> Vec<StreamSpec> {
        let patterns = self.patterns.iter().flat_map(|pattern| pattern.specs(universe));
        merged(self.specs.iter().copied().chain(patterns).collect())
    }
}

/// Why a subscription was refused. A refused subscription changes nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InvalidSubscription {
    /// Each refused code, with the reason.
    pub offenders: Vec<(String, InvalidCode)>,
    /// Data types that were requested without any market.
    pub empty_types: Vec<DataType>,
    /// Options that the exchange does not support.
    pub options: Vec<InvalidOption>,
}

/// An option that the exchange does not support for the requested data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum InvalidOption {
    /// Only order books have levels and steps.
    NotABook(DataType),
    /// The exchange does not support this number of levels. It would treat the number as all levels.
    Levels {
        /// The requested number.
        levels: u8,
        /// The supported numbers.
        known: &'static [u8],
    },
    /// The step is not a positive amount of KRW with at most 8 decimals.
    Step(f64),
    /// Only KRW markets have grouped books; streams of other markets would bring no data.
    NotInKrw(String),
    /// This exchange has no grouped books, and closes a socket that requests them.
    NoSteps,
    /// On this exchange, books grouped by this step are the ordinary books.
    PlainStep(Grouping),
    /// This exchange has no such data, and closes a socket that requests it.
    NoSuchType(DataType),
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABook(data_type) => write!(f, "{data_type}: only order books have levels and steps"),
            Self::Levels { levels, known } => write!(f, "{levels} levels: ask for one of {known:?}"),
            Self::Step(step) => write!(f, "a step of {step}: ask for a positive amount of KRW with at most 8 decimals"),
            Self::NotInKrw(markets) => write!(f, "{markets}: only KRW markets have grouped order books"),
            Self::NoSteps => f.write_str("this exchange has no grouped order books"),
            Self::PlainStep(step) => {
                write!(
                    f,
                    "a step of {step}: on this exchange that is the ordinary order book; ask for it without a step"
                )
            }
            Self::NoSuchType(data_type) => write!(f, "this exchange has no {data_type}"),
        }
    }
}

impl fmt::Display for InvalidSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (code, reason) in &self.offenders {
            write!(f, "{separator}\"{}\": {reason}", code.escape_default())?;
            if let (InvalidCode::Market(_), Some(meant)) = (reason, Market::suggestion(code)) {
                write!(f, "; did you mean {meant}?")?;
            }
            separator = "; ";
        }
        for data_type in &self.empty_types {
            write!(f, "{separator}{data_type}: no market was given")?;
            separator = "; ";
        }
        for option in &self.options {
            write!(f, "{separator}{option}")?;
            separator = "; ";
        }
        if separator.is_empty() {
            f.write_str("the subscription is empty")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidSubscription {}

/// Subscribes to tickers of markets: the last price and the statistics of the day.
pub fn ticker(markets: impl IntoMarkets) -> Subscription<Ticker> {
    Subscription::one_type(DataType::Ticker, markets)
}

/// Subscribes to every trade of markets.
pub fn trade(markets: impl IntoMarkets) -> Subscription<Trade> {
    Subscription::one_type(DataType::Trade, markets)
}

/// Subscribes to the order books of markets.
pub fn orderbook(markets: impl IntoMarkets) -> Subscription<Orderbook> {
    Subscription::one_type(DataType::Orderbook, markets)
}

/// Subscribes to candles of markets, with one interval.
pub fn candle(interval: Interval, markets: impl IntoMarkets) -> Subscription<Candle> {
    Subscription::one_type(DataType::Candle(interval), markets)
}

impl Subscription {
    /// Subscribes to one data type of markets, for types known only at run time. A market that is given twice makes the
    /// subscription invalid, as in the functions for each type.
    pub fn of(data_type: DataType, markets: impl IntoMarkets) -> Self {
        Self::one_type(data_type, markets)
    }
}

impl<T> Subscription<T> {
    /// The caller must choose the noun of this data type, or [`Event`], as `T`.
    fn one_type(data_type: DataType, markets: impl IntoMarkets) -> Self {
        UntypedSubscription::new(data_type, markets.into_markets()).carrying()
    }

    /// Returns the same streams, delivered as [`Event`]s.
    pub fn mixed(self) -> Subscription<Event> {
        self.untyped.carrying()
    }

    /// Returns these streams and those of `other`, delivered as [`Event`]s.
    pub fn and<U>(self, other: Subscription<U>) -> Subscription<Event> {
        self.untyped.and(other.untyped).carrying()
    }

    /// Limits all streams so far to snapshots: one when a stream is requested, and one at the start of each later
    /// socket. If another subscription wants changes of a stream that runs already, the stream's newest value serves as
    /// the snapshot. The exchange is not asked for another one, because it sends no changes of a stream while it
    /// prepares a snapshot. In all other cases it is asked.
    ///
    /// In the pool, the value of such a stream stays live as long as its connection, because nothing shows when it is
    /// outdated.
    pub fn only_snapshot(self) -> Self {
        self.in_mode(Mode::SnapshotOnly)
    }

    /// Limits all streams so far to changes. There is no value until the first change. If a change appears only in a
    /// snapshot for another subscription, the snapshot is delivered as a change.
    pub fn only_realtime(self) -> Self {
        self.in_mode(Mode::RealtimeOnly)
    }

    /// Requests at least this many levels of all order books so far: 1, 5, 15 or 30 on Upbit, 1 to 15 on Bithumb.
    /// Default: all. Fewer levels take fewer bytes. The exchange sends only one book of a market per connection: if
    /// another subscription requests more levels, all readers of that book see them. Another number, or a stream of
    /// another type, makes the subscription invalid.
    pub fn levels(mut self, levels: u8) -> Self {
        self.untyped.for_books(|selection| selection.levels = Some(levels));
        self
    }

    /// Groups the prices of all order books so far by a step in KRW. Another market or stream, or a step of 0 or less
    /// or with more than 8 decimals, makes the subscription invalid.
    pub fn grouped(mut self, krw: f64) -> Self {
        let Some(step) = Grouping::krw(krw) else {
            self.untyped.options.push(InvalidOption::Step(krw));
            return self;
        };
        self.untyped.for_books(|selection| selection.data_type = DataType::GroupedOrderbook(step));
        self
    }

    fn in_mode(mut self, mode: Mode) -> Self {
        self.untyped.selections.iter_mut().for_each(|selection| selection.mode = mode);
        self
    }
}

impl<T> Clone for Subscription<T> {
    fn clone(&self) -> Self {
        self.untyped.clone().carrying()
    }
}

impl<T> Default for Subscription<T> {
    fn default() -> Self {
        UntypedSubscription::default().carrying()
    }
}

impl<T> PartialEq for Subscription<T> {
    fn eq(&self, other: &Self) -> bool {
        self.untyped == other.untyped
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.untyped).finish()
    }
}

/// A feed of events can deliver any noun.
impl<T: Noun> From<Subscription<T>> for Subscription<Event> {
    fn from(subscription: Subscription<T>) -> Self {
        subscription.mixed()
    }
}

impl UntypedSubscription {
    /// Creates a subscription to one data type. A repeated market is recorded as a problem.
    fn new(data_type: DataType, selectors: Vec<Result<MarketSelector, (String, InvalidCode)>>) -> Self {
        let mut untyped = Self::default();
        let mut named = BTreeSet::new();
        if selectors.is_empty() {
            untyped.empty_types.push(data_type);
        }
        for selector in selectors {
            match selector {
                Ok(selector) if !named.insert(selector) => {
                    untyped.offenders.push((selector.to_string(), InvalidCode::Repeated));
                }
                Ok(selector) => {
                    untyped.selections.push(Selection { selector, data_type, mode: Mode::All, levels: None })
                }
                Err((code, reason)) => {
                    // Bounded, so that the error does not contain a megabyte of invalid text.
                    untyped.offenders.push((code.chars().take(64).collect(), reason));
                }
            }
        }
        untyped
    }

    fn carrying<T>(self) -> Subscription<T> {
        Subscription { untyped: self, carries: PhantomData }
    }

    fn and(mut self, other: Self) -> Self {
        self.selections.extend(other.selections);
        self.offenders.extend(other.offenders);
        self.empty_types.extend(other.empty_types);
        self.options.extend(other.options);
        self
    }

    fn for_books(&mut self, mut change: impl FnMut(&mut Selection)) {
        for selection in &mut self.selections {
            match selection.data_type {
                DataType::Orderbook | DataType::GroupedOrderbook(_) => change(selection),
                other => self.options.push(InvalidOption::NotABook(other)),
            }
        }
    }
}

impl Selection {
    fn problem(&self, dialect: &Dialect) -> Option<InvalidOption> {
        let in_krw = match self.selector {
            MarketSelector::Market(market) => market.quote() == "KRW",
            MarketSelector::Pattern(pattern) => pattern.quote() == Some("KRW"),
        };
        match (self.data_type, self.levels) {
            (DataType::Candle(_), _) if !dialect.has_candles => Some(InvalidOption::NoSuchType(self.data_type)),
            (DataType::GroupedOrderbook(_), _) if !dialect.has_levels => Some(InvalidOption::NoSteps),
            (DataType::GroupedOrderbook(step), _) if step.to_krw() == f64::from(dialect.level_default) => {
                Some(InvalidOption::PlainStep(step))
            }
            (DataType::GroupedOrderbook(_), _) if !in_krw => Some(InvalidOption::NotInKrw(self.selector.to_string())),
            (_, Some(levels)) if !dialect.unit_counts.contains(&levels) => {
                Some(InvalidOption::Levels { levels, known: dialect.unit_counts })
            }
            _ => None,
        }
    }

    fn depth(&self, dialect: &Dialect) -> Depth {
        self.levels.filter(|levels| *levels != dialect.units_default).map_or(Depth::ALL, Depth::levels)
    }
}

/// Returns the specs sorted and without duplicates. If a stream occurs in different ways, the result serves them all.
fn merged(mut specs: Vec<StreamSpec>) -> Vec<StreamSpec> {
    specs.sort_unstable();
    specs.dedup_by(|other, spec| {
        let same = other.key == spec.key;
        if same {
            (spec.mode, spec.depth) = (spec.mode.and(other.mode), spec.depth.max(other.depth));
        }
        same
    });
    specs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BITHUMB, UPBIT, UPBIT_INDONESIA};
    use crate::model::Market;
    use crate::plan::InvalidPattern;

    #[test]
    fn markets_may_be_written_in_any_usual_form() {
        let one = CheckedSubscription::of(ticker("KRW-BTC"), &UPBIT).unwrap().specs;
        let market: Market = "KRW-BTC".parse().unwrap();
        let owned = vec!["KRW-BTC".to_owned()];
        assert_eq!(CheckedSubscription::of(ticker("KRW-BTC").and(ticker("KRW-BTC")), &UPBIT).unwrap().specs, one);
        assert_eq!(CheckedSubscription::of(ticker(market), &UPBIT).unwrap().specs, one);
        assert_eq!(CheckedSubscription::of(ticker(&owned), &UPBIT).unwrap().specs, one);
        assert_eq!(CheckedSubscription::of(ticker(owned), &UPBIT).unwrap().specs, one);
        assert_eq!(CheckedSubscription::of(ticker(&["KRW-BTC"][..]), &UPBIT).unwrap().specs, one);
    }

    #[test]
    fn an_error_names_every_offender() {
        let asked = ticker(["KRW-BTC", "krw-eth", "KRW-BTC"]).and(trade("")).and(orderbook(Vec::<String>::new()));
        let refused = CheckedSubscription::of(asked, &UPBIT).unwrap_err();
        assert_eq!(refused.offenders.len(), 3);
        assert_eq!(refused.empty_types, [DataType::Orderbook]);
        let text = refused.to_string();
        assert!(
            text.contains("krw-eth") && text.contains("twice") && text.contains("empty") && text.contains("orderbook"),
            "{text}"
        );
    }

    #[test]
    fn the_streams_do_not_depend_on_the_type_of_the_feed() {
        let books: Subscription<Orderbook> = orderbook("KRW-BTC").levels(5);
        let mixed: Subscription = books.clone().into();
        assert_eq!(mixed, Subscription::of(DataType::Orderbook, "KRW-BTC").levels(5));
        assert_eq!(mixed, books.clone().mixed());
        assert_eq!(CheckedSubscription::of(mixed, &UPBIT), CheckedSubscription::of(books, &UPBIT));
    }

    #[test]
    fn options_apply_to_the_streams_before_them() {
        let books = orderbook(["KRW-BTC", "KRW-ETH"]).levels(5).and(ticker("KRW-BTC").only_realtime());
        let specs = CheckedSubscription::of(books, &UPBIT).unwrap().specs;
        let [ticker, btc, eth] = specs[..] else { panic!("{specs:?}") };
        assert_eq!((ticker.mode, ticker.depth), (Mode::RealtimeOnly, Depth::ALL));
        assert_eq!((btc.mode, btc.depth, eth.depth), (Mode::All, Depth::levels(5), Depth::levels(5)));

        let twice = orderbook("KRW-BTC").levels(5).only_snapshot().and(orderbook("KRW-BTC").levels(15).only_realtime());
        let serves_both = StreamSpec { depth: Depth::levels(15), ..StreamSpec::all(btc.key) };
        assert_eq!(CheckedSubscription::of(twice, &UPBIT).unwrap().specs, [serves_both]);

        let apart = CheckedSubscription::of(orderbook("KRW-BTC").and(orderbook("KRW-BTC").grouped(10_000.0)), &UPBIT)
            .unwrap()
            .specs;
        assert_eq!(apart.len(), 2, "grouped books are separate streams");
    }

    #[test]
    fn options_that_the_exchange_does_not_support_are_refused() {
        let asked = orderbook(["BTC-ETH", "*-ETH"]).grouped(10.0).and(orderbook("KRW-BTC").levels(7));
        let asked = asked.and(ticker("KRW-BTC").levels(5));
        let refused = CheckedSubscription::of(asked.and(orderbook("KRW-BTC").grouped(-1.0)), &UPBIT).unwrap_err();
        assert_eq!(
            refused.options,
            [
                InvalidOption::NotABook(DataType::Ticker),
                InvalidOption::Step(-1.0),
                InvalidOption::NotInKrw("BTC-ETH".to_owned()),
                InvalidOption::NotInKrw("*-ETH".to_owned()),
                InvalidOption::Levels { levels: 7, known: &[1, 5, 15, 30] },
            ]
        );
        assert!(refused.to_string().contains("7 levels: ask for one of [1, 5, 15, 30]"), "{refused}");
    }

    #[test]
    fn an_error_contains_hostile_codes_escaped_and_short() {
        let text = CheckedSubscription::of(ticker("\u{1b}[2J".repeat(100_000)), &UPBIT).unwrap_err().to_string();
        assert!(text.len() < 1000 && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn each_exchange_is_asked_only_for_data_it_has() {
        let candles = CheckedSubscription::of(candle(Interval::Second1, "KRW-BTC"), &BITHUMB).unwrap_err();
        assert_eq!(candles.options, [InvalidOption::NoSuchType(DataType::Candle(Interval::Second1))]);
        assert_eq!(
            CheckedSubscription::of(orderbook("KRW-BTC").grouped(10.0), &UPBIT_INDONESIA).unwrap_err().options,
            [InvalidOption::NoSteps]
        );
        let step = |krw, dialect| {
            CheckedSubscription::of(orderbook("KRW-BTC").grouped(krw), dialect).map_err(|refused| refused.options)
        };
        let plain = InvalidOption::PlainStep(Grouping::krw(1.0).unwrap());
        assert_eq!(step(1.0, &BITHUMB).unwrap_err(), [plain]);
        assert!(step(10.0, &BITHUMB).is_ok() && step(1.0, &UPBIT).is_ok());
        let depth = |levels: u8, dialect| {
            CheckedSubscription::of(orderbook("KRW-BTC").levels(levels), dialect).map(|c| c.specs[0].depth)
        };
        assert_eq!((depth(30, &UPBIT), depth(15, &BITHUMB)), (Ok(Depth::ALL), Ok(Depth::ALL)));
        assert_eq!((depth(15, &UPBIT), depth(3, &BITHUMB)), (Ok(Depth::levels(15)), Ok(Depth::levels(3))));
        assert!(depth(30, &BITHUMB).is_err());
    }

    #[test]
    fn a_pattern_selects_the_existing_markets() {
        let universe: Universe =
            ["KRW-BTC", "KRW-ETH", "BTC-ETH"].map(|code| code.parse::<Market>().unwrap()).into_iter().collect();
        let checked =
            CheckedSubscription::of(trade(["KRW-*", "KRW-NONE"]).and(trade("*-ETH").only_realtime()), &UPBIT).unwrap();
        let specs = checked.specs_in(&universe);
        let named: Vec<_> = specs.iter().map(|spec| (spec.key.scope.to_string(), spec.mode)).collect();
        let all = |code: &str| (code.to_owned(), Mode::All);
        let changes = ("BTC-ETH".to_owned(), Mode::RealtimeOnly);
        assert_eq!(named, [changes, all("KRW-BTC"), all("KRW-ETH"), all("KRW-NONE")]);
        assert_eq!(checked.specs_in(&Universe::default()).len(), 1);
        let refused = CheckedSubscription::of(ticker("KR*-BTC"), &UPBIT).unwrap_err();
        assert_eq!(refused.offenders, [("KR*-BTC".to_owned(), InvalidCode::Pattern(InvalidPattern::Star))]);
    }
}
