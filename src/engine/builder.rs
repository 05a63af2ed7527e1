//! The engine's builder: collects the settings and checks all of them before it starts anything.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::config::{
    Backoff, Config, ConnectLedger, Endpoint, FormatChoice, KeepAlive, Limits, Pacing, Proxy, Roots, Timeouts, Wait,
};
use crate::error::{Error, Result};
use crate::model::{Interval, Market, Nanos};
#[cfg(feature = "rest")]
use crate::net::RestMarkets;
use crate::net::{MarketSource, Resolve, SystemResolver, TlsConfig, is_available};
use crate::plan::{self, CheckedSubscription, IntoMarkets, Planner, Subscription, Universe};
use crate::ws;

/// Configures an [`Engine`] and starts it. Every setting has a default. Public data needs no key.
///
/// Methods that set a field of [`Config`] have the name of that field, whose documentation explains its meaning,
/// default and cost. [`start`](Self::start) checks everything and reports all problems at once, before any of the
/// engine's threads runs.
#[must_use]
pub struct Builder {
    pub(super) config: Config,
    universe: Universe,
    subscription: Option<Subscription>,
    resolver: Arc<dyn Resolve>,
    roots: Roots,
    source: Option<(Box<dyn MarketSource>, Duration)>,
    #[cfg(feature = "rest")]
    rest_every: Option<Duration>,
    problems: Vec<String>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("endpoint", &self.config.endpoint)
            .field("connections", &self.config.connections)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            universe: Universe::default(),
            subscription: None,
            resolver: Arc::new(SystemResolver),
            roots: Roots::default(),
            source: None,
            #[cfg(feature = "rest")]
            rest_every: None,
            problems: Vec::new(),
        }
    }
}

impl Builder {
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

    // ---- settings ----

