//! Looks at the health of all streams as a program's reader sees it.

use std::time::Duration;

use hoga::engine::Engine;
use hoga::model::{Candle, ConnectionId, DataType, Nanos, Noun, NounKind, Orderbook, StreamKey, Ticker, Trade};
use hoga::pool::{Health, PoolError};

/// The health of a stream, and when its newest value was received and by which connection.
type Seen = (Health, Option<(Nanos, ConnectionId)>);

struct Stream {
    key: StreamKey,
    look: Box<dyn Fn() -> Seen>,
}

/// All streams at one moment.
#[derive(Debug, Clone, Default)]
pub struct Glance {
    pub at: Nanos,
    /// Number of streams against whose value nothing speaks.
    pub undisputed: usize,
    /// The health of a stream that is not live, if there is one.
    pub worst: Option<Health>,
    /// When each connection last received a value that is still the newest of its stream.
    pub heard: Vec<Nanos>,
    /// Number of each connection's streams that are live.
    live: Vec<usize>,
}

impl Glance {
    fn empty(at: Nanos, connections: usize) -> Self {
        Self { at, heard: vec![Nanos::default(); connections], live: vec![0; connections], ..Self::default() }
    }
}

/// Time of streams: each stream counts separately.
#[derive(Debug, Default)]
pub struct Times {
    pub up: Duration,
    pub undisputed: Duration,
    pub blind: Duration,
}

pub struct Watch {
    streams: Vec<Stream>,
    /// A value that is live after this much silence of its connection is blind.
    silence_max: Duration,
    pub times: Times,
    pub last: Glance,
}

impl Watch {
    pub fn new(engine: &Engine, keys: &[StreamKey], silence_max: Duration) -> Result<Self, PoolError> {
        let streams = keys.iter().map(|key| stream(engine, *key)).collect::<Result<_, _>>()?;
        let connections = engine.connections().len();
        let last = Glance::empty(engine.now(), connections);
        Ok(Self { streams, silence_max, times: Times::default(), last })
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Looks at all streams. `is_up` says whether the time since the last look counts as up-time.
    pub fn look(&mut self, now: Nanos, is_up: bool) {
        let mut glance = Glance::empty(now, self.last.heard.len());
        for stream in &self.streams {
            let (health, received) = (stream.look)();
            glance.undisputed += usize::from(health.is_undisputed());
            glance.worst = if health.is_live() { glance.worst } else { Some(health) };
            let Some((received, ConnectionId(connection))) = received else { continue };
            if let Some(heard) = glance.heard.get_mut(usize::from(connection)) {
                *heard = (*heard).max(received);
                glance.live[usize::from(connection)] += usize::from(health.is_live());
            }
        }
        let passed = now.since(self.last.at);
        if is_up {
            self.times.up += passed * self.streams.len() as u32;
            self.times.undisputed += passed * glance.undisputed as u32;
        }
        self.times.blind += passed * self.blind(&glance);
        self.last = glance;
    }

    /// Returns the number of streams that were blind at the last look. If a connection was heard since then, it may have
    /// been heard while that look was taken.
    fn blind(&self, now: &Glance) -> u32 {
        let is_blind = |connection: &usize| {
            let heard = self.last.heard[*connection];
            now.heard[*connection] == heard && self.last.at.since(heard) > self.silence_max
        };
        (0..now.heard.len()).filter(is_blind).map(|connection| self.last.live[connection] as u32).sum()
    }

    /// Returns when the newest value of a stream was received.
    pub fn received(&self, key: StreamKey) -> Option<Nanos> {
        let stream = self.streams.iter().find(|stream| stream.key == key)?;
        (stream.look)().1.map(|(received, _)| received)
    }

    /// Returns a stream that is not undisputed, with its health, for an error message.
    pub fn disputed(&self) -> Option<String> {
        let mut seen = self.streams.iter().map(|stream| (stream.key, (stream.look)().0));
        seen.find(|(_, health)| !health.is_undisputed()).map(|(key, health)| format!("{key} is {health}"))
    }
}

fn stream(engine: &Engine, key: StreamKey) -> Result<Stream, PoolError> {
    Ok(match key.data_type.kind() {
        NounKind::Ticker => of::<Ticker>(engine, key)?,
        NounKind::Trade => of::<Trade>(engine, key)?,
        NounKind::Orderbook => of::<Orderbook>(engine, key)?,
        _ => of::<Candle>(engine, key)?,
    })
}

fn of<T: Noun + 'static>(engine: &Engine, key: StreamKey) -> Result<Stream, PoolError> {
    let handle = engine.pool().stream::<T>(key)?;
    let look = move || {
        let reading = handle.load();
        (reading.health(), reading.stamps().map(|stamps| stamps.received).zip(reading.connection()))
    };
    Ok(Stream { key, look: Box::new(look) })
}

/// Returns the keys of all streams that the soak subscribes to.
pub fn keys(markets: &[String]) -> Vec<StreamKey> {
    let types =
        [DataType::Ticker, DataType::Trade, DataType::Orderbook, DataType::Candle(hoga::model::Interval::Second1)];
    let markets: Vec<_> = markets.iter().filter_map(|code| code.parse().ok()).collect();
    types
        .into_iter()
        .flat_map(|data_type| markets.iter().map(move |market| StreamKey::of(data_type, *market)))
        .collect()
}
