//! Messages that a test takes out of what arrives, and the record of them.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::model::{Nanos, StreamKey, StreamType};

/// What happens to messages of one stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    /// The next one cannot be read.
    RefuseOne,
    /// Changes are lost; answers to requests arrive.
    LoseChanges,
    /// Everything is lost.
    LoseAll,
}

/// A message that did not reach the engine, or that it could not read.
#[derive(Clone, Copy)]
pub(super) struct Loss {
    pub stream: StreamKey,
    pub at: Nanos,
    pub harm: Harm,
}

/// What a test does to messages on their way into the engine. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Interference(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    active: Option<(StreamKey, Harm)>,
    losses: Vec<Loss>,
}

impl Interference {
    pub fn begin(&self, stream: StreamKey, harm: Harm) {
        self.lock().active = Some((stream, harm));
    }

    pub fn end(&self) {
        self.lock().active = None;
    }

    pub fn is_active(&self) -> bool {
        self.lock().active.is_some()
    }

    pub fn losses(&self) -> Vec<Loss> {
        self.lock().losses.clone()
    }

    /// Returns what happens to a message, and records it.
    pub fn harm(&self, at: Nanos, key: StreamKey, stream_type: StreamType) -> Option<Harm> {
        let mut state = self.lock();
        let (stream, harm) = state.active.filter(|(stream, _)| *stream == key)?;
        match harm {
            Harm::RefuseOne => state.active = None,
            Harm::LoseChanges if stream_type == StreamType::Snapshot => return None,
            Harm::LoseChanges | Harm::LoseAll => {}
        }
        state.losses.push(Loss { stream, at, harm });
        Some(harm)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}
