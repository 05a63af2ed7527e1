//! The whole venue without sockets, clocks or threads: bytes and time go in, bytes and deadlines come out.
//!
//! After each call that takes bytes, time or a fault, call [`Exchange::poll_transmit`] for every connection until it
//! appends nothing, then sleep no later than [`Exchange::poll_timeout`].

use crate::config::Config;
use crate::connection::{Connection, Stale, State};
use crate::fault::{Fault, Switches};
use crate::format::Format;
use crate::frame::{self, Incoming, Violation};
use crate::limits::{Connects, Requests, Verdict};
use crate::market::floor::Floor;
use crate::market::listing::Listings;
use crate::market::{Event, Market};
use crate::message::{self, Print};
use crate::refusal::{ErrorName, Refusal};
use crate::request::{Kind, Request, Want};
use crate::rng::Rng;
use crate::stats::Stats;
use crate::subscription::{Stream, Subscription};
use crate::upgrade::{Rejection, Upgrade};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::iter;
use std::net::IpAddr;
use std::time::Duration;

/// A connection of this exchange, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What is to become of a connection after the bytes just handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Open,
    /// Send the bytes, then close TCP. Tell [`Exchange::disconnected`].
    Close,
    /// Close TCP now, sending nothing more. Tell [`Exchange::disconnected`].
    Drop,
}

/// Is told about every data frame as it leaves: the ground truth a client can be compared with.
pub trait Observer: Send {
    /// `payload` is the message without its frame header.
    fn sent(&mut self, sent_ns: u64, conn: ConnId, payload: &[u8]);
}

/// Payload bytes a replay queues at most on one connection.
const REPLAY_WINDOW: usize = 64 * 1024;
/// Bytes kept of a connection during [`Fault::Stall`].
const STALLED_INPUT_MAX: usize = 1 << 20;
/// How long frames of a replaced subscription can still come.
const STALE_FOR: Duration = Duration::from_millis(100);
/// The randomness of the venue itself, apart from that of its markets.
const VENUE: u64 = u64::MAX - 1;

const STATUS: &[u8] = br#"{"status":"UP"}"#;

/// A simulated Upbit exchange.
pub struct Exchange {
    config: Config,
    connections: BTreeMap<ConnId, Connection>,
    next_id: u64,
    connects: Connects,
    floor: Floor,
    /// A subscription went away: some market may be awake for nobody.
    floor_is_stale: bool,
    switches: Switches,
    rejections: VecDeque<Rejection>,
    observer: Option<Box<dyn Observer>>,
    stats: Stats,
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
    /// A venue that opens at `now`, in nanoseconds since the Unix epoch, like every `now` here. It must not go back.
    pub fn new(config: Config, now: u64) -> Self {
        let listings = Listings::new(config.seed, config.markets);
        Self {
            floor: Floor::new(listings, config.speed),
            rng: Rng::for_part(config.seed, VENUE),
            config,
            connections: BTreeMap::new(),
            next_id: 1,
            connects: Connects::default(),
            floor_is_stale: false,
            switches: Switches::default(),
            rejections: VecDeque::new(),
            observer: None,
            stats: Stats::default(),
            now,
        }
    }

    /// Tells `observer` about every data frame from here on.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Codes of all markets, busiest of each quote first.
    pub fn markets(&self) -> impl Iterator<Item = &str> {
        self.floor.listings.codes()
    }

    /// Whether [`Fault::Stall`] is on: whoever owns sockets must not touch them then.
    pub fn is_stalled(&self) -> bool {
        self.switches.stall
    }

    /// A client's TCP connection was accepted; for TLS, this is its plaintext side.
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

    /// Bytes arrived. They may be cut anywhere.
    pub fn receive(&mut self, now: u64, conn: ConnId, bytes: &[u8]) {
        self.now = now;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.last_traffic = now;
        if self.switches.stall {
            let room = STALLED_INPUT_MAX.saturating_sub(connection.inbox.len());
            return connection.inbox.extend_from_slice(&bytes[..room.min(bytes.len())]);
        }
        if connection.state != State::Upgrading {
            connection.reader.feed(bytes);
            return self.read_frames(conn);
        }
        connection.inbox.extend_from_slice(bytes);
        self.upgrade(conn);
    }

    /// The client's TCP connection is gone.
    pub fn disconnected(&mut self, now: u64, conn: ConnId) {
        self.now = now;
        self.connections.remove(&conn);
        self.floor_is_stale = true;
    }

