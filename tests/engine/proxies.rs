//! Engines that reach the exchange through a proxy, over loopback sockets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use hoga::Resolve;
use hoga::config::{ConnectLedger, Proxy, Timeouts};
use hoga::engine::Builder;
use hoga::prelude::*;
use hoga::session::Disconnect;
use hoga_exchange::{Server, ServerConfig};
use hoga_testing::proxy::{self as testing, PASSWORD, USER};

use super::common::{TIMEOUT, eventually};

/// A resolver that knows no name, so that only the proxy can look one up.
struct KnowsNothing;

impl Resolve for KnowsNothing {
    fn resolve(&self, host: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other(format!("{host} is unknown here")))
    }
}

fn url(scheme: &str, proxy: &testing::Proxy, login: Option<(&str, &str)>) -> Proxy {
    let login = login.map(|(user, password)| format!("{user}:{}@", password.replace(':', "%3A"))).unwrap_or_default();
    Proxy::new(&format!("{scheme}://{login}{}", proxy.address())).unwrap()
}

/// Returns the builder of an engine for an exchange with this name and port.
fn builder(name: &str, server: &Server, proxy: Proxy) -> Builder {
    let port = port(server);
    let scheme = if server.url().starts_with("wss") { "wss" } else { "ws" };
    let timeouts = Timeouts { connect: TIMEOUT, tls: TIMEOUT, upgrade: TIMEOUT, ..Timeouts::default() };
    let builder = Engine::builder();
    let builder = if scheme == "wss" { builder.root_certificates(server.ca_pem()) } else { builder };
    builder
        .endpoint(Endpoint::custom(&format!("{scheme}://{name}:{port}")).unwrap())
        .connect_ledger(ConnectLedger::Process)
        .resolver(KnowsNothing)
        .timeouts(timeouts)
        .proxy(proxy)
}

fn exchange(plain: bool) -> Server {
    Server::start(ServerConfig { plain, ..ServerConfig::default() }).unwrap()
}

fn port(server: &Server) -> String {
    server.url().split([':', '/']).nth(4).unwrap().to_owned()
}

#[test]
fn data_arrives_through_each_kind_of_proxy_which_looks_up_the_name() {
    let server = exchange(false);
    for scheme in ["http", "socks5"] {
        for login in [None, Some((USER, PASSWORD))] {
            let proxy = testing::Proxy::start(login.is_some());
            let engine = builder("localhost", &server, url(scheme, &proxy, login)).ticker(["KRW-BTC"]).start().unwrap();
            engine.wait_ready(TIMEOUT).unwrap();
            assert_eq!(proxy.asked(), [format!("localhost:{}", port(&server))], "{scheme} {login:?}");
            let network = engine.network().to_string();
            assert!(network.contains(&format!("proxy: {scheme}://{}; trusted: the ", proxy.address())), "{network}");
            assert!(network.contains("bundled roots, and 1 from a PEM text"), "{network}");
            assert!(!format!("{network}{:?}{engine:?}", engine.network()).contains("canary"), "{network}");
        }
    }
}

#[test]
fn plain_sockets_on_loopback_go_through_the_proxy_too_unless_they_are_excepted() {
    let server = exchange(true);
    let proxy = testing::Proxy::start(false);
    let through = url("socks5", &proxy, None);
    let engine = builder("127.0.0.1", &server, through.clone()).ticker(["KRW-BTC"]).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!(proxy.asked().len(), 1);
    let engine = builder("127.0.0.1", &server, through.except("127.0.0.0/8")).ticker(["KRW-BTC"]).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!((proxy.asked().len(), &engine.network().proxy), (1, &None));
}

#[test]
fn the_certificate_must_be_for_the_exchange_and_not_for_the_proxy() {
    let (server, proxy) = (exchange(false), testing::Proxy::start(false));
    let engine = builder("other.test", &server, url("http", &proxy, None)).ticker(["KRW-BTC"]).start().unwrap();
    let why = first_disconnect(&engine);
    assert_eq!(why.code(), "tls_failed");
    assert!(why.to_string().contains("not for other.test, but for localhost"), "{why}");
}

#[track_caller]
fn first_disconnect(engine: &Engine) -> Disconnect {
    eventually("a disconnect", || engine.connections()[0].last_disconnect.is_some());
    engine.connections()[0].last_disconnect.clone().unwrap()
}

