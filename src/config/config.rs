//! The configuration of one engine.

use std::time::Duration;

use super::problems::Problems;
use super::{
    Backoff, ConnectLedger, Endpoint, FormatChoice, Headers, KeepAlive, Limits, Pacing, Proxy, Timeouts, Wait,
};

/// The settings of one engine that are plain data. The engine's [`Builder`](crate::engine::Builder) has one method for
/// each field and checks them together. Sessions and the planner share the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The exchange. Default: Upbit Korea.
    pub endpoint: Endpoint,
    /// The proxy through which the exchange and its list of markets are reached. Default: none; the
    /// environment is read only by [`Proxy::from_env`]. Costs one round trip to the proxy for each connect, and nothing
    /// afterwards.
    pub proxy: Option<Proxy>,
    /// The additional headers of each opening request. Default: `User-Agent: hoga/x.y.z`. Requests for the list of
    /// markets do not have them.
    pub headers: Headers,
    /// The message format: a fixed [`Format`](crate::model::Format), or a [`FormatRule`](super::FormatRule) by which
    /// each connection chooses the cheapest. Default: `Format::Default`. Readers get the same values in any format;
    /// `Format::Simple` saves about a third of the bytes.
    pub format: FormatChoice,
    /// How a connection's thread waits for its socket. Default: [`Wait::Park`].
    pub wait: Wait,
    /// The cores to which the connections' threads are pinned, one for each connection. Default: none, the scheduler
    /// decides. A core that the process may not use is a configuration error. A pinned thread stays near its caches,
    /// but waits if another thread uses the core.
    pub pin: Vec<usize>,
    /// The number of connections that share the streams, each with its own thread. Default: 1, which can carry all
    /// streams of the exchange. All streams of a market use the same connection. At most
    /// [`CONNECTIONS_MAX`](Self::CONNECTIONS_MAX).
    pub connections: usize,
    /// How long a stream stays subscribed after its last subscription was dropped. A new subscription within this time
    /// costs nothing. Default: 5 s; at most [`GRACE_MAX`](Self::GRACE_MAX). The stream stays live until the request
    /// without it is sent. Longer saves requests if demand changes often; shorter saves bandwidth.
    pub grace: Duration,
    /// How long to wait for data of a stream after its request before the request is sent again, and how long to wait
    /// after that before the stream counts as unconfirmed. Default: 3 s. Shorter reports a silent stream sooner; too
    /// short spends requests on answers that are only slow.
    pub confirm_within: Duration,
    /// The interval between checks of the clients' leases. Default: 60 s. Shorter releases the streams of a dead client
    /// sooner, but wakes the control thread more often.
    pub clean_up_every: Duration,
    /// The deadlines of a connection. [`Timeouts`] also says how deadlines must relate to each other.
    pub timeouts: Timeouts,
    /// The delays between attempts to connect.
    pub backoff: Backoff,
    /// The exchange's limits. Default: Upbit's documented limits, for every endpoint.
    pub limits: Limits,
    /// The processes that share the budget of connects. Default: [`ConnectLedger::Host`], all engines of this user on
    /// this host. The exchange counts connects per IP address: if processes do not share a ledger, together they may be
    /// refused or banned.
    pub connect_ledger: ConnectLedger,
    /// The share of the limits that is used, and how long changes of demand are gathered. Default:
    /// [`Pacing::Balanced`]. Slower leaves room for others behind the same IP address and tolerates varying delays;
    /// faster sends changes of demand sooner.
    pub pacing: Pacing,
    /// How long changes of demand are gathered into one request. Default: `None`, which is the window of
    /// [`pacing`](Self::pacing). At most [`WINDOW_MAX`](Self::WINDOW_MAX). Longer sends fewer requests if many parts of
    /// the program subscribe one after the other; new demand reaches the exchange later.
    pub window: Option<Duration>,
    /// How a quiet socket is kept open. Default: [`KeepAlive::Ping`].
    pub keep_alive: KeepAlive,
    /// The longest time without data on a whole connection during which its values count as live. Default: 12 s, which
    /// is [`Timeouts::quiet_after`] plus time for the answer. Shorter notices a mute exchange sooner. If it is not
    /// longer than `quiet_after`, the values of a connection without trades are stale until the exchange has answered.
    pub stale_after: Duration,
    /// Size of the buffer for reads from the socket, in bytes. Default: 64 KiB, the fastest measured; 4 KiB to 1 MiB.
    /// Each connection has one.
    pub receive_bytes: usize,
    /// Capacity, in events, of each ring for feeds with [`Overflow::DropOldest`](crate::feed::Overflow::DropOldest).
    /// All such feeds of one type and connection share a ring. Default: 4096, which takes 1.3 MB for tickers, 0.8 MB
    /// for trades and candles, 4.7 MB for order books. A power of two, 16 to 1,048,576. Larger lets a reader fall
    /// further behind before it misses events.
    pub broadcast_capacity: usize,
    /// Whether to record the latencies of messages, for [`Engine::latencies`](crate::engine::Engine::latencies).
    /// Default: no. Costs a clock read for one message in eight, a kernel timestamp for one read in eight, and 150 KB
    /// for each connection. Only Linux has kernel timestamps. Once a socket asks for them, the kernel takes them for
    /// every packet of the machine.
    pub measure_latencies: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::korea(),
            proxy: None,
            headers: Headers::default(),
            format: FormatChoice::default(),
            wait: Wait::default(),
            pin: Vec::new(),
            connections: 1,
            grace: Duration::from_secs(5),
            confirm_within: Duration::from_secs(3),
            clean_up_every: Duration::from_secs(60),
            timeouts: Timeouts::default(),
            backoff: Backoff::default(),
            limits: Limits::default(),
            connect_ledger: ConnectLedger::default(),
            pacing: Pacing::default(),
            window: None,
            keep_alive: KeepAlive::default(),
            stale_after: Duration::from_secs(12),
            receive_bytes: 64 * 1024,
            broadcast_capacity: 4096,
            measure_latencies: false,
        }
    }
}

