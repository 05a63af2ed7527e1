//! The demand side: who wants what, and the one place that tells the connection about it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::connection::Mailbox;
use super::router::AnyPublisher;
use crate::error::{Error, Result};
use crate::feed::FeedWriter;
use crate::model::{DataType, StreamKey};
use crate::net::Remote;
use crate::plan::Demand;
use crate::pool::{DataPool, Link};

/// Shared by the engine and every handle that holds demand.
pub(super) struct Control {
    pub pool: DataPool,
    pub link: Arc<Link>,
    pub mailbox: Arc<Mailbox>,
    pub remote: Remote,
    /// False once the connection's thread has ended, however it did.
    pub alive: Arc<AtomicBool>,
    state: Mutex<ControlState>,
}

#[derive(Default)]
struct ControlState {
    demand: Demand,
    /// Streams that have a publisher on the connection's thread. One writer for each cell, for life: a stream that
    /// nobody wants keeps its own and is only marked.
    opened: HashSet<StreamKey>,
    stopped: bool,
}

impl Control {
    pub fn new(pool: DataPool, link: Arc<Link>, mailbox: Arc<Mailbox>, remote: Remote) -> Self {
        let alive = Arc::new(AtomicBool::new(true));
        Self { pool, link, mailbox, remote, alive, state: Mutex::default() }
    }

    /// Adds demand, and a feed of it if one is given. Either everything happens or nothing.
    pub fn add(&self, keys: &[StreamKey], feed: Option<FeedWriter>) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stopped || !self.is_alive() {
            return Err(Error::Stopped);
        }
        let mut renewed = false;
        for key in state.demand.add(keys) {
            if state.opened.insert(key) {
                let publisher = self.open(key);
                self.mailbox.leave(|letters| letters.streams.push(publisher));
            } else {
                self.pool.set_subscribed(key, true);
                renewed = true;
            }
        }
        let wanted = state.demand.streams();
        // Under the lock: wishes arrive in the order in which demand changed.
        self.mailbox.leave(|letters| {
            letters.feeds.extend(feed.map(|writer| (keys.to_vec(), writer)));
            letters.wanted = Some(wanted);
            letters.renewed |= renewed;
        });
        drop(state);
        self.remote.wake();
        Ok(())
    }

    /// Releases exactly what one `add` asked for.
    pub fn remove(&self, keys: &[StreamKey]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for key in state.demand.remove(keys) {
            self.pool.set_subscribed(key, false);
        }
        let wanted = state.demand.streams();
        self.mailbox.leave(|letters| letters.wanted = Some(wanted));
        drop(state);
        self.remote.wake();
    }

    /// Everything that anybody wants now.
    pub fn wanted(&self) -> Vec<StreamKey> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).demand.streams().keys().to_vec()
    }

    /// Refuses demand from now on and tells the thread to end.
    pub fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.mailbox.leave(|letters| letters.stop = true);
        self.remote.wake();
    }

    pub fn is_alive(&self) -> bool {
        // Relaxed: nothing is read on the strength of it.
        self.alive.load(Relaxed)
    }

    pub fn is_stopped(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopped
    }

    fn open(&self, key: StreamKey) -> AnyPublisher {
        let link = self.link.clone();
        match key.data_type {
            DataType::Ticker => AnyPublisher::Ticker(self.pool.open(key, link)),
            DataType::Trade => AnyPublisher::Trade(self.pool.open(key, link)),
            DataType::Orderbook => AnyPublisher::Orderbook(self.pool.open(key, link)),
            DataType::Candle(_) => AnyPublisher::Candle(self.pool.open(key, link)),
        }
    }
}