    /// Appends what is to be sent on a connection at `now`. Call it until it appends nothing.
    ///
    /// A caller that cannot send should not call: what waits is bounded by [`Config::output_limit`].
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
        match connection.state {
            State::Finished(flow) => flow,
            _ => Flow::Open,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `u64::MAX` for never. In the past when it is due at once.
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

    /// Lets everything happen that is due by `now`.
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
        // Connections first: a snapshot that is due leaves before the events that come after it.
        self.handle_connections();
        while let Some((index, event)) = self.floor.step(now) {
            if let Some(event) = event {
                self.dispatch(index, &event);
            }
        }
        self.cut_slow_readers();
    }

    /// Makes something go wrong.
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
            Fault::DropAll => self.connections.values_mut().for_each(|connection| connection.finish(Flow::Drop)),
            Fault::CloseAll(code) => self.for_each_open(|connection, now| connection.close(code, now)),
            Fault::Garbage => {
                let noise: Vec<u8> = (0..64).map(|_| self.rng.next() as u8).collect();
                // A first byte with all reserved bits set can never begin a frame.
                self.for_each_open(|connection, _| connection.outbox.push_raw([&[0xFF], &noise[..]].concat()));
            }
            Fault::RejectUpgrades { count, status, retry_after, body } => {
                let rejection = |_| Rejection { status, retry_after, body: body.clone() };
                self.rejections.extend((0..count).map(rejection));
            }
            Fault::ErrorNow(name) => {
                let open = self.connections.iter().filter(|(_, connection)| connection.is_open()).map(|(id, _)| *id);
                for id in open.collect::<Vec<ConnId>>() {
                    self.fail(id, &name.into());
                }
            }
            _ => unreachable!("switches were handled above"),
        }
        self.floor_is_stale = true;
    }
}

/// Opening and closing.
impl Exchange {
    fn upgrade(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let parsed = Upgrade::parse(&connection.inbox);
        let answer = match parsed {
            Ok(None) => return,
            Ok(Some(upgrade)) => self.judge(conn, &upgrade).map(|remaining| (upgrade, remaining)),
            Err(rejection) => {
                self.stats.malformed_upgrades += 1;
                Err(rejection)
            }
        };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let mut bytes = Vec::new();
        match answer {
            Err(rejection) => {
                rejection.write(&mut bytes);
                connection.outbox.push_raw(bytes);
                connection.finish(Flow::Close);
            }
            Ok((upgrade, remaining)) => {
                self.stats.upgrades += 1;
                upgrade.accept(&mut bytes, remaining);
                connection.outbox.push_raw(bytes);
                if self.switches.early_data {
                    connection.outbox.push_notice(STATUS.to_vec());
                }
                connection.state = State::Open;
                let frames = connection.inbox.split_off(upgrade.length);
                connection.inbox = Vec::new();
                connection.reader.feed(&frames);
                self.read_frames(conn);
            }
        }
    }

    /// Whether a well-formed upgrade is let in, and how many more would be this second.
    fn judge(&mut self, conn: ConnId, upgrade: &Upgrade) -> Result<u64, Rejection> {
        if let Some(rejection) = self.rejections.pop_front() {
            self.stats.faulted_upgrades += 1;
            return Err(rejection);
        }
        let ip = self.connections[&conn].ip;
        let refused = |status, message: &str| Rejection::new(status, "too_many_requests", message);
        match self.connects.ask(&self.config.limits, self.now, ip, upgrade.has_origin) {
            Verdict::Allowed { remaining } => self.admit(&upgrade.path).map(|()| remaining),
            Verdict::TooMany => {
                self.stats.connects_over_limit += 1;
                Err(refused(429, "Too many connection requests."))
            }
            Verdict::OriginTooMany => {
                self.stats.origins_over_limit += 1;
                Err(refused(429, "Too many requests with an Origin header."))
            }
            Verdict::Blocked { for_ns } => {
                self.stats.connects_while_blocked += 1;
                // That the body holds the block time is documented; its wording is not.
                let seconds = Duration::from_nanos(for_ns).as_secs_f64().ceil();
                Err(refused(418, &format!("Too many connection requests. Blocked for {seconds} seconds.")))
            }
        }
    }

    fn admit(&mut self, path: &str) -> Result<(), Rejection> {
        match path {
            "/websocket/v1" => Ok(()),
            // Authenticated types are not simulated yet: every token is a wrong one.
            "/websocket/v1/private" | "/websocket/v1/info" => {
                Err(Rejection::new(401, "invalid_access_key", "잘못된 엑세스 키입니다."))
            }
            _ => {
                self.stats.malformed_upgrades += 1;
                Err(Rejection::new(404, "not_found", "no such path"))
            }
        }
    }