impl Config {
    /// The maximum number of connections. The exchange allows five new ones per second and IP address.
    pub const CONNECTIONS_MAX: usize = 64;

    /// The maximum of [`window`](Self::window).
    pub const WINDOW_MAX: Duration = Duration::from_millis(500);
    /// The maximum grace period of an unused stream.
    pub const GRACE_MAX: Duration = Duration::from_secs(60);

    /// Whether the number of connections is valid.
    pub(crate) fn has_connections(&self) -> bool {
        (1..=Self::CONNECTIONS_MAX).contains(&self.connections)
    }

    /// Returns the proxy through which the exchange is reached: the configured one, unless its exceptions contain the
    /// exchange.
    pub(crate) fn proxy_in_force(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| proxy.is_for(self.endpoint.host(), self.endpoint.port()))
    }

    /// Returns the host and port to which TCP is opened: the proxy's or the exchange's.
    pub(crate) fn tcp_peer(&self) -> (&str, u16) {
        match self.proxy_in_force() {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (self.endpoint.host(), self.endpoint.port()),
        }
    }

    /// Returns how long changes of demand are gathered into one request.
    pub(crate) fn effective_window(&self) -> Duration {
        self.window.unwrap_or(self.pacing.window())
    }

    /// Returns the names of the settings in which `other` differs and that are fixed while an engine runs.
    pub(crate) fn fixed_differences(&self, other: &Self) -> Vec<&'static str> {
        macro_rules! differing {
            ($($field:ident),*) => {
                [$((stringify!($field), self.$field != other.$field)),*]
            };
        }
        let all = differing!(
            endpoint,
            proxy,
            headers,
            format,
            wait,
            pin,
            connections,
            connect_ledger,
            keep_alive,
            receive_bytes,
            broadcast_capacity,
            measure_latencies
        );
        let differing = all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name);
        let connects = (self.limits.connects_per_second != other.limits.connects_per_second)
            .then_some("limits.connects_per_second");
        differing.chain(connects).collect()
    }

    /// Returns the problems that would keep an engine with this configuration from working. Each text names the
    /// setting, its value and how to fix it. Values that are only unwise are allowed.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Problems::default();
        self.check_times(&mut problems);
        self.check_proxy(&mut problems);
        self.check_sizes(&mut problems);
        self.limits.check(&mut problems);
        problems.extend(self.format.problems(self.endpoint.dialect().formats));
        problems.into_texts()
    }

    fn check_times(&self, problems: &mut Problems) {
        self.timeouts.check(problems);
        self.backoff.check(problems);
        for (name, time) in [
            ("stale_after", self.stale_after),
            ("confirm_within", self.confirm_within),
            ("clean_up_every", self.clean_up_every),
        ] {
            problems.require(!time.is_zero(), name, time, "to more than zero");
        }
        let window = self.effective_window();
        let remedy = format_args!("to {:?} at most", Self::WINDOW_MAX);
        problems.require(window <= Self::WINDOW_MAX, "window", window, remedy);
        let remedy = format_args!("to {:?} at most", Self::GRACE_MAX);
        problems.require(self.grace <= Self::GRACE_MAX, "grace", self.grace, remedy);
    }

    /// Plain text must not leave this machine, through a proxy either.
    fn check_proxy(&self, problems: &mut Problems) {
        let Some(proxy) = self.proxy_in_force() else { return };
        let stays_here = self.endpoint.is_secure() || proxy.is_loopback();
        let remedy = "to one on a loopback address, use wss://, or reach the endpoint without it (NO_PROXY, Proxy::except; \
                      hoga watch --proxy none)";
        problems.require(stays_here, "the proxy for a plain ws:// endpoint", proxy, remedy);
    }

    fn check_sizes(&self, problems: &mut Problems) {
        let remedy = format_args!("to a number from 1 to {}", Self::CONNECTIONS_MAX);
        problems.require(self.has_connections(), "connections", self.connections, remedy);
        let is_complete = self.pin.is_empty() || self.pin.len() == self.connections;
        let remedy = format_args!("to one core for each connection ({}), or to none", self.connections);
        problems.require(is_complete, "pin", &self.pin, remedy);
        let is_buffer = (4096..=1 << 20).contains(&self.receive_bytes);
        problems.require(is_buffer, "receive_bytes", self.receive_bytes, "to a number from 4096 to 1048576");
        let ring = self.broadcast_capacity;
        let is_ring = ring.is_power_of_two() && (16..=1 << 20).contains(&ring);
        problems.require(is_ring, "broadcast_capacity", ring, "to a power of two from 16 to 1048576");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FormatCosts, FormatRule};
    use crate::model::Format;

    const ZERO: Duration = Duration::ZERO;
    const MOMENT: Duration = Duration::from_nanos(1);

    fn with(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        change(&mut config);
        config
    }

    fn with_rule(change: impl FnOnce(&mut FormatRule)) -> Config {
        let mut rule = FormatRule::default();
        change(&mut rule);
        Config { format: rule.into(), ..Config::default() }
    }

    fn timed(change: impl FnOnce(&mut Timeouts)) -> Config {
        with(|config| change(&mut config.timeouts))
    }

    fn limited(change: impl FnOnce(&mut Limits)) -> Config {
        with(|config| change(&mut config.limits))
    }

    /// Checks that each configuration has exactly the given problem.
    #[track_caller]
    fn assert_problems<const N: usize>(table: [(Config, &str); N]) {
        for (config, problem) in table {
            assert_eq!(config.problems(), [problem]);
        }
    }

    #[track_caller]
    fn assert_none<const N: usize>(allowed: [Config; N]) {
        for config in allowed {
            assert_eq!(config.problems(), [""; 0], "{config:?}");
        }
    }

    #[test]
    fn the_default_has_no_problems() {
        assert_none([Config::default()]);
    }

    #[test]
    fn plain_text_does_not_leave_the_machine_through_a_proxy() {
        let through = |endpoint: &str, proxy: Proxy| {
            let endpoint = Endpoint::custom(endpoint).unwrap();
            Config { endpoint, proxy: Some(proxy), ..Config::default() }
        };
        let (far, near) = (Proxy::new("http://10.0.0.1:1").unwrap(), Proxy::new("http://127.0.0.1:1").unwrap());
        let problems = through("ws://127.0.0.1:9", far.clone()).problems();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("http://10.0.0.1:1") && problems[0].contains("--proxy none"), "{problems:?}");
        assert_none([
            through("ws://127.0.0.1:9", near.clone()),
            through("wss://127.0.0.1:9", far.clone()),
            through("ws://127.0.0.1:9", far.except("127.0.0.0/8")),
        ]);
        assert_eq!(through("wss://a.test", near.clone()).tcp_peer(), ("127.0.0.1", 1));
        assert_eq!(through("wss://a.test", near.except("a.test")).tcp_peer(), ("a.test", 443));
    }

    #[test]
    fn each_deadline_of_zero_is_named() {
        assert_problems([
            (timed(|t| t.resolve = ZERO), "timeouts.resolve is 0ns: set it to more than zero"),
            (timed(|t| t.connect = ZERO), "timeouts.connect is 0ns: set it to more than zero"),
            (timed(|t| t.tls = ZERO), "timeouts.tls is 0ns: set it to more than zero"),
            (timed(|t| t.upgrade = ZERO), "timeouts.upgrade is 0ns: set it to more than zero"),
            (timed(|t| t.ping_after = ZERO), "timeouts.ping_after is 0ns: set it to more than zero"),
            (timed(|t| t.quiet_after = ZERO), "timeouts.quiet_after is 0ns: set it to more than zero"),
            (timed(|t| t.probe = ZERO), "timeouts.probe is 0ns: set it to more than zero"),
            (timed(|t| t.close = ZERO), "timeouts.close is 0ns: set it to more than zero"),
            (with(|c| c.stale_after = ZERO), "stale_after is 0ns: set it to more than zero"),
            (with(|c| c.confirm_within = ZERO), "confirm_within is 0ns: set it to more than zero"),
            (with(|c| c.clean_up_every = ZERO), "clean_up_every is 0ns: set it to more than zero"),
            (with(|c| c.backoff.base = ZERO), "backoff.base is 0ns: set it to more than zero"),
        ]);
    }

    #[test]
    fn each_relation_between_deadlines_is_checked() {
        let secs = Duration::from_secs;
        assert_problems([
            (
                timed(|t| t.silent_after = t.ping_after),
                "timeouts.silent_after is 2s: set it to more than timeouts.ping_after (2s)",
            ),
            (
                timed(|t| (t.ping_after, t.silent_after) = (secs(20) + MOMENT, secs(30))),
                "timeouts.ping_after is 20.000000001s: set it to 20s at most, because the exchange closes idle sockets",
            ),
            (with(|c| c.grace = secs(60) + MOMENT), "grace is 60.000000001s: set it to 60s at most"),
            (
                with(|c| c.backoff.network_cap = Duration::from_millis(100)),
                "backoff.network_cap is 100ms: set it to backoff.base (250ms) or more",
            ),
            (
                with(|c| c.backoff.cap = secs(86_400) + MOMENT),
                "backoff.cap is 86400.000000001s: set it to 86400s at most",
            ),
        ]);
        assert_none([
            timed(|t| t.silent_after = t.ping_after + MOMENT),
            timed(|t| (t.ping_after, t.silent_after) = (secs(20), secs(30))),
            with(|c| c.grace = ZERO),
            with(|c| c.grace = secs(60)),
            with(|c| c.backoff = Backoff::constant(secs(1))),
            with(|c| c.backoff.cap = Backoff::CAP_MAX),
        ]);
    }

    /// These values are unwise for most programs but useful for some.
    #[test]
    fn relations_that_are_only_advisable_are_not_checked() {
        let ages = Duration::MAX;
        assert_none([
            with(|c| c.stale_after = MOMENT),
            timed(|t| t.quiet_after = ages),
            timed(|t| (t.silent_after, t.probe) = (ages, ages)),
            with(|c| (c.confirm_within, c.clean_up_every) = (ages, ages)),
            limited(|l| l.requests_per_minute = 1),
        ]);
    }

    #[test]
    fn sizes_out_of_range_are_named() {
        assert_problems([
            (with(|c| c.connections = 0), "connections is 0: set it to a number from 1 to 64"),
            (with(|c| c.connections = 65), "connections is 65: set it to a number from 1 to 64"),
            (with(|c| c.pin = vec![0, 1]), "pin is [0, 1]: set it to one core for each connection (1), or to none"),
            (
                with(|c| (c.connections, c.pin) = (2, vec![7])),
                "pin is [7]: set it to one core for each connection (2), or to none",
            ),
            (with(|c| c.receive_bytes = 4095), "receive_bytes is 4095: set it to a number from 4096 to 1048576"),
            (with(|c| c.receive_bytes = 1 << 21), "receive_bytes is 2097152: set it to a number from 4096 to 1048576"),
            (
                with(|c| c.broadcast_capacity = 8),
                "broadcast_capacity is 8: set it to a power of two from 16 to 1048576",
            ),
            (
                with(|c| c.broadcast_capacity = 100),
                "broadcast_capacity is 100: set it to a power of two from 16 to 1048576",
            ),
            (
                with(|c| c.broadcast_capacity = 1 << 21),
                "broadcast_capacity is 2097152: set it to a power of two from 16 to 1048576",
            ),
        ]);
        // Several connections may share a core.
        assert_none([with(|c| (c.connections, c.pin) = (2, vec![3, 3]))]);
    }

    #[test]
    fn limits_out_of_range_are_named() {
        assert_problems([
            (
                limited(|l| l.connects_per_second = 0),
                "limits.connects_per_second is 0: set it to a number from 1 to 10000",
            ),
            (
                limited(|l| l.requests_per_second = 0),
                "limits.requests_per_second is 0: set it to a number from 1 to 10000",
            ),
            (
                limited(|l| l.requests_per_minute = 10_001),
                "limits.requests_per_minute is 10001: set it to a number from 1 to 10000",
            ),
            (limited(|l| l.streams_per_connection = 0), "limits.streams_per_connection is 0: set it to at least 1"),
            (
                limited(|l| l.message_bytes = 4095),
                "limits.message_bytes is 4095: set it to a number from 4096 (a 30-level book has about 2700) to 67108864",
            ),
            (
                limited(|l| l.message_bytes = 1 << 27),
                "limits.message_bytes is 134217728: set it to a number from 4096 (a 30-level book has about 2700) to 67108864",
            ),
        ]);
    }

    #[test]
    fn a_format_that_the_exchange_does_not_write_is_named() {
        let bithumb = |format| Config { endpoint: Endpoint::bithumb(), format, ..Config::default() };
        assert_problems([(
            bithumb(Format::JsonList.into()),
            "format is JSON_LIST, which this exchange does not write: choose from DEFAULT, SIMPLE",
        )]);
        assert_none([bithumb(Format::Simple.into()), bithumb(FormatRule::default().into())]);
    }

    #[test]
    fn an_invalid_format_rule_is_named() {
        let negative = FormatCosts { byte_ns: -1.0, ..FormatCosts::default() };
        assert_problems([
            (with_rule(|r| r.window = ZERO), "format.window is 0ns: set it to more than zero"),
            (with_rule(|r| r.windows = 0), "format.windows is 0: set it to at least 1"),
            (with_rule(|r| r.gain = 1.0), "format.gain is 1.0: set it to at least 0 and less than 1"),
            (with_rule(|r| r.gain = f64::NAN), "format.gain is NaN: set it to at least 0 and less than 1"),
            (with_rule(|r| r.costs = negative), "format.costs is -1.0 for a cost: set it to finite numbers, 0 or more"),
        ]);
    }

    #[test]
    fn all_problems_are_reported_together() {
        let bad = Config { connections: 0, grace: Duration::MAX, ..limited(|limits| limits.message_bytes = 1) };
        let problems = bad.problems();
        assert_eq!(problems.len(), 3, "{problems:#?}");
    }
}
