//! TLS over one socket: certificates are always verified, ciphertext is read in large pieces.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore};

/// One read of ciphertext. rustls asks a socket for 4 KiB at a time by itself, which costs half as much again end to
/// end; read 64 KiB and feed it from memory.
const CIPHERTEXT_BYTES: usize = 64 * 1024;

/// Whom to trust: the web's public roots, and roots added on purpose. Verification cannot be turned off.
#[derive(Clone)]
pub struct TlsConfig(Arc<ClientConfig>);

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
    /// The public roots, and those in each of `extra_pem`.
    pub fn new(extra_pem: &[Vec<u8>]) -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for pem in extra_pem {
            add_roots(&mut roots, pem)?;
        }
        let mut provider = rustls::crypto::ring::default_provider();
        // The cheapest first, for servers that leave the choice to us; a twentieth of a ticker's whole cost.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| InvalidRoots(format!("TLS cannot be set up: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

fn add_roots(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), InvalidRoots> {
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|e| InvalidRoots(format!("a root certificate is not usable: {e}")))?;
    }
    Ok(())
}

/// The certificates in a PEM text: at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidRoots> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| InvalidRoots(format!("a root certificate file is not valid PEM: {e}")))?;
    if found.is_empty() {
        return Err(InvalidRoots("a root certificate file holds no PEM certificate".to_owned()));
    }
    Ok(found)
}

/// TLS on one socket.
pub struct Tls {
    connection: ClientConnection,
    ciphertext: Box<[u8]>,
    /// What of `ciphertext` was received and not yet taken by rustls.
    pending: std::ops::Range<usize>,
    /// The last read left the socket empty.
    drained: bool,
    /// The peer has closed its side, so an end waits behind the last bytes.
    ended: bool,
}

impl Tls {
    pub fn new(config: &TlsConfig, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("\"{host}\" cannot be verified: {e}"))?;
        let connection = ClientConnection::new(config.0.clone(), name).map_err(|e| e.to_string())?;
        Ok(Self {
            connection,
            ciphertext: vec![0; CIPHERTEXT_BYTES].into(),
            pending: 0..0,
            drained: false,
            ended: false,
        })
    }

    /// The socket has news: it holds bytes again, or its end (`ended`).
    pub fn readable(&mut self, ended: bool) {
        self.drained = false;
        self.ended |= ended;
    }

    /// Reads plaintext. `Ok(0)` is a clean end; a socket that ends without close_notify is `UnexpectedEof`, because
    /// then anybody on the path could have cut it.
    pub fn read(&mut self, socket: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(into) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.feed(socket)?,
                other => return other,
            }
        }
    }

    /// Takes the handshake on as far as the socket allows; `WouldBlock` when it does not.
    pub fn handshake(&mut self, socket: &mut (impl Read + Write)) -> io::Result<()> {
        while self.connection.is_handshaking() {
            self.flush(socket)?;
            if self.connection.is_handshaking() {
                self.feed(socket)?;
            }
        }
        self.flush(socket)
    }

    /// Encrypts `bytes`; sending is [`flush`](Self::flush)'s.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.writer().write(bytes)
    }

    /// Sends ciphertext until there is none left; `WouldBlock` when the socket takes no more.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Tells the peer that nothing more comes.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Gives rustls more ciphertext: what waits in memory first, then one read of the socket.
    fn feed(&mut self, socket: &mut impl Read) -> io::Result<()> {
        if self.pending.is_empty() {
            if self.drained {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = socket.read(&mut self.ciphertext)?;
            if n == 0 {
                // Tells rustls; the reader then answers a clean end, or UnexpectedEof.
                self.connection.read_tls(&mut io::empty())?;
                if self.connection.is_handshaking() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                return self.process();
            }
            // Less than there was room for: the socket is empty until it says otherwise, and asking it again would only
            // cost a system call. An end that waits behind the bytes is not announced a second time.
            self.drained = n < self.ciphertext.len() && !self.ended;
            self.pending = 0..n;
        }
        let mut bytes = &self.ciphertext[self.pending.clone()];
        let taken = self.connection.read_tls(&mut bytes)?;
        self.pending.start += taken;
        self.process()
    }

    fn process(&mut self) -> io::Result<()> {
        self.connection.process_new_packets().map(drop).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }
}
