//! The text for each failure of a handshake, from real handshakes where rustls can play the server.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::ServerConfig;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, PeerIncompatible, ServerConnection};

use super::failure::{Context, explain_broken};
use super::{Tls, TlsConfig};
use crate::config::Roots;

/// A socket to a server in the same thread.
struct Wire {
    server: ServerConnection,
    to_client: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.server.wants_write() {
            self.server.write_tls(&mut self.to_client).unwrap();
        }
        let n = into.len().min(self.to_client.len());
        into[..n].copy_from_slice(&self.to_client[..n]);
        self.to_client.drain(..n);
        if n == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }
}

impl Write for Wire {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let n = self.server.read_tls(&mut bytes).unwrap();
        // The server's alert is queued, and the client reads it.
        let _ = self.server.process_new_packets();
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket whose peer has sent these bytes, and then closed if `ended`.
struct Canned<'a>(&'a [u8], bool);

impl Read for Canned<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !self.1 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(into)
    }
}

impl Write for Canned<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn explain(tls: &mut Tls, socket: &mut (impl Read + Write)) -> String {
    for _ in 0..10 {
        match tls.handshake(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tls.readable(false),
            other => return tls.explain(&other.unwrap_err()),
        }
    }
    "it waits".to_owned()
}

/// An authority, and the text with which a client that trusts it refuses a certificate.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn refuse(&self, trusted: &Roots, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(["exchange.test".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&TLS12, &TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.into())
            .unwrap();
        let mut wire = Wire { server: ServerConnection::new(Arc::new(server)).unwrap(), to_client: Vec::new() };
        let mut tls = Tls::new(&TlsConfig::new(trusted).unwrap(), "exchange.test", &[]).unwrap();
        explain(&mut tls, &mut wire)
    }

    fn roots(&self) -> Roots {
        Roots::bundled().and_pem(self.0.pem())
    }
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert!(text.chars().count() < 600 && !text.contains(char::is_control), "{text:?}");
}

