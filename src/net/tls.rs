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

/// Plaintext that one read gathers from ciphertext that is here, if it takes more than one turn of rustls: every batch has
/// its price, and the last of it waits until all is decrypted. With 16 KiB, 16 tickers share the price and wait some 10 µs.
const PLAINTEXT_BYTES: usize = 16 * 1024;

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
        let mut filled = self.read_some(socket, into)?;
        while (1..PLAINTEXT_BYTES).contains(&filled) && !self.pending.is_empty() {
            // What is wrong will be said again, after all that was good.
            let Ok(()) = self.feed(socket) else { break };
            filled += self.connection.reader().read(&mut into[filled..]).unwrap_or(0);
        }
        Ok(filled)
    }

    fn read_some(&mut self, socket: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(into) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if let Err(error) = self.feed(socket) {
                // What came before the mistake is good.
                return self.connection.reader().read(into).ok().filter(|n| *n > 0).ok_or(error);
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
            // Says again what was wrong with the last of what was pending.
            self.process()?;
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

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    /// A socket whose other end is a server in the same thread. It gives at most so many bytes at once.
    struct Socket {
        server: ServerConnection,
        to_client: Vec<u8>,
        piece: usize,
        ended: bool,
    }

    impl Socket {
        /// Each as a record of its own.
        fn send(&mut self, texts: &[Vec<u8>]) {
            for text in texts {
                self.server.writer().write_all(text).unwrap();
                self.flush().unwrap();
            }
        }
    }

    impl Read for Socket {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = into.len().min(self.piece).min(self.to_client.len());
            if n == 0 && !self.ended {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            into[..n].copy_from_slice(&self.to_client[..n]);
            self.to_client.drain(..n);
            Ok(n)
        }
    }

    impl Write for Socket {
        fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len();
            while !bytes.is_empty() {
                self.server.read_tls(&mut bytes)?;
                self.server.process_new_packets().map_err(io::Error::other)?;
            }
            self.flush()?;
            Ok(n)
        }

        /// What the server has to say goes on its way.
        fn flush(&mut self) -> io::Result<()> {
            while self.server.wants_write() {
                self.server.write_tls(&mut self.to_client)?;
            }
            Ok(())
        }
    }

    fn open(piece: usize) -> (Tls, Socket) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        server.set_buffer_limit(None);
        let mut socket = Socket { server, to_client: Vec::new(), piece, ended: false };
        let config = TlsConfig::new(&[cert.pem().into_bytes()]).unwrap();
        let mut tls = Tls::new(&config, "localhost").unwrap();
        while let Err(e) = tls.handshake(&mut socket) {
            assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
            tls.readable(false);
        }
        tls.readable(false);
        (tls, socket)
    }

    /// All that can be read, and the error behind it; none for a clean end.
    fn read_all(tls: &mut Tls, socket: &mut Socket, room: usize) -> (Vec<u8>, Option<io::ErrorKind>) {
        let (mut all, mut into) = (Vec::new(), vec![0; room]);
        loop {
            match tls.read(socket, &mut into) {
                Ok(0) => return (all, None),
                Ok(n) => all.extend(&into[..n]),
                // As the event loop does when the socket has more.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && !socket.to_client.is_empty() => tls.readable(false),
                Err(e) => return (all, Some(e.kind())),
            }
        }
    }

    fn texts() -> Vec<Vec<u8>> {
        (0..200u32).map(|n| n.to_be_bytes().repeat(1 + (n as usize * 7) % 400)).collect()
    }

    #[test]
    fn every_byte_is_read_in_order_whatever_the_pieces_and_the_room() {
        for piece in [1, 700, 5_000, usize::MAX] {
            for room in [1, 1_000, 64 * 1024] {
                let (mut tls, mut socket) = open(piece);
                socket.send(&texts());
                let (all, end) = read_all(&mut tls, &mut socket, room);
                assert!(all == texts().concat(), "pieces of {piece}, room for {room}");
                assert_eq!(end, Some(io::ErrorKind::WouldBlock));
            }
        }
    }

    /// What had come with it was lost.
    #[test]
    fn what_came_before_a_damaged_record_is_read_and_then_the_damage_is_told() {
        let (mut tls, mut socket) = open(usize::MAX);
        socket.send(&texts());
        *socket.to_client.last_mut().unwrap() ^= 1;
        let (all, end) = read_all(&mut tls, &mut socket, 64 * 1024);
        let texts = texts();
        assert!(all == texts[..texts.len() - 1].concat());
        assert_eq!(end, Some(io::ErrorKind::InvalidData));
    }

    #[test]
    fn a_clean_end_and_a_cut_are_different_and_lose_nothing() {
        for is_clean in [true, false] {
            let (mut tls, mut socket) = open(usize::MAX);
            socket.send(&texts());
            if is_clean {
                socket.server.send_close_notify();
                socket.flush().unwrap();
            }
            socket.ended = true;
            tls.readable(true);
            let (all, end) = read_all(&mut tls, &mut socket, 64 * 1024);
            assert!(all == texts().concat());
            assert_eq!(end, (!is_clean).then_some(io::ErrorKind::UnexpectedEof));
        }
    }
}
