//! Turns the engine's reports about a connection into lines: a loss and the step it causes become one.

use hoga::engine::LifecycleEvent;
use hoga::session::Event;
use hoga::wire::{DecodeError, ServerError};

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
                Some(Line::Error(Problem { connection, reason: code(error).into(), message: error.to_string() }))
            }
            _ => None,
        }
    }
}

/// A short, stable word for scripts.
fn code(error: DecodeError) -> &'static str {
    match error {
        DecodeError::NotJson => "not_json",
        DecodeError::NotAMessage => "not_a_message",
        DecodeError::MissingField(_) => "missing_field",
        DecodeError::WrongType(_) => "wrong_type",
        DecodeError::BadValue(_) => "bad_value",
        DecodeError::BadMarket => "bad_market",
        DecodeError::BadNumber => "bad_number",
        DecodeError::TooManyLevels => "too_many_levels",
        _ => "malformed",
    }
}
