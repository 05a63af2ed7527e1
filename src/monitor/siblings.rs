//! Compares the ticker and the trades of one market. The exchange sends a ticker with each trade, and both name the time
//! of the trade, so each of the two streams proves what the other must have brought.

use std::time::Duration;

use crate::model::Nanos;
use crate::pool::HealthReason;

/// The shortest and the longest time that one stream is given to follow the other.
const SETTLE_MIN: Duration = Duration::from_secs(1);
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// The time given is this many times the longest delay seen.
const FACTOR: u32 = 4;
/// The longest delay shrinks by this part with each delay that follows.
const FORGET: u32 = 64;
/// The number of wrong accusations in a row after which the streams of a connection are not compared any more: the times
/// of its two types do not mean the same.
const WRONG_MAX: u32 = 3;

/// How long the one type usually takes to follow the other, learned from all markets of a connection.
#[derive(Debug, Clone)]
pub(super) struct Settling {
    longest: Duration,
    wrong: u32,
}

impl Default for Settling {
    fn default() -> Self {
        Self { longest: SETTLE_MIN / 2, wrong: 0 }
    }
}

impl Settling {
    /// Returns the time after which a stream that has not followed lacks a message.
    fn limit(&self) -> Duration {
        (self.longest * FACTOR).clamp(SETTLE_MIN, SETTLE_MAX)
    }

    fn followed(&mut self, after: Duration) {
        self.longest = after.max(self.longest - self.longest / FORGET);
    }

    fn accused(&mut self, was_right: bool) {
        self.wrong = if was_right { 0 } else { self.wrong + 1 };
    }

    fn is_useful(&self) -> bool {
        self.wrong < WRONG_MAX
    }
}

/// What one of the two streams shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    /// The time of its newest trade, ms.
    pub trade_ms: u64,
    /// The time up to which it is complete, ms: that of its newest message. Of several trades that the exchange reports
    /// at one time, the last need not be the newest.
    pub until_ms: u64,
    /// When its newest message was received.
    pub received: Nanos,
}

impl Shown {
    /// Returns true if the stream is complete up to this trade.
    fn shows(self, trade_ms: u64) -> bool {
        self.trade_ms.max(self.until_ms) >= trade_ms
    }
}

/// The comparison of the two streams of one market.
#[derive(Debug, Clone, Default)]
pub(super) struct Siblings {
    behind: Option<Behind>,
    accused: Option<Behind>,
}

/// The stream that does not show a trade which the other one shows.
#[derive(Debug, Clone, Copy)]
struct Behind {
    is_ticker: bool,
    /// The time of the trade that is missing.
    trade_ms: u64,
    /// When the other stream was first seen to show it; for an accused stream, when it was accused.
    since: Nanos,
}

impl Behind {
    /// Returns what the stream that is behind shows.
    fn of(&self, ticker: Shown, trade: Shown) -> Shown {
        if self.is_ticker { ticker } else { trade }
    }
}

impl Siblings {
    /// Forgets which stream was behind, because one of the two does not run.
    pub fn interrupted(&mut self) {
        *self = Self::default();
    }

    /// Compares what the two streams show. Returns the reason to suspect one of them: `BehindTrades` for the ticker,
    /// `MissingTrade` for the trades. Each trade is a reason once.
    pub fn compare(
        &mut self,
        now: Nanos,
        ticker: Shown,
        trade: Shown,
        settling: &mut Settling,
    ) -> Option<HealthReason> {
        if let Some(behind) = self.behind
            && behind.of(ticker, trade).shows(behind.trade_ms)
        {
            // The answer to a question says nothing about the usual delay.
            if !self.is_accused(behind) {
                settling.followed(now.since(behind.since));
            }
            self.behind = None;
        }
        self.judge_accusation(ticker, trade, settling);
        let (is_ticker, trade_ms) = if !ticker.shows(trade.trade_ms) {
            (true, trade.trade_ms)
        } else if !trade.shows(ticker.trade_ms) {
            (false, ticker.trade_ms)
        } else {
            return None;
        };
        let behind = *self.behind.get_or_insert(Behind { is_ticker, trade_ms, since: now });
        if self.is_accused(behind) || !settling.is_useful() || now.since(behind.since) < settling.limit() {
            return None;
        }
        self.accused = Some(Behind { since: now, ..behind });
        Some(if behind.is_ticker { HealthReason::BehindTrades } else { HealthReason::MissingTrade })
    }

    fn is_accused(&self, behind: Behind) -> bool {
        self.accused.is_some_and(|accused| accused.trade_ms >= behind.trade_ms)
    }

