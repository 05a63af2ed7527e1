//! Looks at all streams a few times a second: reports to watchers what has changed, and lets the monitor judge.

use std::collections::BTreeSet;
use std::time::Duration;

use super::handles::Handles;
use super::lifecycle::{LifecycleEvent, Watchers};
use crate::model::{Nanos, StreamKey};
use crate::monitor::{Findings, GapLog, Gaps, HealthChanges, Look, Monitor};
use crate::plan::Planner;
use crate::pool::{self, DataPool, Glance};
use crate::sync::lossy::Writer;

/// How often all streams are looked at while messages arrive.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The longest time between two looks while nothing arrives. It doubles.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// What is remembered of all streams, and the watchers of their changes.
pub(super) struct StreamWatch {
    monitor: Monitor,
    health_changes: HealthChanges,
    gaps: Gaps,
    watchers: Watchers,
    /// The time of the next look, and the time between two.
    next_look: Nanos,
    look_every: Duration,
    is_over: bool,
}

/// What must be asked after a look.
pub(super) struct Questions {
    /// Streams whose state the exchange must be asked for.
    pub asks: BTreeSet<StreamKey>,
    /// Connections to probe.
    pub probes: BTreeSet<usize>,
}

impl StreamWatch {
    pub fn new(connections: usize) -> Self {
        Self {
            monitor: Monitor::new(connections),
            health_changes: HealthChanges::default(),
            gaps: Gaps::default(),
            watchers: Watchers::default(),
            next_look: Nanos::default(),
            look_every: LOOK_EVERY,
            is_over: false,
        }
    }

    /// Adds a watcher of the streams.
    pub fn add(&mut self, watcher: Writer<LifecycleEvent>) {
        if !self.is_over {
            self.watchers.add(watcher);
        }
    }

    /// Returns the gaps of all streams.
    pub fn gaps(&self) -> GapLog {
        self.gaps.log()
    }

    /// Returns the time of the next look.
    pub fn next_look(&self) -> Nanos {
        self.next_look
    }

    /// Makes the next look happen at once. A short outage, for example, would be over at the next regular one.
    pub fn hasten(&mut self) {
        self.next_look = Nanos::default();
    }

    /// Begins again after a panic: what the monitor remembers may be inconsistent.
    pub fn rebuild(&mut self, connections: usize) {
        self.monitor = Monitor::new(connections);
        self.hasten();
    }

    /// Looks at all streams, and stores what readers of the pool must know. Returns what must be asked.
    pub fn look(&mut self, now: Nanos, pool: &DataPool, planner: &Planner, connections: &[Handles]) -> Questions {
        let glances = pool::glances(pool);
        self.report_changes(now, &glances);
        let look = |glance: Glance| {
            let mode = planner.mode(glance.stream)?;
            Some(Look { connection: planner.home(glance.stream), mode, glance })
        };
        let looks: Vec<_> = glances.into_iter().filter_map(look).collect();
        let Findings { usual, usual_of_connections, doubts, asks, probes, is_still } = self.monitor.judge(now, &looks);
        self.look_every = if is_still { (self.look_every * 2).min(LOOK_EVERY_MAX) } else { LOOK_EVERY };
        self.next_look = if looks.is_empty() { Nanos::NEVER } else { now + self.look_every };
        for (key, silence) in usual {
            pool::set_usual_silence(pool, key, silence);
        }
        for (connection, silence) in usual_of_connections {
            connections[connection].state.set_usual_silence(silence);
        }
        for (key, reason) in doubts {
            pool::doubt(pool, key, reason);
        }
        Questions { asks, probes }
    }

    /// Reports changes of health, and gaps that began or ended.
    fn report_changes(&mut self, now: Nanos, glances: &[Glance]) {
        if self.is_over {
            return;
        }
        for glance in glances {
            if let Some(change) = self.health_changes.look(now, glance) {
                self.watchers.report(&LifecycleEvent::Health(change));
            }
            if let Some(gap) = self.gaps.look(glance) {
                self.watchers.report(&LifecycleEvent::Gap(gap));
            }
        }
    }

    /// Ends all reports: the engine stops, which is no change of a stream.
    pub fn end(&mut self) {
        self.is_over = true;
        self.watchers = Watchers::default();
    }
}
