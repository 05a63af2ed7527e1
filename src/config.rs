//! What may be tuned: meaning, default, and the cost of going either way. A leaf: of the rooms it knows the dialects only.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::Format;
use crate::plan::{BITHUMB, Dialect, UPBIT, UPBIT_INDONESIA};

/// Where the exchange is. Public market data needs no key on any of them.
///
/// Verification of the server's certificate can never be turned off; a private test exchange is reached by adding its
/// root certificate explicitly. Plain `ws://` is accepted for loopback addresses only.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
    secure: bool,
    dialect: Dialect,
    /// Where plain requests go, if that is another host.
    rest_host: Option<&'static str>,
}

/// Where public data is on every host of the exchange.
const PUBLIC_PATH: &str = "/websocket/v1";

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidEndpoint {
    /// Neither `wss://` nor `ws://`.
    Scheme,
    /// No host, or one with characters that no host name has.
    Host,
    /// A user name or password in the address. Credentials never travel in an address.
    UserInfo,
    /// The port is not a number from 1 to 65535.
    Port,
    /// Control characters, spaces or a fragment in the path.
    Path,
    /// Plain `ws://` to something that is not a loopback address literal.
    PlainOffLoopback,
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the endpoint must start with wss:// (or ws:// for a loopback address)",
            Self::Host => "the endpoint has no valid host name or address",
            Self::UserInfo => "the endpoint must not hold a user name or password",
            Self::Port => "the endpoint's port must be a number from 1 to 65535",
            Self::Path => "the endpoint's path must not hold spaces, control characters or '#'",
            Self::PlainOffLoopback => {
                "plain ws:// is allowed for loopback addresses only (127.0.0.0/8 or [::1]); use wss://"
            }
        })
    }
}

impl std::error::Error for InvalidEndpoint {}

impl Endpoint {
    /// Upbit Korea: KRW, BTC and USDT markets.
    pub fn korea() -> Self {
        Self::public("api.upbit.com", UPBIT)
    }

    /// Upbit Singapore.
    pub fn singapore() -> Self {
        Self::public("sg-api.upbit.com", UPBIT)
    }

    /// Upbit Indonesia.
    pub fn indonesia() -> Self {
        Self::public("id-api.upbit.com", UPBIT_INDONESIA)
    }

    /// Upbit Thailand.
    pub fn thailand() -> Self {
        Self::public("th-api.upbit.com", UPBIT)
    }

    /// Bithumb: KRW and BTC markets, in a protocol that is nearly Upbit's.
    pub fn bithumb() -> Self {
        Self { rest_host: Some("api.bithumb.com"), ..Self::public("ws-api.bithumb.com", BITHUMB) }
    }

    fn public(host: &str, dialect: Dialect) -> Self {
        let (host, path) = (host.to_owned(), PUBLIC_PATH.to_owned());
        Self { host, port: 443, path, secure: true, dialect, rest_host: None }
    }

    /// Any other server that speaks the protocol: `wss://host[:port][/path]`, or `ws://` for a loopback address. Without a
    /// path it is the exchange's own, `/websocket/v1`. The dialect is Upbit's; see [`with_dialect`](Self::with_dialect).
    pub fn custom(url: &str) -> Result<Self, InvalidEndpoint> {
        let (secure, rest) = match (url.strip_prefix("wss://"), url.strip_prefix("ws://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(InvalidEndpoint::Scheme),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(InvalidEndpoint::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None if secure => 443,
            None => 80,
            Some(text) if !text.bytes().all(|b| b.is_ascii_digit()) => return Err(InvalidEndpoint::Port),
            Some(text) => text.parse().ok().filter(|&p| p != 0).ok_or(InvalidEndpoint::Port)?,
        };
        if path.bytes().any(|b| !b.is_ascii_graphic() || b == b'#') {
            return Err(InvalidEndpoint::Path);
        }
        let path = match path {
            "" => PUBLIC_PATH.to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        };
        let endpoint = Self { host: host.to_owned(), port, path, secure, dialect: UPBIT, rest_host: None };
        if !secure && !endpoint.address().is_some_and(|ip| ip.to_canonical().is_loopback()) {
            return Err(InvalidEndpoint::PlainOffLoopback);
        }
        Ok(endpoint)
    }

    /// The same server, understood to speak `dialect`. A wrong one asks for what the server does not know, which it
    /// ignores or answers with an error and a close.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// What this server understands.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Host name or address literal, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query of the opening request.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the connection runs over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host, where it is an address literal and needs no resolver.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Where the same exchange answers plain requests: `https` where this is `wss`, `http` where this is `ws`, on the
    /// same host and port unless the exchange has another host for them. `path` starts with a slash.
    pub fn rest_url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let authority = self.rest_host.map_or_else(|| self.authority(), str::to_owned);
        format!("{scheme}://{authority}{path}")
    }

