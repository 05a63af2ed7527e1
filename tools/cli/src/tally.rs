//! Sums the counters of an engine's connections and its pool, with losses by kind.

use hoga::engine::{ConnectionStatus, Engine};
use hoga::model::StreamKey;
use hoga::pool::DataPool;
use hoga::session::Refused;
use hoga::wire::DriftCounts;

use crate::line::Gaps;
use crate::object::Object;

/// The counts since the engine started.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub streams: usize,
    /// Streams that never had a value: most likely markets that do not exist.
    pub silent: Vec<StreamKey>,
    /// Those of them for which messages may have arrived, but were refused.
    pub refused: Vec<(StreamKey, Refused)>,
    pub bytes: u64,
    pub messages: u64,
    pub data: u64,
    /// The highest epoch of any connection, which is the number of its sockets.
    pub epochs: u32,
    pub reconnects: u64,
    pub malformed: u64,
    pub server_errors: u64,
    pub unrouted: u64,
    pub late: u64,
    pub duplicate: u64,
    pub old_epoch: u64,
    /// Messages with a time that was far ahead of the others of their connection.
    pub implausible: u64,
    /// Trades with the id of another trade.
    pub id_clashes: u64,
    /// Differences between the delivered messages and the documented ones.
    pub drift: DriftCounts,
}

impl Tally {
    /// Sums the counters of a running engine, which may be a few ms old.
    pub fn now(engine: &Engine) -> Self {
        Self::of(&engine.connections(), engine.pool())
    }

    /// Sums the counters of these connections and this pool. The counters in a shutdown's report are exact.
    pub fn of(connections: &[ConnectionStatus], pool: &DataPool) -> Self {
        let mut tally = Self::default();
        for connection in connections {
            let counters = &connection.counters;
            tally.bytes += counters.bytes;
            tally.messages += counters.messages;
            tally.data += counters.data;
            tally.malformed += counters.malformed;
            tally.server_errors += counters.server_errors;
            tally.reconnects += counters.opened.saturating_sub(1);
            tally.epochs = tally.epochs.max(connection.epoch.0);
            tally.unrouted += connection.unrouted;
            tally.add_drift(&counters.decode.drift);
        }
        for stream in pool.streams() {
            tally.streams += 1;
            tally.late += stream.verdicts.late;
            tally.duplicate += stream.verdicts.duplicate;
            tally.old_epoch += stream.verdicts.old_epoch;
            tally.implausible += stream.verdicts.implausible;
            tally.id_clashes += stream.verdicts.id_clashes;
            if stream.version == 0 {
                tally.silent.push(stream.key);
                tally.refused.extend(refused(connections, stream.key).map(|refused| (stream.key, refused)));
            }
        }
        tally
    }

    fn add_drift(&mut self, drift: &DriftCounts) {
        self.drift.unknown_keys += drift.unknown_keys;
        self.drift.missing_fields += drift.missing_fields;
        self.drift.unreadable_fields += drift.unreadable_fields;
        self.drift.unknown_words += drift.unknown_words;
        self.drift.levels_cut += drift.levels_cut;
    }

    /// Returns the differences from the documented messages by kind, for people and scripts.
    pub fn drift(&self) -> [(&'static str, u64); 5] {
        let DriftCounts { unknown_keys, missing_fields, unreadable_fields, unknown_words, levels_cut, .. } = self.drift;
        [
            ("unknown_keys", unknown_keys),
            ("missing_fields", missing_fields),
            ("unreadable_fields", unreadable_fields),
            ("unknown_words", unknown_words),
            ("levels_cut", levels_cut),
        ]
    }

    /// Returns the losses by kind, and what is suspicious, for people and scripts.
    pub fn losses(&self, gaps: Gaps) -> [(&'static str, u64); 10] {
        [
            ("gaps", gaps.count),
            ("missed", gaps.missed),
            ("malformed", self.malformed),
            ("reconnects", self.reconnects),
            ("unrouted", self.unrouted),
            ("late", self.late),
            ("duplicate", self.duplicate),
            ("old_epoch", self.old_epoch),
            ("implausible", self.implausible),
            ("id_clashes", self.id_clashes),
        ]
    }

    /// Writes the counts as JSON fields.
    pub fn fields(&self, object: &mut Object, gaps: Gaps) {
        object
            .plain("streams", self.streams)
            .words("silent", self.silent.iter())
            .plain("bytes", self.bytes)
            .plain("messages", self.messages)
            .plain("data", self.data)
            .plain("epochs", self.epochs);
        for (kind, count) in self.losses(gaps) {
            object.plain(kind, count);
        }
        object.plain("server_errors", self.server_errors).object("drift", |object| {
            for (kind, count) in self.drift() {
                object.plain(kind, count);
            }
        });
    }
}

/// Returns the refused messages that explain why a stream has no data.
fn refused(connections: &[ConnectionStatus], stream: StreamKey) -> Option<Refused> {
    let own = connections.iter().find_map(|connection| connection.refused.of(stream));
    own.or_else(|| connections.iter().find_map(|connection| connection.refused.unnamed()))
}
