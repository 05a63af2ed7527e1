//! Times that cannot be true: they neither order nor bar the values after them, however the clocks are set and at any
//! pace.

use crate::samples::*;
use crate::support::arrive;
use Verdict::{Duplicate, Late, Published};
use hoga::engine::TickerRoutes;
use hoga::feed::{Feed, Item, Overflow};
use hoga::model::*;
use hoga::pool::{DataPool, Publisher, Timeline, Verdict};
use proptest::prelude::*;

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// The exchange's time at the start of each story, in ms: 2021, as in an old recording.
const START: u64 = 1_618_678_262_000;
/// The receive time at the start of each story, in ms: years later.
const RECEIVED: u64 = 1_790_000_000_000;

/// A connection with one stream, or several if the test opens more. Times are in ms after the start.
struct Story<T: Noun> {
    pool: DataPool,
    timeline: Timeline,
    publisher: Publisher<T>,
}

impl<T: Noun> Story<T> {
    fn new(data_type: DataType) -> Self {
        let (_clock, pool, _connection, publisher) = open(data_type);
        Self { pool, timeline: Timeline::new(), publisher }
    }

    fn receive(&mut self, epoch: u32, received: u64, value: &T) -> Verdict {
        let received = Nanos::from_millis(RECEIVED + received).0;
        arrive(&mut self.timeline, &mut self.publisher, receipt(epoch, received), value)
    }

    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.pool.streams()[0].verdicts;
        (counts.published, counts.late, counts.implausible)
    }
}

impl Story<Ticker> {
    fn tickers() -> Self {
        Self::new(DataType::Ticker)
    }

    /// Receives a ticker with this exchange time.
    fn ticker(&mut self, received: u64, time: u64) -> Verdict {
        self.receive(1, received, &ticker(START + time, 1.0))
    }

    /// Receives a ticker every 100 ms whose time is `ahead` of the receive time.
    fn run(&mut self, received: u64, count: u64, ahead: u64) -> Vec<Verdict> {
        (0..count).map(|n| self.ticker(received + 100 * n, received + 100 * n + ahead)).collect()
    }

    /// Lets another market of the connection send a change.
    fn elsewhere(&mut self, received: u64, time: u64) -> bool {
        self.timeline.doubts_change(START + time, Nanos::from_millis(RECEIVED + received))
    }

    fn shown(&self) -> u64 {
        self.pool.ticker("KRW-BTC").unwrap().load().value().unwrap().timestamp - START
    }
}

#[test]
fn one_value_a_day_ahead_bars_nothing() {
    let mut story = Story::tickers();
    assert_eq!(story.run(0, 5, 0), [Published; 5]);
    assert_eq!(story.ticker(500, DAY), Published, "the newest to arrive: nothing shows yet that it is wrong");
    assert_eq!(story.run(600, 10, 0), [Published; 10]);
    assert_eq!(story.shown(), 1_500);
    assert_eq!(story.counts(), (16, 0, 1));
}

#[test]
fn a_value_a_day_ahead_does_not_order_a_late_one_behind_it() {
    let mut story = Story::tickers();
    story.run(0, 5, 0);
    assert_eq!(story.ticker(500, DAY), Published);
    assert_eq!(story.ticker(600, 399), Late, "older than the value before the wrong one");
    assert_eq!(story.ticker(700, 401), Published);
}

#[test]
fn a_wrong_time_in_each_second_message_bars_nothing() {
    let mut story = Story::tickers();
    story.run(0, 5, 0);
    for n in 5..50 {
        let ahead = if n % 2 == 0 { n * DAY } else { 0 };
        assert_eq!(story.ticker(100 * n, 100 * n + ahead), Published);
    }
}

#[test]
fn times_in_microseconds_and_the_largest_number_bar_nothing() {
    let mut story = Story::tickers();
    story.run(0, 5, 0);
    for (n, wrong) in (5..).zip([(START + 500) * 1_000, u64::MAX, u64::MAX / 1_000_000, i64::MAX as u64]) {
        assert_eq!(story.receive(1, 200 * n, &ticker(wrong, 1.0)), Published, "{wrong}");
        assert_eq!(story.ticker(200 * n + 100, 200 * n + 100), Published, "after {wrong}");
    }
    assert_eq!(story.counts(), (13, 0, 4));
}

