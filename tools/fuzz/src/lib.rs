//! Shared by the fuzz targets in `src/bin`. Each target reads its input as bytes from outside, and asserts what the
//! library promises for any bytes.

mod receive;
mod sink;

pub use receive::{pieces, receive};
pub use sink::{Collected, RECEIPT};

/// The random bytes of the opening handshake, and the value of `Sec-WebSocket-Accept` that belongs to them (RFC 6455
/// section 1.3).
pub const KEY: [u8; 16] = *b"the sample nonce";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
