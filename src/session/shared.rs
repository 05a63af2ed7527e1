//! The state of a connection that outlives its sockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::entropy::Entropy;
use super::patience::Patience;
use super::refused::RefusedMessages;
use super::repeats::{Repeated, Repeats};
use super::requests::SubscriptionState;
use super::{Action, Counters, Event, Stage, State};
use crate::config::Config;
use crate::model::{ConnectionId, DataType, Epoch, Nanos};
use crate::wire::{DecodeError, Decoder, Excerpt, ServerError, SubscriptionList};

/// While this many events are undrained, further lists of subscriptions are dropped and counted, so that a flood of
/// them cannot fill the memory. All other events are few and are never dropped.
const UNDRAINED_MAX: usize = 256;
/// The maximum number of unknown message types that are reported.
const UNKNOWN_TYPES_MAX: usize = 16;

/// The state that outlives a socket and that each socket works with.
pub(super) struct Shared {
    /// The connection's number within the engine.
    pub id: ConnectionId,
    pub config: Arc<Config>,
    pub subscription: SubscriptionState,
    pub decoder: Decoder,
    pub entropy: Box<dyn Entropy>,
    pub reports: Reports,
    pub refused: RefusedMessages,
    pub patience: Patience,
}

/// Actions and events for the caller to drain, and the counters.
#[derive(Default)]
pub(super) struct Reports {
    pub actions: VecDeque<Action>,
    pub events: VecDeque<Event>,
    pub counters: Counters,
    malformed: Repeats<DecodeError, DecodeError>,
    /// By the exchange's name of the error.
    server_errors: Repeats<Box<str>, ServerError>,
    unknown_types: Vec<Excerpt>,
}

impl Shared {
    /// Returns the deadline of a step that begins now.
    pub fn deadline(&self, now: Nanos, stage: Stage) -> Nanos {
        now + self.patience.extend(stage, self.limit(stage))
    }

    /// Records that a step that began at `since` has ended.
    pub fn took(&mut self, now: Nanos, stage: Stage, since: Nanos) {
        self.patience.took(stage, now.since(since), self.limit(stage));
    }

    /// Returns the configured deadline of a step.
    fn limit(&self, stage: Stage) -> Duration {
        let timeouts = &self.config.timeouts;
        match stage {
            Stage::Resolve => timeouts.resolve,
            // The tunnel takes a round trip or two, as TCP does.
            Stage::Connect | Stage::Tunnel => timeouts.connect,
            Stage::Tls => timeouts.tls,
            Stage::Upgrade => timeouts.upgrade,
        }
    }

    /// Reports each new difference from the documented messages. Called after each batch of messages, because this is
    /// the only cost of drift for messages in the documented form.
    #[inline]
    pub fn report_drift(&mut self) {
        while let Some(drift) = self.decoder.take_drift() {
            self.reports.event(Event::Drift(drift));
        }
    }

    /// Counts a message that was refused.
    #[cold]
    pub fn refused(&mut self, now: Nanos, mut error: DecodeError) {
        // The exchange's default level is in every book, also in those that were requested without a level.
        let plain = f64::from(self.config.endpoint.dialect().level_default);
        if let Some(stream) = &mut error.stream
            && matches!(stream.data_type, DataType::GroupedOrderbook(step) if step.to_krw() == plain)
        {
            stream.data_type = DataType::Orderbook;
        }
        self.refused.add(error);
        self.reports.counters.malformed += 1;
        let report = self.reports.malformed.add(now, error, error);
        self.reports.report_malformed(report);
    }
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

    /// Reports a list of subscriptions.
    #[cold]
    pub fn list(&mut self, list: SubscriptionList) {
        if self.events.len() < UNDRAINED_MAX {
            self.event(Event::Subscriptions(list));
        } else {
            self.counters.events_dropped += 1;
        }
    }

    /// Counts an error of the exchange.
    #[cold]
    pub fn server_error(&mut self, now: Nanos, error: ServerError) {
        self.counters.server_errors += 1;
        let report = self.server_errors.add(now, error.raw_name.clone(), error);
        self.report_server_errors(report);
    }

    /// Reports the type of a message that was dropped because of its type, unless it was reported before.
    #[cold]
    pub fn other_message(&mut self, message: &[u8]) {
        self.counters.other_messages += 1;
        let name = Excerpt::new(type_name(message));
        if self.unknown_types.len() < UNKNOWN_TYPES_MAX && !self.unknown_types.contains(&name) {
            self.unknown_types.push(name);
            self.event(Event::UnknownType { name, sample: Excerpt::new(message) });
        }
    }

    /// Returns when to call [`report_due`](Self::report_due).
    pub fn deadline(&self) -> Nanos {
        self.malformed.deadline().min(self.server_errors.deadline())
    }

    /// Reports the errors that were counted but not reported yet, if it is time.
    pub fn report_due(&mut self, now: Nanos) {
        let (malformed, server_errors) = (self.malformed.take_due(now), self.server_errors.take_due(now));
        self.report_malformed(malformed);
        self.report_server_errors(server_errors);
    }

    /// Reports the errors that were counted but not reported yet, because the socket ends.
    #[cold]
    pub fn report_rest(&mut self) {
        let (malformed, server_errors) = (self.malformed.take(), self.server_errors.take());
        self.report_malformed(malformed);
        self.report_server_errors(server_errors);
    }

    fn report_malformed(&mut self, report: Option<Repeated<DecodeError>>) {
        if let Some(Repeated { count, last }) = report {
            self.event(Event::Malformed { count, last });
        }
    }

    fn report_server_errors(&mut self, report: Option<Repeated<ServerError>>) {
        if let Some(Repeated { count, last }) = report {
            self.event(Event::ServerError { count, last });
        }
    }

    /// Reports a transition of the connection's state.
    #[cold]
    pub fn step(&mut self, at: Nanos, from: State, to: State, epoch: Epoch) {
        debug_assert!(from.may_become(to), "{from} -> {to}");
        self.event(Event::State { at, from, to, epoch });
    }
}

/// Returns the name of a message's type. Only for reports: it takes the first text that looks like the type, which may
/// be nested. Empty if there is none.
fn type_name(message: &[u8]) -> &[u8] {
    let value = |key: &[u8]| {
        let at = message.windows(key.len()).position(|window| window == key)?;
        let rest = message[at + key.len()..].trim_ascii_start().strip_prefix(b":")?;
        let text = rest.trim_ascii_start().strip_prefix(b"\"")?;
        text.split(|byte| *byte == b'"').next()
    };
    value(b"\"type\"").or_else(|| value(b"\"ty\"")).unwrap_or_default()
}
