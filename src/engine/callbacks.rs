//! The builder of a callback.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::Feed;
use super::control::Control;
use super::log::Note;
use crate::call::{Call, Callback, CallbackResult, Dispatcher, Shared};
use crate::error::{Error, Result};
use crate::feed::{FAILURE_QUOTA, Item, Overflow, Payload};
use crate::model::Clock;
use crate::plan::{ClientId, Subscription};

/// Configures a callback. Created by [`Engine::callback`](super::Engine::callback).
#[must_use = "the callback is not called until `run`"]
pub struct CallbackBuilder<'a> {
    control: Arc<Control>,
    client: Option<ClientId>,
    name: Box<str>,
    quota: NonZeroU32,
    dispatcher: Option<&'a Dispatcher>,
}

impl fmt::Debug for CallbackBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackBuilder").field("name", &self.name).field("quota", &self.quota).finish_non_exhaustive()
    }
}

impl<'a> CallbackBuilder<'a> {
    pub(super) fn new(control: Arc<Control>, client: Option<ClientId>, name: &str) -> Self {
        Self { control, client, name: name.into(), quota: FAILURE_QUOTA, dispatcher: None }
    }

    /// Sets the number of consecutive failures after which the callback is no longer called, until it is rearmed.
    /// Default 5.
    pub fn quota(mut self, failures: NonZeroU32) -> Self {
        self.quota = failures;
        self
    }

    /// Calls the callback on the threads of `dispatcher`, which it shares with others. While as many callbacks block as
    /// there are threads, the others wait. By default, a callback has its own thread.
    pub fn on(mut self, dispatcher: &'a Dispatcher) -> Self {
        self.dispatcher = Some(dispatcher);
        self
    }

    /// Starts calling `call` with each item of a feed of these streams, one at a time.
    ///
    /// The callback may block. On its own thread, that only fills its own feed. On a [`Dispatcher`], it also occupies
    /// one of the threads, so the other callbacks continue as long as there is another thread. The callback may panic:
    /// that counts as a failure, if the program is built with `panic = "unwind"` (the default). The program's panic
    /// hook runs first, on the callback's thread.
    ///
    /// # Errors
    /// Same as [`Engine::feed`](super::Engine::feed), and [`Error::NameTaken`], and [`Error::Start`] if the system
    /// refused a thread.
    pub fn run<T: Payload, A: CallbackResult>(
        self,
        subscription: Subscription<T>,
        overflow: Overflow,
        call: impl FnMut(&Item<T>) -> A + Send + 'static,
    ) -> Result<Callback> {
        let (clock, log) = (self.control.clock, self.control.log.clone());
        let shared = Arc::new(Shared::new(&self.name, self.quota, clock.now()));
        self.control.add_callback(&shared)?;
        let own;
        let queue = match self.dispatcher {
            Some(dispatcher) => dispatcher.queue(),
            None => {
                own = Dispatcher::start(&self.name, 1, Arc::new(clock))
                    .map_err(|source| Error::Start { what: "callback thread", source })?;
                own.queue()
            }
        };
        let feed = Feed::open(self.control, self.client, subscription, overflow, queue.signal.clone())?;
        shared.set_counters(feed.counters());
        let on_quarantine = Box::new(move |name: &str, failure| log.note(Note::Quarantined(name.into(), failure)));
        queue.add(Box::new(Call { feed, call, shared: shared.clone(), clock: Arc::new(clock), on_quarantine }));
        Ok(Callback::new(shared, queue.clone()))
    }
}
