//! Everything an engine is told before it starts, checked as a whole before anything is started.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::config::{Backoff, ConnectLedger, Endpoint, FormatChoice, KeepAlive, Limits, Pacing, Timeouts, Wait};
use crate::error::{Error, Result};
use crate::model::{Interval, Market, Nanos};
#[cfg(feature = "rest")]
use crate::net::RestMarkets;
use crate::net::{MarketSource, Resolve, SystemResolver, TlsConfig, is_available};
use crate::plan::{self, Checked, IntoMarkets, PlanConfig, Planner, Subscription, Universe};
use crate::pool::DataPool;

/// A stream that nobody wants is not carried longer than this.
const GRACE_MAX: Duration = Duration::from_secs(60);

/// The largest root certificate file that is read.
const ROOTS_FILE_MAX: u64 = 1 << 20;

/// Says what an [`Engine`] shall do. Everything has a default; no key is needed for public data.
///
/// [`start`](Self::start) checks everything and reports all problems at once, before any of the engine's threads runs.
#[must_use]
pub struct Builder {
    pub(super) settings: Settings,
    subscription: Option<Subscription>,
    roots: Vec<Vec<u8>>,
    roots_files: Vec<PathBuf>,
    pub(super) source: Option<(Box<dyn MarketSource>, Duration)>,
    #[cfg(feature = "rest")]
    rest_every: Option<Duration>,
    problems: Vec<String>,
}

/// What the engine keeps of the builder.
#[derive(Clone)]
pub(super) struct Settings {
    pub endpoint: Endpoint,
    pub format: FormatChoice,
    pub wait: Wait,
    pub pin: Vec<usize>,
    pub connections: usize,
    pub grace: Duration,
    pub patience: Duration,
    pub clean_up: Duration,
    pub universe: Universe,
    pub timeouts: Timeouts,
    pub backoff: Backoff,
    pub limits: Limits,
    pub connect_ledger: ConnectLedger,
    pub pacing: Pacing,
    pub keep_alive: KeepAlive,
    pub stale_after: Duration,
    pub receive_bytes: usize,
    pub broadcast_capacity: usize,
    pub measure_latencies: bool,
    pub resolver: Arc<dyn Resolve>,
}

impl Settings {
    /// There are some, and not too many.
    fn has_connections(&self) -> bool {
        (1..=Builder::CONNECTIONS_MAX).contains(&self.connections)
    }

    /// What the planner has to know. `knows_markets`: somebody will say which markets exist.
    pub fn plan(&self, knows_markets: bool) -> PlanConfig {
        PlanConfig {
            connections: self.connections,
            window: self.pacing.window(),
            grace: self.grace,
            patience: self.patience,
            clean_up: self.clean_up,
            knows_markets,
            streams_per_connection: self.limits.streams_per_connection,
            format: self.format.first(),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { endpoint, connections, .. } = &self.settings;
        f.debug_struct("Builder")
            .field("endpoint", endpoint)
            .field("connections", connections)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            settings: Settings {
                endpoint: Endpoint::korea(),
                format: FormatChoice::default(),
                wait: Wait::Park,
                pin: Vec::new(),
                connections: 1,
                grace: Duration::from_secs(5),
                patience: Duration::from_secs(3),
                clean_up: Duration::from_secs(60),
                universe: Universe::default(),
                timeouts: Timeouts::default(),
                backoff: Backoff::default(),
                limits: Limits::default(),
                connect_ledger: ConnectLedger::Host,
                pacing: Pacing::Balanced,
                keep_alive: KeepAlive::Ping,
                stale_after: DataPool::STALE_AFTER,
                receive_bytes: 64 * 1024,
                broadcast_capacity: 4096,
                measure_latencies: false,
                resolver: Arc::new(SystemResolver),
            },
            subscription: None,
            roots: Vec::new(),
            roots_files: Vec::new(),
            source: None,
            #[cfg(feature = "rest")]
            rest_every: None,
            problems: Vec::new(),
        }
    }
}

