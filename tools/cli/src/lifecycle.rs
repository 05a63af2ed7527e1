//! Turns the engine's reports about a connection into lines: a loss and the step it causes become one.

use hoga::engine::LifecycleEvent;
use hoga::session::Event;
use hoga::wire::ServerError;

use crate::line::{Line, Lost, Problem, Turn};

/// Remembers a loss until the step that follows it.
#[derive(Default)]
pub struct Reports {
    lost: Option<Lost>,
}

impl Reports {
    /// The line for a report, if it is worth one.
    pub fn line(&mut self, report: LifecycleEvent) -> Option<Line<'static>> {
        let connection = report.connection;
        match report.event {
            Event::State { at, from, to, epoch } => {
                Some(Line::State(Turn { connection, epoch, from, to, at, lost: self.lost.take() }))
            }
            Event::Lost { loss, retry_at, .. } => {
                self.lost = Some(Lost { loss, retry_at });
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