    /// What goes into the `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), InvalidEndpoint> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or(InvalidEndpoint::Host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| InvalidEndpoint::Host)?;
        return match tail.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if tail.is_empty() => Ok((host, None)),
            None => Err(InvalidEndpoint::Host),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    if host.is_empty() || host.len() > 253 || !host.bytes().all(label) {
        return Err(InvalidEndpoint::Host);
    }
    Ok((host, port))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a connection's thread waits for the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// Sleeps in the kernel until something happens. Costs tens of microseconds of wake-up, uses no CPU when idle.
    #[default]
    Park,
    /// Never sleeps. The lowest latency, and one whole core: use it with a pinned core that nobody else needs.
    Spin,
    /// Spins this long after the last traffic, then sleeps.
    SpinThenPark(Duration),
}

/// Every deadline of a connection. All are measured on a clock that never steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Longest name look-up. Default 5 s. A hanging resolver blocks nothing but the next dial, and an answer that comes
    /// late is used by the dial after it.
    pub resolve: Duration,
    /// Longest TCP connect to one address; the next address follows. Default 3 s.
    pub connect: Duration,
    /// Longest TLS handshake. Default 5 s.
    pub tls: Duration,
    /// Longest opening handshake, request to 101. Default 5 s.
    pub upgrade: Duration,
    /// Silence from the server after which we ping. Default 2 s. The server closes after 60 s without traffic, so more
    /// than 20 s is refused. Shorter finds a dead peer sooner at the price of a few bytes.
    pub ping_after: Duration,
    /// Silence after which the connection counts as dead. Default 4.5 s. Must leave a ping time to be answered:
    /// shorter finds half-open sockets sooner, too short reconnects on a lossy path for nothing.
    pub silent_after: Duration,
    /// Time without a data message (pings answered) after which the subscription is sent again: a live exchange answers
    /// with snapshots even where nobody trades. Default 10 s. Costs one request of the budget each time.
    pub quiet_after: Duration,
    /// How long the answer to that may take before the connection is replaced. Default 5 s. If the next connections stay
    /// without data too, or the streams never brought any, the subscription is sent again several times before that.
    pub probe: Duration,
    /// How long a closing handshake may take. Default 1 s.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(3),
            tls: Duration::from_secs(5),
            upgrade: Duration::from_secs(5),
            ping_after: Duration::from_secs(2),
            silent_after: Duration::from_millis(4500),
            quiet_after: Duration::from_secs(10),
            probe: Duration::from_secs(5),
            close: Duration::from_secs(1),
        }
    }
}

impl Timeouts {
    /// The longest silence between our pings that keeps the server from closing an idle socket.
    pub const PING_AFTER_MAX: Duration = Duration::from_secs(20);

