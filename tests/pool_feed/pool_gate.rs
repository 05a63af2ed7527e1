//! The order gate, seen from outside: the pool's values after arrivals in any order, and each arrival's verdict.

use std::collections::HashSet;
use std::time::Duration;

use crate::samples::*;
use crate::support::arrive;
use Verdict::{Duplicate, Late, OldEpoch, Published};
use hoga::model::*;
use hoga::pool::{Publisher, Timeline, Verdict};
use proptest::prelude::*;

/// Publishes arrivals in order, received at 1, 2, 3, … ns, and checks the verdict of each.
#[track_caller]
fn publish_all<T: Noun>(publisher: &mut Publisher<T>, arrivals: &[(u32, T, Verdict)]) {
    publish_every(1, publisher, arrivals);
}

/// Same as [`publish_all`], with this many ns between two arrivals.
#[track_caller]
fn publish_every<T: Noun>(step: u64, publisher: &mut Publisher<T>, arrivals: &[(u32, T, Verdict)]) {
    let mut timeline = Timeline::new();
    for (i, (epoch, value, expected)) in arrivals.iter().enumerate() {
        let verdict = arrive(&mut timeline, publisher, receipt(*epoch, (i as u64 + 1) * step), value);
        assert_eq!(verdict, *expected, "arrival {i}");
    }
}

#[test]
fn an_older_ticker_does_not_replace_a_newer_one_and_an_equal_one_does() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    publish_all(
        &mut publisher,
        &[(1, ticker(100, 1.0), Published), (1, ticker(99, 2.0), Late), (1, ticker(100, 3.0), Published)],
    );
    assert_eq!((handle.load().value().unwrap().trade_price, handle.version()), (3.0, 2));
}

#[test]
fn an_older_book_does_not_replace_a_newer_one_and_an_equal_one_does() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Orderbook);
    let handle = pool.orderbook("KRW-BTC").unwrap();
    publish_all(
        &mut publisher,
        &[(1, orderbook(100, 1.0), Published), (1, orderbook(99, 2.0), Late), (1, orderbook(100, 3.0), Published)],
    );
    assert_eq!(handle.load().value().unwrap().best_ask().unwrap().price, 3.0);
}

#[test]
fn a_candle_is_ordered_by_its_start_and_then_by_its_timestamp() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Candle(Interval::Minute1));
    let handle = pool.candle(Interval::Minute1, "KRW-BTC").unwrap();
    publish_every(
        Duration::from_secs(60).as_nanos() as u64,
        &mut publisher,
        &[
            (1, candle(1, 100), Published),
            (1, candle(1, 99), Late),
            (1, candle(1, 100), Published),
            // A new minute closes the previous one, regardless of the timestamps.
            (1, candle(2, 50), Published),
            (1, candle(1, 200), Late),
            (1, candle(2, 51), Published),
        ],
    );
    assert_eq!(
        (handle.load().value().unwrap().candle_date_time_utc.time.minute, handle.load().value().unwrap().timestamp),
        (2, 51)
    );
}

#[test]
fn a_trade_is_ordered_by_its_timestamp_and_identified_by_its_id() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Trade);
    let handle = pool.trade("KRW-BTC").unwrap();
    publish_all(
        &mut publisher,
        &[
            (1, trade(10, 100), Published),
            // A trade of the previous second: smaller id, later timestamp. Real and newest.
            (1, trade(8, 101), Published),
            // Real, but not the newest.
            (1, trade(9, 99), Late),
            // Each of the three again.
            (1, trade(10, 100), Duplicate),
            (1, trade(8, 101), Duplicate),
            (1, trade(9, 99), Duplicate),
            // Two trades of one millisecond are two trades.
            (1, trade(11, 101), Published),
        ],
    );
    assert_eq!((handle.load().value().unwrap().sequential_id.get(), handle.version()), (Some(11), 3));
    let counts = pool.streams()[0].verdicts;
    assert_eq!((counts.published, counts.late, counts.duplicate, counts.old_epoch), (3, 1, 3, 0));
    assert_eq!(counts.total(), 7);
}