/// A server that reads the client's first bytes and sends this. Then it closes, or waits until the client does.
fn answering(answer: &'static [u8], closes: bool) -> testing::Proxy {
    testing::Proxy::scripted(move |stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(answer);
        while !closes && stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
    })
}

/// A port on which nothing listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The answers of proxies that open no tunnel, with the scheme of the proxy and parts of the error.
const REFUSALS: &[(&str, &[u8], bool, &[&str])] = &[
    ("http", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", false, &["requires a user name and a password"]),
    ("http://canary:canary@", b"HTTP/1.1 407 No\r\n\r\n", false, &["refused the user name or the password"]),
    ("http", b"HTTP/1.1 403 Forbidden\r\n\r\n", false, &["answered 403 Forbidden", "rules"]),
    ("http", b"HTTP/1.1 504 Gateway Time-out\r\n\r\n", false, &["answered 504 Gateway Time-out", "could not reach"]),
    ("http", b"HTTP/1.1 200 Establ", true, &["closed the connection before the tunnel was open"]),
    ("http", b"", true, &["closed the connection before the tunnel was open"]),
    ("http", b"\x05\x00", false, &["does not answer as such a proxy does", "not HTTP"]),
    ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", false, &["does not answer as such a proxy does", "not SOCKS5"]),
    ("socks5", b"\x05\xff", false, &["requires a user name and a password"]),
    ("socks5://canary:canary@", b"\x05\x02\x01\x01", false, &["refused the user name or the password"]),
    ("socks5", b"\x05\x00\x05\x05", false, &["code 5: the exchange refused its connection"]),
    ("socks5", b"\x05\x00\x05", true, &["closed the connection before the tunnel was open"]),
];

fn proxy_at(scheme: &str, address: impl std::fmt::Display) -> Proxy {
    let prefix = if scheme.contains("://") { scheme.to_owned() } else { format!("{scheme}://") };
    Proxy::new(&format!("{prefix}{address}")).unwrap()
}

/// Requires that a text names the proxy and has these parts, and no credentials.
#[track_caller]
fn assert_names(text: &str, address: SocketAddr, parts: &[&str]) {
    assert!(text.contains(&address.to_string()) && !text.contains("canary"), "{text}");
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in {text}"));
}

fn proxied(proxy: Proxy) -> Builder {
    let endpoint = Endpoint::custom("wss://exchange.test").unwrap();
    let builder = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).resolver(KnowsNothing);
    builder.timeouts(Timeouts { connect: TIMEOUT, ..Timeouts::default() }).proxy(proxy).ticker(["KRW-BTC"])
}

#[test]
fn each_refusal_of_a_proxy_is_named() {
    for (scheme, answer, closes, parts) in REFUSALS {
        let server = answering(answer, *closes);
        let engine = proxied(proxy_at(scheme, server.address())).start().unwrap();
        let why = first_disconnect(&engine);
        assert!(["proxy_failed", "proxy_refused"].contains(&why.code()), "{why}");
        assert_names(&why.to_string(), server.address(), parts);
    }
}

#[test]
fn a_proxy_that_cannot_be_reached_or_is_slow_is_named() {
    let address = closed_port();
    let why = first_disconnect(&proxied(proxy_at("http", address)).start().unwrap());
    assert_eq!(why.code(), "proxy_failed");
    assert_names(&why.to_string(), address, &["could not be reached: connection refused"]);
    let why = first_disconnect(&proxied(proxy_at("http", "proxy.test:9")).start().unwrap());
    assert_eq!(why.code(), "proxy_failed");
    assert!(why.to_string().contains("proxy.test is unknown here"), "{why}");
    let server = answering(b"HTTP/1.1 200", false);
    let timeouts = Timeouts { connect: Duration::from_millis(200), ..Timeouts::default() };
    let why = first_disconnect(&proxied(proxy_at("http", server.address())).timeouts(timeouts).start().unwrap());
    assert_eq!(why.code(), "proxy_timeout", "{why}");
    assert_names(&why.to_string(), server.address(), &["in time"]);
}