    /// Everything that is wrong with these deadlines.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> + '_ {
        let zero = [
            ("resolve", self.resolve),
            ("connect", self.connect),
            ("tls", self.tls),
            ("upgrade", self.upgrade),
            ("ping_after", self.ping_after),
            ("silent_after", self.silent_after),
            ("quiet_after", self.quiet_after),
            ("probe", self.probe),
            ("close", self.close),
        ]
        .into_iter()
        .filter(|(_, d)| d.is_zero())
        .map(|(name, _)| format!("timeouts.{name} must be longer than zero"));
        let ping = (self.ping_after > Self::PING_AFTER_MAX)
            .then(|| "timeouts.ping_after must be at most 20 s: the exchange closes idle sockets".to_owned());
        let silent = (self.silent_after <= self.ping_after)
            .then(|| "timeouts.silent_after must be longer than timeouts.ping_after".to_owned());
        zero.chain(ping).chain(silent)
    }
}

/// How often to try again after a connection was lost or could not be made. Tries never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first random delay. Default 250 ms. (After a connection that worked, the first try is at once.)
    pub base: Duration,
    /// Upper bound of all delays: the bound doubles until here. Default 30 s.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(250), cap: Duration::from_secs(30) }
    }
}

/// What the exchange rations, as exact sliding windows. Configuration, because exchanges change it. [`Pacing`] says how
/// much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connects per second and address. Default 5, the exchange's documented limit. [`ConnectLedger`] says who shares it.
    pub connects_per_second: u32,
    /// Requests per second and connection. Default 5.
    pub requests_per_second: u32,
    /// Requests per minute and connection. Default 100.
    pub requests_per_minute: u32,
    /// Streams that one connection may carry. Default 20,000. The exchange names no limit and serves all its markets on
    /// one connection; more than this is refused.
    pub streams_per_connection: usize,
    /// The largest message accepted, in bytes. Default 1 MiB. A longer one ends the connection with close code 1009.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connects_per_second: 5,
            requests_per_second: 5,
            requests_per_minute: 100,
            streams_per_connection: 20_000,
            message_bytes: 1 << 20,
        }
    }
}

impl Limits {
    /// Everything that is wrong with these limits.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        let zero = [
            ("connects_per_second", self.connects_per_second),
            ("requests_per_second", self.requests_per_second),
            ("requests_per_minute", self.requests_per_minute),
        ]
        .into_iter()
        .filter(|&(_, n)| n == 0)
        .map(|(name, _)| format!("limits.{name} must be at least 1"));
        // Each is a log of that many times; nobody rations by the ten thousand.
        let large = [
            ("connects_per_second", self.connects_per_second),
            ("requests_per_second", self.requests_per_second),
            ("requests_per_minute", self.requests_per_minute),
        ]
        .into_iter()
        .filter(|&(_, n)| n > 10_000)
        .map(|(name, _)| format!("limits.{name} must be at most 10000"));
        let bytes = (!(4096..=1 << 26).contains(&self.message_bytes))
            .then(|| "limits.message_bytes must be from 4096 (a 30-level book has about 2700) to 64 MiB".to_owned());
        let streams =
            (self.streams_per_connection == 0).then(|| "limits.streams_per_connection must be at least 1".to_owned());
        zero.chain(large).chain(bytes).chain(streams)
    }
}

/// How hard an engine leans on the exchange's limits. The limits themselves are [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pacing {
    /// Gathers changes for 200 ms, uses 60 % of the request limits, and keeps every window 500 ms longer than the
    /// exchange counts. For a path whose delay varies, or an address whose limits others use too. The newest demand is
    /// on the wire latest.
    Conservative,
    /// Gathers changes for 50 ms, uses the limits in full, and keeps every window 250 ms longer.
    #[default]
    Balanced,
    /// Gathers changes for 10 ms, uses the limits in full, and keeps every window 50 ms longer. For a path whose delay
    /// varies by less than that: where it varies more, the exchange may count one too many and refuse. Changes that go on
    /// for 20 s use the minute's requests up, and the next one waits.
    Aggressive,
}

impl Pacing {
    /// How long changes of demand are gathered into one request.
    pub const fn window(self) -> Duration {
        Duration::from_millis(match self {
            Self::Conservative => 200,
            Self::Balanced => 50,
            Self::Aggressive => 10,
        })
    }

