//! TLS against rustls' own server, in one thread, with all piece sizes, versions and ciphers.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use ring::hkdf;
use rustls::kernel::KernelConnection;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ServerConfig, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CipherSuite, ConnectionTrafficSecrets, ContentType, Error, HandshakeKind, KeyLog,
    ProtocolVersion, ServerConnection, SupportedProtocolVersion,
};

use super::cipher::Sealer;
use super::{Tls, TlsConfig};
use crate::config::Roots;

/// A socket whose other end is a server in the same thread. Transfers at most `piece` bytes at once.
struct Socket {
    server: ServerConnection,
    to_client: Vec<u8>,
    from_client: Vec<u8>,
    piece: usize,
    ended: bool,
    /// The server's error.
    refused: Option<Error>,
}

impl Socket {
    fn new(config: &Arc<ServerConfig>, piece: usize) -> Self {
        let mut server = ServerConnection::new(config.clone()).unwrap();
        server.set_buffer_limit(None);
        Self { server, to_client: Vec::new(), from_client: Vec::new(), piece, ended: false, refused: None }
    }

    /// Sends each text in its own record, if it is not too long.
    fn send(&mut self, texts: &[Vec<u8>]) {
        for text in texts {
            self.server.writer().write_all(text).unwrap();
            self.flush().unwrap();
        }
    }

    /// Returns what the client has written since the last call.
    fn received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.from_client)
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
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.piece);
        let mut bytes = &bytes[..n];
        while !bytes.is_empty() {
            self.server.read_tls(&mut bytes)?;
            if let Err(error) = self.server.process_new_packets() {
                self.refused = Some(error);
                return Ok(n);
            }
            if let Err(e) = self.server.reader().read_to_end(&mut self.from_client) {
                assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
            }
        }
        self.flush()?;
        Ok(n)
    }

    /// Moves the server's pending bytes to the client.
    fn flush(&mut self) -> io::Result<()> {
        while self.server.wants_write() {
            self.server.write_tls(&mut self.to_client)?;
        }
        Ok(())
    }
}

/// The configurations of a server and of a client that trusts it.
struct Pair {
    server: Arc<ServerConfig>,
    client: TlsConfig,
}

impl Pair {
    fn new() -> Self {
        Self::of(&[&TLS12, &TLS13], None)
    }

    /// Returns a pair with one cipher suite, or with all.
    fn of(versions: &[&'static SupportedProtocolVersion], suite: Option<CipherSuite>) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.retain(|one| suite.is_none_or(|suite| one.suite() == suite));
        let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        server.send_tls13_tickets = 2;
        server.enable_secret_extraction = true;
        Self { server: Arc::new(server), client: TlsConfig::new(&Roots::bundled().and_pem(cert.pem())).unwrap() }
    }

    /// Returns a connection after its handshake.
    fn open(&self, piece: usize) -> (Tls, Socket) {
        let mut socket = Socket::new(&self.server, piece);
        let mut tls = Tls::new(&self.client, "localhost", &[]).unwrap();
        while let Err(e) = tls.handshake(&mut socket) {
            assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
            tls.readable(false);
        }
        tls.readable(false);
        (tls, socket)
    }
}

/// Reads to the end. Returns the data and the error that ended it, `None` for a clean end.
fn read_all(tls: &mut Tls, socket: &mut Socket, room: usize) -> (Vec<u8>, Option<io::ErrorKind>) {
    let (mut all, mut into) = (Vec::new(), vec![0; room]);
    loop {
        match tls.read(socket, &mut into) {
            Ok(0) => return (all, None),
            Ok(n) => all.extend(&into[..n]),
            // As the event loop does when the socket has more bytes.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && !socket.to_client.is_empty() => tls.readable(false),
            Err(e) => return (all, Some(e.kind())),
        }
    }
}

/// Reads all available data of a connection without errors.
#[track_caller]
fn read_data(tls: &mut Tls, socket: &mut Socket) -> Vec<u8> {
    tls.readable(false);
    let (all, end) = read_all(tls, socket, 64 * 1024);
    assert_eq!(end, Some(io::ErrorKind::WouldBlock));
    all
}

fn write_all(tls: &mut Tls, socket: &mut Socket, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        bytes = &bytes[tls.write(bytes).unwrap()..];
        tls.flush(socket).unwrap();
    }
}

