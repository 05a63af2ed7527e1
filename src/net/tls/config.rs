//! The TLS configuration: trusted root certificates, and the order of ciphers.

use std::fmt;
use std::sync::Arc;

use rustls::{CipherSuite, ClientConfig};

use super::roots::Loaded;
use crate::config::Roots;

/// What is trusted, and how records are encrypted. Verification cannot be turned off.
#[derive(Clone)]
pub struct TlsConfig {
    pub(in crate::net) client: Arc<ClientConfig>,
    /// Where the trusted roots come from, for people.
    roots: Arc<str>,
}

/// Why root certificates were not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRoots(String);

#[cfg(feature = "rest")]
impl InvalidRoots {
    pub(in crate::net) fn new(problems: &[String]) -> Self {
        Self(problems.join("; "))
    }
}

impl fmt::Display for InvalidRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidRoots {}

impl TlsConfig {
    /// Returns a configuration that trusts these roots. Reads their files.
    ///
    /// # Errors
    /// Every root certificate or file that cannot be read or used.
    pub fn new(roots: &Roots) -> Result<Self, Vec<String>> {
        let Loaded { store, sources, problems } = Loaded::read(roots);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut provider = rustls::crypto::ring::default_provider();
        // The cheapest cipher first, for servers that follow the client's order. It saves a twentieth of the total cost
        // of a ticker.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| vec![format!("cannot set up TLS: {e}")])?
            .with_root_certificates(store)
            .with_no_client_auth();
        // `records` needs the keys.
        client.enable_secret_extraction = true;
        Ok(Self { client: Arc::new(client), roots: sources.into() })
    }

    /// Where the trusted roots come from, for people.
    pub fn roots(&self) -> &Arc<str> {
        &self.roots
    }
}
