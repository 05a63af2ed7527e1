//! The ways to keep a quiet socket open.

/// How to keep a quiet socket open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeepAlive {
    /// WebSocket pings. A pong proves that the peer still reads.
    #[default]
    Ping,
    /// Pings, plus the text `PING` once per socket. The exchange then sends `{"status":"UP"}` every 10 s.
    PingAndStatus,
}