fn texts() -> Vec<Vec<u8>> {
    (0..200u32).map(|n| n.to_be_bytes().repeat(1 + (n as usize * 7) % 400)).collect()
}

#[test]
fn every_byte_is_read_in_order_with_any_piece_size_and_room() {
    let pair = Pair::new();
    for piece in [1, 700, 5_000, usize::MAX] {
        for room in [1, 1_000, 64 * 1024] {
            let (mut tls, mut socket) = pair.open(piece);
            socket.send(&texts());
            let (all, end) = read_all(&mut tls, &mut socket, room);
            assert!(all == texts().concat(), "pieces of {piece}, room for {room}");
            assert_eq!(end, Some(io::ErrorKind::WouldBlock));
        }
    }
}

#[test]
fn messages_split_across_many_records_are_handled() {
    for piece in (1..200).chain([1_000, usize::MAX]) {
        let mut pair = Pair::of(&[&TLS13], None);
        Arc::make_mut(&mut pair.server).max_fragment_size = Some(64);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut tls, mut socket) = pair.open(piece);
            assert_eq!(socket.server.handshake_kind(), Some(expected), "pieces of {piece}");
            socket.send(&texts()[..20]);
            assert!(read_data(&mut tls, &mut socket) == texts()[..20].concat(), "pieces of {piece}");
        }
    }
}