#[test]
fn a_late_trade_or_other_candle_is_news_but_a_late_state_is_not() {
    let (_c, _p, _l, mut trades) = open(DataType::Trade);
    let late = trade(9, 99);
    publish_all(&mut trades, &[(1, trade(10, 100), Published), (1, late, Late)]);
    assert!(trades.is_news(Late, &late), "a late trade did happen");
    assert!(!trades.is_news(Duplicate, &late) && !trades.is_news(OldEpoch, &late));

    let (_c, _p, _l, mut tickers) = open(DataType::Ticker);
    let late = ticker(99, 1.0);
    publish_all(&mut tickers, &[(1, ticker(100, 2.0), Published), (1, late, Late)]);
    assert!(!tickers.is_news(Late, &late), "a late state is history");
    assert!(tickers.is_news(Published, &late));

    let (_c, _p, _l, mut candles) = open(DataType::Candle(Interval::Minute1));
    let (other, same) = (candle(1, 60), candle(2, 50));
    publish_all(
        &mut candles,
        &[(1, candle(2, 51), Published), (1, candle(2, 51), Published), (1, other, Late), (1, same, Late)],
    );
    assert!(candles.is_news(Late, &other), "the final state of the previous candle");
    assert!(!candles.is_news(Late, &same), "an older state of the newest candle");
}

/// Regression: an order that jumped ahead froze a stream until the next socket, and the stream appeared live. Here the
/// jump is too small to be impossible.
#[test]
fn a_wrong_timestamp_does_not_freeze_a_stream() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let mut timeline = Timeline::new();
    let mut offer = |timestamp| arrive(&mut timeline, &mut publisher, receipt(1, 1), &ticker(timestamp, 1.0));
    assert_eq!(offer(9_000), Published);
    let verdicts: Vec<_> = (100..110).map(offer).collect();
    assert_eq!(verdicts[..7], [Late; 7]);
    assert_eq!(verdicts[7..], [Published; 3]);
    assert_eq!(pool.ticker("KRW-BTC").unwrap().load().value().unwrap().timestamp, 109);
}

/// Regression: seven repetitions counted as late, so the next late trade appeared to prove that the newest timestamp is
/// wrong.
#[test]
fn repeated_trades_do_not_prove_that_the_newest_timestamp_is_wrong() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Trade);
    let handle = pool.trade("KRW-BTC").unwrap();
    let mut offer =
        |id, timestamp| publisher.publish(&receipt(1, 1), &trade(id, timestamp), &Timeline::new(), || Nanos(1));
    for id in 1..=20 {
        assert_eq!(offer(id, 100 + id), Published);
    }
    for id in 8..=16 {
        assert_eq!(offer(id, 100 + id), Duplicate);
    }
    assert_eq!(offer(99, 105), Late);
    assert_eq!(handle.load().value().unwrap().sequential_id.get(), Some(20));

    // Repetitions do not hide a wrong timestamp either: eight older real trades prove it, even if repetitions arrive
    // between them.
    for id in 100..106 {
        assert_eq!(offer(id, 106), Late);
        assert_eq!(offer(20, 120), Duplicate);
    }
    assert_eq!((offer(106, 106), offer(107, 107)), (Published, Published));
}

#[test]
fn a_repetition_of_an_older_trade_proves_nothing_about_the_newest() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Trade);
    let handle = pool.trade("KRW-BTC").unwrap();
    publisher.publish(&receipt(1, 10), &trade(1, 100), &Timeline::new(), || Nanos(10));
    publisher.publish(&receipt(1, 20), &trade(2, 200), &Timeline::new(), || Nanos(20));
    assert_eq!(publisher.publish(&receipt(1, 30), &trade(1, 100), &Timeline::new(), || Nanos(30)), Duplicate);
    assert_eq!(handle.load().stamps().unwrap().received, Nanos(20));
    assert_eq!(publisher.publish(&receipt(1, 40), &trade(2, 200), &Timeline::new(), || Nanos(40)), Duplicate);
    assert_eq!(handle.load().stamps().unwrap().received, Nanos(40));
}