    /// Selects the exchange. See [`Config::endpoint`].
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.config.endpoint = endpoint;
        self
    }

    /// Reaches the exchange, and its list of markets, through this proxy. `None` means no proxy. See [`Config::proxy`].
    ///
    /// ```no_run
    /// # use hoga::{Engine, config::Proxy};
    /// let builder = Engine::builder().proxy(Proxy::from_env()?); // HTTPS_PROXY, ALL_PROXY, NO_PROXY
    /// # Ok::<(), hoga::Error>(())
    /// ```
    ///
    /// [`Engine::network`] returns the proxy in force. If a proxy fails, the
    /// [`Disconnect`](crate::status::Disconnect) names it and the reason.
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.config.proxy = proxy.into();
        self
    }

    /// Sets a header of each opening request, such as `User-Agent`. Replaces an earlier value of the same header, and
    /// the default. Values are never printed. See [`Config::headers`].
    ///
    /// [`start`](Self::start) refuses headers that would break the opening handshake (`Host`, `Connection`, `Upgrade`,
    /// `Sec-WebSocket-*`, `Content-Length`, `Transfer-Encoding`), invalid characters, and `Origin`, because Upbit allows
    /// only one connect in ten seconds with it.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.headers.set(name, value);
        self
    }

    /// Sets the message format of all connections. See [`Config::format`].
    /// [`Engine::set_format`] changes it later.
    pub fn format(mut self, format: impl Into<FormatChoice>) -> Self {
        self.config.format = format.into();
        self
    }

    /// Sets how a connection's thread waits for its socket. See [`Config::wait`].
    pub fn wait(mut self, wait: Wait) -> Self {
        self.config.wait = wait;
        self
    }

    /// Sets the number of connections. Each has its own thread. See [`Config::connections`].
    pub fn connections(mut self, connections: usize) -> Self {
        self.config.connections = connections;
        self
    }

    /// Pins the connections' threads to cores, one for each connection. See [`Config::pin`].
    pub fn pin(mut self, cores: impl IntoIterator<Item = usize>) -> Self {
        self.config.pin = cores.into_iter().collect();
        self
    }

    /// Sets how long a stream stays on the wire after its last subscriber is gone. See [`Config::grace`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// Sets how long a requested stream may stay silent before it is requested again. See [`Config::confirm_within`].
    pub fn confirm_within(mut self, time: Duration) -> Self {
        self.config.confirm_within = time;
        self
    }

    /// Sets how often the leases of clients are checked. See [`Config::clean_up_every`].
    pub fn clean_up_every(mut self, time: Duration) -> Self {
        self.config.clean_up_every = time;
        self
    }

    /// Sets the deadlines of a connection. See [`Config::timeouts`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.config.timeouts = timeouts;
        self
    }

    /// Sets the pauses between connection attempts. See [`Config::backoff`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Sets the exchange's rate limits. See [`Config::limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets which processes share the budget of connection attempts. See [`Config::connect_ledger`].
    pub fn connect_ledger(mut self, ledger: ConnectLedger) -> Self {
        self.config.connect_ledger = ledger;
        self
    }

    /// Sets how long changes of demand are gathered into one request. See [`Config::window`].
    pub fn window(mut self, window: Duration) -> Self {
        self.config.window = Some(window);
        self
    }

    /// Sets how much of the limits is used. See [`Config::pacing`].
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.config.pacing = pacing;
        self
    }

    /// Sets how a quiet socket is kept open. See [`Config::keep_alive`].
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.config.keep_alive = keep_alive;
        self
    }

    /// Sets the longest silence of a connection during which its values count as live. See [`Config::stale_after`].
    pub fn stale_after(mut self, time: Duration) -> Self {
        self.config.stale_after = time;
        self
    }

    /// Sets the room for one read from the socket, in bytes. See [`Config::receive_bytes`].
    pub fn receive_bytes(mut self, bytes: usize) -> Self {
        self.config.receive_bytes = bytes;
        self
    }

    /// Sets the capacity of each ring for feeds that drop the oldest, in events. See [`Config::broadcast_capacity`].
    pub fn broadcast_capacity(mut self, events: usize) -> Self {
        self.config.broadcast_capacity = events;
        self
    }

    /// Sets whether the engine records where the time of messages goes, for [`Engine::latencies`]. See
    /// [`Config::measure_latencies`].
    pub fn measure_latencies(mut self, measure: bool) -> Self {
        self.config.measure_latencies = measure;
        self
    }

    // ---- settings outside `Config` ----

    /// Trusts these roots, and those of [`root_certificates`](Self::root_certificates) and
    /// [`root_certificates_file`](Self::root_certificates_file), which are added to them in any order of the calls.
    /// Default: [`Roots::bundled`]. [`start`](Self::start) reads their files; [`Engine::network`] says which are in
    /// force.
    pub fn roots(mut self, mut roots: Roots) -> Self {
        roots.pem.append(&mut self.roots.pem);
        roots.files.append(&mut self.roots.files);
        self.roots = roots;
        self
    }

    /// Trusts the root certificates in this PEM text, in addition to the others. For a test exchange, or for a proxy
    /// that reads the traffic.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = self.roots.and_pem(pem);
        self
    }

    /// Same as [`root_certificates`](Self::root_certificates), from a file that [`start`](Self::start) reads.
    pub fn root_certificates_file(mut self, path: impl AsRef<Path>) -> Self {
        self.roots = self.roots.and_file(path);
        self
    }

    /// Resolves names with `resolver` instead of the operating system's resolver.
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Sets the markets that exist, for patterns such as `KRW-*`. [`Engine::set_universe`] changes them later.
    pub fn universe(mut self, markets: impl IntoIterator<Item = Market>) -> Self {
        self.universe = markets.into_iter().collect();
        self
    }

    /// Asks `source` which markets exist, at the start and then at intervals of `every`, on a separate thread. If it
    /// fails, the error is logged, the known markets stay, and it is asked again after 1 s, then 2 s, and so on, up to a
    /// minute, but never later than `every`. After status 418, which means that the address is blocked, it is asked
    /// again after a minute.
    ///
    /// A list with unusable entries, or with fewer than three quarters of the known markets, is doubtful. Its markets
    /// are used, but a market leaves only when two lists in a row lack it. The streams of a market that has left become
    /// [`Gone`](crate::pool::Health::Gone) as soon as they are off the wire. If the market returns, so do they.
    /// [`Engine::market_list`] returns the status.
    pub fn market_source(mut self, source: impl MarketSource + 'static, every: Duration) -> Self {
        self.source = Some((Box::new(source), every));
        self
    }

    /// Asks the exchange's REST interface which markets exist, with the engine's root certificates. Same as
    /// [`market_source`](Self::market_source), and replaces it.
    #[cfg(feature = "rest")]
    pub fn rest_markets(mut self, every: Duration) -> Self {
        self.rest_every = Some(every);
        self
    }

    /// Checks everything, then starts the engine.
    ///
    /// # Errors
    /// [`Error::Configuration`] names every problem, in the settings and in the initial subscription: invalid markets,
    /// patterns without a source of markets, more streams than the connections may carry. In that case nothing was
    /// started. [`Error::Start`] if the system refused a thread or an event queue; in that case everything already
    /// started was stopped again.
    pub fn start(mut self) -> Result<Engine> {
        let tls = self.checked_tls();
        self.problems.extend(self.config.problems());
        self.check_headers();
        self.check_cores();
        self.check_source();
        self.check_subscription();
        if !self.problems.is_empty() {
            return Err(Error::Configuration(self.problems));
        }
        // Without problems there is always a TLS configuration.
        let Some(tls) = tls else { return Err(Error::Configuration(vec!["no root certificates".to_owned()])) };
        let Self { config, universe, resolver, subscription, source, .. } = self;
        Engine::start(&Arc::new(config), universe, &tls, &resolver, subscription, source)
    }

    fn check_headers(&mut self) {
        let problems = self.config.headers.iter().filter_map(|(name, value)| ws::header_problem(name, value));
        self.problems.extend(problems);
    }

    /// Checks that this process may use the configured cores, which the configuration cannot know.
    fn check_cores(&mut self) {
        let taken = self.config.pin.iter().filter(|core| !is_available(**core));
        self.problems.extend(taken.map(|core| format!("pin: this process may not use core {core}: choose another")));
    }

    fn check_source(&mut self) {
        if self.source.as_ref().is_some_and(|(_, every)| every.is_zero()) {
            self.problems.push("market_source: the interval is 0 ns: set it to more than zero".to_owned());
        }
    }

    /// Adds the subscription to a temporary planner, which checks it as the engine's planner will.
    fn check_subscription(&mut self) {
        let Some(subscription) = self.subscription.clone() else { return };
        let problem = match CheckedSubscription::of(subscription, self.config.endpoint.dialect()) {
            Err(invalid) => Some(invalid.to_string()),
            // The limit on streams is unknown until the number of connections is valid.
            Ok(_) if !self.config.has_connections() => None,
            Ok(checked) => {
                let mut planner = Planner::new(Arc::new(self.config.clone()), self.source.is_some());
                planner.set_universe(Nanos::default(), self.universe.clone());
                planner.add(Nanos::default(), None, checked).err().map(|refused| Error::refused(refused).to_string())
            }
        };
        self.problems.extend(problem.map(|problem| format!("subscription: {problem}")));
    }

    fn checked_tls(&mut self) -> Option<TlsConfig> {
        let tls = TlsConfig::new(&self.roots).map_err(|problems| self.problems.extend(problems)).ok()?;
        #[cfg(feature = "rest")]
        if let Some(every) = self.rest_every {
            let source = RestMarkets::with_tls(&self.config.endpoint, tls.clone()).proxy(self.config.proxy.clone());
            self.source = Some((Box::new(source), every));
        }
        Some(tls)
    }
}