#[test]
fn a_wrong_first_message_bars_nothing() {
    let mut story = Story::tickers();
    assert_eq!(story.ticker(0, DAY), Published);
    assert_eq!(story.run(100, 5, 0), [Published; 5]);
    // The first of the next socket, when the connection has a history.
    assert_eq!(story.receive(2, 700, &ticker(START + DAY, 1.0)), Published);
    for n in 8..20 {
        assert_eq!(story.receive(2, 100 * n, &ticker(START + 100 * n, 1.0)), Published);
    }
    assert_eq!(story.counts().1, 0);
}

#[test]
fn a_wrong_snapshot_bars_neither_changes_nor_snapshots() {
    let snapshot = |time| Ticker { stream_type: StreamType::Snapshot, ..ticker(START + time, 1.0) };
    let mut story = Story::tickers();
    assert_eq!(story.receive(1, 0, &snapshot(DAY)), Published);
    assert_eq!(story.run(100, 5, 0), [Published; 5]);

    let mut story = Story::tickers();
    assert_eq!(story.receive(1, 0, &snapshot(DAY)), Published);
    for n in 1..5 {
        assert_eq!(story.receive(1, n * SECOND, &snapshot(n * SECOND)), Published, "only snapshots are carried");
    }
}

#[test]
fn old_snapshots_of_quiet_markets_do_not_put_current_times_in_doubt() {
    let mut story = Story::tickers();
    let mut doubts = 0;
    for age in [HOUR, 2 * HOUR, 0, 3 * DAY, HOUR, 30 * SECOND, 0] {
        let received = Nanos::from_millis(RECEIVED + 4 * DAY);
        doubts += u64::from(story.timeline.doubts_snapshot(START + 4 * DAY - age, received));
    }
    assert_eq!(doubts, 0);
    assert_eq!(story.run(4 * DAY, 5, 0), [Published; 5]);
    assert_eq!(story.counts(), (5, 0, 0));
}

#[test]
fn a_time_far_in_the_past_is_late_and_bars_nothing() {
    let mut story = Story::tickers();
    assert_eq!(story.run(DAY, 5, 0), [Published; 5]);
    assert_eq!(story.ticker(DAY + 500, 1), Late);
    assert_eq!(story.run(DAY + 600, 5, 0), [Published; 5]);
}

#[test]
fn a_clock_set_back_an_hour_for_good_loses_two_values_of_the_connection() {
    let mut story = Story::tickers();
    story.run(HOUR, 20, 0);
    assert_eq!(story.ticker(HOUR + 2_000, 2_000), Late);
    assert!(!story.elsewhere(HOUR + 2_010, 2_010) && !story.elsewhere(HOUR + 2_020, 2_020));
    // From here the connection agrees, and every stream follows at its next value.
    for n in 21..40 {
        assert_eq!(story.ticker(HOUR + 100 * n, 100 * n), Published);
    }
    assert_eq!(story.ticker(HOUR + 4_000, 3_800), Late, "the new clock orders as the old one did");
    assert_eq!(story.counts(), (39, 2, 0));
}

#[test]
fn a_clock_set_forward_an_hour_for_good_loses_nothing_and_orders_at_once() {
    let mut story = Story::tickers();
    story.run(0, 20, 0);
    assert_eq!(story.run(2_000, 1, HOUR), [Published]);
    assert_eq!(story.ticker(2_100, HOUR + 1_999), Late, "two values of the new clock are ordered by it");
    assert_eq!(story.run(2_200, 20, HOUR), [Published; 20]);
    assert_eq!(story.counts(), (41, 1, 2), "two messages until the connection agrees");
    assert_eq!(story.ticker(4_300, DAY), Published);
    assert_eq!(story.run(4_400, 5, HOUR), [Published; 5], "and a wrong time is found as before");
}

