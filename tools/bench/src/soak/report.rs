//! The report of `hoga soak`: as text or JSON, and the promises that it checks.

use std::fmt::Write;
use std::time::Duration;

use hoga_cli::origin::Origin;
use serde_json::{Value, json};

use crate::args::SoakArgs;
use crate::promise::{self, Promise, short};
use crate::reader::Account;
use crate::resources::{Growth, Sample};
use crate::run::{Outcomes, Run};
use crate::stall::Stalled;

/// The most that allocated memory may grow after the warm-up, and beyond the rings while readers have stopped.
const GROWTH_MAX: f64 = (1 << 20) as f64;
/// A shorter run is not judged by the growth of its resources, because the engine has just learned what is usual.
const SETTLED_AFTER: Duration = Duration::from_secs(90);
/// The part of what was sent that must have arrived while the readers had stopped. The rest is on its way.
const KEPT_UP_MIN: f64 = 0.99;

/// The times to restore of a kind of fault.
struct Row {
    name: &'static str,
    count: u64,
    restored: u64,
    /// Median, p99 and worst, in ms.
    times: [f64; 3],
}

pub struct Report {
    settings: Value,
    rows: Vec<Row>,
    /// Names and values of single figures, in order.
    figures: Vec<(&'static str, f64)>,
    growths: Vec<(&'static str, Growth)>,
    pub promises: Vec<Promise>,
}

impl Report {
    pub fn new(args: &SoakArgs, run: &Run, time: Duration, stalled: Stalled, accounts: &[Account]) -> Self {
        let growth = |of: fn(&Sample) -> u64| run.samples.growth(of);
        let growths = vec![
            ("memory", growth(|sample| sample.rss)),
            ("allocated", growth(|sample| sample.live)),
            ("threads", growth(|sample| sample.threads)),
            ("descriptors", growth(|sample| sample.descriptors)),
        ];
        let mut rows: Vec<_> = run.outcomes.iter().map(|(kind, outcomes)| row(kind.name(), outcomes)).collect();
        rows.push(total(run));
        let settings = json!({
            "seconds": time.as_secs_f64(), "seed": args.seed, "markets": args.markets,
            "streams": run.watch.len(), "pause_seconds": args.every.as_secs_f64(),
        });
        let figures = figures(run, stalled, accounts);
        let promises = promises(run, stalled, accounts, &growths);
        Self { settings, rows, figures, growths, promises }
    }

    /// Returns the report as one line of JSON.
    pub fn json(&self) -> String {
        let row = |row: &Row| {
            let [median, p99, worst] = row.times;
            json!({"fault": row.name, "count": row.count, "restored": row.restored,
                "median_ms": median, "p99_ms": p99, "worst_ms": worst})
        };
        let growth = |(name, growth): &(&str, Growth)| {
            json!({"name": name, "start": growth.start, "after_warm_up": growth.warm, "end": growth.end,
                "per_minute": growth.per_minute})
        };
        let origin = Origin::this();
        let report = json!({
            "command": "hoga soak", "version": origin.version, "commit": origin.commit,
            "machine": {"cpu": origin.machine.cpu, "cores": origin.machine.cores, "kernel": origin.machine.kernel},
            "settings": self.settings,
            "faults": self.rows.iter().map(row).collect::<Vec<_>>(),
            "figures": self.figures.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>(),
            "resources": self.growths.iter().map(growth).collect::<Vec<_>>(),
            "promises": self.promises.iter().map(Promise::json).collect::<Vec<_>>(),
        });
        format!("{report}\n")
    }

    /// Returns the report as tables.
    pub fn text(&self) -> String {
        let mut text = format!("{}\nhoga soak: {}\n\n", Origin::this().line(), self.settings);
        let _ = writeln!(text, "{:<34} {:>6} {:>8}  median ms   p99 ms  worst ms", "fault", "count", "restored");
        for Row { name, count, restored, times: [median, p99, worst] } in &self.rows {
            let _ = writeln!(text, "{name:<34} {count:>6} {restored:>8} {median:>10.1} {p99:>8.1} {worst:>9.1}");
        }
        let _ =
            writeln!(text, "\n{:<34} {:>12} {:>12} {:>12} {:>12}", "resource", "start", "warm", "end", "per minute");
        for (name, Growth { start, warm, end, per_minute }) in &self.growths {
            let _ = writeln!(text, "{name:<34} {start:>12} {warm:>12} {end:>12} {per_minute:>12.0}");
        }
        text.push('\n');
        for (name, value) in &self.figures {
            let _ = writeln!(text, "{name}: {}", short(*value));
        }
        text + "\npromises\n" + &promise::lines(&self.promises)
    }
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn row(name: &'static str, outcomes: &Outcomes) -> Row {
    let mut times: Vec<_> = outcomes.restored.iter().copied().map(ms).collect();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).or(times.last()).copied().unwrap_or_default();
    Row { name, count: outcomes.count, restored: times.len() as u64, times: [at(0.5), at(0.99), at(1.0)] }
}

fn total(run: &Run) -> Row {
    let count = run.outcomes.values().map(|outcomes| outcomes.count).sum();
    let restored = run.outcomes.values().flat_map(|outcomes| outcomes.restored.iter().copied()).collect();
    row("all", &Outcomes { count, restored })
}

/// Returns the data objects that the engine received and for which neither the pool nor the unrouted ones account.
fn unaccounted(run: &Run) -> u64 {
    let sums = run.bed.sums();
    let pool: u64 = run.bed.engine.pool().streams().iter().map(|stream| stream.verdicts.total()).sum();
    sums.data.abs_diff(pool + sums.unrouted)
}

fn figures(run: &Run, stalled: Stalled, accounts: &[Account]) -> Vec<(&'static str, f64)> {
    let sums = run.bed.sums();
    let times = &run.watch.times;
    let part = times.undisputed.as_secs_f64() / times.up.as_secs_f64().max(1e-9);
    let faults = total(run).count.max(1) as f64;
    let down = (times.up.saturating_sub(times.undisputed)).as_secs_f64() / run.watch.len() as f64 / faults;
    let sum = |of: fn(&Account) -> u64| accounts.iter().map(of).sum::<u64>() as f64;
    vec![
        ("available, % of the up-time", 100.0 * part),
        ("disputed time per stream and fault, ms", 1e3 * down),
        ("available with one fault an hour, %", 100.0 * (1.0 - down / 3600.0)),
        ("messages sent by the exchange", run.bed.server.stats().data_frames as f64),
        ("messages received", sums.data as f64),
        ("messages received of streams that were no longer wanted", sums.unrouted as f64),
        ("updates for all feeds", sum(|account| account.counts.received)),
        ("updates delivered", sum(|account| account.counts.delivered)),
        ("updates dropped, reported as gaps", sum(|account| account.counts.dropped)),
        ("updates conflated", sum(|account| account.counts.conflated)),
        ("updates filtered", sum(|account| account.counts.filtered)),
        ("sockets that ended", sums.disconnects as f64),
        ("received per second before the readers stopped", stalled.rate_before),
        ("received per second while the readers had stopped", stalled.rate),
    ]
}

fn promises(run: &Run, stalled: Stalled, accounts: &[Account], growths: &[(&'static str, Growth)]) -> Vec<Promise> {
    let all = total(run);
    let wrong = accounts.iter().filter(|account| !account.adds_up()).count();
    let panics: u64 = run.bed.engine.connections().iter().map(|connection| connection.counters.panics).sum();
    let grown = |of: &str| growths.iter().find(|(name, _)| *name == of).map_or(0, |(_, growth)| growth.after_warm_up());
    let mut promises = vec![
        Promise::least("faults", all.count as f64, 1.0),
        Promise::least("restored, % of the faults", 100.0 * all.restored as f64 / all.count.max(1) as f64, 100.0),
        Promise::most("blind time of all streams, s", run.watch.times.blind.as_secs_f64(), 0.0),
        Promise::most("false alarms", run.false_alarms as f64, 0.0),
        Promise::least("feeds with an account", accounts.len() as f64, 4.0),
        Promise::most("feeds whose account does not add up", wrong as f64, 0.0),
        Promise::most("messages received and not accounted for", unaccounted(run) as f64, 0.0),
        Promise::most("panics of the engine", panics as f64, 0.0),
        Promise::least("received of the sent, readers stopped", stalled.kept_up, KEPT_UP_MIN),
        Promise::most("memory beyond the rings, readers stopped, bytes", stalled.grown as f64, GROWTH_MAX),
        Promise::least("updates dropped, readers stopped", stalled.dropped as f64, 1.0),
        Promise::most(
            "dropped and not in a gap, readers stopped",
            stalled.dropped.abs_diff(stalled.missed) as f64,
            0.0,
        ),
    ];
    if run.watch.times.up >= SETTLED_AFTER {
        promises.extend([
            Promise::most("allocated after the warm-up, bytes", grown("allocated") as f64, GROWTH_MAX),
            Promise::most("threads after the warm-up", grown("threads") as f64, 0.0),
            Promise::most("descriptors after the warm-up", grown("descriptors") as f64, 0.0),
        ]);
    }
    promises
}
