//! Turns the engine's reports into lines. A disconnect and the state change that it causes become one line.

use std::collections::BTreeMap;

use hoga::engine::LifecycleEvent;
use hoga::model::ConnectionId;
use hoga::session::Event;
use hoga::wire::ServerError;

use crate::health::Started;
use crate::line::{Disconnected, Line, Problem, Transition};

/// Keeps the disconnect of each connection until the state change that follows it.
#[derive(Default)]
pub struct Reports {
    disconnected: BTreeMap<ConnectionId, Disconnected>,
    started: Started,
}

impl Reports {
    /// Returns the line for a report. `None` if the report is not printed, or will be part of a later line.
    pub fn line(&mut self, report: LifecycleEvent) -> Option<Line<'static>> {
        match report {
            LifecycleEvent::Connection { connection, event } => self.connection_line(connection, event),
            LifecycleEvent::Health(change) => self.started.is_news(&change).then_some(Line::Health(change)),
            // Printed when it ends.
            LifecycleEvent::Gap(gap) => gap.to.is_some().then_some(Line::StreamGap(gap)),
            _ => None,
        }
    }

    fn connection_line(&mut self, connection: ConnectionId, event: Event) -> Option<Line<'static>> {
        match event {
            Event::State { at, from, to, epoch } => {
                let disconnected = self.disconnected.remove(&connection);
                Some(Line::State(Transition { connection, epoch, from, to, at, disconnected }))
            }
            Event::Disconnected { reason, retry_at, .. } => {
                self.disconnected.insert(connection, Disconnected { reason, retry_at });
                None
            }
            Event::ServerError { count, last: ServerError { raw_name, message, .. } } => {
                Some(Line::Error(Problem { connection, count, reason: raw_name.into(), message: message.into() }))
            }
            Event::Malformed { count, last } => {
                let (reason, message) = (last.code().into(), last.to_string());
                Some(Line::Error(Problem { connection, count, reason, message }))
            }
            Event::Drift(drift) => Some(Line::Drift(connection, drift)),
            Event::UnknownType { name, sample } => Some(Line::UnknownType { connection, name, sample }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoga::model::{Epoch, Nanos};
    use hoga::session::{Disconnect, State};

    #[test]
    fn a_disconnect_belongs_to_its_connection() {
        let mut reports = Reports::default();
        let mut line = |connection, event| {
            reports.line(LifecycleEvent::Connection { connection: ConnectionId(connection), event })
        };
        let step = || Event::State { at: Nanos(1), from: State::Active, to: State::Reconnecting, epoch: Epoch(1) };
        assert!(
            line(0, Event::Disconnected { at: Nanos(1), reason: Disconnect::Eof, epoch: Epoch(1), retry_at: None })
                .is_none()
        );
        let disconnected = |line| matches!(line, Some(Line::State(Transition { disconnected: Some(_), .. })));
        assert!(!disconnected(line(1, step())));
        assert!(disconnected(line(0, step())));
        assert!(!disconnected(line(0, step())), "a disconnect is reported once");
    }
}