    /// How much longer than the exchange's every window is kept. The exchange counts arrivals, and the network may
    /// deliver bunched what was sent evenly.
    pub const fn margin(self) -> Duration {
        Duration::from_millis(match self {
            Self::Conservative => 500,
            Self::Balanced => 250,
            Self::Aggressive => 50,
        })
    }

    /// The part of a request limit that is used; at least 1.
    pub const fn share_of(self, limit: u32) -> u32 {
        match self {
            // Rounded up, so that something is left of 1.
            Self::Conservative => (limit * 3).div_ceil(5),
            Self::Balanced | Self::Aggressive => limit,
        }
    }
}

/// Who shares the budget of connects. The exchange counts them per address, so all processes behind one address should
/// ask one ledger. Each exchange, by host and port, has its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ConnectLedger {
    /// All engines of this user on this host: a small file in `$XDG_RUNTIME_DIR/hoga`, or in `hoga-<uid>` within the
    /// temporary directory where that variable names no directory of this user. Processes with different environments
    /// (a login session and a service, say) should be given a directory instead.
    ///
    /// A directory that others could write to is not used. Where the file cannot be used, or another process keeps it
    /// locked for a second, the engine goes on all the same, warns once and shares the budget within the process.
    ///
    /// When the exchange refuses one of them, all wait for as long as it asks for, a day at most.
    #[default]
    Host,
    /// All engines on this host that name this directory, whoever runs them. It is made if it does not exist, and must
    /// be writable for all of them; keep it on a local file system. The budget is as trustworthy as those who may write
    /// there. Falls back as [`Host`](Self::Host) does.
    Directory(PathBuf),
    /// The engines of this process only. No file is written.
    Process,
}

/// How the exchange shall write to a connection.
#[allow(clippy::large_enum_variant, reason = "there is one for an engine, and none is kept")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FormatChoice {
    /// Always like this.
    Fixed(Format),
    /// In whichever format of the exchange costs least, by this rule. Begins with the one that the connection has, and an
    /// engine with [`Format::Default`].
    Auto(FormatRule),
}

impl Default for FormatChoice {
    fn default() -> Self {
        Self::Fixed(Format::Default)
    }
}

impl From<Format> for FormatChoice {
    fn from(format: Format) -> Self {
        Self::Fixed(format)
    }
}

impl From<FormatRule> for FormatChoice {
    fn from(rule: FormatRule) -> Self {
        Self::Auto(rule)
    }
}

impl FormatChoice {
    /// The format to begin with.
    pub(crate) fn first(&self) -> Format {
        match self {
            Self::Fixed(format) => *format,
            Self::Auto(_) => Format::Default,
        }
    }

    /// Why it cannot be.
    pub(crate) fn problems(&self, formats: &[Format]) -> Vec<String> {
        match self {
            Self::Fixed(format) if formats.contains(format) => Vec::new(),
            Self::Fixed(format) => vec![format!("format: this exchange does not write {}", format.as_str())],
            Self::Auto(rule) => rule.problems(),
        }
    }
}

/// When a connection's format is changed. A change costs one request of the exchange's budget, which is sent like any
/// other, and nothing else: what runs goes on. So it has to pay for some time before it is made, and is not made often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormatRule {
    /// What a message costs in each format.
    pub costs: FormatCosts,
    /// What came is added up over so long. Default: 10 s. Longer is calmer.
    pub window: Duration,
    /// In so many windows in a row some other format must have been cheaper by `gain`. Default: 3. The one that would
    /// have been cheapest over all of them is taken.
    pub windows: u32,
    /// The part of the cost that has to be saved, from 0 to 1. Default: 0.05.
    pub gain: f64,
    /// The shortest time between two changes. Default: 5 min.
    pub rest: Duration,
}

