//! Opening a TLS record with one frame: found in the received bytes, decrypted in place, copied to the frame reader's
//! buffer. The copy out of the socket counts, too.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;

use hoga::config::Roots;
use hoga::net::{Tls, TlsConfig};
use hoga_bench::counting::Work;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection};

use super::{Row, frames};

/// Records of one run.
const RECORDS: usize = 32;
/// Bytes of one read: the size that the frame reader asks for.
const ROOM: usize = 64 * 1024;
/// Bytes of one packet.
const PACKET: usize = 1448;

pub fn row() -> Row {
    Row::new("open TLS record", RECORDS, Opening::new)
}

/// An open connection, and the records for two runs.
struct Opening {
    tls: Tls,
    socket: Socket,
    into: Vec<u8>,
    runs: VecDeque<Vec<u8>>,
}

impl Opening {
    fn new() -> Self {
        // This allocation must come first: later ones vary in size and would move it.
        let into = vec![0; ROOM];
        let (config, root) = server();
        let mut tls = Tls::new(&TlsConfig::new(&Roots::bundled().and_pem(root)).expect("a root"), "localhost", &[])
            .expect("a name");
        let mut socket = Socket { server: ServerConnection::new(config).expect("a server"), to_client: Vec::new() };
        while let Err(error) = tls.handshake(&mut socket) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "the handshake failed: {error}");
            tls.readable(false);
        }
        let mut opening = Self { tls, socket, into, runs: VecDeque::new() };
        // Reads the session tickets.
        opening.run();
        for _ in 0..2 {
            for i in 0..RECORDS {
                let frame: Vec<_> = frames::frame(i).collect();
                opening.socket.server.writer().write_all(&frame).expect("room");
                opening.socket.flush().expect("a record");
            }
            opening.runs.push_back(std::mem::take(&mut opening.socket.to_client));
        }
        opening
    }
}

impl Work for Opening {
    fn prepare(&mut self) {
        self.socket.to_client = self.runs.pop_front().expect("records of another run");
        self.tls.readable(false);
    }

    fn run(&mut self) {
        loop {
            match self.tls.read(&mut self.socket, &mut self.into) {
                Ok(n) => assert_eq!(n % frames::LEN, 0, "a record is incomplete"),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "a record was refused: {error}");
                    return;
                }
            }
        }
    }
}

/// A socket whose peer is a server in the same thread.
struct Socket {
    server: ServerConnection,
    to_client: Vec<u8>,
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.to_client.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = self.to_client.len();
        // Packet by packet, as a kernel copies.
        for (to, from) in into[..n].chunks_mut(PACKET).zip(self.to_client.chunks(PACKET)) {
            to.copy_from_slice(from);
        }
        self.to_client.clear();
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

    fn flush(&mut self) -> io::Result<()> {
        while self.server.wants_write() {
            self.server.write_tls(&mut self.to_client)?;
        }
        Ok(())
    }
}

/// Returns a server's configuration, and the root certificate for its client.
fn server() -> (Arc<ServerConfig>, String) {
    // An Ed25519 key: unlike ECDSA, its signatures always have the same size.
    let root = include_str!("../../../fixtures/localhost.pem");
    let certificate = CertificateDer::from_pem_slice(root.as_bytes()).expect("a certificate");
    let key = include_str!("../../../fixtures/localhost.key.pem");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate for the key");
    (Arc::new(config), root.to_owned())
}
