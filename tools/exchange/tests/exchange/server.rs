//! Tests the server over real loopback sockets with the `tungstenite` client.

use crate::common::{encrypt, upgrade};
use hoga_exchange::{Config, Fault, Pace, Server, ServerConfig};
use hoga_testing::frames;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tungstenite::{Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(10);
const REQUEST: &str =
    r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC","KRW-ETH"]},{"type":"ticker","codes":["KRW-BTC"]}]"#;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn connect(server: &Server) -> WebSocket<Box<dyn Stream>> {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let stream: Box<dyn Stream> =
        if server.url().starts_with("wss") { Box::new(encrypt(server, stream)) } else { Box::new(stream) };
    let url = server.url().replace("wss://", "ws://");
    let (socket, response) = tungstenite::client(url, stream).map_err(|error| error.to_string()).unwrap();
    assert_eq!(response.headers()["limit-by-ip"], "Yes");
    socket
}

/// Opens a WebSocket without TLS, to write any bytes to.
fn raw(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(upgrade("/websocket/v1", "").as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

fn fast(plain: bool) -> ServerConfig {
    ServerConfig { plain, exchange: Config { speed: 5.0, ..Config::default() }, ..ServerConfig::default() }
}

fn talk(server: &Server) {
    let mut socket = connect(server);
    socket.send(Message::text(REQUEST)).unwrap();
    let mut realtime = 0;
    for _ in 0..1_000 {
        let Message::Binary(bytes) = socket.read().unwrap() else { continue };
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        realtime += usize::from(value["stream_type"] == "REALTIME");
        if realtime == 20 {
            break;
        }
    }
    socket.send(Message::Ping(b"?".as_slice().into())).unwrap();
    while !matches!(socket.read().unwrap(), Message::Pong(_)) {}
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    let stats = server.stats();
    assert!(stats.data_frames >= 23 && stats.ping_frames == 1 && stats.violations() == 0, "{stats:?}");
}

#[test]
fn a_plain_client_is_served() {
    let server = Server::start(fast(true)).unwrap();
    assert!(server.url().starts_with("ws://127.0.0.1:") && server.ca_pem().is_empty());
    talk(&server);
    server.shutdown();
}

#[test]
fn a_tls_client_that_trusts_the_authority_is_served() {
    let server = Server::start(fast(false)).unwrap();
    assert!(server.url().ends_with("/websocket/v1") && server.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    talk(&server);
}

#[test]
fn an_address_that_is_not_loopback_is_refused() {
    let error = Server::start(ServerConfig { listen: "0.0.0.0:0".parse().unwrap(), ..fast(true) }).unwrap_err();
    assert!(error.to_string().contains("use 127.0.0.1"), "{error}");
}

#[test]
fn a_stalled_server_keeps_tcp_open_and_recovers() {
    let server = Server::start(fast(true)).unwrap();
    let mut socket = connect(&server);
    server.inject(Fault::Stall(true));
    socket.send(Message::Ping(b"?".as_slice().into())).unwrap();
    // The kernel accepts new connections, and the server never answers them.
    let mut late = TcpStream::connect(server.address()).unwrap();
    late.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(late.read(&mut [0]).is_err());
    server.inject(Fault::Stall(false));
    assert!(matches!(socket.read().unwrap(), Message::Pong(_)));
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let exchange = Config { speed: 50.0, output_limit: 64 * 1024, ..Config::default() };
    let codes: Vec<String> = hoga_exchange::Exchange::new(exchange.clone(), 0).markets().map(str::to_owned).collect();
    let server = Server::start(ServerConfig { exchange, ..fast(true) }).unwrap();
    let mut socket = connect(&server);
    let codes = serde_json::to_string(&codes).unwrap();
    socket.send(Message::text(format!(r#"[{{"ticket":"t"}},{{"type":"orderbook","codes":{codes}}}]"#))).unwrap();
    for _ in 0..300 {
        std::thread::sleep(Duration::from_millis(100));
        if server.stats().slow_readers > 0 {
            break;
        }
    }
    assert_eq!(server.stats().slow_readers, 1);
    while let Ok(message) = socket.read() {
        assert!(!message.is_close());
    }
}

/// Regression: the server read from a client as long as it sent, and served no other client meanwhile.
#[test]
fn a_client_that_floods_pings_and_fragments_does_not_starve_another() {
    let server = Server::start(fast(true)).unwrap();
    let mut socket = connect(&server);
    let stop = Arc::new(AtomicBool::new(false));
    let floods =
        [(Vec::new(), frames::client(frames::PING, b"ping")), (frames::client(0x01, b"["), frames::client(0x00, b""))];
    let floods = floods.map(|(first, repeated)| {
        let (mut flooder, stop) = (raw(&server), stop.clone());
        std::thread::spawn(move || {
            // Reads nothing.
            flooder.write_all(&first).unwrap();
            let block = repeated.repeat(2_000);
            while !stop.load(Relaxed) && flooder.write_all(&block).is_ok() {}
        })
    });
    socket.send(Message::text(REQUEST)).unwrap();
    let is_data = |message| matches!(message, Message::Binary(_));
    for _ in 0..10 {
        let before = server.stats().ping_frames;
        let mut data = 0;
        // Each round takes both: frames for this client, and more of the flood.
        while data < 5 || server.stats().ping_frames < before + 2_000 {
            data += usize::from(is_data(socket.read().unwrap()));
        }
    }
    stop.store(true, Relaxed);
    drop(server);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
}

#[test]
fn dropping_the_server_closes_its_connections() {
    let server = Server::start(fast(true)).unwrap();
    let mut socket = connect(&server);
    drop(server);
    assert!(socket.read().is_err());
}

#[test]
fn drop_all_ends_tcp_without_a_close_frame() {
    let server = Server::start(fast(false)).unwrap();
    let mut socket = connect(&server);
    server.inject(Fault::DropAll);
    assert!(!matches!(socket.read(), Ok(Message::Close(_))));
}

#[test]
fn a_replay_is_served_from_files_and_logged() {
    let folder = std::env::temp_dir().join(format!("hoga-exchange-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, log) = (folder.join("replay.jsonl"), folder.join("log.jsonl"));
    let lines: Vec<String> = (0..5_000)
        .map(|n| format!(r#"{{"type":"ticker","code":"KRW-BTC","n":{n},"p":"{}"}}"#, "x".repeat(500)))
        .collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let exchange = Config { pace: Pace::Unlimited, ..Config::default() };
    let config = ServerConfig { replay: vec![file], log: Some(log.clone()), exchange, ..ServerConfig::default() };
    let server = Server::start(config).unwrap();
    let mut socket = connect(&server);
    socket.send(Message::text(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#)).unwrap();
    for line in &lines {
        assert_eq!(socket.read().unwrap().into_data(), line.as_bytes());
    }
    server.shutdown();
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.lines().count(), lines.len());
    for (logged, line) in log.lines().zip(&lines) {
        assert!(logged.starts_with("{\"sent_ns\":") && logged.ends_with(&format!("\"conn\":1,\"frame\":{line}}}")));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_replay_without_messages_stops_the_start_and_says_what_it_has() {
    let file = std::env::temp_dir().join(format!("hoga-exchange-bad-{}.jsonl", std::process::id()));
    std::fs::write(&file, "{\"status\":\"UP\"}\n").unwrap();
    let error = Server::start(ServerConfig { replay: vec![file.clone()], ..fast(true) }).unwrap_err();
    assert!(error.to_string().contains(".jsonl: no message of the exchange in 1 lines: 1 status"), "{error}");
    std::fs::remove_file(file).unwrap();
}
