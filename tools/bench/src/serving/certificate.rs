//! The certificate of the measuring servers for loopback, from a file in the repository.

use std::sync::Arc;

use hoga_cli::rounds::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{CipherSuite, ServerConfig};

/// Self-signed and only valid for loopback names, so its key need not be secret.
const CERTIFICATE: &str = include_str!("../../fixtures/localhost.pem");
const KEY: &str = include_str!("../../fixtures/localhost.key.pem");

/// The server chooses this cipher suite for every client that supports it, regardless of the client's preference, so
/// that all of them decrypt the same way. It is not known which suite the exchange chooses.
const SUITE: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;

/// The client's trusted root, and the server's configuration.
pub struct Identity {
    pub pem: String,
    pub der: Vec<u8>,
    pub tls: Arc<ServerConfig>,
}

impl Identity {
    pub fn of_localhost() -> Result<Self, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::failed("the certificate", e);
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).map_err(|e| failed(&e))?;
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).map_err(|e| failed(&e))?;
        // The provider is named, because another crate may have replaced the default of the process.
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != SUITE);
        let mut tls = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key))
            .map_err(|e| failed(&e))?;
        tls.ignore_client_order = true;
        Ok(Self { pem: CERTIFICATE.to_owned(), der: certificate.to_vec(), tls: Arc::new(tls) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::thread;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;

    #[test]
    fn a_client_that_prefers_another_cipher_suite_gets_ours() {
        let identity = Identity::of_localhost().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(identity.der.clone())).unwrap();
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.sort_by_key(|suite| suite.suite() == SUITE);
        let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13]).unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            let mut tls = ServerConnection::new(identity.tls).unwrap();
            tls.complete_io(&mut listener.accept().unwrap().0).unwrap();
        });
        client.complete_io(&mut socket).unwrap();
        assert_eq!(client.negotiated_cipher_suite().unwrap().suite(), SUITE);
        server.join().unwrap();
    }
}