/// The exchange speaks first. TLS must get its bytes, although they arrive together with the proxy's answer.
#[test]
fn bytes_that_follow_the_proxys_answer_at_once_reach_tls() {
    let server = answering(b"HTTP/1.1 200 OK\r\n\r\n220 mail.test ESMTP\r\n", false);
    let why = first_disconnect(&proxied(proxy_at("http", server.address())).start().unwrap());
    assert_eq!(why.code(), "tls_failed");
    assert!(why.to_string().contains(r#"begins with "220 mail.test ESMTP\r\n""#), "{why}");
}

/// A failed tunnel is dialed again, and the first that works is used.
#[test]
fn a_proxy_that_recovers_is_used_again() {
    let server = exchange(true);
    let exchange_address: SocketAddr = format!("127.0.0.1:{}", port(&server)).parse().unwrap();
    let (count, dials) = channel();
    let proxy = testing::Proxy::scripted(move |stream| {
        let _ = count.send(());
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        static ANSWERED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        if ANSWERED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n");
            return;
        }
        let mut upstream = TcpStream::connect(exchange_address).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut reader, mut writer) = (upstream.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || io::copy(&mut reader, &mut writer));
        let _ = io::copy(stream, &mut upstream);
    });
    let engine = builder("127.0.0.1", &server, url("http", &proxy, None)).ticker(["KRW-BTC"]).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!(dials.try_iter().count(), 2);
}

#[cfg(feature = "rest")]
mod rest {
    use super::*;
    use hoga::config::Roots;
    use hoga::net::{MarketSource, RestMarkets, SourceFailure};

    #[test]
    fn the_list_of_markets_arrives_through_each_kind_of_proxy() {
        for plain in [true, false] {
            let server = exchange(plain);
            let roots = if plain { Roots::bundled() } else { Roots::bundled().and_pem(server.ca_pem()) };
            for (scheme, login) in
                [("http", None), ("http", Some((USER, PASSWORD))), ("socks5", Some((USER, PASSWORD)))]
            {
                let proxy = testing::Proxy::start(login.is_some());
                let (scheme_of_exchange, name) = if plain { ("ws", "127.0.0.1") } else { ("wss", "localhost") };
                let endpoint = Endpoint::custom(&format!("{scheme_of_exchange}://{name}:{}", port(&server))).unwrap();
                let source = RestMarkets::new(&endpoint, &roots).unwrap().proxy(url(scheme, &proxy, login));
                assert!(!format!("{source:?}").contains("canary"));
                let markets = source.timeout(TIMEOUT).markets().unwrap();
                assert_eq!(markets.len(), server.markets().len());
                assert_eq!(proxy.asked(), [format!("{name}:{}", port(&server))]);
                let direct = url(scheme, &proxy, login).except(name);
                RestMarkets::new(&endpoint, &roots).unwrap().proxy(direct).timeout(TIMEOUT).markets().unwrap();
                assert_eq!(proxy.asked().len(), 1);
            }
        }
    }

    #[test]
    fn an_engine_lists_the_markets_through_its_proxy() {
        let (server, proxy) = (exchange(false), testing::Proxy::start(true));
        let through = url("http", &proxy, Some((USER, PASSWORD)));
        let engine = builder("localhost", &server, through).rest_markets(TIMEOUT).ticker("KRW-*").start().unwrap();
        eventually("the list", || engine.universe().len() == server.markets().len());
        engine.wait_ready(TIMEOUT).unwrap();
        assert_eq!(proxy.asked().len(), 2, "one for the list, one for the WebSocket");
    }

    #[track_caller]
    fn failure(proxy: Proxy, timeout: Duration) -> String {
        let endpoint = Endpoint::custom("wss://exchange.test").unwrap();
        let mut source = RestMarkets::new(&endpoint, &Roots::bundled()).unwrap().proxy(proxy).timeout(timeout);
        match source.markets().unwrap_err().failure {
            SourceFailure::Unreachable(why) => why,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn each_refusal_of_a_proxy_is_named() {
        for (scheme, answer, closes, parts) in REFUSALS {
            let server = answering(answer, *closes);
            assert_names(&failure(proxy_at(scheme, server.address()), TIMEOUT), server.address(), parts);
        }
        let address = closed_port();
        let why = failure(proxy_at("http", address), TIMEOUT);
        assert_names(&why, address, &["could not be reached: connection refused"]);
        let slow = answering(b"HTTP/1.1 200", false);
        let why = failure(proxy_at("http", slow.address()), Duration::from_millis(300));
        assert_names(&why, slow.address(), &["opened no tunnel to the exchange in time"]);
    }

    #[test]
    fn a_server_that_speaks_no_tls_is_named() {
        let server = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", false);
        let endpoint = Endpoint::custom(&format!("wss://{}", server.address())).unwrap();
        let error = RestMarkets::new(&endpoint, &Roots::bundled()).unwrap().markets().unwrap_err();
        assert!(error.to_string().contains("plain HTTP, so this port does not speak TLS"), "{error}");
    }
}
