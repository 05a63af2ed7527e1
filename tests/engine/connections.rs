//! Streams spread over several connections, compared with the requests and messages of each connection of the exchange.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Message, Record, TIMEOUT, builder, drain, eventually, exchange, finish, markets};
use hoga::prelude::*;
use hoga_exchange::{ConnId, Fault};

const MARKETS: usize = 100;
const CONNECTIONS: usize = 4;

/// Returns a subscription to all types of every market: 500 streams.
fn everything() -> Subscription {
    let all = markets(MARKETS);
    ticker(&all)
        .and(trade(&all))
        .and(orderbook(&all).levels(5))
        .and(candle(Interval::Second1, &all))
        .and(candle(Interval::Minute1, &all))
}

/// Returns the market of a stream, without its depth.
fn market(stream: &str) -> &str {
    stream.split(' ').nth(1).unwrap().split('.').next().unwrap()
}

/// Returns the streams of the newest request of each connection.
fn carried(record: &Record) -> BTreeMap<ConnId, BTreeSet<String>> {
    let newest = |conn| record.requested(conn).pop().unwrap().into_keys().collect();
    record.connections().into_iter().map(|conn| (conn, newest(conn))).collect()
}

fn is_change(message: &Message) -> bool {
    message.stream.starts_with("trade") && !message.is_snapshot
}

/// Asserts that the feed delivered, for the markets of one connection, all that the connection sent since the feed
/// joined, in order. The exchange may have sent messages before that.
#[track_caller]
fn nothing_is_missing(got: &[Message], sent: &[Message], of: &BTreeSet<String>) {
    let markets: BTreeSet<&str> = of.iter().map(|stream| market(stream)).collect();
    let got: Vec<_> = got.iter().filter(|m| is_change(m) && markets.contains(market(&m.stream))).collect();
    let joined = sent.iter().position(|sent| sent == got[0]).expect("the exchange sent the first message");
    let sent = &sent[joined..];
    assert!(got.len() >= sent.len(), "{} of {}", got.len(), sent.len());
    assert!(got.into_iter().zip(sent).all(|(got, sent)| got == sent));
}

#[test]
fn streams_are_spread_over_connections_and_one_disconnect_does_not_affect_the_others() {
    let (server, record) = exchange(10.0, MARKETS);
    let engine = builder(&server).connections(CONNECTIONS).subscribe(everything()).start().unwrap();
    let mut feed = engine.feed(trade(markets(MARKETS)), Overflow::DropNewest { capacity: 16_384 }).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();

    let shares = carried(&record);
    assert_eq!((shares.len(), shares.values().map(BTreeSet::len).sum::<usize>()), (CONNECTIONS, 5 * MARKETS));
    let mut homes = BTreeMap::new();
    for (conn, share) in &shares {
        assert!(share.len() > 5 * MARKETS / CONNECTIONS / 3, "each connection has a share: {}", share.len());
        for stream in share {
            assert_eq!(
                homes.entry(market(stream)).or_insert(conn),
                &conn,
                "{stream} is on another connection than its market"
            );
        }
    }
    assert_eq!(homes.len(), MARKETS);

    // One feed of all connections: every trade has arrived.
    let sent = |conn: ConnId| record.sent(conn, is_change);
    let mut got = Vec::new();
    eventually("every connection has sent trades", || {
        drain(&mut feed, &mut got);
        shares.keys().all(|conn| sent(*conn).len() > 20)
    });
    let so_far: BTreeMap<_, _> = shares.keys().map(|conn| (*conn, sent(*conn))).collect();
    let enough: usize = so_far.values().map(Vec::len).sum();
    eventually("the messages arrive", || {
        drain(&mut feed, &mut got);
        got.iter().filter(|message| is_change(message)).count() > enough + 100
    });
    for (conn, sent) in &so_far {
        nothing_is_missing(&got, sent, &shares[conn]);
    }

    // One socket disconnects. The other connections are not affected.
    let (&lost, share) = shares.first_key_value().unwrap();
    let before: Vec<_> = engine.connections().iter().map(|connection| connection.epoch).collect();
    server.inject(Fault::Drop(lost));
    eventually("a new connection carries the same streams", || {
        let now = carried(&record);
        now.len() == CONNECTIONS + 1 && now.last_key_value().unwrap().1 == share
    });
    engine.wait_ready(TIMEOUT).unwrap();
    let changed = engine.connections().iter().zip(before).filter(|(now, before)| now.epoch != *before).count();
    assert_eq!((changed, engine.connections().iter().map(|c| c.counters.disconnects).sum::<u64>()), (1, 1));
    for (conn, share) in shares.iter().skip(1) {
        assert_eq!(record.requested(*conn).len(), 1, "no stream was requested again");
        let sent = sent(*conn);
        let markets: BTreeSet<&str> = share.iter().map(|stream| market(stream)).collect();
        eventually("all of it arrives", || {
            drain(&mut feed, &mut got);
            got.iter().filter(|m| is_change(m) && markets.contains(market(&m.stream))).count() >= sent.len()
        });
        nothing_is_missing(&got, &sent, share);
    }
    finish(engine, &server);
}
