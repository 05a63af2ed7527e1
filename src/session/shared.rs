//! The state of a connection that outlives its sockets.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entropy::Entropy;
use super::requests::SubscriptionState;
use super::{Action, Counters, Event, State};
use crate::config::Config;
use crate::model::{ConnectionId, Epoch, Nanos};
use crate::wire::Decoder;

/// The most undrained events about single messages; further ones are dropped and counted. A flood of unreadable
/// messages must not fill the memory. Events about the connection itself are few and are never dropped.
const MESSAGE_REPORTS_MAX: usize = 256;

/// The state that outlives a socket and that each socket works with.
pub(super) struct Shared {
    /// The connection's number within the engine.
    pub id: ConnectionId,
    pub config: Arc<Config>,
    pub subscription: SubscriptionState,
    pub decoder: Decoder,
    pub entropy: Box<dyn Entropy>,
    pub reports: Reports,
}

/// Actions and events for the caller to drain, and the counters.
#[derive(Default)]
pub(super) struct Reports {
    pub actions: VecDeque<Action>,
    pub events: VecDeque<Event>,
    pub counters: Counters,
}

impl Reports {
    /// Queues an action for the caller.
    pub fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Reports an event about the connection.
    #[cold]
    pub fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Reports an event about one message.
    #[cold]
    pub fn message_event(&mut self, event: Event) {
        if self.events.len() < MESSAGE_REPORTS_MAX {
            self.event(event);
        } else {
            self.counters.events_dropped += 1;
        }
    }

    /// Reports a transition of the connection's state.
    #[cold]
    pub fn step(&mut self, at: Nanos, from: State, to: State, epoch: Epoch) {
        debug_assert!(from.may_become(to), "{from} -> {to}");
        self.event(Event::State { at, from, to, epoch });
    }
}
