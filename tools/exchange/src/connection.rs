//! A client connection: its states from the upgrade request to the last byte, and its deadlines.
//!
//! ```text
//! Upgrading --101--> Open --error--> Failing --delay--> Closing --echo or timeout--> Finished
//!     |                |---client's close frame, idle, faults-------------------------> Finished
//!     '---refused------------------------------------------------------------------> Finished
//! ```

use crate::calendar::SECOND;
use crate::exchange::Flow;
use crate::frame::{self, Reader};
use crate::limits::Requests;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::replay::Cursor;
use crate::subscription::Subscription;
use std::net::IpAddr;

/// The maximum time to wait for the echo of our close frame, in ns.
const ECHO_TIMEOUT: u64 = SECOND;
/// The interval of `{"status":"UP"}` messages, in ns. All connections share the same ticks.
const STATUS_INTERVAL: u64 = 10 * SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Upgrading,
    Open,
    /// An error was sent. The close frame follows at `close_at`.
    Failing {
        close_at: u64,
    },
    /// Our close frame was sent. TCP is closed after the echo, at `until` at the latest.
    Closing {
        until: u64,
    },
    Finished(Flow),
}

/// A replaced subscription that may still send some frames.
#[derive(Debug)]
pub(crate) struct Stale {
    pub subscription: Subscription,
    pub frames: u64,
    pub until: u64,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub ip: IpAddr,
    pub state: State,
    /// The bytes of the upgrade request, and all bytes that arrive during a stall.
    pub inbox: Vec<u8>,
    pub reader: Reader,
    pub outbox: Outbox,
    pub requests: Requests,
    pub subscription: Option<Subscription>,
    pub stale: Option<Stale>,
    pub cursor: Cursor,
    /// The time when either side last sent anything.
    pub last_traffic: u64,
    status_at: Option<u64>,
}

impl Connection {
    pub fn new(ip: IpAddr, requests: Requests, now: u64) -> Self {
        Self {
            ip,
            state: State::Upgrading,
            inbox: Vec::new(),
            reader: Reader::default(),
            outbox: Outbox::default(),
            requests,
            subscription: None,
            stale: None,
            cursor: Cursor::default(),
            last_traffic: now,
            status_at: None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub fn flow(&self) -> Flow {
        match self.state {
            State::Finished(flow) => flow,
            _ => Flow::Open,
        }
    }

    /// Ends the connection, either after the queue is flushed or without sending anything more.
    pub fn finish(&mut self, flow: Flow) {
        self.state = State::Finished(flow);
        if flow == Flow::Drop {
            self.outbox.clear();
        }
        self.forget_streams();
    }

    /// Sends the error. The close frame follows at `close_at`.
    pub fn fail(&mut self, refusal: &Refusal, close_at: u64) {
        self.outbox.push_notice(refusal.to_json());
        self.state = State::Failing { close_at };
        self.forget_streams();
    }

    /// Starts the closing handshake.
    pub fn close(&mut self, code: u16, now: u64) {
        self.outbox.push_control(frame::CLOSE, &code.to_be_bytes());
        self.state = State::Closing { until: now + ECHO_TIMEOUT };
        self.last_traffic = now;
        self.forget_streams();
    }

    /// Handles the client's close frame: echoes it unless it is the echo of ours.
    pub fn closed_by_client(&mut self, code: Option<u16>) {
        if !matches!(self.state, State::Closing { .. }) {
            let payload = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
            self.outbox.push_control(frame::CLOSE, &payload);
        }
        self.finish(Flow::Close);
    }

    /// Handles the text `PING`: sends status messages from the next tick until the end.
    pub fn start_status(&mut self, now: u64) {
        self.status_at.get_or_insert(now - now % STATUS_INTERVAL + STATUS_INTERVAL);
    }

    /// Returns whether a status message is due, and schedules the next one.
    pub fn take_status(&mut self, now: u64) -> bool {
        let due = self.status_at.is_some_and(|at| at <= now);
        if due {
            self.status_at = Some(now - now % STATUS_INTERVAL + STATUS_INTERVAL);
        }
        due
    }

    /// Returns the next time at which something happens without input.
    pub fn deadline(&self, idle_timeout: u64) -> u64 {
        let idle = self.last_traffic + idle_timeout;
        match self.state {
            State::Upgrading => idle,
            State::Open => {
                let snapshot = self.subscription.as_ref().and_then(Subscription::snapshot_due);
                let stale = self.stale.as_ref().map(|stale| stale.until);
                [snapshot, stale, self.status_at].into_iter().flatten().fold(idle, u64::min)
            }
            State::Failing { close_at } => close_at,
            State::Closing { until } => until,
            State::Finished(_) => u64::MAX,
        }
    }

    fn forget_streams(&mut self) {
        self.subscription = None;
        self.stale = None;
        self.cursor = Cursor::default();
    }
}
