//! The interface of a client that can be measured.

use std::time::Duration;

use hoga_cli::rounds::Error;

/// Where a client connects to, and what it subscribes to.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `ws://…` or `wss://…`, on loopback.
    pub url: String,
    /// The certificate to trust, if the URL is `wss`.
    pub certificate_pem: String,
    /// The same certificate in DER.
    pub certificate_der: Vec<u8>,
    /// The streams to subscribe to.
    pub wants: Vec<Want>,
    /// The core for the client's threads.
    pub core: usize,
}

/// The streams of one type.
#[derive(Debug, Clone)]
pub struct Want {
    /// The exchange's name of the type: `ticker`, `trade`, `orderbook`, …
    pub data_type: String,
    /// Market codes. Codes of order books may have a depth, as in `KRW-BTC.15`.
    pub codes: Vec<String>,
}

impl Endpoint {
    /// Returns the request for all these streams, as a client may send it.
    pub fn request(&self) -> String {
        request(&self.wants)
    }

    /// Returns whether the endpoint uses TLS.
    pub fn is_secure(&self) -> bool {
        self.url.starts_with("wss://")
    }
}

/// Returns the request for these streams in the DEFAULT format.
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
    /// Sleeps in the kernel.
    Park,
    /// Polls without pause.
    Spin,
    /// Polls for this long after the last bytes, then sleeps.
    SpinThenPark(Duration),
}

/// A client that can be measured.
pub trait Stack {
    /// Starts a client that connects, subscribes to the endpoint's streams and runs on the endpoint's core. Returns at
    /// once; the feeder accepts the connection afterwards.
    fn start(&self, endpoint: &Endpoint) -> Result<Box<dyn Strategy>, Error>;
}

/// The strategy's end of a running client, used on the feeder's thread. Dropping it stops the client.
pub trait Strategy {
    /// Returns the exchange's `timestamp` of the next update in the strategy's queue, in ms, or `None` if the queue is
    /// empty.
    fn poll(&mut self) -> Option<u64>;

    /// Returns the number of updates so far that did not fit into the queue.
    fn missed(&self) -> u64;

    /// Returns the CPU time so far of a client in a separate process.
    fn cpu(&self) -> Option<Duration> {
        None
    }
}