#[test]
fn late_data_of_an_old_socket_never_replaces_data_of_the_new_one() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    publish_all(
        &mut publisher,
        &[
            (1, ticker(100, 1.0), Published),
            (2, ticker(101, 2.0), Published),
            (1, ticker(102, 3.0), OldEpoch),
            (1, ticker(103, 4.0), OldEpoch),
        ],
    );
    assert_eq!((handle.load().value().unwrap().trade_price, handle.load().epoch()), (2.0, Some(Epoch(2))));
    assert_eq!(pool.streams()[0].verdicts.old_epoch, 2);
}

#[test]
fn a_new_epoch_wins_regardless_of_its_clock() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    publish_all(
        &mut publisher,
        &[
            (1, ticker(1_000_000, 1.0), Published),
            // The exchange's clock was set back. The stream continues in the order of the new clock.
            (2, ticker(5, 2.0), Published),
            (2, ticker(4, 3.0), Late),
            (2, ticker(6, 4.0), Published),
        ],
    );
    assert_eq!(handle.load().value().unwrap().trade_price, 4.0);
}

#[test]
fn the_snapshot_trade_after_a_reconnect_proves_freshness_and_is_no_news() {
    let (clock, pool, connection, mut publisher) = open(DataType::Trade);
    let handle = pool.trade("KRW-BTC").unwrap();
    publisher.publish(&receipt(1, 10), &trade(7, 100), &Timeline::new(), || Nanos(11));
    connection.disconnected(Nanos(20));
    connection.opened(Epoch(2), Nanos(30), None);
    clock.set(35);
    assert!(!handle.load().health().is_live());

    let verdict = publisher.publish(&receipt(2, 40), &trade(7, 100), &Timeline::new(), || Nanos(41));
    clock.set(45);
    assert_eq!(verdict, Duplicate);
    let reading = handle.load();
    assert!(reading.health().is_live());
    assert_eq!(
        (reading.version(), reading.epoch(), reading.value().unwrap().sequential_id.get()),
        (1, Some(Epoch(2)), Some(7))
    );
    let stamps = Stamps { exchange_ms: 100, received: Nanos(40), published: Nanos(41) };
    assert_eq!(reading.stamps(), Some(stamps));
    assert!(handle.load_if_newer(1).is_none());
    assert_eq!(publisher.publish(&receipt(1, 50), &trade(8, 101), &Timeline::new(), || Nanos(51)), OldEpoch);
}

#[test]
fn an_older_duplicate_that_opens_an_epoch_keeps_the_newer_trade_and_sets_the_clock() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Trade);
    let handle = pool.trade("KRW-BTC").unwrap();
    publish_all(
        &mut publisher,
        &[
            (1, trade(1, 50), Published),
            (1, trade(2, 100), Published),
            (2, trade(1, 50), Duplicate),
            (2, trade(3, 49), Late),
        ],
    );
    assert_eq!(
        (handle.load().value().unwrap().sequential_id.get(), handle.load().epoch(), handle.version()),
        (Some(2), Some(Epoch(1)), 2)
    );
    publish_all(&mut publisher, &[(2, trade(4, 60), Published)]);
    assert_eq!(
        handle.load().value().unwrap().sequential_id.get(),
        Some(4),
        "the order of the new epoch counts, not the old one's"
    );
}

/// Regression: on a new socket, a server that lagged repeated an older trade. That confirmed the newest trade for the
/// new epoch, and the next trade was then older than the confirmed one.
#[test]
fn a_new_socket_that_repeats_an_older_trade_does_not_confirm_the_newest() {
    let (clock, pool, connection, mut publisher) = open(DataType::Trade);
    let handle = pool.trade("KRW-BTC").unwrap();
    let shown = || {
        let reading = handle.load();
        (reading.epoch().unwrap().0, reading.value().unwrap().timestamp, reading.health().is_live())
    };
    publish_all(&mut publisher, &[(1, trade(1, 100), Published), (1, trade(2, 200), Published)]);
    connection.disconnected(Nanos(3));
    connection.opened(Epoch(2), Nanos(4), None);
    clock.set(10);
    publish_all(&mut publisher, &[(2, trade(1, 100), Duplicate)]);
    assert_eq!(shown(), (1, 200, false), "nothing confirms that it still holds");
    // The server has caught up, but this epoch may still deliver a trade between the two.
    publish_all(&mut publisher, &[(2, trade(2, 200), Duplicate)]);
    assert_eq!(shown(), (1, 200, false));
    publish_all(&mut publisher, &[(2, trade(3, 150), Published), (2, trade(3, 150), Duplicate)]);
    assert_eq!(shown(), (2, 150, true));
}

