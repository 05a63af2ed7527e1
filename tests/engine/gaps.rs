//! Intervals in which messages of a stream may be missing, over real sockets.

use hoga::engine::{Lifecycle, LifecycleEvent};
use hoga::prelude::*;
use hoga::status::{HealthReason, StreamGap};
use hoga_exchange::Fault;
use serde_json::json;

use crate::common::{TIMEOUT, builder, eventually, exchange, finish};
use crate::scripted::{REALTIME, SNAPSHOT, Scripted, trade_json};

/// Returns the gaps that have ended since the last call.
fn ended(lifecycle: &Lifecycle) -> Vec<StreamGap> {
    let gap = |event| match event {
        LifecycleEvent::Gap(gap) if gap.to.is_some() => Some(gap),
        _ => None,
    };
    std::iter::from_fn(|| lifecycle.try_next()).filter_map(gap).collect()
}

#[derive(Debug, PartialEq)]
struct Change {
    stream: String,
    from: &'static str,
}

/// Returns the next change to this health.
#[track_caller]
fn next_health(lifecycle: &Lifecycle, to: &str) -> Change {
    while let Some(event) = lifecycle.next_within(TIMEOUT) {
        if let LifecycleEvent::Health(change) = event
            && change.to.as_str() == to
        {
            return Change { stream: change.stream.to_string(), from: change.from.as_str() };
        }
    }
    panic!("no stream became {to}");
}

#[test]
fn a_new_socket_leaves_a_gap_in_each_stream_between_its_last_and_its_first_message() {
    let (server, record) = exchange(20.0, 8);
    let engine = builder(&server).ticker(["KRW-BTC", "KRW-ETH"]).trade("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let lifecycle = engine.lifecycle();
    let mut feed = engine.feed(ticker(["KRW-BTC", "KRW-ETH"]).and(trade("KRW-BTC")), Overflow::DROP_NEWEST).unwrap();
    let mut updates = Vec::new();
    let mut since = None;
    let mut read = |updates: &mut Vec<hoga::Update>| {
        for item in &mut feed {
            match item {
                Item::Data(update) => updates.push(update),
                Item::Epoch { since: heard, .. } => since = heard,
                Item::Gap { .. } => panic!("the feed has room"),
            }
        }
    };
    let keys = |updates: &[hoga::Update], epoch| {
        let of_epoch = updates.iter().filter(|update| update.epoch == epoch);
        of_epoch.map(|update| update.value.key()).collect::<std::collections::BTreeSet<_>>()
    };
    eventually("data of each stream", || {
        read(&mut updates);
        keys(&updates, Epoch(1)).len() == 3
    });
    assert_eq!(engine.gaps().gaps, [], "nothing is missing yet");
    server.inject(Fault::Drop(record.connections()[0]));
    let mut gaps = Vec::new();
    eventually("the gap of each stream has ended", || {
        read(&mut updates);
        gaps.extend(ended(&lifecycle));
        gaps.len() == 3
    });
    eventually("data of each stream", || {
        read(&mut updates);
        keys(&updates, Epoch(2)).len() == 3
    });
    assert_eq!(engine.gaps().gaps, gaps);
    for gap in &gaps {
        let of_stream = |epoch| updates.iter().filter(move |u| u.value.key() == gap.stream && u.epoch == Epoch(epoch));
        let received = |update: &hoga::Update| update.stamps.received;
        let (last, to) = (of_stream(1).map(received).max().unwrap(), gap.to.unwrap());
        assert!(gap.from.received <= last && to.received >= of_stream(2).map(received).min().unwrap(), "{gap:?}");
        assert_eq!((gap.cause, gap.from.epoch, to.epoch), (HealthReason::NewSocket, Epoch(1), Epoch(2)));
        assert!(gap.from.exchange_ms.is_some() && gap.from.exchange_ms <= to.exchange_ms, "{gap:?}");
    }
    let received =
        |epoch| updates.iter().filter(move |u| u.epoch == Epoch(epoch)).map(|u| u.stamps.received.as_millis());
    let since = since.expect("when the old socket last brought data").as_millis();
    assert!(received(1).max().unwrap() <= since && since <= received(2).min().unwrap(), "{since}");
    finish(engine, &server);
}

#[test]
fn a_refused_message_leaves_a_gap_between_its_neighbours() {
    let exchange = Scripted::start();
    let engine = exchange.builder().start().unwrap();
    let lifecycle = engine.lifecycle();
    let _held = engine.subscribe(trade(["KRW-BTC", "KRW-ETH"])).unwrap();
    let socket = exchange.socket();
    socket.request();
    let at = |price: u64| 1_700_000_000_000 + 1000 * price;
    let send = |code, price: u64, stream_type| socket.send([trade_json(code, price as f64, at(price), stream_type)]);
    send("KRW-BTC", 1, SNAPSHOT);
    send("KRW-ETH", 1, SNAPSHOT);
    for _ in ["KRW-BTC", "KRW-ETH"] {
        next_health(&lifecycle, "live");
    }
    let mut refused = trade_json("KRW-BTC", 2.0, at(2), REALTIME);
    refused["trade_price"] = json!("much");
    socket.send([refused]);
    assert_eq!(next_health(&lifecycle, "suspect"), Change { stream: "trade KRW-BTC".into(), from: "live" });
    eventually("the gap is open", || engine.gaps().gaps.iter().any(|gap| gap.to.is_none()));
    assert_eq!(ended(&lifecycle), []);
    send("KRW-ETH", 2, REALTIME);
    send("KRW-BTC", 3, REALTIME);
    eventually("the gap has ended", || engine.gaps().gaps.iter().all(|gap| gap.to.is_some()));
    let gaps = engine.gaps().gaps;
    let [gap] = gaps[..] else { panic!("{gaps:?}") };
    // The change of health is reported before the end of the gap, by the same look.
    let events: Vec<_> = std::iter::from_fn(|| lifecycle.try_next()).collect();
    assert!(
        events.iter().any(|event| matches!(event, LifecycleEvent::Health(change) if change.to.is_live())),
        "{events:?}"
    );
    assert!(events.contains(&LifecycleEvent::Gap(gap)), "{events:?}");
    assert_eq!((gap.stream.to_string().as_str(), gap.cause), ("trade KRW-BTC", HealthReason::Refused));
    assert_eq!((gap.from.exchange_ms, gap.to.unwrap().exchange_ms), (Some(at(1)), Some(at(3))));
    engine.shutdown(TIMEOUT).into_result().unwrap();
}
