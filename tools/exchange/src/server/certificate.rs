//! Certificates generated at start: a test authority, and a certificate for loopback that it signed.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io;
use std::sync::Arc;

/// The authority's certificate, for clients, and the server's TLS configuration.
pub(crate) struct Identity {
    pub ca_pem: String,
    pub ca_der: Vec<u8>,
    pub tls: Arc<ServerConfig>,
}

impl Identity {
    pub fn generate() -> io::Result<Self> {
        let (ca_pem, ca_der, leaf, key) = sign().map_err(io::Error::other)?;
        // Named here because another crate may have installed a different default provider in the process.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![leaf], key))
            .map_err(io::Error::other)?;
        Ok(Self { ca_pem, ca_der, tls: Arc::new(tls) })
    }
}

type Signed = (String, Vec<u8>, CertificateDer<'static>, PrivateKeyDer<'static>);

fn sign() -> Result<Signed, Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "hoga simulated exchange: authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca_certificate = ca.self_signed(&ca_key)?;

    let leaf_key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into(), "::1".into()])?;
    leaf.distinguished_name.push(DnType::CommonName, "hoga simulated exchange");
    // webpki refuses the certificate of an authority as an end entity.
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf_certificate = leaf.signed_by(&leaf_key, &Issuer::from_params(&ca, &ca_key))?;

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    Ok((ca_certificate.pem(), ca_certificate.der().to_vec(), leaf_certificate.into(), key))
}
