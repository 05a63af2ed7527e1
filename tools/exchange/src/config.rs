//! The settings of the exchange: meaning, default, cost. The defaults are Upbit's measured behavior.

use crate::dialect::Dialect;
use crate::limits::Limits;
use crate::replay::Replay;
use std::sync::Arc;
use std::time::Duration;

/// The speed of a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// This many messages per second and connection. A slow reader slows its own replay.
    PerSecond(f64),
    /// As fast as the subscriber reads. At most some tens of kilobytes are queued.
    Unlimited,
}

/// Configuration of an [`Exchange`](crate::Exchange).
#[derive(Debug, Clone)]
pub struct Config {
    /// The exchange to simulate. Default: Upbit. Does not set the limits; see [`Config::of`].
    pub dialect: Dialect,
    /// The seed of all random numbers. The same seed and the same inputs at the same times give the same bytes.
    /// Default: 0.
    pub seed: u64,
    /// The number of markets. Of ten markets, six are quoted in KRW, three in BTC and one in USDT; well-known names
    /// come first. Default: 300. Markets without subscribers cost only their row in the list.
    pub markets: usize,
    /// Multiplies the rates of trades and book changes. Book frames always stay on a 100 ms grid. Default: 1.
    pub speed: f64,
    /// The delays of the first and the second half of a request's snapshots. Default: 10 ms and 170 ms.
    pub snapshot_delays: [Duration; 2],
    /// The maximum number of frames of a replaced subscription that still arrive; each replacement draws 0 to this.
    /// Default: 2.
    pub stale_frames: u64,
    /// Silence of both sides after which TCP is closed without a close frame. Default: 60 s, as measured; 120 s are
    /// documented.
    pub idle_timeout: Duration,
    /// The time between an error message and its close frame with code 1000. Default: 165 ms.
    pub error_close_delay: Duration,
    /// The maximum number of bytes queued for one connection. Default: 4 MiB. A client that is further behind is
    /// dropped, because silently skipped frames would make the ground truth wrong; see
    /// [`Stats::slow_readers`](crate::Stats::slow_readers).
    pub output_limit: usize,
    /// The maximum number of requests stored for [`Exchange::received`](crate::Exchange::received), and at most 16 MiB.
    /// Default: 1,000.
    pub received_kept: usize,
    /// Rate limits.
    pub limits: Limits,
    /// Recorded lines to serve instead of the market model, for the streams that they contain. Default: none.
    pub replay: Option<Arc<Replay>>,
    /// The speed of the replay. Default: 100 messages per second.
    pub pace: Pace,
    /// Whether a replay starts again after its last line. Default: no.
    pub replay_loops: bool,
}

impl Config {
    /// Returns the defaults of one exchange, including its limits.
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
