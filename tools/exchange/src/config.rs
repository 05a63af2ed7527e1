//! What may be tuned: meaning, default, cost. Defaults are Upbit's measured behaviour.

use crate::dialect::Dialect;
use crate::limits::Limits;
use crate::replay::Replay;
use std::sync::Arc;
use std::time::Duration;

/// How fast a replay is served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many messages per second and connection. A reader that cannot follow slows its own replay down.
    PerSecond(f64),
    /// As fast as the subscriber takes them; some tens of kilobytes are queued at most.
    Unlimited,
}

/// Configuration of an [`Exchange`](crate::Exchange).
#[derive(Debug, Clone)]
pub struct Config {
    /// Which exchange it is, or nearly. Default: Upbit. The limits are apart: see [`Config::of`].
    pub dialect: Dialect,
    /// The same seed and the same inputs at the same times give the same bytes. Default: 0.
    pub seed: u64,
    /// Number of markets: of ten, six are quoted in KRW, three in BTC, one in USDT; well-known names first.
    /// Default: 300. Markets nobody subscribes to cost only their row in the list.
    pub markets: usize,
    /// Multiplies trades and book changes. Books stay on their 100 ms grid whatever this is. Default: 1.
    pub speed: f64,
    /// When the first half of a request's snapshots is sent, and when the rest. Default: 10 ms and 170 ms.
    pub snapshot_delays: [Duration; 2],
    /// Most frames of a replaced subscription that still arrive; each replacement draws 0 to this. Default: 2.
    pub stale_frames: u64,
    /// Silence of both sides after which TCP is closed without a close frame. Default: 60 s; documented are 120 s.
    pub idle_timeout: Duration,
    /// Between an error message and its close frame with code 1000. Default: 165 ms.
    pub error_close_delay: Duration,
    /// Bytes queued for one connection. A reader further behind is cut off, because frames skipped silently
    /// would make this exchange tell less than the truth; see [`Stats::slow_readers`](crate::Stats::slow_readers).
    /// Default: 4 MiB.
    pub output_limit: usize,
    /// How many requests are kept for [`Exchange::received`](crate::Exchange::received), and no more than 16 MiB of them.
    /// Default: 1,000.
    pub received_kept: usize,
    /// Rate limits.
    pub limits: Limits,
    /// Lines to serve instead of the market model, for the streams they have. Default: none.
    pub replay: Option<Arc<Replay>>,
    /// How fast. Default: 100 messages per second.
    pub pace: Pace,
    /// Whether a replay starts again after its last line. Default: no.
    pub replay_loops: bool,
}

impl Config {
    /// The defaults of one exchange, limits and all.
    pub fn of(dialect: Dialect) -> Self {
        Self { dialect, limits: dialect.limits(), ..Self::default() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dialect: Dialect::Upbit,
            seed: 0,
            markets: 300,
            speed: 1.0,
            snapshot_delays: [Duration::from_millis(10), Duration::from_millis(170)],
            stale_frames: 2,
            idle_timeout: Duration::from_secs(60),
            error_close_delay: Duration::from_millis(165),
            output_limit: 4 << 20,
            received_kept: 1_000,
            limits: Limits::default(),
            replay: None,
            pace: Pace::PerSecond(100.0),
            replay_loops: false,
        }
    }
}