    fn fail(&mut self, conn: ConnId, refusal: &Refusal) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.errors += 1;
        self.floor_is_stale = true;
        connection.fail(refusal, self.now + nanos(self.config.error_close_delay));
    }

    fn for_each_open(&mut self, mut act: impl FnMut(&mut Connection, u64)) {
        for connection in self.connections.values_mut().filter(|connection| connection.is_open()) {
            act(connection, self.now);
        }
    }

    fn end_stall(&mut self) {
        self.floor_is_stale = true;
        for id in self.connections.keys().copied().collect::<Vec<ConnId>>() {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.last_traffic = self.now;
            if connection.state == State::Upgrading {
                self.upgrade(id);
            } else {
                let held = std::mem::take(&mut connection.inbox);
                connection.reader.feed(&held);
                self.read_frames(id);
            }
        }
    }

    fn cut_slow_readers(&mut self) {
        for connection in self.connections.values_mut() {
            if connection.outbox.len() > self.config.output_limit {
                self.stats.slow_readers += 1;
                self.floor_is_stale = true;
                connection.finish(Flow::Drop);
            }
        }
    }
}

/// What clients send.
impl Exchange {
    fn read_frames(&mut self, conn: ConnId) {
        loop {
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            if matches!(connection.state, State::Finished(_)) {
                return;
            }
            match connection.reader.next() {
                Ok(None) => return,
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Ping(payload))) => {
                    self.stats.ping_frames += 1;
                    connection.outbox.push_control(frame::PONG, &payload);
                }
                Ok(Some(Incoming::Close(code))) => {
                    connection.closed_by_client(code);
                    self.floor_is_stale = true;
                }
                Ok(Some(Incoming::Message(message))) if connection.is_open() => self.read_message(conn, &message),
                // After an error nothing is read any more, as nothing is after a close.
                Ok(Some(Incoming::Message(_))) => {}
                Err(violation) => self.violated(conn, violation),
            }
        }
    }

    fn violated(&mut self, conn: ConnId, violation: Violation) {
        match violation {
            Violation::Unmasked => self.stats.unmasked_frames += 1,
            _ => self.stats.malformed_frames += 1,
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.close(violation.code(), self.now);
        // What follows a broken frame cannot be read, so an echo is not waited for.
        connection.finish(Flow::Close);
        self.floor_is_stale = true;
    }

    fn read_message(&mut self, conn: ConnId, message: &[u8]) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if message == b"PING" {
            // Whether it counts as a request is not known; it does not here.
            self.stats.text_pings += 1;
            return connection.start_status(self.now);
        }
        if !connection.requests.try_record(self.now) {
            self.stats.requests_over_limit += 1;
            return self.fail(conn, &ErrorName::TooManyRequest.into());
        }
        match Request::parse(message) {
            Ok(Request::List { ticket, format }) => self.list(conn, &ticket, format),
            Ok(Request::Subscribe { wants, format, .. }) => self.subscribe(conn, wants, format),
            Err(refusal) => {
                self.stats.malformed_requests += 1;
                self.fail(conn, &refusal);
            }
        }
    }

    fn list(&mut self, conn: ConnId, ticket: &str, format: Format) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.requests += 1;
        let mut wants: &[Want] = &[];
        if let Some(subscription) = &mut connection.subscription {
            subscription.format = format;
            wants = &subscription.wants;
        }
        connection.outbox.push_notice(message::subscriptions(format, wants, ticket));
    }

    fn subscribe(&mut self, conn: ConnId, wants: Vec<Want>, format: Format) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.requests += 1;
        self.floor_is_stale = true;
        let replay = self.config.replay.as_deref();
        if let Some(replay) = replay {
            connection.cursor.subscribe(replay, &wants, self.now);
        }
        let snapshots_at = self.config.snapshot_delays.map(|delay| self.now + nanos(delay));
        let subscription = Subscription::new(wants, format, &self.floor.listings, replay, snapshots_at);
        // In the order of the request, so that the same inputs wake the markets in the same order.
        let mut markets: Vec<usize> = subscription.markets().collect();
        markets.sort_unstable();
        for market in markets {
            self.floor.wake(market, self.now);
        }
        let frames = self.rng.between(0, self.config.stale_frames);
        let until = self.now + nanos(STALE_FOR);
        let old = connection.subscription.replace(subscription);
        connection.stale = old.map(|subscription| Stale { subscription, frames, until });
    }
}

/// What clients get.
impl Exchange {
    fn handle_connections(&mut self) {
        for id in self.connections.keys().copied().collect::<Vec<ConnId>>() {
            self.send_snapshots(id);
            self.pump_replay(id);
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if connection.stale.as_ref().is_some_and(|stale| stale.until <= self.now || stale.frames == 0) {
                connection.stale = None;
                self.floor_is_stale = true;
            }
            if connection.is_open() && connection.take_status(self.now) {
                self.stats.status_frames += 1;
                connection.outbox.push_notice(STATUS.to_vec());
            }
            self.handle_end(id);
        }
    }

