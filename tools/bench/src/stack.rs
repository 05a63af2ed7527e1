//! What can be measured.

use std::time::Duration;

use hoga_cli::rounds::Error;

/// Where a client connects to, and what it asks for.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `ws://…` or `wss://…`, on loopback.
    pub url: String,
    /// The certificate to trust, if it is `wss`.
    pub certificate_pem: String,
    /// The same, in DER.
    pub certificate_der: Vec<u8>,
    /// What to subscribe to: names of types and, for each, codes.
    pub wants: Vec<Want>,
    /// The core that belongs to the client.
    pub core: usize,
}

/// Streams of one type.
#[derive(Debug, Clone)]
pub struct Want {
    /// As the exchange writes it: `ticker`, `trade`, `orderbook`, …
    pub data_type: String,
    /// Codes; of order books maybe with a depth, as in `KRW-BTC.15`.
    pub codes: Vec<String>,
}

impl Endpoint {
    /// The request for all of it, as a client may send it.
    pub fn request(&self) -> String {
        request(&self.wants)
    }

    /// Whether it speaks TLS.
    pub fn is_secure(&self) -> bool {
        self.url.starts_with("wss://")
    }
}

/// The request for some streams, in the default format.
pub fn request(wants: &[Want]) -> String {
    let mut objects = vec![serde_json::json!({ "ticket": "lab" })];
    let object = |want: &Want| serde_json::json!({ "type": want.data_type, "codes": want.codes });
    objects.extend(wants.iter().map(object));
    objects.push(serde_json::json!({ "format": "DEFAULT" }));
    serde_json::Value::from(objects).to_string()
}

/// How a client's thread waits for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Asleep in the kernel.
    Park,
    /// Always looking.
    Spin,
    /// Looking for this long after the last bytes, then asleep.
    SpinThenPark(Duration),
}

/// A client that can be measured.
pub trait Stack {
    /// Connects, subscribes to what the endpoint wants, and runs on the endpoint's core. Returns at once: the feeder accepts
    /// afterwards.
    fn start(&self, endpoint: &Endpoint) -> Result<Box<dyn Strategy>, Error>;
}

/// The strategy's end of a running client, on the feeder's thread. Dropping it stops the client.
pub trait Strategy {
    /// The exchange's `timestamp` of the next update in the strategy's queue, in ms; `None` if nothing waits.
    fn poll(&mut self) -> Option<u64>;

    /// Updates that the queue could not hold, so far.
    fn missed(&self) -> u64;

    /// CPU time so far of a client that is a process of its own.
    fn cpu(&self) -> Option<Duration> {
        None
    }
}
