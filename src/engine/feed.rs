//! A feed together with the demand that fills it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use super::Subscribed;
use super::control::Control;
use super::hub::FeedRequest;
use crate::error::{Error, Result};
use crate::feed::{self, AnyWriter, Opening, Overflow, Payload};
use crate::model::Event;
use crate::plan::{ClientId, Subscription};
use crate::sync::signal::Signal;

/// A feed of the updates of some streams, in order. It holds their demand: dropping the feed releases them.
///
/// A thread that only reads the feed loops over [`blocking`](feed::Feed::blocking). The loop survives silence, gaps and
/// lost connections, and ends when the engine stops:
///
/// ```no_run
/// # use hoga::prelude::*;
/// # fn follow(engine: &Engine) -> hoga::Result<()> {
/// let mut trades = engine.feed(trade("KRW-BTC"), Overflow::default())?;
/// for item in trades.blocking() {
///     match item {
///         Item::Data(update) => println!("{}", update.value.trade_price),
///         Item::Gap { missed } => println!("{missed} trades are missing here"),
///         Item::Epoch { new, .. } => println!("socket {new}: trades between the two sockets are lost"),
///     }
/// }
/// # Ok(()) }
/// ```
///
/// A thread that has other work [waits](Self::wait) with a timeout. An empty `pop` and a timeout mean "nothing yet";
/// only an error means that nothing more will arrive:
///
/// ```no_run
/// # use hoga::prelude::*;
/// # use std::time::Duration;
/// # fn follow(engine: &Engine) -> hoga::Result<()> {
/// # let mut trades = engine.feed(trade("KRW-BTC"), Overflow::default())?;
/// loop {
///     trades.wait(Duration::from_millis(100))?;
///     while let Some(item) = trades.pop() {
///         println!("{item:?}");
///     }
///     // other work
/// }
/// # }
/// ```
///
/// One thread reads a feed at a time: it can be sent to another thread, but not shared. A client may have several
/// feeds.
pub struct Feed<T = Event> {
    items: feed::Feed<T>,
    /// `None` for a feed that a test fills.
    subscribed: Option<Subscribed>,
}

impl<T: Payload> Feed<T> {
    /// The maximum memory that one feed may use for its own rings, in bytes.
    pub const BYTES_MAX: usize = 1 << 30;

    /// Opens a feed whose reader sleeps on `signal`.
    pub(super) fn open(
        control: Arc<Control>,
        client: Option<ClientId>,
        subscription: Subscription<T>,
        overflow: Overflow,
        signal: Arc<Signal>,
    ) -> Result<Self> {
        check::<T>(overflow, control.connections.len())?;
        let (mut items, clock) = (None, Arc::new(control.clock));
        let open = |data_types: &[_], connections: &[_]| {
            let (writers, feed) = feed::open::<T>(Opening { overflow, data_types, connections, clock, signal });
            let counters = feed.counters();
            items = Some(feed);
            (writers.into_iter().map(AnyWriter::new).collect(), counters)
        };
        let asked = FeedRequest { overflow, open: Box::new(open) };
        let subscribed = Subscribed::new(control, client, subscription.mixed(), Some(asked))?;
        // If the demand was accepted, `open` was called.
        items.map(|items| Self { items, subscribed: Some(subscribed) }).ok_or(Error::Stopped)
    }

    /// Sleeps until there is an item to pop, for at most `timeout`. Returns false if there is none by then: silence is
    /// not the end of a feed. After `true`, [`pop`](feed::Feed::pop) may still return `None`, see
    /// [`offline::Feed::wait`](feed::Feed::wait). Programs that only read this feed use
    /// [`blocking`](feed::Feed::blocking) instead.
    ///
    /// # Errors
    /// When everything was popped and no more will arrive: [`Error::Stopped`] if the engine does not run any more, or
    /// [`Error::LeaseExpired`] if the feed's client is gone.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        let is_ready = self.items.wait(timeout);
        if !self.items.is_closed() {
            return Ok(is_ready);
        }
        match &self.subscribed {
            Some(subscribed) => subscribed.check_runs().and(Err(Error::LeaseExpired)),
            None => Err(Error::Stopped),
        }
    }

    /// Returns the handle that holds the feed's streams; `None` for a feed of a test's source, which has no engine.
    pub fn subscribed(&self) -> Option<&Subscribed> {
        self.subscribed.as_ref()
    }

    /// Returns a feed that a test fills.
    #[cfg(feature = "testing")]
    pub(super) fn without_demand(items: feed::Feed<T>) -> Self {
        Self { items, subscribed: None }
    }
}

/// Refuses policies that cannot work or need too much memory.
pub(super) fn check<T: Payload>(overflow: Overflow, connections: usize) -> Result<()> {
    let ring = overflow.capacity().map_or(0, |capacity| feed::ring_bytes::<T>(capacity).saturating_mul(connections));
    let too_large = (ring > Feed::<T>::BYTES_MAX).then(|| {
        format!(
            "overflow: {overflow} takes {} MB for {connections} connections; at most 1024 MB are allowed",
            ring >> 20
        )
    });
    match overflow.problem().or(too_large) {
        Some(problem) => Err(Error::InvalidArgument(problem.into())),
        None => Ok(()),
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("subscribed", &self.subscribed).field("items", &self.items).finish()
    }
}

impl<T> Deref for Feed<T> {
    type Target = feed::Feed<T>;
    fn deref(&self) -> &feed::Feed<T> {
        &self.items
    }
}

impl<T> DerefMut for Feed<T> {
    fn deref_mut(&mut self) -> &mut feed::Feed<T> {
        &mut self.items
    }
}

/// Same as the iterator of [`offline::Feed`](crate::offline::Feed).
impl<T: Payload> Iterator for Feed<T> {
    type Item = feed::Item<T>;

    fn next(&mut self) -> Option<feed::Item<T>> {
        self.items.pop()
    }
}
