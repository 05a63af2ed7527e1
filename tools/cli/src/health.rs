//! Notices when the values of a stream stop being live, and when they are again.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};

use hoga::model::{Nanos, StreamKey};
use hoga::pool::{Health, StreamStatus};

use crate::line::Change;

/// The last health of every stream that ever was live. Before that there is nothing to lose.
#[derive(Default)]
pub struct Healths(HashMap<StreamKey, Discriminant<Health>>);

impl Healths {
    /// The change of a stream since it was last looked at, if there is one.
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
