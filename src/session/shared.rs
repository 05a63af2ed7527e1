//! What the sockets of one connection have in common: it outlives each of them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entropy::Entropy;
use super::requests::SubscriptionState;
use super::{Action, Counters, Event, State};
use crate::config::Config;
use crate::model::{ConnectionId, Epoch, Nanos};
use crate::wire::Decoder;

/// Reports about single messages kept until the caller drains them; more are dropped and counted. A flood of unreadable
/// messages must not make us hold a report of each. Reports about the connection itself are few, and never dropped.
const MESSAGE_REPORTS_MAX: usize = 256;

/// What outlives a socket and each of them works with.
pub(super) struct Shared {
    /// The connection's number within the engine.
    pub id: ConnectionId,
    pub config: Arc<Config>,
    pub subscription: SubscriptionState,
    pub decoder: Decoder,
    pub entropy: Box<dyn Entropy>,
    pub reports: Reports,
}

/// What waits to be drained by the caller, and the counters.
#[derive(Default)]
pub(super) struct Reports {
    pub actions: VecDeque<Action>,
    pub events: VecDeque<Event>,
    pub counters: Counters,
}

impl Reports {
    /// Asks the caller to do something.
    pub fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Reports something about the connection.
    #[cold]
    pub fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Reports something about one message.
    #[cold]
    pub fn message_event(&mut self, event: Event) {
        if self.events.len() < MESSAGE_REPORTS_MAX {
            self.event(event);
        } else {
            self.counters.events_dropped += 1;
        }
    }

    /// Reports a step in the life of the connection.
    #[cold]
    pub fn step(&mut self, at: Nanos, from: State, to: State, epoch: Epoch) {
        debug_assert!(from.may_become(to), "{from} -> {to}");
        self.event(Event::State { at, from, to, epoch });
    }
}