#[test]
fn a_fast_or_slow_replay_without_long_pauses_puts_no_time_in_doubt() {
    for (recorded, replayed) in [(100, 1), (1_000, 1), (2_000, 1), (100, 1_000), (2_000, 100_000)] {
        let mut story = Story::tickers();
        for n in 0..500 {
            assert_eq!(story.ticker(replayed * n, recorded * n), Published);
        }
        assert_eq!(story.counts(), (500, 0, 0), "{recorded} ms replayed in {replayed} ms");
    }
}

#[test]
fn one_market_whose_clock_is_always_wrong_is_ordered_by_it_and_does_not_disturb_the_others() {
    for burst_max in [1, 5] {
        let (mut right, mut wrong) = (Story::tickers(), Story::tickers());
        right.run(0, 20, 0);
        for n in 20..200 {
            // Both markets share the connection.
            std::mem::swap(&mut right.timeline, &mut wrong.timeline);
            for k in 0..1 + n % burst_max {
                let received = 100 * n + 10 * k;
                assert_eq!(wrong.ticker(received, received + DAY), Published);
                assert_eq!(wrong.ticker(received + 1, received + DAY - 5), Late);
            }
            std::mem::swap(&mut right.timeline, &mut wrong.timeline);
            assert_eq!(right.ticker(100 * n + 60, 100 * n + 60), Published);
            assert_eq!(right.ticker(100 * n + 61, 100 * n + 55), Late);
        }
        assert_eq!(right.counts(), (200, 180, 0));
        // Bursts that outnumber the other market set the usual lead.
        assert!(burst_max > 1 || wrong.counts() == (180, 180, 360), "{:?}", wrong.counts());
    }
}

#[test]
fn a_candle_with_a_wrong_start_bars_nothing() {
    let mut story = Story::new(DataType::Candle(Interval::Minute1));
    // The sample candles start at noon of 2026-09-23.
    let noon = 1_790_164_800_000;
    for second in 0..5 {
        let candle = candle(0, noon + second * SECOND);
        assert_eq!(story.receive(1, second * SECOND, &candle), Published);
    }
    let mut wrong = candle(0, noon + 5 * SECOND);
    wrong.candle_date_time_utc.date.day += 1;
    assert_eq!(story.receive(1, 5 * SECOND, &wrong), Published);
    assert_eq!(story.receive(1, 6 * SECOND, &candle(0, noon + 3 * SECOND)), Late);
    assert_eq!(story.receive(1, 6 * SECOND, &candle(0, noon + 6 * SECOND)), Published);
    // A new minute, and then the final state of the minute before.
    assert_eq!(story.receive(1, 61 * SECOND, &candle(1, noon + 61 * SECOND)), Published);
    assert_eq!(story.receive(1, 62 * SECOND, &candle(0, noon + 30 * SECOND)), Late);
    assert_eq!(story.counts(), (8, 2, 1));
}

#[test]
fn a_wrong_time_of_a_trade_bars_nothing_and_its_repetition_is_a_duplicate() {
    let mut story = Story::new(DataType::Trade);
    for id in 1..=5 {
        assert_eq!(story.receive(1, 100 * id, &trade(id, START + 100 * id)), Published);
    }
    let wrong = trade(6, START + DAY);
    assert_eq!(story.receive(1, 600, &wrong), Published);
    assert_eq!(story.receive(1, 601, &wrong), Duplicate);
    for id in 7..=20 {
        assert_eq!(story.receive(1, 100 * id, &trade(id, START + 100 * id)), Published);
    }
    assert_eq!(story.receive(1, 2_001, &wrong), Duplicate);
    assert_eq!(story.receive(1, 2_100, &trade(21, START + 2_100)), Published);
    let late = trade(22, START + 2_050);
    assert_eq!(story.receive(1, 2_200, &late), Late);
    assert!(story.publisher.is_news(Late, &late));
}

