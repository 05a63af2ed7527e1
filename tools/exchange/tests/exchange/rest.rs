//! The REST interface on the port of the WebSocket, and markets that are listed and delisted.

use crate::common::*;
use hoga_exchange::{Config, Exchange, Flow, Server, ServerConfig};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Requests `target` from an exchange on a new connection. Returns the status line with the headers, and the body.
fn get(exchange: &mut Exchange, target: &str) -> (String, Value) {
    let conn = exchange.connect(START, HOME);
    exchange.receive(START, conn, plain_get(target).as_bytes());
    let mut bytes = Vec::new();
    assert_eq!(exchange.poll_transmit(START, conn, &mut bytes), Flow::Close);
    exchange.disconnected(START, conn);
    split(&bytes)
}

fn plain_get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
}

fn split(bytes: &[u8]) -> (String, Value) {
    let (head, body) = std::str::from_utf8(bytes).unwrap().split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
    assert!(head.contains("\r\nConnection: close"), "{head}");
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

fn codes(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|market| market["market"].as_str().unwrap()).collect()
}

#[test]
fn the_list_names_every_market_and_details_only_when_asked() {
    let mut exchange = Exchange::new(Config { markets: 20, ..Config::default() }, START);
    let (head, list) = get(&mut exchange, "/v1/market/all");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json"), "{head}");
    assert_eq!(codes(&list), exchange.markets().collect::<Vec<_>>());
    assert!(list[0]["korean_name"].is_string() && list[0]["english_name"].is_string());
    for (query, details) in
        [("", false), ("?isDetails=false", false), ("?is_details=true", true), ("?isDetails=true", true)]
    {
        let (_, list) = get(&mut exchange, &format!("/v1/market/all{query}"));
        assert_eq!((list[0].get("market_event").is_some(), codes(&list).len()), (details, 20), "{query}");
    }
    let stats = exchange.stats();
    assert_eq!((stats.rest_requests, stats.upgrades, stats.violations()), (5, 0, 0));
}

#[test]
fn other_paths_are_not_found_and_an_upgrade_without_its_headers_is_still_bad() {
    let mut exchange = Exchange::new(Config::default(), START);
    let (head, body) = get(&mut exchange, "/v1/candles/days");
    assert!(head.starts_with("HTTP/1.1 404 ") && body["error"]["message"].is_string(), "{head}");
    assert_eq!(exchange.stats().violations(), 0);
    let (head, _) = get(&mut exchange, "/websocket/v1");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(exchange.stats().malformed_upgrades, 1);
}

#[test]
fn plain_requests_do_not_count_against_the_connect_limit() {
    let mut link = Link::connected(Config::default());
    for _ in 0..20 {
        get(&mut link.exchange, "/v1/market/all");
    }
    link.receive(upgrade("/websocket/v1", "").as_bytes());
    assert!(link.head.starts_with("HTTP/1.1 101"));
}

#[test]
fn a_new_market_is_listed_and_served_to_earlier_subscribers() {
    let mut link = Link::open();
    link.say(&subscribe("trade", &["KRW-NEW1"]));
    link.advance(SECOND);
    assert!(link.take().is_empty());
    assert!(link.exchange.set_listed(link.now, "KRW-NEW1", true));
    assert!(codes(&get(&mut link.exchange, "/v1/market/all").1).contains(&"KRW-NEW1"));
    link.advance(59 * SECOND);
    let seen = link.objects();
    assert!(seen.len() > 2 && seen.iter().all(|trade| trade["code"] == "KRW-NEW1"));
    link.say(&subscribe("trade", &["KRW-NEW1"]));
    link.advance(60 * SECOND);
    let seen = link.objects();
    assert!(seen.len() > 2 && seen.iter().all(|trade| trade["code"] == "KRW-NEW1"));
    assert!(!link.exchange.set_listed(link.now, "EUR-BTC", true));
}

