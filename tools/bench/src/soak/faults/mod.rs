//! `hoga faults`: makes each kind of fault once and shows what the engine and its readers see, and measures the goals.

mod bench;
mod case;
mod goals;

use std::fmt::Write;
use std::time::Duration;

use hoga_cli::exit::Failure;
use hoga_cli::origin::Origin;
use hoga_cli::output;
use hoga_cli::signals::Interrupt;
use serde_json::json;

use crate::args::FaultsArgs;
use crate::bed::Size;
use crate::progress;
use crate::promise::{self, Promise};
use crate::report::ms;
use bench::{Observed, Outcome};
use case::{CASES, Case, Expected};

/// A kind of fault needs few streams; some of them are busy.
const OF_KINDS: Size = Size { seed: 1, markets: 10, speed: 20.0, connections: 1 };
/// Many sockets, so that each is old enough when its turn comes.
const OF_GOALS: Size = Size { seed: 1, markets: 40, speed: 20.0, connections: 8 };
const EXPLICIT_FAULTS: usize = 200;
const HALF_OPEN_ROUNDS: usize = 2;
/// After a request that was needed, a socket has worked.
const BETWEEN: Duration = Duration::from_millis(1000);
/// The limit of silence of a stream that is not usually silent, 2 s, and the time between two looks.
const FLAGGED_MAX_MS: f64 = 2100.0;
const ACTED_MAX_MS: f64 = 10_000.0;

/// Runs the command and prints and checks the report.
pub fn run(args: &FaultsArgs) -> Result<(), Failure> {
    let unknown: Vec<_> = args.only.iter().filter(|number| CASES.iter().all(|case| case.number != **number)).collect();
    if !unknown.is_empty() {
        let numbers: Vec<_> = CASES.iter().map(|case| case.number.to_string()).collect();
        return Err(Failure::Usage(format!("no faults {unknown:?}: choose from {}", numbers.join(","))));
    }
    let interrupt = Interrupt::catch()?;
    let mut rows = Vec::new();
    let mut observed = Observed::start(OF_KINDS, interrupt.clone())?;
    let streams = observed.watch.len();
    // What is usual for each stream must be known before one falls silent.
    observed.wait(Duration::from_secs(5))?;
    for case in CASES.iter().filter(|case| args.only.is_empty() || args.only.contains(&case.number)) {
        observed.wait(BETWEEN)?;
        let outcome = observed.observe(case)?;
        progress(&line((case, &outcome, streams)));
        rows.push((case, outcome));
    }
    let mut accounts = observed.finish()?;
    let mut goals = of_kinds(&rows);
    if args.only.is_empty() {
        let mut observed = Observed::start(OF_GOALS, interrupt)?;
        observed.wait(Duration::from_secs(3))?;
        goals.extend(goals::explicit(&observed, EXPLICIT_FAULTS)?);
        let over = observed.bed.server.stats().violations();
        goals.push(Promise::most("limits of the exchange exceeded", over as f64, 0.0));
        goals.push(goals::half_open(&observed, HALF_OPEN_ROUNDS)?);
        goals.push(goals::outage(&mut observed)?);
        accounts.extend(observed.finish()?);
    }
    let wrong = accounts.iter().filter(|account| !account.adds_up()).count();
    let mut promises = of_rows(&rows, streams);
    promises.push(Promise::most("feeds whose account does not add up", wrong as f64, 0.0));
    output::print(&if args.json { json(&rows, &promises, &goals) } else { text(&rows, streams, &promises, &goals) })?;
    // Times depend on the machine, so they only count if that is asked for.
    let checked = promises.iter().chain(goals.iter().filter(|_| args.check));
    promise::check(checked)
}

