//! How a program asks for a callback.

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

/// How a callback is to be called; made by [`Engine::callback`](super::Engine::callback).
#[must_use = "nothing is called before `run`"]
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

    /// Failures in a row after which it is not called any more, until it is rearmed. Default: 5.
    pub fn quota(mut self, failures: NonZeroU32) -> Self {
        self.quota = failures;
        self
    }

    /// Calls it on the threads of `dispatcher`, which it shares with others. While as many of them block as there are
    /// threads, the others wait. Default: on a thread of its own.
    pub fn on(mut self, dispatcher: &'a Dispatcher) -> Self {
        self.dispatcher = Some(dispatcher);
        self
    }

    /// From now on `call` is given each item of a feed of these streams, one after the other.
    ///
    /// It may block. On a thread of its own that fills its own feed and nothing else; on a [`Dispatcher`] it also takes one
    /// of the threads, so the callbacks that share it go on as long as there is another thread. It may panic: that is a
    /// failure like any other, if the program is built with `panic = "unwind"` (the default). The program's panic hook runs
    /// first, on the callback's thread.
    ///
    /// # Errors
    /// As [`Engine::feed`](super::Engine::feed); [`Error::NameTaken`]; [`Error::Start`] if the system refused a thread.
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
