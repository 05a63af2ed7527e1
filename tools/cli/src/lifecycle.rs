//! Turns the engine's reports about a connection into lines: a loss and the step it causes become one.

use std::collections::BTreeMap;

use hoga::engine::LifecycleEvent;
use hoga::model::ConnectionId;
use hoga::session::Event;
use hoga::wire::ServerError;

use crate::line::{Line, Lost, Problem, Turn};

/// Remembers a connection's loss until the step that follows it.
#[derive(Default)]
pub struct Reports {
    lost: BTreeMap<ConnectionId, Lost>,
}

impl Reports {
    /// The line for a report, if it is worth one.
    pub fn line(&mut self, report: LifecycleEvent) -> Option<Line<'static>> {
        let connection = report.connection;
        match report.event {
            Event::State { at, from, to, epoch } => {
                let lost = self.lost.remove(&connection);
                Some(Line::State(Turn { connection, epoch, from, to, at, lost }))
            }
            Event::Lost { loss, retry_at, .. } => {
                self.lost.insert(connection, Lost { loss, retry_at });
                None
            }
            Event::ServerError(ServerError { raw_name, message, .. }) => {
                Some(Line::Error(Problem { connection, reason: raw_name.into(), message: message.into() }))
            }
            Event::Malformed(error) => {
                Some(Line::Error(Problem { connection, reason: error.code().into(), message: error.to_string() }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoga::model::{Epoch, Nanos};
    use hoga::session::{Loss, State};

    #[test]
    fn a_loss_belongs_to_its_connection() {
        let mut reports = Reports::default();
        let mut line = |connection, event| reports.line(LifecycleEvent { connection: ConnectionId(connection), event });
        let step = || Event::State { at: Nanos(1), from: State::Active, to: State::Reconnecting, epoch: Epoch(1) };
        assert!(line(0, Event::Lost { at: Nanos(1), loss: Loss::Eof, epoch: Epoch(1), retry_at: None }).is_none());
        let lost = |line| matches!(line, Some(Line::State(Turn { lost: Some(_), .. })));
        assert!(!lost(line(1, step())));
        assert!(lost(line(0, step())));
        assert!(!lost(line(0, step())), "it is told once");
    }
}