type Row = (&'static Case, Outcome);

fn expects_all(row: &Row) -> bool {
    row.0.expected == Expected::NewSocket
}

fn of_rows(rows: &[Row], streams: usize) -> Vec<Promise> {
    let recovered = rows.iter().filter(|(_, outcome)| outcome.recovered.is_some()).count();
    let benign = rows.iter().filter(|(case, _)| case.expected != Expected::NewSocket);
    let false_alarms: usize = benign.map(|(_, outcome)| outcome.disconnects).sum();
    let unreported = rows.iter().filter(|row| expects_all(row) && row.1.gaps != streams).count();
    let invented = rows.iter().filter(|(case, outcome)| case.expected == Expected::Nothing && outcome.gaps > 0).count();
    vec![
        Promise::least("recovered", recovered as f64, rows.len() as f64),
        Promise::most("sockets replaced without need", false_alarms as f64, 0.0),
        Promise::most("new sockets without a gap of every stream", unreported as f64, 0.0),
        Promise::most("gaps although nothing was missing", invented as f64, 0.0),
    ]
}

/// Returns the goals for a stream that falls silent.
fn of_kinds(rows: &[Row]) -> Vec<Promise> {
    let of_one = |row: &&Row| matches!(row.0.expected, Expected::Asked { .. });
    let goals = |(case, outcome): &Row| {
        let time = |time: Option<Duration>| time.map_or(f64::INFINITY, ms);
        let (flagged, acted) = (time(outcome.detected), time(outcome.requested));
        [
            Promise::most(&format!("{}: flagged after, ms", case.name), flagged, FLAGGED_MAX_MS),
            Promise::most(&format!("{}: asked for again after, ms", case.name), acted - flagged, ACTED_MAX_MS),
        ]
    };
    rows.iter().filter(of_one).flat_map(goals).collect()
}

fn cell(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{:.1}", ms(time)))
}

fn line((case, outcome, streams): (&Case, &Outcome, usize)) -> String {
    let Outcome { detected, requested, recovered, reason, seen, gaps, .. } = outcome;
    let seen = seen.iter().copied().collect::<Vec<_>>().join(" ");
    let times = [detected, requested, recovered].map(|time| cell(*time));
    let [detected, requested, recovered] = times;
    format!(
        "{:>3} {:<44} {detected:>9} {requested:>9} {recovered:>9}  {:<18} {:>7}  {seen}",
        case.number,
        case.name,
        if reason.is_empty() { "-" } else { reason },
        format!("{gaps}/{streams}")
    )
}

fn text(rows: &[Row], streams: usize, promises: &[Promise], goals: &[Promise]) -> String {
    let mut text = format!("{}\nhoga faults: times in ms; gaps of streams\n\n", Origin::this().line());
    let heads = ("fault", "detected", "requested", "recovered", "reason", "gaps");
    let _ = writeln!(
        text,
        "    {:<44} {:>9} {:>9} {:>9}  {:<18} {:>7}  healths other than live",
        heads.0, heads.1, heads.2, heads.3, heads.4, heads.5
    );
    for (case, outcome) in rows {
        let _ = writeln!(text, "{}", line((case, outcome, streams)));
    }
    text + "\npromises\n" + &promise::lines(promises) + "\ngoals\n" + &promise::lines(goals)
}

fn json(rows: &[Row], promises: &[Promise], goals: &[Promise]) -> String {
    let row = |(case, outcome): &Row| {
        json!({
            "number": case.number, "fault": case.name, "reason": outcome.reason, "gaps": outcome.gaps,
            "detected_ms": outcome.detected.map(ms), "requested_ms": outcome.requested.map(ms),
            "recovered_ms": outcome.recovered.map(ms), "healths": outcome.seen,
        })
    };
    let origin = Origin::this();
    let report = json!({
        "command": "hoga faults", "version": origin.version, "commit": origin.commit,
        "faults": rows.iter().map(row).collect::<Vec<_>>(),
        "promises": promises.iter().map(Promise::json).collect::<Vec<_>>(),
        "goals": goals.iter().map(Promise::json).collect::<Vec<_>>(),
    });
    format!("{report}\n")
}
