//! How a quiet socket is kept open.

/// How to keep a quiet socket open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeepAlive {
    /// WebSocket pings. Their answer proves that the peer still reads.
    #[default]
    Ping,
    /// Pings, and the text `PING` once per socket, after which the exchange sends `{"status":"UP"}` every 10 s.
    PingAndStatus,
}