    fn handle_end(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match connection.state {
            State::Failing { close_at } if close_at <= self.now => connection.close(1000, self.now),
            State::Closing { until } if until <= self.now => connection.finish(Flow::Close),
            State::Upgrading | State::Open if connection.last_traffic + nanos(self.config.idle_timeout) <= self.now => {
                self.stats.idle_closes += 1;
                self.floor_is_stale = true;
                connection.finish(Flow::Close);
            }
            _ => {}
        }
    }

    fn send_snapshots(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Some(subscription) = &mut connection.subscription else { return };
        while let Some((index, stream)) = subscription.take_snapshot(self.now) {
            let Some(market) = self.floor.market(index).filter(|_| !self.switches.mute) else { continue };
            let print = print(subscription.format, true, &self.switches);
            if let Some(payload) = snapshot(print, market, &stream) {
                connection.outbox.push_data(payload, &self.switches);
            }
        }
    }

    fn dispatch(&mut self, index: usize, event: &Event) {
        let Some(market) = self.floor.market(index).filter(|_| !self.switches.mute) else { return };
        let duplicate_trades = self.switches.duplicate_trades;
        let copies = |kind| if duplicate_trades && kind == Kind::Trade { 2 } else { 1 };
        for connection in self.connections.values_mut().filter(|connection| connection.is_open()) {
            for kind in kinds(event) {
                let Some(subscription) = subscription_for(connection, index, kind) else { continue };
                let print = print(subscription.format, false, &self.switches);
                let live = subscription.live(index, kind);
                let payloads: Vec<Vec<u8>> = live.flat_map(|stream| realtime(print, market, event, stream)).collect();
                for payload in payloads.iter().flat_map(|payload| iter::repeat_n(payload, copies(kind))) {
                    connection.outbox.push_data(payload.clone(), &self.switches);
                }
            }
        }
    }

    fn pump_replay(&mut self, conn: ConnId) {
        let Some(replay) = self.config.replay.as_deref().filter(|_| !self.switches.mute) else { return };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        // Recorded lines are never merged into lists: they are served as they are.
        let switches = Switches { multi_element_lists: false, ..self.switches.clone() };
        while has_room(connection)
            && let Some(line) = connection.cursor.take(replay, self.config.pace, self.config.replay_loops, self.now)
        {
            connection.outbox.push_data(line.to_vec(), &switches);
        }
    }
}

/// The subscription that takes an event: the present one, or for its last few frames the one it replaced.
fn subscription_for(connection: &mut Connection, market: usize, kind: Kind) -> Option<&Subscription> {
    let present = connection.subscription.as_ref()?;
    if present.has(market, kind) {
        return Some(present);
    }
    let stale = connection.stale.as_mut()?;
    if stale.frames == 0 || stale.subscription.live(market, kind).next().is_none() {
        return None;
    }
    stale.frames -= 1;
    Some(&stale.subscription)
}

/// The types an event is printed as, in the order they are sent.
fn kinds(event: &Event) -> Vec<Kind> {
    match event {
        Event::Trade(_) => vec![Kind::Trade, Kind::Ticker],
        Event::Book => vec![Kind::Orderbook],
        Event::Candles(changed) => {
            let mut units: Vec<Kind> = changed.iter().map(|(unit, _)| Kind::Candle(*unit)).collect();
            units.dedup();
            units
        }
    }
}

fn print(format: Format, snapshot: bool, switches: &Switches) -> Print {
    Print { format, snapshot, microseconds: switches.microseconds, unknown_keys: switches.unknown_keys }
}

fn snapshot(print: Print, market: &Market, stream: &Stream) -> Option<Vec<u8>> {
    Some(match stream.kind {
        Kind::Ticker => message::ticker(print, market),
        Kind::Trade => message::trade(print, market, &market.last_trade),
        Kind::Orderbook => message::orderbook(print, market, stream.units, stream.level),
        Kind::Candle(unit) => message::candle(print, market, unit, market.candles.newest(unit)?),
    })
}

fn realtime(print: Print, market: &Market, event: &Event, stream: &Stream) -> Vec<Vec<u8>> {
    match (event, stream.kind) {
        (Event::Trade(trade), Kind::Trade) => vec![message::trade(print, market, trade)],
        (Event::Trade(_), Kind::Ticker) => vec![message::ticker(print, market)],
        (Event::Book, Kind::Orderbook) => vec![message::orderbook(print, market, stream.units, stream.level)],
        (Event::Candles(changed), Kind::Candle(unit)) => {
            let of_unit = changed.iter().filter(|(changed, _)| *changed == unit);
            of_unit.map(|(unit, candle)| message::candle(print, market, *unit, candle)).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a replay may queue more on a connection.
fn has_room(connection: &Connection) -> bool {
    connection.is_open() && connection.outbox.len() < REPLAY_WINDOW
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