#[test]
fn each_refused_certificate_says_why_and_what_to_do() {
    let authority = Authority::new("one");
    let roots = authority.roots();
    let year = rcgen::date_time_ymd;
    let expired = authority.refuse(&roots, |params| {
        (params.not_before, params.not_after) = (year(2001, 1, 1), year(2002, 1, 1));
    });
    assert_says(&expired, &["expired at Tue, 01 Jan 2002 00:00:00 GMT", "days ago by this machine's clock ("]);
    let future = authority.refuse(&roots, |params| {
        (params.not_before, params.not_after) = (year(4000, 1, 1), year(4001, 1, 1));
    });
    assert_says(&future, &["not valid before Sat, 01 Jan 4000 00:00:00 GMT", "check the clock"]);
    let other = authority.refuse(&roots, |params| {
        let names = ["other.test", "*.wild.test", "127.0.0.1", "c.test", "d.test", "e.test", "f.test"];
        *params = CertificateParams::new(names.map(str::to_owned)).unwrap();
    });
    assert_says(
        &other,
        &["not for exchange.test, but for other.test, *.wild.test, 127.0.0.1, c.test, d.test and 2 more"],
    );
    let nameless = authority.refuse(&roots, |params| params.subject_alt_names.clear());
    assert_says(&nameless, &["no name at all (it has no subjectAltName)"]);
    let client = authority.refuse(&roots, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_says(&client, &["serverAuth"]);
    let ca = authority.refuse(&roots, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_says(&ca, &["certificate of a CA", "CA:FALSE"]);
    let unknown = authority.refuse(&Authority::new("two").roots(), |_| ());
    assert_says(
        &unknown,
        &["no trusted root", "bundled roots, and 1 from a PEM text", "--ca FILE", "root_certificates_file"],
    );
    let renewed = authority.refuse(&Authority::new("one").roots(), |_| ());
    assert_says(&renewed, &["another key has signed it", "from a PEM text", "made again"]);
}

fn answer(bytes: &[u8], ended: bool) -> String {
    let config = TlsConfig::new(&Roots::bundled()).unwrap();
    let mut tls = Tls::new(&config, "exchange.test", &[]).unwrap();
    let text = explain(&mut tls, &mut Canned(bytes, ended));
    // Bytes that arrived before TLS was started are the same to it.
    let mut tls = Tls::new(&config, "exchange.test", bytes).unwrap();
    assert_eq!(explain(&mut tls, &mut Canned(&[], ended)), text);
    text
}

#[test]
fn an_answer_that_is_not_tls_is_quoted_at_once() {
    assert_says(&answer(b"HTTP/1.1 400 Bad Request\r\n\r\n", false), &["plain HTTP", "wss://", "ws://"]);
    assert_says(&answer(b"SSH-2.0-OpenSSH_9.6\r\n", false), &["does not speak TLS", r#""SSH-2.0-OpenSSH_9.6\r\n""#]);
    assert_says(&answer(b"\x16\x02\x00", false), &["does not speak TLS", r"\x16\x02\x00"]);
    assert_says(&answer(b"\x05", false), &["does not speak TLS"]);
    assert_eq!(answer(b"\x16\x03\x03", false), "it waits");
}

#[test]
fn an_end_during_the_handshake_says_how_far_it_was() {
    assert_says(&answer(b"", true), &["closed the connection without an answer", "wss://", "exchange.test"]);
    assert_says(&answer(b"\x16\x03\x03\x00", true), &["closed the connection in the middle"]);
    let context = Context::new("exchange.test", "".into(), &[]);
    assert_says(&context.explain(&io::ErrorKind::ConnectionReset.into()), &["reset the connection without an answer"]);
}

#[test]
fn alerts_have_their_names_and_a_meaning() {
    let alert = |code| answer(&[21, 3, 3, 0, 2, 2, code], false);
    assert_says(&alert(70), &["protocol_version", "neither TLS 1.2 nor TLS 1.3"]);
    assert_says(&alert(40), &["handshake_failure", "no version or cipher"]);
    assert_says(&alert(71), &["insufficient_security", "no version or cipher"]);
    assert_says(&alert(112), &["unrecognized_name", "exchange.test"]);
    assert_says(&alert(116), &["certificate_required", "client certificate"]);
    assert_says(&alert(80), &["internal_error"]);
    assert_says(&alert(49), &["access_denied"]);
    assert_says(&alert(250), &["number 250"]);
    let broken = io::Error::new(io::ErrorKind::InvalidData, Error::AlertReceived(AlertDescription::InternalError));
    assert_says(&explain_broken(&broken), &["sent the alert internal_error"]);
}

#[test]
fn a_version_or_cipher_that_is_not_shared_is_named() {
    // A TLS 1.1 server that ignores the versions it does not know.
    let mut hello = vec![2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x13, 0]);
    let record = [&[22, 3, 2, 0, hello.len() as u8][..], &hello].concat();
    assert_says(&answer(&record, false), &["neither TLS 1.2 nor TLS 1.3"]);
    let context = Context::new("exchange.test", "".into(), &[]);
    let peer = |why: PeerIncompatible| context.explain(&io::Error::new(io::ErrorKind::InvalidData, Error::from(why)));
    assert_says(&peer(PeerIncompatible::NoCipherSuitesInCommon), &["share no cipher"]);
    assert_says(&peer(PeerIncompatible::NullCompressionRequired), &["cannot agree", "NullCompressionRequired"]);
}

#[test]
fn the_names_of_a_certificate_cannot_control_a_terminal_or_fill_the_log() {
    let context = Context::new("exchange.test", "".into(), &[]);
    let presented = vec![format!("DnsName(\"\u{1b}[2J{}\")", "x".repeat(5000)); 9];
    let expected = rustls::pki_types::ServerName::try_from("exchange.test").unwrap();
    let error = rustls::CertificateError::NotValidForNameContext { expected, presented };
    let error = io::Error::new(io::ErrorKind::InvalidData, Error::InvalidCertificate(error));
    assert_says(&context.explain(&error), &["and 4 more"]);
}
