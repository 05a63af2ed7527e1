//! All readers stop for ten seconds at full rate: memory must stay within the rings, and the engine must keep up.

use std::time::Duration;

use hoga::model::Nanos;
use hoga_cli::exit::Failure;
use hoga_testing::allocations;

use crate::reader::Reader;
use crate::run::Run;

/// How long the readers stop.
const STOPPED: Duration = Duration::from_secs(10);
/// How long the engine is watched before that.
const BEFORE: Duration = Duration::from_secs(5);
/// The longest time in which the readers must have read what waits for them.
const CATCH_UP_MAX: Duration = Duration::from_secs(20);

/// What happened while the readers had stopped.
#[derive(Debug, Clone, Copy)]
pub struct Stalled {
    /// Received per second before.
    pub rate_before: f64,
    /// Received per second meanwhile.
    pub rate: f64,
    /// Received of those that were sent meanwhile.
    pub kept_up: f64,
    /// By how much the peak of allocated bytes grew.
    pub grown: i64,
    /// Updates that the engine counted as dropped.
    pub dropped: u64,
    /// Updates that the readers' gaps report.
    pub missed: u64,
}

struct Phase {
    rate: f64,
    kept_up: f64,
    peak: i64,
}

pub fn run(run: &mut Run, reader: &Reader) -> Result<Stalled, Failure> {
    run.wait(Duration::from_secs(2))?;
    let before = phase(run, BEFORE)?;
    reader.pause(true);
    let during = phase(run, STOPPED)?;
    reader.pause(false);
    let deadline = run.bed.engine.now() + CATCH_UP_MAX;
    let (dropped, missed) = loop {
        run.wait(Duration::from_millis(200))?;
        let dropped = run.bed.engine.feeds().iter().map(|feed| feed.counts.dropped).sum::<u64>();
        let missed = reader.missed();
        // Updates that will be dropped count when the reader comes across their gap.
        if (dropped > 0 && dropped == missed) || run.bed.engine.now() >= deadline {
            break (dropped, missed);
        }
    };
    let grown = during.peak - before.peak;
    Ok(Stalled { rate_before: before.rate, rate: during.rate, kept_up: during.kept_up, grown, dropped, missed })
}

fn phase(run: &mut Run, time: Duration) -> Result<Phase, Failure> {
    let count = |run: &Run| (run.bed.server.stats().data_frames, run.bed.sums().data);
    let (began, before) = (run.bed.engine.now(), count(run));
    let mut peak = 0;
    while run.bed.engine.now() < began + time {
        run.wait(Duration::from_millis(20))?;
        peak = peak.max(allocations::live_bytes());
    }
    let (now, after): (Nanos, _) = (run.bed.engine.now(), count(run));
    let (sent, received) = ((after.0 - before.0) as f64, (after.1 - before.1) as f64);
    Ok(Phase { rate: received / now.since(began).as_secs_f64(), kept_up: received / sent.max(1.0), peak })
}