#[test]
fn every_cipher_of_both_versions_works_in_both_directions() {
    let suites = rustls::crypto::ring::default_provider().cipher_suites;
    // Half of them need an RSA certificate.
    let suites = suites.iter().map(|suite| suite.suite()).filter(|suite| !format!("{suite:?}").contains("RSA"));
    let mut seen = 0;
    for suite in suites {
        let is_new = format!("{suite:?}").starts_with("TLS13");
        let version = if is_new { &TLS13 } else { &TLS12 };
        let (mut tls, mut socket) = Pair::of(&[version], Some(suite)).open(usize::MAX);
        let expected = if is_new { ProtocolVersion::TLSv1_3 } else { ProtocolVersion::TLSv1_2 };
        assert_eq!(socket.server.protocol_version(), Some(expected));
        for _ in 0..3 {
            socket.send(&texts());
            assert!(read_data(&mut tls, &mut socket) == texts().concat(), "{suite:?}");
            write_all(&mut tls, &mut socket, &texts().concat());
            assert!(socket.received() == texts().concat(), "{suite:?}");
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn the_longest_records_are_read_and_written() {
    let (mut tls, mut socket) = Pair::new().open(usize::MAX);
    let long: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    socket.send(std::slice::from_ref(&long));
    assert!(read_data(&mut tls, &mut socket) == long);
    write_all(&mut tls, &mut socket, &long);
    assert!(socket.received() == long);
}

#[test]
fn key_updates_are_handled_in_both_directions() {
    let (mut tls, mut socket) = Pair::of(&[&TLS13], None).open(usize::MAX);
    for round in 0..5u8 {
        socket.send(&[vec![round; 100]]);
        socket.server.refresh_traffic_keys().unwrap();
        socket.send(&[vec![round + 100; 100]]);
        assert_eq!(read_data(&mut tls, &mut socket), [vec![round; 100], vec![round + 100; 100]].concat());
        // rustls' update also requests a new key from us.
        write_all(&mut tls, &mut socket, b"still understood");
        assert_eq!(socket.received(), b"still understood");
    }
}

#[test]
fn tickets_are_kept_for_the_next_connection() {
    for version in [&TLS12, &TLS13] {
        let pair = Pair::of(&[version], None);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut tls, mut socket) = pair.open(usize::MAX);
            assert_eq!(socket.server.handshake_kind(), Some(expected), "{version:?}");
            socket.send(&texts());
            assert!(read_data(&mut tls, &mut socket) == texts().concat());
        }
    }
}

/// A past bug: the data received with the damaged record was lost.
#[test]
fn data_before_a_damaged_record_is_read_before_the_damage_is_reported() {
    let (mut tls, mut socket) = Pair::new().open(usize::MAX);
    socket.send(&texts());
    *socket.to_client.last_mut().unwrap() ^= 1;
    let (all, end) = read_all(&mut tls, &mut socket, 64 * 1024);
    let texts = texts();
    assert!(all == texts[..texts.len() - 1].concat());
    assert_eq!(end, Some(io::ErrorKind::InvalidData));
    // The error stays, even if valid records follow.
    socket.send(&texts);
    tls.readable(false);
    assert_eq!(read_all(&mut tls, &mut socket, 64 * 1024), (Vec::new(), Some(io::ErrorKind::InvalidData)));
}

#[test]
fn a_flipped_bit_is_never_accepted_as_data() {
    let pair = Pair::new();
    let text = vec![b'x'; 40];
    for at in 0.. {
        let (mut tls, mut socket) = pair.open(usize::MAX);
        read_data(&mut tls, &mut socket);
        socket.send(std::slice::from_ref(&text));
        if at == socket.to_client.len() {
            break;
        }
        socket.to_client[at] ^= 1 << (at % 8);
        tls.readable(false);
        let (all, end) = read_all(&mut tls, &mut socket, 1_000);
        match at {
            // The version of a record means nothing in 1.3 and is not checked.
            1 | 2 => assert_eq!((all, end), (text.clone(), Some(io::ErrorKind::WouldBlock))),
            // A record whose length grew waits for its rest.
            3 | 4 => assert!(all.is_empty() && end.is_some(), "byte {at}"),
            _ => assert_eq!((all, end), (Vec::new(), Some(io::ErrorKind::InvalidData)), "byte {at}"),
        }
    }
}

#[test]
fn a_clean_end_and_a_cut_are_different_and_lose_nothing() {
    let pair = Pair::new();
    for is_clean in [true, false] {
        let (mut tls, mut socket) = pair.open(usize::MAX);
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
        // A second read has the same result.
        assert_eq!(read_all(&mut tls, &mut socket, 64 * 1024), (Vec::new(), end));
        // The other direction is still open.
        write_all(&mut tls, &mut socket, b"goodbye");
        tls.close();
        tls.flush(&mut socket).unwrap();
        assert_eq!(socket.received(), b"goodbye");
        assert!(!socket.server.wants_write());
    }
}

#[test]
fn data_sent_with_the_servers_last_handshake_message_is_read() {
    let pair = Pair::of(&[&TLS13], None);
    for piece in (1..100).chain([1_000, usize::MAX]) {
        let mut socket = Socket::new(&pair.server, piece);
        // Sent as soon as there are keys, before the client has finished.
        socket.server.writer().write_all(b"early").unwrap();
        let mut tls = Tls::new(&pair.client, "localhost", &[]).unwrap();
        while tls.handshake(&mut socket).is_err() {
            tls.readable(false);
        }
        assert_eq!(read_data(&mut tls, &mut socket), b"early", "pieces of {piece}");
    }
}

#[test]
fn an_untrusted_server_is_refused() {
    let (trusted, other) = (Pair::new(), Pair::new());
    let mut socket = Socket::new(&other.server, usize::MAX);
    let mut tls = Tls::new(&trusted.client, "localhost", &[]).unwrap();
    let error = loop {
        match tls.handshake(&mut socket) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => tls.readable(false),
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(tls.write(b"a secret").is_err());
    // The handshake does not start again.
    assert_eq!(tls.handshake(&mut socket).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// A socket from which nothing can be read yet.
struct Withheld<'a>(&'a mut Socket);

impl Read for Withheld<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Withheld<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns the client's error and the server's, for a handshake in which the server's bytes are changed.
fn handshake_with(
    pair: &Pair,
    host: &str,
    piece: usize,
    change: impl FnOnce(&mut Vec<u8>),
) -> (io::Error, Option<Error>) {
    let mut socket = Socket::new(&pair.server, piece);
    let mut tls = Tls::new(&pair.client, host, &[]).unwrap();
    assert_eq!(tls.handshake(&mut Withheld(&mut socket)).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    change(&mut socket.to_client);
    socket.ended = true;
    let error = loop {
        match tls.handshake(&mut socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tls.readable(false),
            Err(error) => break error,
            // The changed bytes follow the handshake.
            Ok(()) => break read_all(&mut tls, &mut socket, 100).1.unwrap_or(io::ErrorKind::Other).into(),
        }
    };
    tls.close();
    let _ = tls.flush(&mut socket);
    (error, socket.refused)
}

#[test]
fn a_failed_handshake_sends_its_alert() {
    for version in [&TLS12, &TLS13] {
        let trusted = Pair::of(&[version], None);
        let foreign = Pair { server: trusted.server.clone(), client: TlsConfig::new(&Roots::bundled()).unwrap() };
        for piece in [1, 100, usize::MAX] {
            let (error, alert) = handshake_with(&foreign, "localhost", piece, |_| {});
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(alert, Some(Error::AlertReceived(AlertDescription::UnknownCA)), "{version:?}, {piece}: {error}");
            let (error, alert) = handshake_with(&trusted, "other.test", piece, |_| {});
            assert_eq!(alert, Some(Error::AlertReceived(AlertDescription::BadCertificate)), "{version:?}: {error}");
        }
    }
}

/// rustls is called once more after its error, so that must be safe after every error.
#[test]
fn a_handshake_with_a_flipped_bit_fails_with_an_alert_or_an_error() {
    for version in [&TLS12, &TLS13] {
        let pair = Pair::of(&[version], None);
        let (mut tries, mut alerts) = (0, 0);
        for at in (0..2000).step_by(13) {
            for piece in [3, usize::MAX] {
                let mut is_changed = false;
                let (error, alert) = handshake_with(&pair, "localhost", piece, |bytes| {
                    is_changed = at < bytes.len();
                    bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (at % 8));
                });
                tries += u32::from(is_changed);
                alerts += u32::from(matches!(alert, Some(Error::AlertReceived(_))));
                assert!(!is_changed || error.kind() != io::ErrorKind::WouldBlock);
            }
        }
        assert!(tries > 40 && alerts > tries / 2, "{version:?}: {alerts} alerts in {tries} failed handshakes");
    }
}

/// Keeps the secret with which the server encrypts after its part of the handshake.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<u8>>);

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if label == "SERVER_TRAFFIC_SECRET_0" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

impl Log {
    /// Derives the keys (RFC 8446 section 7.3).
    fn secrets(&self) -> ConnectionTrafficSecrets {
        let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.0.lock().unwrap());
        let (mut key, mut iv) = ([0; 32], [0; 12]);
        let key_label: [&[u8]; 3] = [&[0, 32, 9], b"tls13 key", &[0]];
        secret.expand(&key_label, Len(32)).unwrap().fill(&mut key).unwrap();
        let iv_label: [&[u8]; 3] = [&[0, 12, 8], b"tls13 iv", &[0]];
        secret.expand(&iv_label, Len(12)).unwrap().fill(&mut iv).unwrap();
        ConnectionTrafficSecrets::Chacha20Poly1305 { key: key.into(), iv: iv.into() }
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// A server that can send invalid messages.
struct Script {
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    connection: Option<KernelConnection<ServerConnectionData>>,
    sealer: Option<Sealer>,
}

impl Script {
    fn open(version: &'static SupportedProtocolVersion) -> (Tls, Self) {
        let pair = Pair::of(&[version], None);
        let mut server = UnbufferedServerConnection::new(pair.server.clone()).unwrap();
        let mut tls = Tls::new(&pair.client, "localhost", &[]).unwrap();
        let mut script = Self { to_client: Vec::new(), to_server: Vec::new(), connection: None, sealer: None };
        while {
            let is_open = tls.handshake(&mut script).is_ok();
            let is_served = script.serve(&mut server);
            !(is_open && is_served)
        } {
            tls.readable(false);
        }
        let (secrets, connection) = server.dangerous_into_kernel_connection().unwrap();
        script.sealer = Some(Sealer::new(connection.negotiated_cipher_suite(), secrets.tx).unwrap());
        script.connection = Some(connection);
        // Reads the tickets.
        let into = &mut [0; 100];
        tls.readable(false);
        assert_eq!(tls.read(&mut script, into).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        (tls, script)
    }

    /// Returns a server that has sent its part of the handshake, of which the client has read nothing.
    fn half_open() -> (Tls, Self) {
        let mut pair = Pair::of(&[&TLS13], Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256));
        let log = Arc::new(Log::default());
        Arc::make_mut(&mut pair.server).key_log = log.clone();
        let mut server = UnbufferedServerConnection::new(pair.server.clone()).unwrap();
        let mut tls = Tls::new(&pair.client, "localhost", &[]).unwrap();
        let mut script = Self { to_client: Vec::new(), to_server: Vec::new(), connection: None, sealer: None };
        assert_eq!(tls.handshake(&mut script).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        script.serve(&mut server);
        let secrets = log.secrets();
        script.sealer = Some(Sealer::new(pair.server.crypto_provider().cipher_suites[0], (0, secrets)).unwrap());
        tls.readable(false);
        (tls, script)
    }

    /// Advances the handshake with the received bytes. Returns true when it is done.
    fn serve(&mut self, server: &mut UnbufferedServerConnection) -> bool {
        loop {
            let UnbufferedStatus { discard, state } = server.process_tls_records(&mut self.to_server);
            let is_done = match state.unwrap() {
                ConnectionState::EncodeTlsData(mut data) => {
                    let mut bytes = vec![0; 20_000];
                    let n = data.encode(&mut bytes).unwrap();
                    self.to_client.extend(&bytes[..n]);
                    None
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                ConnectionState::WriteTraffic(_) => Some(true),
                _ => Some(false),
            };
            self.to_server.drain(..discard);
            if let Some(is_done) = is_done {
                return is_done;
            }
        }
    }

    fn say(&mut self, typ: ContentType, payload: &[u8]) {
        let Some(sealer) = &mut self.sealer else { unreachable!("the handshake is done") };
        sealer.seal(typ, payload, &mut self.to_client).unwrap();
    }

    fn new_key(&mut self) {
        let Some(connection) = &mut self.connection else { unreachable!("the handshake is done") };
        let secrets = connection.update_tx_secret().unwrap();
        self.sealer = Some(Sealer::new(connection.negotiated_cipher_suite(), secrets).unwrap());
    }
}

impl Read for Script {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = into.len().min(self.to_client.len());
        into[..n].copy_from_slice(&self.to_client[..n]);
        self.to_client.drain(..n);
        if n == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to_server.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads after the server has sent its messages. Returns the data, or rustls' error.
fn after(version: &'static SupportedProtocolVersion, say: impl FnOnce(&mut Script)) -> Result<Vec<u8>, String> {
    let (mut tls, mut script) = Script::open(version);
    say(&mut script);
    let (mut all, mut into) = (Vec::new(), vec![0; 20_000]);
    tls.readable(false);
    loop {
        match tls.read(&mut script, &mut into) {
            Ok(0) => return Ok(all),
            Ok(n) => all.extend(&into[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && !script.to_client.is_empty() => tls.readable(false),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(all),
            Err(e) => return Err(format!("{:?}", e.get_ref())),
        }
    }
}

const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
const USER_CANCELED: [u8; 2] = [1, 90];

#[test]
fn a_message_split_across_records_is_put_together() {
    let all = after(&TLS13, |server| {
        server.say(ContentType::ApplicationData, b"before");
        server.say(ContentType::Handshake, &KEY_UPDATE[..2]);
        server.say(ContentType::Handshake, &KEY_UPDATE[2..]);
        server.new_key();
        server.say(ContentType::ApplicationData, b" and after");
    });
    assert_eq!(all.unwrap(), b"before and after");
}

/// Servers may send tickets, data and close_notify before they have received the end of the handshake.
#[test]
fn records_after_the_servers_part_of_the_handshake_are_read_however_they_are_split() {
    let ticket = [4, 0, 0, 18, 0, 0, 28, 32, 1, 2, 3, 4, 1, 0, 0, 4, b't', b'i', b'c', b'k', 0, 0];
    for cut in 0..ticket.len() {
        let (mut tls, mut server) = Script::half_open();
        if cut > 0 {
            // rustls would keep the beginning of a message in place, decrypted.
            server.say(ContentType::Handshake, &ticket[..cut]);
        }
        if cut % 2 == 0 {
            tls.handshake(&mut server).unwrap();
        }
        server.say(ContentType::Handshake, &ticket[cut..]);
        server.say(ContentType::ApplicationData, b"early");
        tls.readable(false);
        tls.handshake(&mut server).unwrap();
        server.say(ContentType::ApplicationData, b" and late");
        server.say(ContentType::Alert, &[1, 0]);
        tls.readable(false);
        assert_eq!(tls.read(&mut server, &mut [0; 5]).unwrap(), 5);
        let into = &mut [0; 100];
        assert_eq!(tls.read(&mut server, into).unwrap(), 9, "cut at {cut}");
        assert_eq!(&into[..9], b" and late");
        assert_eq!(tls.read(&mut server, into).unwrap(), 0);
    }
    // A new key that is requested this early must be made by our code, not by rustls.
    let (mut tls, mut server) = Script::half_open();
    server.say(ContentType::Handshake, &[24, 0, 0, 1, 1]);
    tls.handshake(&mut server).unwrap();
    let sent = server.to_server.len();
    assert_eq!(tls.read(&mut server, &mut [0; 100]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    tls.flush(&mut server).unwrap();
    assert!(server.to_server.len() > sent, "the key update is answered");
    let (mut tls, mut server) = Script::half_open();
    server.say(ContentType::ApplicationData, b"all");
    server.say(ContentType::Alert, &[1, 0]);
    tls.handshake(&mut server).unwrap();
    let into = &mut [0; 100];
    assert_eq!(tls.read(&mut server, into).unwrap(), 3);
    assert_eq!(tls.read(&mut server, into).unwrap(), 0);
}

/// A past bug: the server got no alert.
#[test]
fn a_server_gets_an_alert_that_says_why_the_connection_ends() {
    for version in [&TLS12, &TLS13] {
        let (mut tls, mut socket) = Pair::of(&[version], None).open(usize::MAX);
        socket.send(&texts()[..2]);
        *socket.to_client.last_mut().unwrap() ^= 1;
        let (_, end) = read_all(&mut tls, &mut socket, 1_000);
        assert_eq!(end, Some(io::ErrorKind::InvalidData));
        tls.close();
        tls.flush(&mut socket).unwrap();
        assert_eq!(socket.refused, Some(Error::AlertReceived(AlertDescription::BadRecordMac)));
    }
}

#[test]
fn a_handshake_in_too_many_pieces_is_not_reported_as_the_end_of_the_socket() {
    let pair = Pair::new();
    let mut tls = Tls::new(&pair.client, "localhost", &[]).unwrap();
    let mut script = Script { to_client: Vec::new(), to_server: Vec::new(), connection: None, sealer: None };
    // A message of 60 KB with one byte in each record.
    script.to_client.extend([22, 3, 3, 0, 4, 2, 0, 0xF0, 0]);
    (0..60_000).for_each(|_| script.to_client.extend([22, 3, 3, 0, 1, 0]));
    let error = loop {
        match tls.handshake(&mut script) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && !script.to_client.is_empty() => tls.readable(false),
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn harmless_messages_are_ignored() {
    let data = |server: &mut Script| server.say(ContentType::ApplicationData, b"data");
    let canceled = after(&TLS13, |server| {
        server.say(ContentType::Alert, &USER_CANCELED);
        data(server);
    });
    assert_eq!(canceled.unwrap(), b"data");
    let empty = after(&TLS13, |server| {
        server.say(ContentType::ApplicationData, b"");
        data(server);
    });
    assert_eq!(empty.unwrap(), b"data");
    // TLS 1.2 has warnings and requests to renegotiate.
    let old = after(&TLS12, |server| {
        server.say(ContentType::Alert, &[1, 112]);
        server.say(ContentType::Handshake, &[0, 0, 0, 0]);
        data(server);
    });
    assert_eq!(old.unwrap(), b"data");
}

#[test]
fn invalid_messages_after_the_handshake_end_the_connection() {
    type Say = fn(&mut Script);
    let new: [(&str, Say); 12] = [
        ("AlertReceived(InternalError)", |server| server.say(ContentType::Alert, &[2, 80])),
        // A warning in 1.2.
        ("AlertReceived(UnrecognisedName)", |server| server.say(ContentType::Alert, &[1, 112])),
        ("MessageTooShort", |server| server.say(ContentType::Alert, &[2])),
        ("ChangeCipherSpec", |server| server.say(ContentType::ChangeCipherSpec, &[1])),
        ("got_type: Handshake", |server| server.say(ContentType::Handshake, &[1, 0, 0, 0])),
        ("InvalidEmptyPayload", |server| server.say(ContentType::Handshake, b"")),
        ("InvalidKeyUpdate", |server| server.say(ContentType::Handshake, &[24, 0, 0, 1, 2])),
        ("KeyEpochWithPendingFragment", |server| server.say(ContentType::Handshake, &[24, 0, 0, 1, 0, 4])),
        ("MessageInterleavedWithHandshakeMessage", |server| {
            server.say(ContentType::Handshake, &KEY_UPDATE[..3]);
            server.say(ContentType::ApplicationData, b"in between");
        }),
        // A truncated message is not a clean end.
        ("MessageInterleavedWithHandshakeMessage", |server| {
            server.say(ContentType::Handshake, &KEY_UPDATE[..3]);
            server.say(ContentType::Alert, &[1, 0]);
        }),
        ("HandshakePayloadTooLarge", |server| {
            server.say(ContentType::Handshake, &[4, 0xFF, 0xFF, 0xFF]);
            (0..5).for_each(|_| server.say(ContentType::Handshake, &[0; 16_000]));
        }),
        ("MessageTooLarge", |server| server.to_client.extend([23, 3, 3, 0xFF, 0xFF])),
    ];
    for (why, say) in new {
        let error = after(&TLS13, say).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    }
    assert!(after(&TLS12, |server| server.say(ContentType::Handshake, &KEY_UPDATE)).is_err());
    let canceled = after(&TLS12, |server| server.say(ContentType::Alert, &[2, 90]));
    assert!(canceled.unwrap_err().contains("UserCanceled"));
}

#[test]
fn a_server_that_never_sends_data_is_disconnected() {
    let idle: [(ContentType, &[u8]); 2] = [(ContentType::Alert, &USER_CANCELED), (ContentType::ApplicationData, b"")];
    for (typ, payload) in idle {
        let flood = |records: usize| {
            after(&TLS13, |server| {
                (0..records).for_each(|_| server.say(typ, payload));
                server.say(ContentType::ApplicationData, b"data");
            })
        };
        assert_eq!(flood(60).unwrap(), b"data");
        assert!(flood(70).unwrap_err().contains("without data"));
    }
}

#[test]
fn a_server_that_reads_no_answers_is_disconnected_before_they_fill_the_memory() {
    let error = after(&TLS13, |server| {
        for _ in 0..2_000 {
            server.say(ContentType::ApplicationData, b"data");
            server.say(ContentType::Handshake, &[24, 0, 0, 1, 1]);
            server.new_key();
        }
    });
    assert!(error.unwrap_err().contains("TooManyKeyUpdateRequests"));
    // Unsent data of our own does not count as an answer.
    let (mut tls, mut server) = Script::open(&TLS13);
    assert_eq!(tls.write(&[0; 16 * 1024]).unwrap(), 16 * 1024);
    server.say(ContentType::Handshake, &[24, 0, 0, 1, 1]);
    tls.readable(false);
    assert_eq!(tls.read(&mut server, &mut [0; 100]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