    /// An accused stream that then sends a message with the trade lacked it, and one that sends a message without the
    /// trade did not.
    fn judge_accusation(&mut self, ticker: Shown, trade: Shown, settling: &mut Settling) {
        let Some(accused) = self.accused.filter(|accused| accused.of(ticker, trade).received > accused.since) else {
            return;
        };
        let was_right = accused.of(ticker, trade).shows(accused.trade_ms);
        settling.accused(was_right);
        if was_right {
            self.accused = None;
        } else {
            // Keeps the trade from being a reason again.
            self.accused = Some(Behind { since: Nanos::NEVER, ..accused });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    /// A market whose two streams are looked at every 100 ms.
    #[derive(Default)]
    struct Fixture {
        siblings: Siblings,
        settling: Settling,
    }

    impl Fixture {
        /// Shows both streams from one time to another, and returns the reasons with their times. The second number of a
        /// stream is when its message was received.
        fn show(&mut self, from: u64, to: u64, ticker: (u64, u64), trade: (u64, u64)) -> Vec<(u64, HealthReason)> {
            let shown = |(trade_ms, received)| Shown { trade_ms, until_ms: 0, received: at(received) };
            let looks = (from..to).step_by(100);
            let mut compare =
                |ms| self.siblings.compare(at(ms), shown(ticker), shown(trade), &mut self.settling).map(|r| (ms, r));
            looks.filter_map(&mut compare).collect()
        }
    }

    #[test]
    fn a_ticker_that_does_not_follow_a_trade_is_suspect_once_for_each_trade() {
        let mut market = Fixture::default();
        assert_eq!(market.show(0, 5000, (10, 0), (10, 0)), []);
        assert_eq!(market.show(5000, 60_000, (10, 0), (20, 5000)), [(7000, HealthReason::BehindTrades)]);
        assert_eq!(market.show(60_000, 90_000, (10, 0), (30, 60_000)), []);
    }

    #[test]
    fn a_trade_that_only_the_ticker_shows_makes_the_trades_suspect() {
        let mut market = Fixture::default();
        assert_eq!(market.show(0, 5000, (20, 0), (10, 0)), [(2000, HealthReason::MissingTrade)]);
        // The trades are requested again, and the snapshot shows the trade.
        assert_eq!(market.show(5000, 6000, (20, 0), (20, 4990)), []);
        assert_eq!(market.settling.wrong, 0);
        // The next one is missing too.
        assert_eq!(market.show(6000, 20_000, (30, 6000), (20, 4990)), [(8000, HealthReason::MissingTrade)]);
    }

    #[test]
    fn the_time_to_follow_is_learned_and_bounded() {
        let mut market = Fixture::default();
        for round in 0..1000 {
            let (ms, trade) = (round * 10_000, round + 10);
            assert_eq!(market.show(ms, ms + 100, (trade - 1, ms), (trade, ms)), []);
            assert_eq!(market.show(ms + 100, ms + 200, (trade, ms + 100), (trade, ms)), []);
        }
        assert_eq!(market.settling.limit(), SETTLE_MIN);
        let ms = 20_000_000;
        market.show(ms, ms + 900, (2000, ms), (3000, ms));
        market.show(ms + 900, ms + 1000, (3000, ms), (3000, ms));
        assert_eq!(market.settling.limit(), Duration::from_millis(3600));
        market.settling.followed(Duration::from_secs(100));
        assert_eq!(market.settling.limit(), SETTLE_MAX);
    }

    /// Times that do not mean the same, for example whole seconds in one type and ms in the other.
    #[test]
    fn streams_whose_times_disagree_are_not_compared_any_more() {
        let mut market = Fixture::default();
        let mut reasons = 0;
        for round in 0..100 {
            let ms = round * 10_000;
            // Each question is answered with the same trade, whose time is earlier than in the ticker.
            reasons += market.show(ms, ms + 5000, (ms + 7, ms), (ms, ms)).len();
            reasons += market.show(ms + 5000, ms + 10_000, (ms + 7, ms), (ms, ms + 5000)).len();
        }
        assert_eq!(reasons, WRONG_MAX as usize);
    }

    /// Two trades had the same time of the event, and the one that the exchange sent last had happened first.
    #[test]
    fn a_trade_that_is_older_than_its_message_is_not_missing() {
        let mut siblings = Siblings::default();
        let ticker = Shown { trade_ms: 804, until_ms: 922, received: at(0) };
        let trade = Shown { trade_ms: 742, until_ms: 922, received: at(0) };
        for ms in (0..60_000).step_by(100) {
            assert_eq!(siblings.compare(at(ms), ticker, trade, &mut Settling::default()), None);
        }
    }

    #[test]
    fn an_interrupted_stream_is_not_behind() {
        let mut market = Fixture::default();
        assert_eq!(market.show(0, 1900, (20, 0), (10, 0)), []);
        market.siblings.interrupted();
        assert_eq!(market.show(1900, 3800, (20, 0), (10, 0)), []);
    }
}
