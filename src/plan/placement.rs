//! Places markets on connections.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::model::{Scope, StreamKey};

/// The load of a connection may reach this multiple of an equal share. Beyond that, the connection with the next best
/// hash is chosen.
const SLACK: f64 = 1.2;

/// Places markets on connections by rendezvous hashing with bounded loads. Each market goes to the connection with the
/// best hash among those that are not overloaded. So an engine with another number of connections places few markets
/// differently, and no connection is overloaded.
///
/// All streams of a market are on the same connection, and a market never moves: no stream is interrupted to balance
/// the load.
#[derive(Debug, Clone)]
pub struct Placement {
    homes: HashMap<Scope, usize, FixedState>,
    loads: Vec<f64>,
    streams: Vec<usize>,
}

impl Placement {
    /// Creates a placement on `connections` connections, numbered from 0.
    pub fn new(connections: usize) -> Self {
        Self { homes: HashMap::default(), loads: vec![0.0; connections], streams: vec![0; connections] }
    }

    /// Returns the connection of the market, or the one it would be placed on now.
    pub fn home(&self, key: StreamKey) -> usize {
        self.homes.get(&key.scope).copied().unwrap_or_else(|| self.choose(key))
    }

    /// Adds a stream, and returns its connection.
    pub fn add(&mut self, key: StreamKey) -> usize {
        let home = self.home(key);
        self.homes.insert(key.scope, home);
        self.loads[home] += weight(key);
        self.streams[home] += 1;
        home
    }

    /// Removes a stream. Its market keeps its connection.
    pub fn remove(&mut self, key: StreamKey) {
        let home = self.home(key);
        self.streams[home] -= 1;
        // Rounding errors must not add up over millions of changes.
        self.loads[home] = if self.streams[home] == 0 { 0.0 } else { self.loads[home] - weight(key) };
    }

    /// Counts the streams again. Each market keeps its connection.
    pub fn rebuild(&mut self, streams: impl Iterator<Item = StreamKey>) {
        self.loads.fill(0.0);
        self.streams.fill(0);
        for key in streams {
            self.add(key);
        }
    }

    /// Returns the number of streams on each connection.
    pub fn streams(&self) -> &[usize] {
        &self.streams
    }

    /// Returns the expected load of each connection in bytes per second.
    pub fn loads(&self) -> &[f64] {
        &self.loads
    }

    fn choose(&self, key: StreamKey) -> usize {
        let total: f64 = self.loads.iter().sum::<f64>() + weight(key);
        let bound = total / self.loads.len() as f64 * SLACK;
        let preference = |c: &usize| FixedState::default().hash_one((key.scope, *c));
        let has_room = |c: &usize| self.loads[*c] + weight(key) <= bound;
        let roomy = (0..self.loads.len()).filter(has_room).max_by_key(preference);
        // With few streams, a single one may exceed the bound of every connection. Then choose the connection with the
        // lowest load.
        let emptiest = || (0..self.loads.len()).min_by(|a, b| self.loads[*a].total_cmp(&self.loads[*b]));
        roomy.or_else(emptiest).unwrap_or(0)
    }
}

/// Returns the expected bytes per second. Markets in KRW send about ten times as much as others.
fn weight(key: StreamKey) -> f64 {
    let is_quiet = key.market().is_some_and(|market| market.quote() != "KRW");
    key.data_type.bytes_per_second() * if is_quiet { 0.1 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DataType, Interval, Market};

    /// Returns 4200 streams: 840 markets in the exchange's mix of quote currencies, with five streams each.
    fn streams() -> Vec<StreamKey> {
        let types = [
            DataType::Ticker,
            DataType::Trade,
            DataType::Orderbook,
            DataType::Candle(Interval::Second1),
            DataType::Candle(Interval::Minute1),
        ];
        let market = |n: usize| -> Market {
            let quote = ["KRW", "BTC", "USDT"][n % 3];
            format!("{quote}-C{n}").parse().unwrap()
        };
        (0..840).flat_map(|n| types.map(|data_type| StreamKey::of(data_type, market(n)))).collect()
    }

    fn placed(connections: usize) -> (Placement, Vec<usize>) {
        let mut placement = Placement::new(connections);
        let homes = streams().into_iter().map(|key| placement.add(key)).collect();
        (placement, homes)
    }

    #[test]
    fn no_connection_carries_much_more_than_its_share() {
        for connections in 1..=16 {
            let (placement, _) = placed(connections);
            let average = placement.loads().iter().sum::<f64>() / connections as f64;
            let most = placement.loads().iter().copied().fold(0.0, f64::max);
            let market: f64 = streams()[..5].iter().map(|key| weight(*key)).sum();
            assert!(most <= average * SLACK + market, "{connections}: {most} of {average}");
            assert_eq!(placement.streams().iter().sum::<usize>(), 4200);
        }
    }

    #[test]
    fn the_streams_of_a_market_stay_together_and_never_move() {
        let (mut placement, homes) = placed(4);
        for (five, homes) in streams().chunks(5).zip(homes.chunks(5)) {
            assert!(homes.iter().all(|home| *home == homes[0]), "{five:?}");
        }
        let all = streams();
        for key in &all {
            placement.remove(*key);
        }
        assert_eq!(placement.loads(), [0.0; 4]);
        for (key, home) in all.iter().rev().zip(homes.iter().rev()) {
            assert_eq!(placement.add(*key), *home);
        }
    }

    #[test]
    fn an_added_connection_moves_few_streams() {
        for connections in 1..8 {
            let (_, before) = placed(connections);
            let (_, after) = placed(connections + 1);
            let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            // At least the new connection's share must move. Bounded loads also push some streams off their first
            // choice.
            let least = before.len() / (connections + 1);
            assert!(moved <= least * 2, "{connections}: {moved} moved, at least {least} must");
        }
    }
}
