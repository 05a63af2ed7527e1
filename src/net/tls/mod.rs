//! TLS: certificates are always verified, ciphertext is read in large pieces, and records are decrypted in place.

mod cipher;
mod ciphertext;
mod config;
mod records;
mod stream;

#[cfg(feature = "rest")]
pub(super) use config::certificates;
pub use config::{InvalidRoots, TlsConfig};
pub use stream::Tls;

#[cfg(test)]
mod tests;
