//! Requests for the list of markets over loopback sockets, to the simulated exchange and to servers that misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hoga::config::{Endpoint, Roots};
use hoga::model::Market;
use hoga::net::{MarketSource, RestMarkets, SourceFailure};
use hoga::plan::Universe;
use hoga_exchange::{Server, ServerConfig};

const TIMEOUT: Duration = Duration::from_secs(10);

fn rest(server: &Server, roots: &Roots) -> RestMarkets {
    RestMarkets::new(&Endpoint::custom(&server.url()).unwrap(), roots).unwrap()
}

#[test]
fn every_market_of_the_exchange_is_listed_plain_and_over_tls() {
    for plain in [true, false] {
        let server = Server::start(ServerConfig { plain, ..ServerConfig::default() }).unwrap();
        let roots = if plain { Roots::bundled() } else { Roots::bundled().and_pem(server.ca_pem()) };
        let mut source = rest(&server, &roots);
        let expected: Universe = server.markets().iter().map(|code| code.parse::<Market>().unwrap()).collect();
        let first: Universe = source.markets().unwrap().into_iter().collect();
        assert_eq!(first, expected);
        server.set_listed("KRW-NEW1", true);
        server.set_listed("KRW-BTC", false);
        let second: Universe = source.markets().unwrap().into_iter().collect();
        assert_eq!(second.listed_since(&first).map(|m| m.to_string()).collect::<Vec<_>>(), ["KRW-NEW1"]);
        assert_eq!(second.delisted_since(&first).map(|m| m.to_string()).collect::<Vec<_>>(), ["KRW-BTC"]);
        assert_eq!(source.skipped(), 0);
    }
}

#[test]
fn an_untrusted_certificate_is_refused() {
    let server = Server::start(ServerConfig::default()).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    for roots in [Roots::bundled(), Roots::bundled().and_pem(other.cert.pem())] {
        let error = rest(&server, &roots).markets().unwrap_err();
        let SourceFailure::Unreachable(why) = error.failure else { panic!("{error}") };
        assert!(why.contains("certificate"), "{why}");
    }
    assert!(RestMarkets::new(&Endpoint::korea(), &Roots::bundled().and_pem("no certificate")).is_err());
}

#[test]
fn a_port_without_a_listener_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = Endpoint::custom(&format!("ws://127.0.0.1:{port}")).unwrap();
    let error = RestMarkets::new(&endpoint, &Roots::bundled()).unwrap().markets().unwrap_err();
    assert!(matches!(error.failure, SourceFailure::Unreachable(_)), "{error}");
    assert_eq!(error.url, format!("http://127.0.0.1:{port}/v1/market/all"));
}

/// A server that accepts one request, sends a scripted response, and returns the request.
struct Script {
    source: RestMarkets,
    server: JoinHandle<String>,
}

impl Script {
    fn new(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::custom(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            answer(&mut stream);
            String::from_utf8(request).unwrap()
        });
        Self {
            source: RestMarkets::new(&endpoint, &Roots::bundled()).unwrap().timeout(Duration::from_millis(500)),
            server,
        }
    }

    /// Returns the failure that the response causes.
    fn failure(mut self) -> SourceFailure {
        let error = self.source.markets().unwrap_err();
        self.server.join().unwrap();
        error.failure
    }
}

fn responds(answer: &'static str) -> Script {
    Script::new(move |stream| stream.write_all(answer.as_bytes()).unwrap())
}

#[test]
fn the_request_is_plain_and_has_no_origin() {
    let mut script = responds("HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n[{\"market\":\"KRW-BTC\"}]");
    assert_eq!(script.source.markets().unwrap(), ["KRW-BTC".parse::<Market>().unwrap()]);
    let request = script.server.join().unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /v1/market/all http/1.1\r\n"), "{request}");
    assert!(!request.contains("origin") && !request.contains("accept-encoding"), "{request}");
}

#[test]
fn statuses_are_reported_and_redirects_are_not_followed() {
    assert_eq!(responds("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").failure(), SourceFailure::Status(503));
    assert_eq!(responds("HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\n[]").failure(), SourceFailure::Status(429));
    let elsewhere = responds("HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(elsewhere.failure(), SourceFailure::Status(302));
    assert_eq!(responds("HTTP/1.1 204 None\r\n\r\n").failure(), SourceFailure::Status(204));
}

#[test]
fn a_response_that_is_no_list_is_unreadable_and_one_that_is_no_http_is_unreachable() {
    let html = responds("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>").failure();
    assert!(matches!(html, SourceFailure::Unreadable(_)), "{html}");
    for broken in ["", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"market\""] {
        let failure = responds(broken).failure();
        assert!(matches!(failure, SourceFailure::Unreachable(_)), "{broken}: {failure}");
    }
}

#[test]
fn an_endless_response_is_cut_off_at_the_limit() {
    let endless = Script::new(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n[").unwrap();
        // Ends when the client hangs up.
        while stream.write_all(&[b' '; 65536]).is_ok() {}
    });
    let endless = Script { source: endless.source.timeout(TIMEOUT), ..endless };
    assert_eq!(endless.failure(), SourceFailure::TooLarge { limit_bytes: 8 << 20 });
}

#[test]
fn a_silent_or_slow_server_hits_the_deadline() {
    let silent = Script::new(|stream| drop(stream.read(&mut [0])));
    assert_eq!(silent.failure(), SourceFailure::Timeout(Duration::from_millis(500)));
    let dripping = Script::new(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").unwrap();
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(dripping.failure(), SourceFailure::Timeout(Duration::from_millis(500)));
}