/// The whole way of a message on its connection's thread: the router asks the timeline, and feeds get the values behind
/// a wrong time.
#[test]
fn feeds_get_every_value_behind_a_wrong_time() {
    let markets = [market("KRW-BTC"), market("KRW-ETH")];
    let policies = [Overflow::DropNewest { capacity: 64 }, Overflow::DropOldest, Overflow::Conflate];
    let mut routes = TickerRoutes::new(&markets, policies);
    let mut arrive = |received: u64, market, time| {
        let receipt = receipt(1, Nanos::from_millis(RECEIVED + received).0);
        let stream_type = if received < 200 { StreamType::Snapshot } else { StreamType::Realtime };
        routes.deliver(receipt, &[Ticker { market, stream_type, ..ticker(START + time, 1.0) }]);
        let pop = |feed: &mut Feed<Ticker>| match feed.pop() {
            Some(Item::Data(update)) => update.value.timestamp - START,
            other => panic!("{other:?}"),
        };
        let popped: Vec<_> = routes.feeds().iter_mut().map(pop).collect();
        assert_eq!(popped, [time; 3], "received at {received}");
    };
    for n in 0..10 {
        arrive(100 * n, markets[n as usize % 2], 100 * n);
    }
    arrive(1_000, markets[0], DAY);
    for n in 11..40 {
        arrive(100 * n, markets[n as usize % 2], 100 * n);
    }
    let verdicts: Vec<_> = routes.pool().streams().iter().map(|stream| stream.verdicts).collect();
    assert_eq!((verdicts[0].implausible, verdicts[1].implausible), (1, 0));
    assert_eq!((verdicts[0].late, verdicts[1].late), (0, 0));
}

/// The gate's rules without any doubt: an order below the highest one is late, and the eighth in a row wins.
#[derive(Default)]
struct Credulous {
    newest: u64,
    late_in_a_row: u32,
}

impl Credulous {
    fn offer(&mut self, time: u64) -> Verdict {
        self.late_in_a_row = if time >= self.newest { 0 } else { self.late_in_a_row + 1 };
        if (1..8).contains(&self.late_in_a_row) {
            return Late;
        }
        (self.newest, self.late_in_a_row) = (time, 0);
        Published
    }
}

proptest! {
    /// A recording is judged by its own times, however fast it is replayed: pauses of up to hours between messages,
    /// messages that are late by up to 10 s, and a pace from a 100th to 100,000 times the recorded one.
    #[test]
    fn the_pace_of_a_replay_changes_no_verdict(
        messages in prop::collection::vec((prop_oneof![8 => 0..2 * SECOND, 1 => 0..4 * HOUR], 0..12 * SECOND), 1..300),
        pace in prop_oneof![Just(1u64), Just(10), Just(100), Just(1_000), Just(100_000), Just(10_000_000)],
        markets in 1usize..4,
    ) {
        let mut stories: Vec<_> = (0..markets).map(|_| (Story::tickers(), Credulous::default())).collect();
        let mut timeline = Timeline::new();
        let mut now = 0;
        for (at, (pause, lateness)) in messages.into_iter().enumerate() {
            now += pause;
            // Most messages are in order.
            let time = START + now - lateness.saturating_sub(2 * SECOND).min(now);
            let (story, credulous) = &mut stories[at % markets];
            let received = Nanos::from_millis(RECEIVED).0 + now * 100_000_000 / pace;
            let verdict = arrive(&mut timeline, &mut story.publisher, receipt(1, received), &ticker(time, 1.0));
            prop_assert_eq!(verdict, credulous.offer(time));
        }
    }

    /// Wrong times anywhere: no value with a right time is ever late, except behind a right one that is newer.
    #[test]
    fn wrong_times_anywhere_make_no_right_value_late(
        wrong in prop::collection::vec(prop::option::weighted(0.2, 20 * SECOND..100 * DAY), 1..300),
    ) {
        let mut story = Story::tickers();
        story.run(0, 2, 0);
        let mut wrong_in_a_row = 0;
        for (n, ahead) in (2..).zip(wrong) {
            // Three in a row would be a clock that was set.
            let ahead = ahead.filter(|_| wrong_in_a_row < 2);
            wrong_in_a_row = if ahead.is_some() { wrong_in_a_row + 1 } else { 0 };
            let verdict = story.ticker(100 * n, 100 * n + ahead.unwrap_or(0));
            prop_assert!(verdict == Published || ahead.is_some(), "{n}");
        }
    }
}