impl Builder {
    /// The most connections. The exchange allows five new ones per second and address.
    pub const CONNECTIONS_MAX: usize = 64;

    /// Subscribes to the tickers of markets from the start.
    pub fn ticker(self, markets: impl IntoMarkets) -> Self {
        self.subscribe(plan::ticker(markets))
    }

    /// Subscribes to the trades of markets from the start.
    pub fn trade(self, markets: impl IntoMarkets) -> Self {
        self.subscribe(plan::trade(markets))
    }

    /// Subscribes to the order books of markets from the start.
    pub fn orderbook(self, markets: impl IntoMarkets) -> Self {
        self.subscribe(plan::orderbook(markets))
    }

    /// Subscribes to candles of markets from the start.
    pub fn candle(self, interval: Interval, markets: impl IntoMarkets) -> Self {
        self.subscribe(plan::candle(interval, markets))
    }

    /// Subscribes to these streams from the start, for as long as the engine runs. More can be added at any time with
    /// [`Engine::subscribe`].
    pub fn subscribe<T>(mut self, subscription: Subscription<T>) -> Self {
        self.subscription = Some(match self.subscription.take() {
            Some(earlier) => earlier.and(subscription),
            None => subscription.mixed(),
        });
        self
    }

    /// Which exchange. Default: Upbit Korea.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.settings.endpoint = endpoint;
        self
    }

    /// How the exchange shall write: a [`Format`](crate::model::Format), or a [`FormatRule`](crate::config::FormatRule)
    /// by which each connection finds the cheapest by itself. Default: `Format::Default`. What is read is the same;
    /// `Format::Simple` saves about a third of the bytes. [`Engine::set_format`] changes it.
    pub fn format(mut self, format: impl Into<FormatChoice>) -> Self {
        self.settings.format = format.into();
        self
    }

    /// How the connection's thread waits. Default: [`Wait::Park`].
    pub fn wait(mut self, wait: Wait) -> Self {
        self.settings.wait = wait;
        self
    }

    /// Spreads the streams over so many connections, each with a thread of its own. Default: 1, which carries all that
    /// the exchange has. All streams of a market stay together. At most [`CONNECTIONS_MAX`](Self::CONNECTIONS_MAX).
    pub fn connections(mut self, connections: usize) -> Self {
        self.settings.connections = connections;
        self
    }

    /// Pins the connections' threads to cores, one for each connection. Default: the scheduler decides.
    pub fn pin(mut self, cores: impl IntoIterator<Item = usize>) -> Self {
        self.settings.pin = cores.into_iter().collect();
        self
    }

    /// How long a stream stays on the wire after the last who wanted it has left, so that asking again costs nothing.
    /// Default: 5 s. It stays live for that long, and until the request without it is sent.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// How often the leases of clients are looked at. Default: 60 s.
    pub fn clean_up_every(mut self, time: Duration) -> Self {
        self.settings.clean_up = time;
        self
    }

    /// How long a stream may bring nothing after it was asked for, before it is asked for once more, and again before it
    /// counts as unconfirmed. Default: 3 s.
    pub fn confirm_within(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// Deadlines. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// Pause between tries to connect. Default: [`Backoff::default`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// What the exchange rations. Default: [`Limits::default`], Upbit's documented limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Who shares the budget of connects. Default: [`ConnectLedger::Host`], all engines of this user on this host. The
    /// exchange counts connects per address: narrower, several processes together may be refused or banned.
    pub fn connect_ledger(mut self, ledger: ConnectLedger) -> Self {
        self.settings.connect_ledger = ledger;
        self
    }

    /// How hard to lean on the limits. Default: [`Pacing::Balanced`]. Slower shares the limits with others and forgives
    /// an uneven network; faster brings changes of demand to the wire sooner.
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.settings.pacing = pacing;
        self
    }

    /// How a quiet socket is kept open. Default: [`KeepAlive::Ping`].
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.settings.keep_alive = keep_alive;
        self
    }

    /// Longest silence of the whole connection during which its values count as live. Default: 12 s, which is
    /// [`Timeouts::quiet_after`] and time for the answer. Shorter notices a mute exchange sooner; not longer than
    /// `quiet_after`, values of a connection where nobody trades are called stale until the exchange has answered.
    pub fn stale_after(mut self, time: Duration) -> Self {
        self.settings.stale_after = time;
        self
    }

    /// Room for one read from the socket, in bytes. Default: 64 KiB, the fastest measured; 4 KiB to 1 MiB.
    pub fn receive_bytes(mut self, bytes: usize) -> Self {
        self.settings.receive_bytes = bytes;
        self
    }

    /// Events that each ring holds from which feeds with [`Overflow::DropOldest`](crate::feed::Overflow::DropOldest)
    /// read: one ring for each type and connection that somebody reads this way, shared by all of them. Default: 4096,
    /// 1.3 MB for tickers, 0.8 MB for trades and candles, 4.7 MB for order books. A power of two, 16 to 1,048,576.
    pub fn broadcast_capacity(mut self, events: usize) -> Self {
        self.settings.broadcast_capacity = events;
        self
    }

    /// Records where the time of messages goes, for [`Engine::latencies`]. Default: no. Costs a look at the clock for each
    /// message and each read, 150 KB for each connection, and on Linux asks the kernel to stamp what it receives, which it
    /// then does for every packet of the machine.
    pub fn measure_latencies(mut self, measure: bool) -> Self {
        self.settings.measure_latencies = measure;
        self
    }

    /// Trusts the root certificates in this PEM text, besides the public ones. For a test exchange.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// The same from a file, read at start.
    pub fn root_certificates_file(mut self, path: impl AsRef<Path>) -> Self {
        self.roots_files.push(path.as_ref().to_owned());
        self
    }

    /// Looks names up with this instead of the operating system's resolver.
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.settings.resolver = Arc::new(resolver);
        self
    }

    /// The markets that exist, for patterns such as `KRW-*`. [`Engine::set_universe`] changes them.
    pub fn universe(mut self, markets: impl IntoIterator<Item = Market>) -> Self {
        self.settings.universe = markets.into_iter().collect();
        self
    }

    /// Asks `source` which markets exist, at the start and then this often, on a thread of its own. What it cannot say is
    /// logged and asked again, at least once a minute; what was known before still stands.
    pub fn market_source(mut self, source: impl MarketSource + 'static, every: Duration) -> Self {
        self.source = Some((Box::new(source), every));
        self
    }

    /// Asks the exchange's REST interface which markets exist, see [`market_source`](Self::market_source). With the
    /// engine's own root certificates.
    #[cfg(feature = "rest")]
    pub fn rest_markets(mut self, every: Duration) -> Self {
        self.rest_every = Some(every);
        self
    }

    /// Checks everything, then starts the engine.
    ///
    /// # Errors
    /// [`Error::Configuration`] names every problem, in the settings and in what is subscribed to from the start: markets
    /// that are none, patterns where nobody says which markets exist, more streams than the connections may carry. Nothing
    /// was started. [`Error::Start`] if the system refused a thread or an event queue; what had been started was stopped
    /// again.
    pub fn start(mut self) -> Result<Engine> {
        let tls = self.checked_tls();
        self.check_settings();
        self.check_subscription();
        if !self.problems.is_empty() {
            return Err(Error::Configuration(self.problems));
        }
        // Without a problem there are roots: the two go together.
        let Some(tls) = tls else { return Err(Error::Configuration(vec!["no root certificates".to_owned()])) };
        Engine::start(self.settings, tls, self.subscription, self.source)
    }

    /// Asks a planner of its own what the engine's will be asked.
    fn check_subscription(&mut self) {
        let Some(subscription) = self.subscription.clone() else { return };
        let problem = match Checked::of(subscription, self.settings.endpoint.dialect()) {
            Err(invalid) => Some(invalid.to_string()),
            // How many streams there may be is not known then, and is not the first thing to mend.
            Ok(_) if !self.settings.has_connections() => None,
            Ok(checked) => {
                let mut planner = Planner::new(self.settings.plan(self.source.is_some()));
                planner.set_universe(Nanos::default(), self.settings.universe.clone());
                planner.add(Nanos::default(), None, checked).err().map(|refused| Error::refused(refused).to_string())
            }
        };
        self.problems.extend(problem.map(|problem| format!("subscription: {problem}")));
    }

    fn checked_tls(&mut self) -> Option<TlsConfig> {
        let mut roots = std::mem::take(&mut self.roots);
        for path in &self.roots_files {
            match read_roots(path) {
                Ok(pem) => roots.push(pem),
                Err(why) => self.problems.push(format!("root certificates {}: {why}", path.display())),
            }
        }
        #[cfg(feature = "rest")]
        if let Some(every) = self.rest_every {
            match RestMarkets::new(&self.settings.endpoint, &roots) {
                Ok(source) => self.source = Some((Box::new(source), every)),
                Err(e) => self.problems.push(format!("root certificates: {e}")),
            }
        }
        TlsConfig::new(&roots).map_err(|e| self.problems.push(format!("root certificates: {e}"))).ok()
    }

    fn check_settings(&mut self) {
        let settings = &self.settings;
        self.problems.extend(settings.format.problems(settings.endpoint.dialect().formats));
        self.problems.extend(settings.timeouts.problems());
        self.problems.extend(settings.limits.problems());
        if settings.backoff.base.is_zero() || settings.backoff.cap < settings.backoff.base {
            self.problems.push("backoff: base must be longer than zero and not longer than cap".to_owned());
        }
        if settings.stale_after.is_zero() {
            self.problems.push("stale_after must be longer than zero".to_owned());
        }
        if !(4096..=1 << 20).contains(&settings.receive_bytes) {
            self.problems.push("receive_bytes must be from 4 KiB to 1 MiB".to_owned());
        }
        let ring = settings.broadcast_capacity;
        if !ring.is_power_of_two() || !(16..=1 << 20).contains(&ring) {
            self.problems.push(format!("broadcast_capacity must be a power of two from 16 to 1048576, not {ring}"));
        }
        let (cores, connections) = (settings.pin.len(), settings.connections);
        if !settings.has_connections() {
            self.problems.push(format!("connections must be from 1 to {}", Self::CONNECTIONS_MAX));
        }
        if cores != 0 && cores != connections {
            self.problems.push(format!("pin: {cores} cores were named for {connections} connections"));
        }
        let taken = settings.pin.iter().filter(|core| !is_available(**core));
        self.problems.extend(taken.map(|core| format!("pin: this process may not use core {core}")));
        if self.source.as_ref().is_some_and(|(_, every)| every.is_zero()) {
            self.problems.push("market_source: the pause between two questions must be longer than zero".to_owned());
        }
        for (name, time) in [("confirm_within", settings.patience), ("clean_up_every", settings.clean_up)] {
            if time.is_zero() {
                self.problems.push(format!("{name} must be longer than zero"));
            }
        }
        if settings.grace > GRACE_MAX {
            self.problems.push(format!("grace must be at most {} s", GRACE_MAX.as_secs()));
        }
    }
}

fn read_roots(path: &Path) -> std::result::Result<Vec<u8>, String> {
    // A device or a pipe may never end, and says nothing about its size.
    if !fs::metadata(path).map_err(|e| e.to_string())?.is_file() {
        return Err("this is not a file".to_owned());
    }
    let mut pem = Vec::new();
    let file = fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(ROOTS_FILE_MAX + 1).read_to_end(&mut pem).map_err(|e| e.to_string())?;
    if pem.len() as u64 > ROOTS_FILE_MAX {
        return Err(format!("more than {ROOTS_FILE_MAX} bytes are no certificate file"));
    }
    // Here, where the file is known by name.
    TlsConfig::new(std::slice::from_ref(&pem)).map_err(|e| e.to_string())?;
    Ok(pem)
}