#[test]
fn the_last_256_trades_are_remembered_and_no_more() {
    let (_clock, _pool, _connection, mut publisher) = open(DataType::Trade);
    let mut offer = |id| publisher.publish(&receipt(1, 1), &trade(id, 1), &Timeline::new(), || Nanos(1));
    for id in 1..=257 {
        assert_eq!(offer(id), Published);
    }
    for id in 2..=257 {
        assert_eq!(offer(id), Duplicate, "{id}");
    }
    assert_eq!(offer(1), Published, "256 trades later it is forgotten");
    assert_eq!(offer(0), Published, "0 is an id like any other");
    assert_eq!(offer(0), Duplicate);
}

#[test]
fn unequal_trades_with_one_id_are_two_trades() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Trade);
    let first = trade(7, 100);
    let others = [
        Trade { trade_price: 2.0, ..first },
        Trade { trade_volume: 2.0.into(), ..first },
        Trade { trade_timestamp: 99.into(), ..first },
        Trade { ask_bid: Some(Side::Bid), ..first },
    ];
    publish_all(&mut publisher, &[(1, first, Published)]);
    for (count, other) in (1..).zip(others) {
        publish_all(&mut publisher, &[(1, other, Published), (1, other, Duplicate), (1, first, Duplicate)]);
        assert_eq!(pool.streams()[0].verdicts.id_clashes, count);
    }
    // Judged by its order, like any other trade.
    let late = Trade { trade_price: 3.0, timestamp: 99, ..first };
    publish_all(&mut publisher, &[(1, late, Late), (1, late, Duplicate)]);
    assert!(publisher.is_news(Late, &late));
    assert_eq!(pool.streams()[0].verdicts.id_clashes, 5);
}

#[test]
fn a_trade_that_is_sent_again_in_another_form_is_a_duplicate() {
    let first = Trade { sequential_id: 7.into(), ..trade(7, 100) };
    let again = [
        Trade { stream_type: StreamType::Snapshot, timestamp: 150, ..first },
        Trade { trade_volume: None.into(), ..first },
        Trade { trade_timestamp: None.into(), ask_bid: None, ..first },
        Trade { best_ask_price: 1.0.into(), prev_closing_price: 5.0.into(), ..first },
    ];
    for again in again {
        for (one, other) in [(first, again), (again, first)] {
            let (_clock, pool, _connection, mut publisher) = open(DataType::Trade);
            publish_all(&mut publisher, &[(1, one, Published), (2, other, Duplicate)]);
            assert_eq!(pool.streams()[0].verdicts.id_clashes, 0);
        }
    }
}

#[test]
fn an_id_that_jumps_far_ahead_does_not_bar_the_trades_after_it() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Trade);
    publish_all(&mut publisher, &[(1, trade(1, 1), Published), (1, trade(u64::MAX - 1, 2), Published)]);
    for id in 2..=600 {
        publish_all(&mut publisher, &[(1, trade(id, 1 + id), Published), (1, trade(id, 1 + id), Duplicate)]);
    }
    assert_eq!(pool.streams()[0].verdicts.late, 0);
}

/// A slow model of the gate's rules that keeps the whole history.
#[derive(Default)]
struct Naive {
    epoch: u32,
    /// Timestamps accepted since the start of the epoch, or since its order restarted.
    in_order: Vec<u64>,
    late_in_a_row: u32,
    seen: HashSet<(u64, u64)>,
    shown: Option<Shown>,
}

/// The pool's value. For a ticker, the timestamp replaces the id.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shown {
    id: u64,
    timestamp: u64,
    epoch: u32,
}

