//! Faulty lists of markets: none of them ends a stream, except two in a row that agree.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::common::{TIMEOUT, builder, eventually, finish};
use hoga::config::{Endpoint, Roots};
use hoga::error::Error;
use hoga::model::Market;
use hoga::net::{MarketSource, RestMarkets, SourceError, SourceFailure};
use hoga::pool::Health;
use hoga::prelude::*;
use hoga_exchange::{Fault, Server, ServerConfig};

fn exchange() -> Server {
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    config.exchange.markets = 12;
    Server::start(config).unwrap()
}

fn list_fault(server: &Server, status: u16, body: &str) {
    server.inject(Fault::MarketList(Some((status, body.to_owned()))));
}

/// Asks the exchange for its list each time the test says so.
struct Stepped {
    rest: RestMarkets,
    steps: Receiver<()>,
}

impl Stepped {
    fn new(server: &Server) -> (Self, Sender<()>) {
        let (step, steps) = channel();
        let rest = RestMarkets::new(&Endpoint::custom(&server.url()).unwrap(), &Roots::bundled()).unwrap();
        (Self { rest, steps }, step)
    }
}

impl MarketSource for Stepped {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        // Without a sender the test is over.
        let _ = self.steps.recv();
        self.rest.markets()
    }

    fn skipped(&self) -> u64 {
        self.rest.skipped()
    }
}

const SOON: Duration = Duration::from_millis(1);

#[test]
fn the_first_list_is_waited_for_and_the_last_failure_is_named() {
    let server = exchange();
    list_fault(&server, 503, "{}");
    let engine = builder(&server).rest_markets(Duration::from_millis(20)).ticker("*").start().unwrap();
    eventually("a request has failed", || engine.market_list().failure.is_some());
    let failure = engine.market_list().failure.unwrap();
    assert_eq!(failure.failure, SourceFailure::Status(503));
    let not_ready = engine.wait_ready(SOON).unwrap_err();
    assert!(not_ready.to_string().contains("status 503"), "{not_ready}");
    let Error::NotReady(missing) = not_ready else { panic!("{not_ready}") };
    assert_eq!((missing.awaits_markets, missing.market_list), (true, Some(failure)));

    server.inject(Fault::MarketList(None));
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!(engine.market_list().failure, None);
    finish(engine, &server);
}

/// Lists that must change nothing: short, with unusable entries, empty, cut off, refused.
#[test]
fn one_faulty_list_delists_no_market() {
    let server = exchange();
    let (source, step) = Stepped::new(&server);
    let engine = builder(&server).market_source(source, SOON).ticker("*").start().unwrap();
    step.send(()).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let all = engine.universe();
    let whole = || {
        server.inject(Fault::MarketList(None));
        step.send(()).unwrap();
        eventually("a whole list", || engine.market_list() == hoga::engine::MarketListStatus::default());
    };
    let requests = engine.subscriptions().requests;

    let short = r#"[{"market":"KRW-BTC"}]"#;
    let unusable = r#"[{"market":"KRW-BTC"},{"market":null},{"market":null},7]"#;
    for (list, unusable) in [(short, 0), (unusable, 3)] {
        list_fault(&server, 200, list);
        step.send(()).unwrap();
        eventually("the list has arrived", || engine.market_list().kept.len() == all.len() - 1);
        assert_eq!(engine.market_list().unusable, unusable);
        assert_eq!(engine.universe(), all);
        whole();
    }
    for (status, list) in [(200, "[]"), (200, r#"[{"market":"KRW-BTC"}"#), (200, "<html>"), (429, "{}")] {
        list_fault(&server, status, list);
        step.send(()).unwrap();
        eventually("the failure is known", || engine.market_list().failure.is_some());
        assert_eq!(engine.universe(), all);
        whole();
    }
    assert_eq!(engine.subscriptions().requests, requests, "the connection never noticed");
    drop(step);
    finish(engine, &server);
}

#[test]
fn a_market_that_leaves_with_the_second_list_is_marked_and_one_that_returns_comes_back() {
    let server = exchange();
    let (source, step) = Stepped::new(&server);
    let engine = builder(&server).grace(SOON).market_source(source, SOON).ticker("*").start().unwrap();
    step.send(()).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let all = engine.universe();
    let gone = all.markets().iter().copied().find(|market| market.as_str() != "KRW-BTC").unwrap();
    let ticker = engine.pool().ticker(gone).unwrap();

    list_fault(&server, 200, r#"[{"market":"KRW-BTC"}]"#);
    step.send(()).unwrap();
    eventually("the first list has arrived", || engine.market_list().kept.len() == all.len() - 1);
    assert!(ticker.load().health().is_live());
    step.send(()).unwrap();
    eventually("the second one counts", || engine.universe().len() == 1);
    eventually("the market is marked", || matches!(ticker.load().health(), Health::Gone { .. }));
    assert!(engine.pool().ticker("KRW-BTC").unwrap().load().health().is_live());

    server.inject(Fault::MarketList(None));
    step.send(()).unwrap();
    eventually("the market is back", || engine.universe() == all && ticker.load().health().is_live());
    drop(step);
    finish(engine, &server);
}

#[test]
fn a_stream_that_its_holder_drops_is_not_subscribed_and_not_delisted() {
    let server = exchange();
    let (source, step) = Stepped::new(&server);
    let engine = builder(&server).grace(SOON).market_source(source, SOON).start().unwrap();
    step.send(()).unwrap();
    let held = engine.subscribe(ticker("*")).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let ticker = engine.pool().ticker("KRW-BTC").unwrap();
    drop(held);
    eventually("the stream ends", || matches!(ticker.load().health(), Health::NotSubscribed { .. }));
    drop(step);
    finish(engine, &server);
}
