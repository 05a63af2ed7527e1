//! The core of the exchange, without sockets, clocks or threads: bytes and time go in, bytes and deadlines come out.
//!
//! After each call that takes bytes, time or a fault, call [`Exchange::poll_transmit`] for every connection until it
//! appends nothing, then sleep no later than [`Exchange::poll_timeout`].

mod incoming;
mod listing;
mod opening;
mod outgoing;

use crate::config::Config;
use crate::connection::{Connection, State};
use crate::fault::{Fault, Switches};
use crate::limits::{Connects, Requests};
use crate::market::floor::Floor;
use crate::market::listing::Listings;
use crate::received::{Received, Record};
use crate::request::Kind;
use crate::rng::Rng;
use crate::stats::Stats;
use crate::subscription::Subscription;
use crate::upgrade::Answer;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// The id of a connection of an exchange. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What to do with a connection after sending the bytes of [`Exchange::poll_transmit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Keep it open.
    Open,
    /// Send the bytes, close TCP and call [`Exchange::disconnected`].
    Close,
    /// Close TCP now, send nothing more and call [`Exchange::disconnected`].
    Drop,
}

/// Observes every request when it arrives and every data frame when it leaves: the ground truth for tests of a client.
pub trait Observer: Send {
    /// A data frame is sent. `payload` is the message without its frame header.
    fn sent(&mut self, sent_ns: u64, conn: ConnId, payload: &[u8]);

    /// A message of a client arrived, other than the text `PING`. Called before the message is checked, so also for
    /// messages that will be refused.
    fn received(&mut self, received_ns: u64, conn: ConnId, text: &[u8]) {
        let _ = (received_ns, conn, text);
    }
}

/// The maximum number of payload bytes that a replay queues on one connection.
const REPLAY_WINDOW: usize = 64 * 1024;
/// The maximum number of bytes stored for a connection during [`Fault::Stall`]. Further bytes are discarded.
const STALLED_INPUT_MAX: usize = 1 << 20;
/// The part of the seed for the exchange's own random numbers, which are separate from those of its markets.
const EXCHANGE_PART: u64 = u64::MAX - 1;

const STATUS: &[u8] = br#"{"status":"UP"}"#;