/// What a message costs: its bytes, times what a byte costs, and the time it takes to read. All in ns, so that the two
/// can be added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormatCosts {
    /// What a byte costs before it is read. Default: 80, the time that it takes on a line of 100 Mbit/s. For a line that
    /// is shared or paid for, more; 0 where only the time of this machine counts.
    pub byte_ns: f64,
    /// What reading takes, in the order of [`Format::ALL`]. Default: about what it took on one machine, which need not be
    /// yours; `hoga bench formats` measures it.
    pub read_ns: [ReadCosts; 4],
}

/// The time that reading takes in one format, in ns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadCosts {
    /// A ticker.
    pub ticker: f64,
    /// A trade.
    pub trade: f64,
    /// An order book without its units.
    pub orderbook: f64,
    /// A unit of an order book.
    pub unit: f64,
    /// A candle.
    pub candle: f64,
}

impl Default for FormatRule {
    fn default() -> Self {
        Self {
            costs: FormatCosts::default(),
            window: Duration::from_secs(10),
            windows: 3,
            gain: 0.05,
            rest: Duration::from_secs(300),
        }
    }
}

impl Default for FormatCosts {
    fn default() -> Self {
        Self {
            byte_ns: 80.0,
            read_ns: [
                ReadCosts { ticker: 300.0, trade: 135.0, orderbook: 48.0, unit: 38.0, candle: 118.0 },
                ReadCosts { ticker: 290.0, trade: 132.0, orderbook: 46.0, unit: 38.0, candle: 115.0 },
                ReadCosts { ticker: 304.0, trade: 139.0, orderbook: 52.0, unit: 38.0, candle: 122.0 },
                ReadCosts { ticker: 294.0, trade: 136.0, orderbook: 50.0, unit: 38.0, candle: 119.0 },
            ],
        }
    }
}

impl FormatRule {
    fn problems(&self) -> Vec<String> {
        let reads = self.costs.read_ns.iter().flat_map(|r| [r.ticker, r.trade, r.orderbook, r.unit, r.candle]);
        let is_cost = |cost: f64| cost.is_finite() && cost >= 0.0;
        let mut problems = Vec::new();
        if !is_cost(self.costs.byte_ns) || !reads.into_iter().all(is_cost) {
            problems.push("format: a cost must be a number, and not negative".to_owned());
        }
        if !(0.0..1.0).contains(&self.gain) {
            problems.push(format!("format: gain must be at least 0 and less than 1, not {}", self.gain));
        }
        if self.window.is_zero() || self.windows == 0 {
            problems.push("format: window must be longer than zero, and there must be at least one".to_owned());
        }
        problems
    }
}

