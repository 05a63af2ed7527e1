//! TLS: certificates are always verified, ciphertext is read in large pieces, and records are decrypted in place.
//!
//! rustls does the handshake (`stream`); after it, this module reads and writes the records itself (`records`). Keys are
//! renewed when the server asks, never on our initiative: no socket lives for 2^24 records, and one that did would end
//! with an error.

mod cipher;
mod ciphertext;
mod config;
mod failure;
mod records;
mod roots;
mod stream;

pub use config::{InvalidRoots, TlsConfig};
pub(super) use failure::explain_broken;
pub use stream::Tls;

#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod tests;
