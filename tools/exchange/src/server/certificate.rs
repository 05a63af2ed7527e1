//! The certificate of the simulated exchange and of the authority that signed it, both from files of the repository.
//!
//! The server's key is public, which is harmless: the certificate names loopback only, and only a client configured to trust
//! this authority accepts it. The authority's key was deleted after it signed, so it cannot sign other names. Both
//! certificates are valid until 4096.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const AUTHORITY: &str = include_str!("authority.pem");
const LEAF: &str = include_str!("localhost.pem");
const LEAF_KEY: &str = include_str!("localhost.key.pem");

/// The authority's certificate, for clients, and the server's TLS configuration.
pub(crate) struct Identity {
    pub ca_pem: String,
    pub ca_der: Vec<u8>,
    pub tls: Arc<ServerConfig>,
}

impl Identity {
    pub fn of_localhost() -> io::Result<Self> {
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other);
        let leaf = certificate(LEAF)?;
        let key = PrivateKeyDer::from_pem_slice(LEAF_KEY.as_bytes()).map_err(io::Error::other)?;
        // Named here because another crate may have installed a different default provider in the process.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![leaf], key))
            .map_err(io::Error::other)?;
        let ca_der = certificate(AUTHORITY)?.to_vec();
        Ok(Self { ca_pem: AUTHORITY.to_owned(), ca_der, tls: Arc::new(tls) })
    }
}
