//! A network that stalls the tail of an old socket and releases it while the new socket delivers already.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hoga::config::Timeouts;
use hoga::prelude::*;
use hoga::status::HealthReason;
use hoga_exchange::Fault;

use crate::common::{TIMEOUT, builder, eventually, exchange};

/// A proxy between an engine and an exchange.
struct Proxy {
    url: String,
    network: Arc<Network>,
}

#[derive(Default)]
struct Network {
    sockets: Mutex<Vec<Arc<Link>>>,
    /// New connections wait.
    is_closed: AtomicBool,
}

/// One connection through the proxy.
struct Link {
    client: TcpStream,
    is_stalled: AtomicBool,
    /// What the exchange has sent since the link was stalled.
    held: Mutex<Vec<u8>>,
}

impl Proxy {
    fn start(exchange: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/websocket/v1", listener.local_addr().unwrap());
        let network = Arc::new(Network::default());
        let shared = network.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                while shared.is_closed.load(SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                }
                let (client, server) = (client.unwrap(), TcpStream::connect(&exchange).unwrap());
                let link = Link { client, is_stalled: AtomicBool::new(false), held: Mutex::default() };
                let link = Arc::new(link);
                shared.sockets.lock().unwrap().push(link.clone());
                let (up, down) = (link.client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || _ = std::io::copy(&mut { up }, &mut { server }));
                thread::spawn(move || link.deliver(down));
            }
        });
        Self { url, network }
    }

    fn link(&self, number: usize) -> Arc<Link> {
        self.network.sockets.lock().unwrap()[number].clone()
    }
}

impl Link {
    /// Forwards what the exchange sends, or holds it back.
    fn deliver(&self, mut server: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = server.read(&mut buffer) {
            let mut held = self.held.lock().unwrap();
            if self.is_stalled.load(SeqCst) {
                held.extend_from_slice(&buffer[..n]);
            } else if (&self.client).write_all(&buffer[..n]).is_err() {
                return;
            }
        }
    }

    fn stall(&self) {
        let _held = self.held.lock().unwrap();
        self.is_stalled.store(true, SeqCst);
    }

    /// Sends everything that was held back. Returns its size.
    fn release(&self) -> usize {
        let mut held = self.held.lock().unwrap();
        // The engine may have closed the socket, which is its right.
        let _ = (&self.client).write_all(&held);
        std::mem::take(&mut *held).len()
    }
}

/// What a feed has delivered of a stream.
#[derive(Default)]
struct Progress {
    newest: Option<(Epoch, u64)>,
}

impl Progress {
    /// Asserts that neither the socket nor, on the same socket, the exchange's time goes back.
    fn advance(&mut self, who: Overflow, update: &hoga::Update) {
        let next = (update.epoch, update.stamps.exchange_ms);
        assert!(Some(next) >= self.newest, "{who}: {next:?} after {:?}", self.newest);
        self.newest = Some(next);
    }
}

const POLICIES: [Overflow; 4] =
    [Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate, Overflow::Throttle(Duration::from_millis(20))];

#[test]
fn a_late_tail_of_an_old_socket_reaches_neither_the_pool_nor_a_feed() {
    let (server, record) = exchange(20.0, 8);
    let proxy = Proxy::start(server.url()["ws://".len()..].split('/').next().unwrap().to_owned());
    let silent =
        Timeouts { ping_after: Duration::from_secs(1), silent_after: Duration::from_secs(4), ..Timeouts::default() };
    let engine = builder(&server).endpoint(Endpoint::custom(&proxy.url).unwrap()).timeouts(silent);
    let engine = engine.ticker("KRW-BTC").trade("KRW-BTC").orderbook("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let all = || ticker("KRW-BTC").and(trade("KRW-BTC")).and(orderbook("KRW-BTC"));
    let mut feeds = POLICIES.map(|policy| (policy, engine.feed(all(), policy).unwrap(), BTreeMap::new()));
    let mut read = |released: Option<hoga::Nanos>| {
        let mut newest = Epoch::default();
        for (policy, feed, streams) in &mut feeds {
            while let Some(item) = feed.pop() {
                let Item::Data(update) = item else { continue };
                streams.entry(update.value.key()).or_insert_with(Progress::default).advance(*policy, &update);
                let is_old = update.epoch == Epoch(1) && released.is_some_and(|at| update.stamps.received >= at);
                assert!(!is_old, "{policy}: {update:?} came with the late tail");
                newest = newest.max(update.epoch);
            }
        }
        newest
    };
    eventually("every feed has data", || read(None) == Epoch(1));

    proxy.link(0).stall();
    proxy.network.is_closed.store(true, SeqCst);
    eventually("the old socket counts as dead", || engine.connections()[0].counters.disconnects == 1);
    let received = engine.connections()[0].counters.data;
    proxy.network.is_closed.store(false, SeqCst);
    eventually("the new socket delivers", || read(None) > Epoch(1));
    let new = engine.connections()[0].epoch;

    let released = engine.now();
    for _ in 0..20 {
        assert!(read(Some(released)) <= new);
        proxy.link(0).release();
        thread::sleep(Duration::from_millis(20));
    }
    server.inject(Fault::Mute(true));
    let [old, new] = record.connections()[..] else { panic!("{:?}", record.connections()) };
    let sent = |conn| record.sent(conn, |_| true).len() as u64;
    eventually("everything has arrived", || engine.connections()[0].counters.data == received + sent(new));
    read(Some(released));
    let tail = sent(old) - received;
    assert!(tail >= 3, "only {tail} messages were late");
    // No message of the tail was decoded, so none is counted as old.
    let streams = engine.pool().streams();
    assert!(
        streams.iter().all(|stream| stream.verdicts.old_epoch == 0 && stream.epoch > Some(Epoch(1))),
        "{streams:?}"
    );

    // What the tail contained is missing, and the engine says so.
    let gaps = engine.gaps().gaps;
    let of_socket = |gap: &&hoga::status::StreamGap| gap.cause == HealthReason::NewSocket && gap.from.epoch == Epoch(1);
    let mut streams: Vec<_> = gaps.iter().filter(of_socket).map(|gap| gap.stream.to_string()).collect();
    streams.sort_unstable();
    assert_eq!(streams, ["orderbook KRW-BTC", "ticker KRW-BTC", "trade KRW-BTC"], "{gaps:?}");
    engine.shutdown(TIMEOUT).into_result().unwrap();
}
