//! The list of markets from the exchange's REST interface: one blocking GET. Requires the feature `rest`.

use std::fmt;
use std::time::Duration;

use simd_json::prelude::*;
use simd_json::tape::Value;
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Error};

use super::connect::{Dial, Lookup, Secure};
use crate::config::{Endpoint, Proxy, Roots};
use crate::model::Market;
use crate::net::markets::{MarketSource, SourceError, SourceFailure};
use crate::net::tls::{InvalidRoots, TlsConfig};

/// The maximum size of a response. Upbit's list has about 100 KB, with details 400 KB.
const BODY_BYTES_MAX: u64 = 8 << 20;

/// A source that sends `GET /v1/market/all` to an exchange, at [`Endpoint::rest_url`].
///
/// Certificates are always verified. Redirects are not followed, the environment is not read, and no `Origin` header is
/// sent. No connection stays open between calls.
pub struct RestMarkets {
    tls: TlsConfig,
    proxy: Option<Proxy>,
    host: String,
    port: u16,
    https_only: bool,
    url: String,
    timeout: Duration,
    skipped: u64,
}

impl fmt::Debug for RestMarkets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, proxy, timeout, .. } = self;
        f.debug_struct("RestMarkets")
            .field("url", url)
            .field("proxy", proxy)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

impl RestMarkets {
    /// The default deadline of one call, 5 s.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// Returns a source for the exchange behind `endpoint` that trusts `roots`. Pass the same roots as to the engine.
    ///
    /// # Errors
    /// If a root certificate cannot be read or used. Does not touch the network.
    pub fn new(endpoint: &Endpoint, roots: &Roots) -> Result<Self, InvalidRoots> {
        let tls = TlsConfig::new(roots).map_err(|problems| InvalidRoots::new(&problems))?;
        Ok(Self::with_tls(endpoint, tls))
    }

    /// Same as [`new`](Self::new), with roots that were read before.
    pub(crate) fn with_tls(endpoint: &Endpoint, tls: TlsConfig) -> Self {
        let (host, port) = endpoint.rest_address();
        Self {
            tls,
            proxy: None,
            host: host.to_owned(),
            port,
            https_only: endpoint.is_secure(),
            url: endpoint.rest_url("/v1/market/all"),
            timeout: Self::TIMEOUT,
            skipped: 0,
        }
    }

    /// Sends the requests through this proxy, unless its exceptions contain the host. Default: none. Pass the same proxy
    /// as to the engine.
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = proxy.into().filter(|proxy| proxy.is_for(&self.host, self.port));
        self
    }

    /// Sets the deadline of one call, from the look-up of the name to the last byte. Default: [`RestMarkets::TIMEOUT`],
    /// 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn fetch(&self) -> Result<Vec<u8>, SourceFailure> {
        let request = self.agent().get(&self.url).config().timeout_global(Some(self.timeout)).build();
        let mut response = request.call().map_err(|error| self.failure(error))?;
        if response.status() != 200 {
            return Err(SourceFailure::Status(response.status().as_u16()));
        }
        let body = response.body_mut().with_config().limit(BODY_BYTES_MAX);
        body.read_to_vec().map_err(|error| self.failure(error))
    }

    fn agent(&self) -> Agent {
        let config = Agent::config_builder()
            .https_only(self.https_only)
            // ureq would read the environment.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .user_agent(concat!("hoga/", env!("CARGO_PKG_VERSION")))
            .build();
        let dial = Dial { tcp: TcpConnector::default(), proxy: self.proxy.clone() };
        Agent::with_parts(config, dial.chain(Secure(self.tls.clone())), Lookup { proxy: self.proxy.clone() })
    }

    fn failure(&self, error: Error) -> SourceFailure {
        match error {
            Error::Timeout(_) => SourceFailure::Timeout(self.timeout),
            Error::BodyExceedsLimit(limit_bytes) => SourceFailure::TooLarge { limit_bytes },
            Error::Other(why) => SourceFailure::Unreachable(why.to_string()),
            other => SourceFailure::Unreachable(other.to_string()),
        }
    }
}

impl MarketSource for RestMarkets {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        let list = self.fetch().and_then(|mut body| read(&mut body).map_err(SourceFailure::Unreadable));
        let list = list.map_err(|failure| SourceError { url: self.url.clone(), failure })?;
        self.skipped = list.skipped;
        Ok(list.markets)
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// The content of a response.
#[derive(Debug, PartialEq, Eq)]
struct List {
    markets: Vec<Market>,
    skipped: u64,
}

/// Reads a list of objects with a `market` field, and ignores all other fields.
fn read(body: &mut [u8]) -> Result<List, String> {
    let tape = simd_json::to_tape(body).map_err(|error| format!("the response is not JSON: {error}"))?;
    let Some(entries) = tape.as_value().as_array() else { return Err("the response is not a list".to_owned()) };
    let markets: Vec<Market> = entries.iter().filter_map(market).collect();
    // Every exchange has markets. Accepting an empty list would end every stream.
    if markets.is_empty() {
        return Err("the response contains no market".to_owned());
    }
    let skipped = (entries.len() - markets.len()) as u64;
    Ok(List { markets, skipped })
}

fn market(entry: Value<'_, '_>) -> Option<Market> {
    entry.as_object()?.get("market")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<(String, u64), String> {
        let list = read(&mut text.as_bytes().to_vec())?;
        let codes: Vec<String> = list.markets.iter().map(Market::to_string).collect();
        Ok((codes.join(" "), list.skipped))
    }

    #[test]
    fn unknown_fields_are_ignored_and_bad_codes_counted() {
        let text = r#"[
            {"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin"},
            {"market_event":{"warning":false,"caution":{"A":[true]}},"market":"KRW-ETH"},
            {"market":"krw-xrp"}, {"market":7}, {"english_name":"Nothing"}, null, []
        ]"#;
        assert_eq!(list(text), Ok(("KRW-BTC KRW-ETH".to_owned(), 5)));
    }

    #[test]
    fn a_response_that_is_no_list_of_markets_is_refused() {
        for text in ["", "x", "[", "{}", "7", "[]", r#"[{"market":""}]"#, r#"{"error":{"name":"x"}}"#] {
            assert!(list(text).is_err(), "{text}");
        }
        assert!(list(&"[".repeat(1_000_000)).is_err());
    }
}
