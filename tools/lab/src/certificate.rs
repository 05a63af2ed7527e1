//! A certificate for loopback, made at start.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;

use crate::Error;

/// What a client needs to trust the feeder, and the feeder to be trusted.
pub(crate) struct Identity {
    pub pem: String,
    pub der: Vec<u8>,
    pub tls: Arc<ServerConfig>,
}

impl Identity {
    pub fn generate() -> Result<Self, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::failed("no certificate could be made", e);
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).map_err(|e| failed(&e))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        // Named here and not taken from the process: another crate may have installed another default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
            .map_err(|e| failed(&e))?;
        Ok(Self { pem: cert.pem(), der: cert.der().to_vec(), tls: Arc::new(tls) })
    }
}