impl Naive {
    /// `event` is the id and the price of a trade, and `None` for a ticker.
    fn offer(&mut self, epoch: u32, event: Option<(u64, u64)>, timestamp: u64) -> Verdict {
        if epoch < self.epoch {
            return OldEpoch;
        }
        if epoch > self.epoch {
            self.in_order.clear();
            self.epoch = epoch;
        }
        let first = self.in_order.is_empty();
        let newest = self.in_order.iter().all(|earlier| timestamp >= *earlier);
        if event.is_some_and(|event| !self.seen.insert(event)) {
            if first {
                self.in_order.push(timestamp);
                self.late_in_a_row = 0;
            }
            let is_newest = self.in_order.iter().max() == Some(&timestamp);
            if let Some(shown) = self.shown.as_mut().filter(|shown| is_newest && shown.timestamp == timestamp) {
                shown.epoch = epoch;
            }
            return Duplicate;
        }
        self.late_in_a_row = if newest { 0 } else { self.late_in_a_row + 1 };
        if !newest && self.late_in_a_row < 8 {
            return Late;
        }
        if !newest {
            self.in_order.clear();
        }
        self.late_in_a_row = 0;
        self.in_order.push(timestamp);
        self.shown = Some(Shown { id: event.map_or(timestamp, |(id, _)| id), timestamp, epoch });
        Published
    }
}

/// Returns mostly small timestamps, so that a large one makes many later arrivals late.
fn timestamps() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0u64..4, 1 => 0u64..20]
}

proptest! {
    #[test]
    fn any_order_of_trades_is_judged_like_the_naive_model(
        arrivals in prop::collection::vec((1u32..5, 0u64..60, 0u64..2, timestamps()), 0..200),
    ) {
        let (_clock, pool, _connection, mut publisher) = open::<Trade>(DataType::Trade);
        let handle = pool.trade("KRW-BTC").unwrap();
        let (mut naive, mut timeline, mut published) = (Naive::default(), Timeline::new(), 0);
        let (mut before, mut late_before) = (None::<Shown>, 0);
        for (epoch, id, price, timestamp) in arrivals {
            let trade = Trade { trade_price: price as f64, trade_timestamp: 1.into(), ..trade(id, timestamp) };
            let verdict = arrive(&mut timeline, &mut publisher, receipt(epoch, 1), &trade);
            prop_assert_eq!(verdict, naive.offer(epoch, Some((id, price)), timestamp));
            published += u64::from(verdict == Published);
            let reading = handle.load();
            let shown = reading.value().map(|trade| {
                let (id, timestamp) = (trade.sequential_id.get().unwrap(), trade.timestamp);
                Shown { id, timestamp, epoch: reading.epoch().unwrap().0 }
            });
            prop_assert_eq!(shown, naive.shown);
            // The newest value goes back within an epoch only after eight late arrivals in a row.
            let went_back = shown.zip(before).is_some_and(|(now, before)| {
                now.epoch < before.epoch || (now.epoch == before.epoch && now.timestamp < before.timestamp)
            });
            prop_assert!(!went_back || late_before == 7, "{:?} after {:?}", shown, before);
            (before, late_before) = (shown, naive.late_in_a_row);
            prop_assert_eq!((reading.version(), handle.version(), publisher.version()), (published, published, published));
        }
    }

    #[test]
    fn any_order_of_tickers_is_judged_like_the_naive_model(
        arrivals in prop::collection::vec((1u32..4, timestamps()), 1..100),
    ) {
        let (_clock, pool, _connection, mut publisher) = open::<Ticker>(DataType::Ticker);
        let handle = pool.ticker("KRW-BTC").unwrap();
        let (mut naive, mut timeline) = (Naive::default(), Timeline::new());
        for (epoch, timestamp) in arrivals {
            let verdict = arrive(&mut timeline, &mut publisher, receipt(epoch, 1), &ticker(timestamp, 1.0));
            prop_assert_eq!(verdict, naive.offer(epoch, None, timestamp));
            let reading = handle.load();
            let (timestamp, epoch) = (reading.value().unwrap().timestamp, reading.epoch().unwrap().0);
            prop_assert_eq!(Some(Shown { id: timestamp, timestamp, epoch }), naive.shown);
        }
    }
}
