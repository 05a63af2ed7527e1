//! TLS 1.3 with ring, as hoga uses it.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};

use crate::stack::Endpoint;

/// Returns a configuration that trusts only the endpoint's certificate.
pub fn config(endpoint: &Endpoint) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(endpoint.certificate_der.clone())).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Returns the name in the feeder's certificate, its loopback address.
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from([127, 0, 0, 1])))
}