/// How to keep a quiet socket open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepAlive {
    /// WebSocket pings. Their answer proves that the peer still reads.
    #[default]
    Ping,
    /// Pings, and the text `PING` once per socket, after which the exchange sends `{"status":"UP"}` every 10 s.
    PingAndStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_pacing_uses_the_documented_limits_in_full() {
        let (pacing, limits) = (Pacing::default(), Limits::default());
        assert_eq!(pacing.margin(), crate::session::MARGIN);
        assert_eq!(pacing.share_of(limits.requests_per_second), 5);
        assert_eq!(pacing.share_of(limits.requests_per_minute), 100);
    }

    #[test]
    fn a_share_is_never_more_than_the_limit_nor_nothing() {
        for limit in 1..=10_000 {
            let share = Pacing::Conservative.share_of(limit);
            assert!(
                (1..=limit).contains(&share) && u64::from(share) * 5 < u64::from(limit) * 3 + 5,
                "{share} of {limit}"
            );
        }
    }

    #[test]
    fn addresses_are_taken_apart_as_written() {
        let e = Endpoint::custom("wss://127.0.0.1:9443/websocket/v1").unwrap();
        assert_eq!((e.host(), e.port(), e.path(), e.is_secure()), ("127.0.0.1", 9443, "/websocket/v1", true));
        assert_eq!(e.to_string(), "wss://127.0.0.1:9443/websocket/v1");
        assert_eq!(Endpoint::custom("wss://[::1]:1/x").unwrap().authority(), "[::1]:1");
        assert_eq!(Endpoint::custom("wss://host").unwrap().to_string(), "wss://host/websocket/v1");
        assert_eq!(Endpoint::custom("wss://host/").unwrap().path(), "/");
        assert_eq!(Endpoint::korea().to_string(), "wss://api.upbit.com/websocket/v1");
    }

    #[test]
    fn plain_requests_go_to_the_same_host_and_port() {
        let url = |endpoint: &str| Endpoint::custom(endpoint).unwrap().rest_url("/v1/market/all");
        assert_eq!(Endpoint::korea().rest_url("/v1/market/all"), "https://api.upbit.com/v1/market/all");
        assert_eq!(url("wss://127.0.0.1:9443/x?y"), "https://127.0.0.1:9443/v1/market/all");
        assert_eq!(url("ws://[::1]:8080"), "http://[::1]:8080/v1/market/all");
    }

    #[test]
    fn each_exchange_has_its_own_dialect() {
        let bithumb = Endpoint::bithumb();
        assert_eq!(bithumb.to_string(), "wss://ws-api.bithumb.com/websocket/v1");
        assert_eq!(bithumb.rest_url("/v1/market/all"), "https://api.bithumb.com/v1/market/all");
        assert_eq!((*bithumb.dialect(), *Endpoint::korea().dialect()), (BITHUMB, UPBIT));
        assert!(!Endpoint::indonesia().dialect().has_levels);
        let custom = Endpoint::custom("ws://127.0.0.1:1").unwrap();
        assert_eq!((*custom.dialect(), *custom.with_dialect(BITHUMB).dialect()), (UPBIT, BITHUMB));
    }

    #[test]
    fn plain_text_is_for_loopback_literals_only() {
        for ok in ["ws://127.0.0.1:80/", "ws://127.9.9.9", "ws://[::1]:9/", "ws://[::ffff:127.0.0.1]/"] {
            assert!(Endpoint::custom(ok).is_ok(), "{ok}");
        }
        // Names are refused although they usually mean loopback: a resolver decides what they mean.
        for no in ["ws://api.upbit.com/", "ws://localhost/", "ws://localhost.evil/", "ws://10.0.0.1/", "ws://0.0.0.0/"]
        {
            assert_eq!(Endpoint::custom(no), Err(InvalidEndpoint::PlainOffLoopback), "{no}");
        }
        assert_eq!(Endpoint::custom("ws://127.0.0.1@evil/"), Err(InvalidEndpoint::UserInfo));
    }

    #[test]
    fn malformed_addresses_are_refused_with_the_reason() {
        for (url, why) in [
            ("https://x/", InvalidEndpoint::Scheme),
            ("wss://", InvalidEndpoint::Host),
            ("wss://a b/", InvalidEndpoint::Host),
            ("wss://[::1/", InvalidEndpoint::Host),
            ("wss://h:0/", InvalidEndpoint::Port),
            ("wss://h:65536/", InvalidEndpoint::Port),
            ("wss://h:+1/", InvalidEndpoint::Port),
            ("wss://h/a b", InvalidEndpoint::Path),
            ("wss://h/a\r\nX: y", InvalidEndpoint::Path),
            ("wss://h/#f", InvalidEndpoint::Path),
        ] {
            assert_eq!(Endpoint::custom(url), Err(why), "{url}");
        }
    }

    #[test]
    fn deadlines_that_contradict_each_other_are_all_named() {
        assert_eq!(Timeouts::default().problems().count(), 0);
        let bad = Timeouts {
            ping_after: Duration::from_secs(21),
            silent_after: Duration::from_secs(3),
            close: Duration::ZERO,
            ..Timeouts::default()
        };
        assert_eq!(bad.problems().count(), 3);
        assert_eq!(Limits { requests_per_second: 0, message_bytes: 1, ..Limits::default() }.problems().count(), 2);
        let endless = Limits { requests_per_minute: u32::MAX, message_bytes: usize::MAX, ..Limits::default() };
        assert_eq!(endless.problems().count(), 2);
    }
}