/// No other client has to send a request. Each stream starts as its request says, regardless of when it was
/// interrupted.
#[test]
fn a_market_that_is_listed_again_is_served_to_earlier_subscribers() {
    // Delist the market after the request: before, between and after the two bursts of snapshots.
    for after in [5 * MS, 50 * MS, 3 * SECOND] {
        let mut link = Link::with(Config { speed: 10.0, ..Config::default() });
        link.say(&request(
            r#"{"type":"trade","codes":["KRW-XRP","KRW-ETH"]},{"type":"orderbook","codes":["KRW-ETH.5"]},
               {"type":"ticker","codes":["KRW-ETH"],"is_only_snapshot":true},
               {"type":"candle.1s","codes":["KRW-ETH"],"is_only_realtime":true}"#,
            "DEFAULT",
        ));
        link.advance(after);
        assert!(link.exchange.set_listed(link.now, "KRW-ETH", false));
        link.take();
        link.advance(3 * SECOND);
        assert!(link.objects().iter().all(|message| message["code"] == "KRW-XRP"));
        assert!(link.exchange.set_listed(link.now, "KRW-ETH", true));
        link.advance(10 * SECOND);
        let seen: Vec<Value> = link.objects().into_iter().filter(|message| message["code"] == "KRW-ETH").collect();
        let of = |kind: &str| {
            let of_kind = seen.iter().filter(|message| message["type"] == kind);
            of_kind.map(|message| message["stream_type"].as_str().unwrap()).collect::<Vec<_>>()
        };
        for kind in ["trade", "orderbook"] {
            let [first, rest @ ..] = &of(kind)[..] else { panic!("no {kind}") };
            assert!(*first == "SNAPSHOT" && rest.len() > 5 && rest.iter().all(|each| *each == "REALTIME"), "{kind}");
        }
        assert_eq!(of("ticker"), ["SNAPSHOT"]);
        assert!(of("candle.1s").len() > 5 && of("candle.1s").iter().all(|each| *each == "REALTIME"));
        assert_eq!(link.exchange.stats().violations(), 0);
    }
}

#[test]
fn listing_a_listed_market_does_not_interrupt_it() {
    let mut link = Link::open();
    link.say(&subscribe("orderbook", &["KRW-BTC"]));
    link.advance(5 * MS);
    for _ in 0..20 {
        assert!(link.exchange.set_listed(link.now, "KRW-BTC", true));
        link.advance(500 * MS);
    }
    let seen = link.objects();
    assert!(seen.len() > 50 && seen[1..].iter().all(|book| book["stream_type"] == "REALTIME"));
}

#[test]
fn a_delisted_market_stops_and_the_others_continue() {
    let mut link = Link::open();
    link.say(&subscribe("orderbook", &["KRW-BTC", "KRW-ETH"]));
    // The snapshot of the second half is still due when the market is delisted.
    link.advance(50 * MS);
    link.take();
    assert!(link.exchange.set_listed(link.now, "KRW-ETH", false));
    link.advance(10 * SECOND);
    let seen = link.objects();
    assert!(seen.len() > 20 && seen.iter().all(|book| book["code"] == "KRW-BTC"));
    assert!(!codes(&get(&mut link.exchange, "/v1/market/all").1).contains(&"KRW-ETH"));
    link.say(&subscribe("orderbook", &["KRW-ETH"]));
    link.advance(SECOND);
    link.take();
    link.advance(10 * SECOND);
    assert!(link.take().is_empty() && link.flow == Flow::Open);
    assert!(!link.exchange.set_listed(link.now, "KRW-ETH", false));
    assert!(link.exchange.set_listed(link.now, "KRW-ETH", true));
    link.say(&subscribe("orderbook", &["KRW-ETH"]));
    link.advance(10 * SECOND);
    assert!(link.objects().len() > 20);
}

#[test]
fn the_websocket_port_answers_http_plain_and_over_tls() {
    for plain in [true, false] {
        let exchange = Config { markets: 855, ..Config::default() };
        let server = Server::start(ServerConfig { plain, exchange, ..ServerConfig::default() }).unwrap();
        assert_eq!(codes(&ask(&server)), server.markets());
        assert!(server.set_listed("USDT-NEW1", true) && server.set_listed("KRW-BTC", false));
        let list = ask(&server);
        assert!(codes(&list).contains(&"USDT-NEW1") && !codes(&list).contains(&"KRW-BTC"));
        assert_eq!(server.stats().violations(), 0);
    }
}

fn ask(server: &Server) -> Value {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = Vec::new();
    if server.ca_der().is_empty() {
        stream.write_all(plain_get("/v1/market/all").as_bytes()).unwrap();
        stream.read_to_end(&mut bytes).unwrap();
    } else {
        let mut stream = encrypt(server, stream);
        stream.write_all(plain_get("/v1/market/all").as_bytes()).unwrap();
        stream.read_to_end(&mut bytes).unwrap();
    }
    split(&bytes).1
}