/// A simulated Upbit exchange.
pub struct Exchange {
    config: Config,
    connections: BTreeMap<ConnId, Connection>,
    next_id: u64,
    connects: Connects,
    floor: Floor,
    /// Set when a subscription has ended, so that some market may be awake without subscribers.
    floor_is_stale: bool,
    switches: Switches,
    rejections: VecDeque<Answer>,
    /// See [`Fault::MarketList`].
    market_list: Option<Answer>,
    observer: Option<Box<dyn Observer>>,
    stats: Stats,
    received: Record,
    rng: Rng,
    now: u64,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("connections", &self.connections.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// Creates an exchange that starts at `now`, in ns since the Unix epoch, as every `now` here. It must not go
    /// backwards.
    pub fn new(config: Config, now: u64) -> Self {
        let listings = Listings::new(config.seed, config.markets);
        Self {
            floor: Floor::new(listings, config.speed),
            rng: Rng::for_part(config.seed, EXCHANGE_PART),
            config,
            connections: BTreeMap::new(),
            next_id: 1,
            connects: Connects::default(),
            floor_is_stale: false,
            switches: Switches::default(),
            rejections: VecDeque::new(),
            market_list: None,
            observer: None,
            stats: Stats::default(),
            received: Record::default(),
            now,
        }
    }

    /// Returns the type with this name and the index of this market.
    fn stream(&self, type_name: &str, code: &str) -> Option<(Kind, usize)> {
        Some((Kind::named(type_name)?, self.floor.listings.index(code)?))
    }

    /// Calls `observer` for every request and data frame from here on.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Returns the counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns the last [`Config::received_kept`] requests of all connections, oldest first.
    pub fn received(&self) -> impl Iterator<Item = &Received> {
        self.received.iter()
    }

    /// Returns the codes of all listed markets, the busiest of each quote currency first.
    pub fn markets(&self) -> impl Iterator<Item = &str> {
        self.floor.listings.codes()
    }

    /// Whether [`Fault::Stall`] is on. The owner of the sockets must not touch them then.
    pub fn is_stalled(&self) -> bool {
        self.switches.stall
    }

    /// Handles a new TCP connection of a client. With TLS, this is its plaintext side.
    pub fn connect(&mut self, now: u64, peer_ip: IpAddr) -> ConnId {
        self.now = now;
        let id = ConnId(self.next_id);
        self.next_id += 1;
        self.stats.connections += 1;
        let mut connection = Connection::new(peer_ip, Requests::new(&self.config.limits), now);
        if self.switches.refuse_connects {
            connection.finish(Flow::Drop);
        }
        self.connections.insert(id, connection);
        id
    }

    /// Handles received bytes, which may be split anywhere.
    pub fn receive(&mut self, now: u64, conn: ConnId, bytes: &[u8]) {
        self.now = now;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.last_traffic = now;
        if self.switches.stall {
            let room = STALLED_INPUT_MAX.saturating_sub(connection.inbox.len());
            return connection.inbox.extend_from_slice(&bytes[..room.min(bytes.len())]);
        }
        if matches!(connection.state, State::Finished(_)) {
            return;
        }
        if connection.state != State::Upgrading {
            connection.reader.feed(bytes);
            return self.read_frames(conn);
        }
        connection.inbox.extend_from_slice(bytes);
        self.open(conn);
    }

    /// Handles the end of a client's TCP connection.
    pub fn disconnected(&mut self, now: u64, conn: ConnId) {
        self.now = now;
        self.connections.remove(&conn);
        self.floor_is_stale = true;
    }

    /// Appends the bytes to send on a connection at `now`. Call it until it appends nothing.
    ///
    /// Do not call it while the bytes cannot be sent: [`Config::output_limit`] limits the bytes that wait in the
    /// exchange.
    pub fn poll_transmit(&mut self, now: u64, conn: ConnId, out: &mut Vec<u8>) -> Flow {
        self.now = now;
        if self.switches.stall {
            return Flow::Open;
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return Flow::Drop };
        if !connection.outbox.is_empty() {
            connection.last_traffic = now;
        }
        let (stats, observer) = (&mut self.stats, &mut self.observer);
        connection.outbox.write(out, &self.switches, |payload| {
            stats.data_frames += 1;
            stats.data_bytes += payload.len() as u64;
            if let Some(observer) = observer {
                observer.sent(now, conn, payload);
            }
        });
        connection.flow()
    }

    /// Returns what to do with a connection, for a caller that cannot send and so does not call
    /// [`poll_transmit`](Self::poll_transmit).
    pub fn flow(&self, conn: ConnId) -> Flow {
        self.connections.get(&conn).map_or(Flow::Drop, Connection::flow)
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) is due; `u64::MAX` for never. If the call is
    /// due at once, this time may be in the past.
    pub fn poll_timeout(&self) -> u64 {
        if self.switches.stall {
            return u64::MAX;
        }
        let idle_timeout = nanos(self.config.idle_timeout);
        let connections = self.connections.values().map(|connection| {
            let replay = connection.cursor.due().filter(|_| !self.switches.mute && has_room(connection));
            connection.deadline(idle_timeout).min(replay.unwrap_or(u64::MAX))
        });
        connections.fold(self.floor.next(), u64::min)
    }

    /// Handles everything that is due by `now`.
    pub fn handle_timeout(&mut self, now: u64) {
        self.now = now;
        if self.switches.stall {
            return;
        }
        if std::mem::take(&mut self.floor_is_stale) {
            let subscribed = self.connections.values().flat_map(|connection| {
                let stale = connection.stale.iter().map(|stale| &stale.subscription);
                connection.subscription.iter().chain(stale).flat_map(Subscription::markets)
            });
            self.floor.keep_only(&subscribed.collect::<HashSet<usize>>());
        }
        // Connections first, so that a snapshot that is due leaves before later events.
        self.handle_connections();
        while let Some((index, event)) = self.floor.step(now) {
            if let Some(event) = event {
                self.dispatch(index, &event);
            }
        }
        self.drop_slow_readers();
    }

    /// Injects a fault.
    pub fn inject(&mut self, now: u64, fault: Fault) {
        self.now = now;
        let was_stalled = self.switches.stall;
        if self.switches.set(&fault) {
            if was_stalled && !self.switches.stall {
                self.end_stall();
            }
            return;
        }
        match fault {
            Fault::MuteStream { type_name, code, on } => {
                if let Some(stream) = self.stream(&type_name, &code) {
                    self.switches.mute_streams.retain(|mute| *mute != stream);
                    self.switches.mute_streams.extend(on.then_some(stream));
                }
            }
            Fault::RefuseStreams { type_name, code, on } => {
                let kind = self.config.dialect.kind(&type_name);
                kind.into_iter().for_each(|kind| self.switches.set_refused((kind, code.clone()), on));
            }
            Fault::Forget { type_name, code } => {
                if let Some((kind, market)) = self.stream(&type_name, &code) {
                    for connection in self.connections.values_mut() {
                        connection.stale = None;
                        connection
                            .subscription
                            .iter_mut()
                            .for_each(|subscription| subscription.forget(kind, market, &code));
                    }
                }
            }
            Fault::DropAll => self.connections.values_mut().for_each(|connection| connection.finish(Flow::Drop)),
            Fault::Drop(conn) => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.finish(Flow::Drop);
                }
            }
            Fault::CloseAll(code) => self.for_each_open(|connection, now| connection.close(code, now)),
            Fault::Garbage => {
                let noise: Vec<u8> = (0..64).map(|_| self.rng.next() as u8).collect();
                // No frame starts with a byte that has all reserved bits set.
                self.for_each_open(|connection, _| connection.outbox.push_raw([&[0xFF], &noise[..]].concat()));
            }
            Fault::RejectUpgrades { count, status, retry_after, body } => {
                let rejection = |_| Answer { status, retry_after, body: body.clone() };
                self.rejections.extend((0..count).map(rejection));
            }
            Fault::MarketList(answer) => {
                self.market_list = answer.map(|(status, body)| Answer { status, retry_after: None, body });
            }
            Fault::ErrorNow(name) => {
                let open = self.connections.iter().filter(|(_, connection)| connection.is_open()).map(|(id, _)| *id);
                for id in open.collect::<Vec<ConnId>>() {
                    self.fail(id, &name.into());
                }
            }
            _ => unreachable!("switches are handled above"),
        }
        self.floor_is_stale = true;
    }
}

/// Whether a replay may queue more on a connection.
fn has_room(connection: &Connection) -> bool {
    connection.is_open() && connection.outbox.len() < REPLAY_WINDOW
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
