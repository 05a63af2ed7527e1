//! The TLS configuration: trusted roots, and the order of ciphers.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ClientConfig, RootCertStore};

/// The trusted roots: the web's public roots, and added ones. Verification cannot be turned off.
#[derive(Clone)]
pub struct TlsConfig(pub(super) Arc<ClientConfig>);

/// Why root certificates were not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRoots(String);

impl fmt::Display for InvalidRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidRoots {}

impl TlsConfig {
    /// Returns a configuration that trusts the public roots and the roots in each of `extra_pem`.
    ///
    /// # Errors
    /// If a root certificate cannot be read or used.
    pub fn new(extra_pem: &[Vec<u8>]) -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for pem in extra_pem {
            add_roots(&mut roots, pem)?;
        }
        let mut provider = rustls::crypto::ring::default_provider();
        // The cheapest first, for servers that follow our order; it saves a twentieth of a ticker's whole cost.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| InvalidRoots(format!("cannot set up TLS: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // `records` needs the keys.
        config.enable_secret_extraction = true;
        Ok(Self(Arc::new(config)))
    }
}

fn add_roots(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), InvalidRoots> {
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|e| InvalidRoots(format!("a root certificate is unusable: {e}")))?;
    }
    Ok(())
}

/// Returns the certificates in a PEM text. At least one is required.
pub(in crate::net) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidRoots> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| InvalidRoots(format!("a root certificate file is not valid PEM: {e}")))?;
    if found.is_empty() {
        return Err(InvalidRoots("a root certificate file contains no PEM certificate".to_owned()));
    }
    Ok(found)
}
