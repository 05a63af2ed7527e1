//! Notices when the values of a stream stop being live, and when they become live again.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};

use hoga::model::{Nanos, StreamKey};
use hoga::pool::{Health, StreamStatus};

use crate::line::Change;

/// The last health of each stream that has been live. Streams that were never live are not reported.
#[derive(Default)]
pub struct Healths(HashMap<StreamKey, Discriminant<Health>>);

impl Healths {
    /// Returns the change of a stream's health since the last call, if there is one.
    pub fn change(&mut self, stream: &StreamStatus, now: Nanos) -> Option<Change> {
        let (key, health) = (stream.key, stream.health);
        let kind = discriminant(&health);
        match self.0.get_mut(&key) {
            None if health.is_live() => {
                self.0.insert(key, kind);
                None
            }
            Some(known) if *known != kind => {
                *known = kind;
                Some(Change { stream: key, health, at: now })
            }
            _ => None,
        }
    }
}
