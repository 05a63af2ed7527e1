//! Compares the gaps that the engine reports with what was taken from it.

use std::collections::BTreeMap;
use std::time::Duration;

use hoga_exchange::Config;

use super::World;
use super::interference::{Harm, Loss};
use crate::engine::{Builder, LifecycleEvent};
use crate::model::{DataType, Nanos, StreamKey};
use crate::monitor::StreamGap;
use crate::plan::{orderbook, ticker, trade};

const MARKETS: [&str; 3] = ["KRW-BTC", "KRW-ETH", "KRW-XRP"];
const TYPES: [DataType; 3] = [DataType::Ticker, DataType::Trade, DataType::Orderbook];
const SEEDS: u64 = 100;
/// The longest time between two looks.
const LOOK: Duration = Duration::from_millis(1100);
/// The longest time that a trade is given to follow its ticker, and a look. A loss is only proven if nothing of the stream
/// arrives for so long.
const PROVEN_AFTER: Duration = Duration::from_millis(10_200);

/// Returns a world in which all streams of three busy markets have run for a while.
fn busy_world(seed: u64) -> World {
    let mut world = World::new(seed, Builder::default(), Config { speed: 10.0, markets: 8, ..Config::default() });
    world.subscribe(ticker(MARKETS));
    world.subscribe(trade(MARKETS));
    world.subscribe(orderbook(MARKETS));
    world.run(Duration::from_secs(30));
    world
}

fn streams() -> impl Iterator<Item = StreamKey> {
    TYPES.into_iter().flat_map(|data_type| MARKETS.map(|code| StreamKey::of(data_type, code.parse().unwrap())))
}

/// Harms one stream of the market, or all streams, and waits until the engine has recovered.
fn harm(world: &mut World, market: &str) {
    let stream_of = |data_type| StreamKey::of(data_type, market.parse().unwrap());
    let stream = stream_of(world.random.pick(&TYPES));
    let (harm, lasts) = match world.random.below(4) {
        0 => {
            world.cut(0);
            return world.run(Duration::from_secs(15));
        }
        1 => (Harm::RefuseOne, Duration::ZERO),
        2 => (Harm::LoseChanges, Duration::from_secs(20)),
        _ => (Harm::LoseAll, Duration::from_secs(45)),
    };
    // Only a trade that is lost is missing later.
    let stream = if harm == Harm::LoseChanges { stream_of(DataType::Trade) } else { stream };
    world.interference.begin(stream, harm);
    world.run(lasts);
    if harm == Harm::RefuseOne {
        while world.interference.is_active() {
            world.run(Duration::from_millis(50));
        }
    }
    world.interference.end();
    world.run(Duration::from_secs(12));
}

/// An interval in which messages of a stream did not arrive, for one reason.
struct Truth {
    stream: StreamKey,
    from: Nanos,
    to: Nanos,
}

/// Returns the time between the last message of each socket and the first of the next, for each stream.
fn between_sockets(world: &World) -> Vec<Truth> {
    let of_stream = |stream| {
        let receipts = world.arrivals.receipts(stream);
        let pairs = receipts.windows(2).filter(|pair| pair[0].1 != pair[1].1);
        pairs.map(|pair| Truth { stream, from: pair[0].0, to: pair[1].0 }).collect::<Vec<_>>()
    };
    streams().flat_map(of_stream).collect()
}

fn covers(gap: &StreamGap, stream: StreamKey, from: Nanos, to: Nanos) -> bool {
    gap.stream == stream && gap.from.received <= from && gap.to.is_none_or(|end| end.received >= to)
}

/// Returns true if the loss cannot be proven: another message of the stream has arrived soon after it.
fn is_unproven(world: &World, loss: &Loss) -> bool {
    let arrivals = world.arrivals.receipts(loss.stream);
    let next = arrivals.iter().map(|(at, _)| *at).find(|at| *at > loss.at);
    loss.harm == Harm::LoseChanges && next.is_some_and(|next| next < loss.at + PROVEN_AFTER)
}

fn check(seed: u64, world: &mut World) {
    let gaps = world.gaps();
    let (sockets, losses) = (between_sockets(world), world.interference.losses());
    for Truth { stream, from, to } in &sockets {
        let gap = gaps.iter().find(|gap| covers(gap, *stream, *from, *to));
        let gap = gap.unwrap_or_else(|| panic!("seed {seed}: {stream} {from:?}..{to:?} is not in {gaps:?}"));
        let end = gap.to.unwrap_or_else(|| panic!("seed {seed}: {gap:?} is open"));
        let is_harmed = losses.iter().any(|loss| loss.stream == *stream && covers(gap, *stream, loss.at, loss.at));
        assert!(is_harmed || end.received <= *to + LOOK, "seed {seed}: {gap:?} ends too late after {to:?}");
        assert!(gap.from.epoch < end.epoch, "seed {seed}: {gap:?}");
    }
    for loss in &losses {
        let is_found = gaps.iter().any(|gap| covers(gap, loss.stream, loss.at, loss.at));
        assert!(
            is_found || is_unproven(world, loss),
            "seed {seed}: {} lost a message at {:?}: {gaps:?}",
            loss.stream,
            loss.at
        );
    }
    for gap in &gaps {
        let is_lost = |loss: &Loss| covers(gap, loss.stream, loss.at, loss.at);
        let is_cut = |truth: &Truth| covers(gap, truth.stream, truth.from, truth.to);
        assert!(losses.iter().any(is_lost) || sockets.iter().any(is_cut), "seed {seed}: nothing is missing in {gap:?}");
        let begin = world.arrivals.receipts(gap.stream).iter().any(|(at, _)| *at == gap.from.received);
        assert!(begin, "seed {seed}: {gap:?} does not begin with a message");
    }
}

#[test]
fn reported_gaps_contain_everything_that_did_not_arrive_and_nothing_else() {
    let mut causes = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut world = busy_world(seed);
        let watcher = world.watch();
        assert_eq!(world.gaps(), [], "seed {seed}: nothing was injected");
        // A stream that was mute for a minute teaches that such a silence is usual, so each market is harmed once.
        for harmed in 0..2 {
            harm(&mut world, MARKETS[(seed as usize + harmed) % MARKETS.len()]);
        }
        // The next answer to a question ends the last gap.
        let end = world.now() + Duration::from_secs(700);
        while world.gaps().iter().any(|gap| gap.to.is_none()) && world.now() < end {
            world.run(Duration::from_secs(1));
        }
        check(seed, &mut world);
        let reported = std::iter::from_fn(|| watcher.try_next()).filter_map(|event| match event {
            LifecycleEvent::Gap(gap) if gap.to.is_some() => Some(gap),
            _ => None,
        });
        let gaps = world.gaps();
        assert_eq!(reported.collect::<Vec<_>>(), gaps, "seed {seed}: a watcher gets what the log has");
        gaps.iter().for_each(|gap| *causes.entry(gap.cause.as_str()).or_insert(0) += 1);
    }
    eprintln!("{causes:?}");
    for cause in ["new_socket", "refused", "missing_trade", "behind_trades", "unanswered"] {
        assert!(causes.get(cause).is_some_and(|count| *count >= 5), "too few gaps of a kind: {causes:?}");
    }
}
