//! The clients that hoga is compared with, assembled from other crates as users would do it. Each client keeps the
//! newest value of every stream in a map and passes each update to the strategy through a queue.

mod comparison;
mod fast;
pub mod message;
mod mio;
pub mod parser;
mod picows;
mod running;
mod tls;
mod tokio;
mod tungstenite;
mod update;

use ::tungstenite::protocol::WebSocketConfig;
pub use comparison::run;
use fast::FastWebSockets;
use mio::Mio;
use picows::Picows;
use tokio::Tokio;
use tungstenite::TokioTungstenite;

use crate::stack::Endpoint;

/// The capacity of a queue: the same as of hoga's feeds.
const CAPACITY: usize = 4096;

/// tungstenite clears its whole buffer before each read. The default of 128 KiB would cost more than a message.
fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(16 * 1024)
}

/// Returns `host:port`.
fn authority(endpoint: &Endpoint) -> &str {
    let behind_scheme = endpoint.url.split_once("://").map_or(endpoint.url.as_str(), |(_, rest)| rest);
    behind_scheme.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::serving::feeder::{Feeder, PATIENCE};
    use crate::serving::traffic::{FIRST_STAMP, Recording};
    use crate::stack::Wait;
    use hoga::model::{ConnectionId, Epoch, Event, Maybe, Nanos, Noun, Receipt, Sink};
    use hoga::wire::Decoder;

    use super::running::{Queue, Running};
    use super::update::Update;
    use super::*;

    const MESSAGES: usize = 600;

    /// Prices and sizes of a message, to compare two readings of it.
    #[derive(Debug, Default, PartialEq)]
    struct Prices(Vec<f64>);

    impl Sink for Prices {
        fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
            self.0 = match (*message).into() {
                Event::Ticker(t) => {
                    let others = [
                        t.opening_price,
                        t.high_price,
                        t.low_price,
                        t.trade_volume,
                        t.prev_closing_price,
                        t.highest_52_week_price,
                        t.lowest_52_week_price,
                    ];
                    [t.trade_price].into_iter().chain(others.into_iter().filter_map(Maybe::get)).collect()
                }
                Event::Trade(t) => {
                    let best = [t.best_ask_price, t.best_ask_size, t.best_bid_price, t.best_bid_size];
                    let others = [t.trade_volume, t.prev_closing_price].into_iter().chain(best);
                    [t.trade_price].into_iter().chain(others.filter_map(Maybe::get)).collect()
                }
                Event::Orderbook(book) => {
                    let sides = book.asks.iter().zip(book.bids.iter());
                    sides.flat_map(|(ask, bid)| [ask.price, bid.price, ask.size, bid.size]).collect()
                }
                _ => return,
            };
        }
    }

    impl Prices {
        /// Returns hoga's reading of a message.
        fn of_message(message: &[u8]) -> Self {
            let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(0) };
            let mut prices = Self::default();
            Decoder::new().decode(message, message.len(), receipt, &mut prices).unwrap();
            prices
        }

        /// Returns a peer's reading of a message.
        fn of_update(update: &Update) -> Self {
            Self(match update {
                Update::Ticker(t) => vec![
                    t.trade_price,
                    t.opening_price,
                    t.high_price,
                    t.low_price,
                    t.trade_volume,
                    t.prev_closing_price,
                    t.highest_52_week_price,
                    t.lowest_52_week_price,
                ],
                Update::Trade(t) => {
                    let best = [t.best_ask_price, t.best_ask_size, t.best_bid_price, t.best_bid_size];
                    [t.trade_price, t.trade_volume, t.prev_closing_price]
                        .into_iter()
                        .chain(best.into_iter().flatten())
                        .collect()
                }
                Update::Orderbook(book) => {
                    let units = book.orderbook_units.iter();
                    units.flat_map(|unit| [unit.ask_price, unit.bid_price, unit.ask_size, unit.bid_size]).collect()
                }
            })
        }
    }

    /// Sends every message, plain and over TLS, and checks that the client delivers each as hoga reads it.
    fn delivers_all<Q: Queue>(open: impl Fn(&Endpoint) -> Running<Q>) {
        let data_types = vec!["ticker", "trade", "orderbook"];
        let traffic = Recording { markets: 5, data_types, depth: None, frames: MESSAGES }.run().unwrap();
        for is_secure in [false, true] {
            let feeder = Feeder::bind(is_secure).unwrap();
            let mut client = open(&feeder.endpoint(&traffic.wants, 0));
            let mut connection = feeder.accept().unwrap();
            let mut frames = traffic.frames.clone();
            for (n, frame) in frames.iter_mut().enumerate() {
                connection.push(frame.numbered(n as u64)).unwrap();
            }
            connection.send().unwrap();
            for (n, frame) in frames.iter().enumerate() {
                let update = wait_for(&mut client);
                assert_eq!(update.timestamp(), FIRST_STAMP + n as u64);
                assert_eq!(code(&update), traffic.streams[frame.stream].1);
                assert_eq!(Prices::of_update(&update), Prices::of_message(frame.payload()));
            }
            assert_eq!(client.queue().missed(), 0);
            assert!(client.queue().next().is_none(), "more updates arrived than were sent");
        }
    }

    fn code(update: &Update) -> &str {
        match update {
            Update::Ticker(ticker) => &ticker.code,
            Update::Trade(trade) => &trade.code,
            Update::Orderbook(book) => &book.code,
        }
    }

    fn wait_for<Q: Queue>(client: &mut Running<Q>) -> Update {
        const LOOK: Duration = Duration::from_millis(1);
        for _ in 0..PATIENCE.as_millis() {
            if let Some(update) = client.queue().next() {
                return update;
            }
            std::thread::sleep(LOOK);
        }
        panic!("no update arrived");
    }

    #[test]
    fn tokio_tungstenite_delivers_all_in_order() {
        delivers_all(|endpoint| Tokio(TokioTungstenite).open(endpoint).unwrap());
    }

    #[test]
    fn fastwebsockets_delivers_all_in_order() {
        delivers_all(|endpoint| Tokio(FastWebSockets).open(endpoint).unwrap());
    }

    #[test]
    fn mio_delivers_all_in_order_parking_or_spinning() {
        for wait in [Wait::Park, Wait::Spin] {
            delivers_all(|endpoint| Mio { wait }.open(endpoint).unwrap());
        }
    }

    #[test]
    fn a_client_without_a_server_ends_with_its_strategy() {
        let feeder = Feeder::bind(false).unwrap();
        let endpoint = feeder.endpoint(&[], 0);
        drop(Tokio(TokioTungstenite).open(&endpoint).unwrap());
        drop(Tokio(FastWebSockets).open(&endpoint).unwrap());
        drop(Mio { wait: Wait::Park }.open(&endpoint).unwrap());
    }
}
