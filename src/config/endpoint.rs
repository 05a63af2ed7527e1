//! The address and the dialect of an exchange.

use std::fmt;
use std::net::IpAddr;

use super::{BITHUMB, Dialect, UPBIT, UPBIT_INDONESIA};

/// The address of an exchange. Public market data needs no API key.
///
/// Verification of the server's certificate cannot be turned off. To reach a private test exchange, add its root
/// certificate. Plain `ws://` is accepted only for loopback addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
    secure: bool,
    dialect: Dialect,
    /// The host for REST requests, if it is a different one.
    rest_host: Option<&'static str>,
}

/// The path of public data on all hosts of the exchange.
const PUBLIC_PATH: &str = "/websocket/v1";

/// The error for text that is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidEndpoint {
    /// The scheme is neither `wss://` nor `ws://`.
    Scheme,
    /// There is no host, or it contains characters that a host name cannot have.
    Host,
    /// The address contains a user name or a password. Addresses never carry credentials.
    UserInfo,
    /// The port is not a number from 1 to 65535.
    Port,
    /// The path contains control characters, spaces or a fragment.
    Path,
    /// Plain `ws://` with a host that is not a literal loopback address.
    PlainOffLoopback,
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the endpoint must start with wss:// (or ws:// for a loopback address)",
            Self::Host => "the endpoint has no valid host name or address",
            Self::UserInfo => "the endpoint must not contain a user name or password",
            Self::Port => "the endpoint's port must be a number from 1 to 65535",
            Self::Path => "the endpoint's path must not contain spaces, control characters or '#'",
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

    /// Bithumb: KRW and BTC markets. Its protocol is almost the same as Upbit's.
    pub fn bithumb() -> Self {
        Self { rest_host: Some("api.bithumb.com"), ..Self::public("ws-api.bithumb.com", BITHUMB) }
    }

    fn public(host: &str, dialect: Dialect) -> Self {
        let (host, path) = (host.to_owned(), PUBLIC_PATH.to_owned());
        Self { host, port: 443, path, secure: true, dialect, rest_host: None }
    }

    /// Creates the endpoint of any other server that uses the protocol: `wss://host[:port][/path]`, or `ws://` for a
    /// loopback address. The default port is 443, or 80 for `ws://`. The default path is the exchange's,
    /// `/websocket/v1`. The dialect is Upbit's; see [`with_dialect`](Self::with_dialect).
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

    /// Returns the same endpoint with another dialect. With a wrong dialect the engine requests features that the
    /// server does not have. The server ignores them, or answers with an error and closes the socket.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// The dialect of this server.
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

    /// Path and query of the upgrade request.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether sockets use TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host as an IP address, if it is one and needs no resolver.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Returns the URL for a REST request to the same exchange: `https` for `wss`, `http` for `ws`, with the same host
    /// and port unless the exchange has a separate REST host. `path` starts with a slash.
    pub fn rest_url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let authority = self.rest_host.map_or_else(|| self.authority(), str::to_owned);
        format!("{scheme}://{authority}{path}")
    }

    /// The host and port of REST requests.
    #[cfg(feature = "rest")]
    pub(crate) fn rest_address(&self) -> (&str, u16) {
        self.rest_host.map_or((&self.host, self.port), |host| (host, 443))
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn split_port(authority: &str) -> Result<(&str, Option<&str>), InvalidEndpoint> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_parses_scheme_host_port_and_path() {
        let e = Endpoint::custom("wss://127.0.0.1:9443/websocket/v1").unwrap();
        assert_eq!((e.host(), e.port(), e.path(), e.is_secure()), ("127.0.0.1", 9443, "/websocket/v1", true));
        assert_eq!(e.to_string(), "wss://127.0.0.1:9443/websocket/v1");
        assert_eq!(Endpoint::custom("wss://[::1]:1/x").unwrap().authority(), "[::1]:1");
        assert_eq!(Endpoint::custom("wss://host").unwrap().to_string(), "wss://host/websocket/v1");
        assert_eq!(Endpoint::custom("wss://host/").unwrap().path(), "/");
        assert_eq!(Endpoint::korea().to_string(), "wss://api.upbit.com/websocket/v1");
    }

    #[test]
    fn rest_urls_have_the_same_host_and_port() {
        let url = |endpoint: &str| Endpoint::custom(endpoint).unwrap().rest_url("/v1/market/all");
        assert_eq!(Endpoint::korea().rest_url("/v1/market/all"), "https://api.upbit.com/v1/market/all");
        assert_eq!(url("wss://127.0.0.1:9443/x?y"), "https://127.0.0.1:9443/v1/market/all");
        assert_eq!(url("ws://[::1]:8080"), "http://[::1]:8080/v1/market/all");
    }

    #[test]
    fn each_exchange_has_its_own_host() {
        let hosts = [Endpoint::korea(), Endpoint::singapore(), Endpoint::indonesia(), Endpoint::thailand()];
        let hosts = hosts.map(|endpoint| endpoint.host().to_owned());
        assert_eq!(hosts, ["api.upbit.com", "sg-api.upbit.com", "id-api.upbit.com", "th-api.upbit.com"]);
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
    fn plain_ws_is_refused_except_for_loopback_literals() {
        for ok in ["ws://127.0.0.1:80/", "ws://127.9.9.9", "ws://[::1]:9/", "ws://[::ffff:127.0.0.1]/"] {
            assert!(Endpoint::custom(ok).is_ok(), "{ok}");
        }
        // Names are refused even if they usually mean loopback: a resolver decides what they mean.
        for no in ["ws://api.upbit.com/", "ws://localhost/", "ws://localhost.evil/", "ws://10.0.0.1/", "ws://0.0.0.0/"]
        {
            assert_eq!(Endpoint::custom(no), Err(InvalidEndpoint::PlainOffLoopback), "{no}");
        }
        assert_eq!(Endpoint::custom("ws://127.0.0.1@evil/"), Err(InvalidEndpoint::UserInfo));
    }

    #[test]
    fn malformed_addresses_are_refused_with_a_reason() {
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
}
