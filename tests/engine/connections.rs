//! Streams spread over several connections. The judge is what each connection of the exchange was asked for and sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Message, PATIENCE, Record, builder, drain, eventually, exchange, finish, markets};
use hoga::prelude::*;
use hoga_exchange::{ConnId, Fault};

const MARKETS: usize = 100;
const CONNECTIONS: usize = 4;

/// Everything of a market: 500 streams.
fn everything() -> Subscription {
    let all = markets(MARKETS);
    ticker(&all)
        .and(trade(&all))
        .and(orderbook(&all).levels(5))
        .and(candle(Interval::Second1, &all))
        .and(candle(Interval::Minute1, &all))
}

/// The market of a stream, without its depth.
fn market(stream: &str) -> &str {
    stream.split(' ').nth(1).unwrap().split('.').next().unwrap()
}

/// The newest request of each connection.
fn carried(record: &Record) -> BTreeMap<ConnId, BTreeSet<String>> {
    let newest = |conn| record.asked(conn).pop().unwrap().into_keys().collect();
    record.connections().into_iter().map(|conn| (conn, newest(conn))).collect()
}

fn is_change(message: &Message) -> bool {
    message.stream.starts_with("trade") && !message.is_snapshot
}

/// What the feed brought of the markets of one connection is what that connection sent, in order, since the feed joined:
/// the engine ran already.
#[track_caller]
fn nothing_is_missing(got: &[Message], sent: &[Message], of: &BTreeSet<String>) {
    let markets: BTreeSet<&str> = of.iter().map(|stream| market(stream)).collect();
    let got: Vec<_> = got.iter().filter(|m| is_change(m) && markets.contains(market(&m.stream))).collect();
    let joined = sent.iter().position(|sent| sent == got[0]).expect("the exchange sent what came first");
    let sent = &sent[joined..];
    assert!(got.len() >= sent.len(), "{} of {}", got.len(), sent.len());
    assert!(got.into_iter().zip(sent).all(|(got, sent)| got == sent));
}

#[test]
fn streams_are_spread_over_connections_and_the_loss_of_one_is_its_own() {
    let (server, record) = exchange(10.0, MARKETS);
    let engine = builder(&server).connections(CONNECTIONS).subscribe(everything()).start().unwrap();
    let mut feed = engine.feed(trade(markets(MARKETS)), Overflow::DropNewest { capacity: 16_384 }).unwrap();
    engine.wait_ready(PATIENCE).unwrap();

    let shares = carried(&record);
    assert_eq!((shares.len(), shares.values().map(BTreeSet::len).sum::<usize>()), (CONNECTIONS, 5 * MARKETS));
    let mut homes = BTreeMap::new();
    for (conn, share) in &shares {
        assert!(share.len() > 5 * MARKETS / CONNECTIONS / 3, "each has a share: {}", share.len());
        for stream in share {
            assert_eq!(homes.entry(market(stream)).or_insert(conn), &conn, "{stream} is apart from its market");
        }
    }
    assert_eq!(homes.len(), MARKETS);

    // One feed, all connections: every trade has come.
    let sent = |conn: ConnId| record.sent(conn, is_change);
    let mut got = Vec::new();
    eventually("trades", || {
        drain(&mut feed, &mut got);
        shares.keys().all(|conn| sent(*conn).len() > 20)
    });
    let so_far: BTreeMap<_, _> = shares.keys().map(|conn| (*conn, sent(*conn))).collect();
    let enough: usize = so_far.values().map(Vec::len).sum();
    eventually("they arrive", || {
        drain(&mut feed, &mut got);
        got.iter().filter(|message| is_change(message)).count() > enough + 100
    });
    for (conn, sent) in &so_far {
        nothing_is_missing(&got, sent, &shares[conn]);
    }

    // One is lost. The others do not notice.
    let (&lost, share) = shares.first_key_value().unwrap();
    let before: Vec<_> = engine.connections().iter().map(|connection| connection.epoch).collect();
    server.inject(Fault::Drop(lost));
    eventually("it is replaced by one that carries the same", || {
        let now = carried(&record);
        now.len() == CONNECTIONS + 1 && now.last_key_value().unwrap().1 == share
    });
    engine.wait_ready(PATIENCE).unwrap();
    let changed = engine.connections().iter().zip(before).filter(|(now, before)| now.epoch != *before).count();
    assert_eq!((changed, engine.connections().iter().map(|c| c.counters.disconnects).sum::<u64>()), (1, 1));
    for (conn, share) in shares.iter().skip(1) {
        assert_eq!(record.asked(*conn).len(), 1, "nothing had to be asked for again");
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
