//! RFC 6455, sans-IO: frames read in place in a byte buffer, and the opening handshake. No socket, no clock.
//!
//! Received bytes are stored in a [`ReceiveBuffer`]. First a [`Handshake`] reads the answer to the upgrade from it.
//! Then a [`FrameReader`] reads frames from the same buffer, so frames that arrive together with the answer are not
//! lost. The `write_*` functions append outgoing frames to a `Vec<u8>`.
//!
//! ```
//! use hoga::ws::{FrameReader, Incoming, Limits, ReceiveBuffer};
//!
//! let mut buffer = ReceiveBuffer::new(64 * 1024);
//! let mut frames = FrameReader::new(Limits::default());
//!
//! let received = b"\x82\x02{}"; // what `recv` would have put there
//! buffer.spare()[..received.len()].copy_from_slice(received);
//! buffer.advance(received.len());
//!
//! while let Some(incoming) = frames.next(&mut buffer)? {
//!     match incoming {
//!         Incoming::Text(payload) | Incoming::Binary(payload) => assert_eq!(payload.bytes(), b"{}"),
//!         Incoming::Ping(_) | Incoming::Pong(_) | Incoming::Close(_) => {}
//!     }
//! }
//! # Ok::<(), hoga::ws::Violation>(())
//! ```
//!
//! No extension is offered, not even permessage-deflate. On a link that is not full, inflating a message takes more
//! time than its compression saves, and a client that never inflates cannot be attacked with a deflate bomb.

mod answer;
mod buffer;
mod close;
mod handshake;
mod header;
mod incoming;
mod reader;
mod rejection;
mod request;
mod socks5;
mod tunnel;
mod violation;
mod writer;

pub use buffer::{ReceiveBuffer, SLACK};
pub use handshake::{Handshake, HandshakeError, MAX_HEADER_BYTES, Progress};
pub use incoming::{Incoming, Payload};
pub use reader::{FrameReader, Limits};
pub use rejection::{MAX_BODY_BYTES, Rejection, RejectionKind, RetryAfter};
pub use request::header_problem;
pub use tungstenite::protocol::frame::coding::CloseCode;
pub use tunnel::{Tunnel, TunnelError, TunnelStep};
pub use violation::Violation;
pub use writer::{write_binary, write_close, write_ping, write_pong, write_text};
