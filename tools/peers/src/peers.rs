//! `hoga-peers peers`: whole clients by turns, fed with the same messages by the same feeder.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use hoga_lab::feeder::Feeder;
use hoga_lab::load::Session;
use hoga_lab::report::{Figure, Measured, Report, Target};
use hoga_lab::rounds::{self, Column, Contestant, Course, Line};
use hoga_lab::stack::Wait;
use hoga_lab::stacks::{Floor, Hoga};
use hoga_lab::traffic::{Recording, Traffic};
use hoga_lab::{Error, Stack, pin_here};

use crate::args::BenchArgs;
use crate::end::{Interrupt, outcome};
use crate::stacks::{FastWebSockets, Mio, Tokio, TokioTungstenite};

const MARKETS: usize = 256;
const MESSAGES: usize = 4096;
/// This thread feeds and reads on the first; the client has the other.
const CORES: [usize; 2] = [0, 1];
const RATES: [u64; 3] = [10_000, 50_000, 100_000];
const BURST: usize = 256;

const COST: [Column; 3] =
    [Column::cost("CPU ns/frame", ""), Column::output("frames/s", ""), Column::tail("missed", "%")];
const LATENCY: [Column; 4] =
    [Column::cost("p50", "µs"), Column::cost("p99", "µs"), Column::tail("p99.9", "µs"), Column::tail("left out", "%")];
const DRAIN: [Column; 2] = [Column::cost("p50", "µs"), Column::cost("p99", "µs")];

/// Who takes part.
#[derive(Clone, Copy)]
struct Client {
    name: &'static str,
    stack: &'static dyn Stack,
}

const HOGA_PARK: Client = Client { name: "hoga, park", stack: &Hoga { wait: Wait::Park } };
const HOGA_SPIN: Client = Client { name: "hoga, spin", stack: &Hoga { wait: Wait::Spin } };
const FLOOR: Client = Client { name: "bare socket, spin", stack: &Floor { wait: Wait::Spin } };
const TUNGSTENITE: Client = Client { name: "tokio-tungstenite + serde_json", stack: &Tokio(TokioTungstenite) };
const FAST: Client = Client { name: "fastwebsockets + sonic-rs", stack: &Tokio(FastWebSockets) };
const MIO_PARK: Client = Client { name: "mio + tungstenite + simd-json, park", stack: &Mio { wait: Wait::Park } };
const MIO_SPIN: Client = Client { name: "mio + tungstenite + simd-json, spin", stack: &Mio { wait: Wait::Spin } };

/// Whose figures are compared: each peer waits as its users have it wait, so one that parks stands beside both of hoga.
const PAIRS: [(Client, &[Client]); 2] =
    [(HOGA_PARK, &[TUNGSTENITE, FAST, MIO_PARK]), (HOGA_SPIN, &[TUNGSTENITE, FAST, MIO_PARK, MIO_SPIN])];

/// How much of each there is in a turn.
#[derive(Clone, Copy)]
struct Amount {
    frames: u64,
    pace: Duration,
    bursts: usize,
}

impl Amount {
    /// So much that a minute has some rounds; with more time there are more of them, for steadier medians.
    fn of(time: Duration) -> Self {
        let frames = (time.as_millis() as u64).clamp(1_000, 60_000);
        let pace = (time / 300).clamp(Duration::from_millis(5), Duration::from_millis(200));
        Self { frames, pace, bursts: (time.as_secs() as usize).clamp(5, 60) }
    }
}

/// Measures and prints.
pub fn run(args: &BenchArgs) -> Result<(), Error> {
    let interrupt = Interrupt::catch()?;
    // Where that is not allowed, the figures say so by their range.
    pin_here(CORES[0]);
    let lab = Lab::new(Amount::of(args.time()))?;
    let course = Course { time: args.time(), warm_up: 0, is_over: &|| interrupt.is_asked() };
    let lines = rounds::run(lab.contestants(), &course)?;
    let settings =
        BTreeMap::from([("seconds".to_owned(), args.time().as_secs().into()), ("markets".to_owned(), MARKETS.into())]);
    let mut report = Report::new("hoga-peers peers", settings, &lines, targets(&lines));
    report.lines.extend(ratios(&lines));
    outcome(&report, args)
}

/// The traffic and the two feeders.
struct Lab {
    plain: Feeder,
    secure: Feeder,
    // A turn has one of them to itself.
    tickers: RefCell<Traffic>,
    trades: RefCell<Traffic>,
    books: RefCell<Traffic>,
    amount: Amount,
}

impl Lab {
    fn new(amount: Amount) -> Result<Self, Error> {
        let record = |data_type| {
            let recording = Recording { markets: MARKETS, data_types: vec![data_type], depth: None, frames: MESSAGES };
            recording.run().map(RefCell::new)
        };
        Ok(Self {
            plain: Feeder::bind(false)?,
            secure: Feeder::bind(true)?,
            tickers: record("ticker")?,
            trades: record("trade")?,
            books: record("orderbook")?,
            amount,
        })
    }

    fn contestants(&self) -> Vec<Contestant<'_>> {
        let mut all = Vec::new();
        let saturated = [
            ("ticker, plain", &self.tickers, &self.plain),
            ("ticker, TLS", &self.tickers, &self.secure),
            ("trade, plain", &self.trades, &self.plain),
            ("book of 30, plain", &self.books, &self.plain),
        ];
        for (what, traffic, feeder) in saturated {
            let clients = [HOGA_PARK, TUNGSTENITE, FAST, MIO_PARK];
            all.extend(clients.map(|client| self.saturated(client, what, traffic, feeder)));
        }
        let clients = [HOGA_PARK, HOGA_SPIN, FLOOR, TUNGSTENITE, FAST, MIO_PARK, MIO_SPIN];
        all.extend(clients.map(|client| self.plain(client)));
        let clients = [HOGA_PARK, HOGA_SPIN, TUNGSTENITE, FAST, MIO_PARK, MIO_SPIN];
        all.extend(clients.map(|client| self.secure(client)));
        all
    }

    /// As much as a client can take.
    fn saturated<'a>(
        &self,
        client: Client,
        what: &str,
        traffic: &'a RefCell<Traffic>,
        feeder: &'a Feeder,
    ) -> Contestant<'a> {
        let frames = self.amount.frames;
        Contestant::new(vec![Line::new(saturated_table(what), client.name, &COST)], move || {
            let mut traffic = traffic.borrow_mut();
            let mut session = Session::start(client.stack, feeder, &mut traffic, CORES[1])?;
            session.saturate(frames / 10)?;
            let spent = session.saturate(frames)?;
            Ok(vec![vec![spent.cpu_ns, spent.frames_per_second, 100.0 * spent.missed]])
        })
    }

    /// Tickers at fixed rates and in bursts, plain.
    fn plain(&self, client: Client) -> Contestant<'_> {
        let rate = |rate: &u64| Line::new(rate_table(*rate), client.name, &LATENCY);
        let mut lines: Vec<_> = RATES.iter().map(rate).collect();
        lines.push(Line::new(PLAIN_BURST, client.name, &DRAIN));
        let amount = self.amount;
        Contestant::new(lines, move || {
            let mut traffic = self.tickers.borrow_mut();
            let mut session = Session::start(client.stack, &self.plain, &mut traffic, CORES[1])?;
            session.pace(RATES[0], amount.pace / 10)?;
            let mut figures = Vec::new();
            for rate in RATES {
                let paced = session.pace(rate, amount.pace)?;
                let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| quantile(&paced.latency, part));
                figures.push(vec![p50, p99, p999, 100.0 * paced.disturbed, 100.0 * paced.missed]);
            }
            figures.push(drain(&mut session, amount)?);
            Ok(figures)
        })
    }

    /// Tickers in bursts over TLS.
    fn secure(&self, client: Client) -> Contestant<'_> {
        let amount = self.amount;
        Contestant::new(vec![Line::new(TLS_BURST, client.name, &DRAIN)], move || {
            let mut traffic = self.tickers.borrow_mut();
            let mut session = Session::start(client.stack, &self.secure, &mut traffic, CORES[1])?;
            session.burst(BURST, amount.bursts / 10)?;
            Ok(vec![drain(&mut session, amount)?])
        })
    }
}

fn drain(session: &mut Session<'_>, amount: Amount) -> Result<Vec<f64>, Error> {
    let latency = session.burst(BURST, amount.bursts)?;
    Ok(vec![quantile(&latency, 0.5), quantile(&latency, 0.99)])
}

/// In µs.
fn quantile(latency: &Histogram<u64>, part: f64) -> f64 {
    latency.value_at_quantile(part) as f64 / 1e3
}

const PLAIN_BURST: &str = "ticker, plain, bursts of 256";
const TLS_BURST: &str = "ticker, TLS, bursts of 256";

fn saturated_table(what: &str) -> String {
    format!("saturated, {what}")
}

fn rate_table(rate: u64) -> String {
    format!("ticker, plain, {} k/s", rate / 1000)
}

fn find<'a>(lines: &'a [Line], table: &str, client: Client) -> Option<&'a Line> {
    lines.iter().find(|line| line.table == table && line.name == client.name)
}

/// hoga's figures as parts of each peer's, round by round.
fn ratios(lines: &[Line]) -> Vec<Measured> {
    let mut tables: Vec<&str> = Vec::new();
    for line in lines {
        if !tables.contains(&line.table.as_str()) {
            tables.push(&line.table);
        }
    }
    let mut all = Vec::new();
    for table in tables {
        for (hoga, peers) in PAIRS {
            let Some(mine) = find(lines, table, hoga) else { continue };
            let theirs = peers.iter().filter_map(|peer| find(lines, table, *peer));
            all.extend(theirs.map(|theirs| ratio(mine, theirs)));
        }
    }
    all
}

/// Of all costs, which are the columns that say something.
fn ratio(mine: &Line, theirs: &Line) -> Measured {
    let figures = mine.columns.iter().enumerate().filter(|(_, column)| column.is_steady);
    let figure = |(place, column): (usize, &Column)| {
        let ratio = mine.ratio(theirs, place);
        Figure {
            name: column.name.to_owned(),
            unit: String::new(),
            better: column.better,
            median: ratio.median,
            min: ratio.min,
            max: ratio.max,
            is_steady: true,
        }
    };
    Measured {
        table: format!("ratios, {}", mine.table),
        name: format!("{} / {}", mine.name, theirs.name),
        figures: figures.map(figure).collect(),
        ratios: Vec::new(),
    }
}

fn targets(lines: &[Line]) -> Vec<Target> {
    let ratio = |table: &str, hoga: Client, peer: Client, column: usize, most: f64| {
        let (mine, theirs) = (find(lines, table, hoga)?, find(lines, table, peer)?);
        let ratio = mine.ratio(theirs, column);
        let figure = mine.columns[column].name;
        Some(Target {
            name: format!("{table}, {figure}: {} / {}", hoga.name, peer.name),
            unit: String::new(),
            value: ratio.median,
            range: Some((ratio.min, ratio.max)),
            most,
        })
    };
    let (plain, secure) = (saturated_table("ticker, plain"), saturated_table("ticker, TLS"));
    let mut all = vec![
        ratio(&plain, HOGA_PARK, TUNGSTENITE, 0, 1.0 / 5.0),
        ratio(&plain, HOGA_PARK, FAST, 0, 1.0 / 3.3),
        ratio(&secure, HOGA_PARK, TUNGSTENITE, 0, 1.0 / 4.0),
        ratio(&secure, HOGA_PARK, FAST, 0, 1.0 / 2.8),
    ];
    for rate in RATES {
        let table = rate_table(rate);
        all.push(ratio(&table, HOGA_SPIN, TUNGSTENITE, 0, 1.0 / 2.4));
        all.push(ratio(&table, HOGA_SPIN, TUNGSTENITE, 1, 1.0 / 4.0));
        all.push(above_floor(lines, &table));
    }
    all.push(ratio(PLAIN_BURST, HOGA_SPIN, TUNGSTENITE, 0, 1.0 / 6.0));
    all.push(ratio(TLS_BURST, HOGA_SPIN, TUNGSTENITE, 0, 1.0 / 3.0));
    all.into_iter().flatten().collect()
}

fn above_floor(lines: &[Line], table: &str) -> Option<Target> {
    let above = find(lines, table, HOGA_SPIN)?.difference(find(lines, table, FLOOR)?, 0);
    Some(Target {
        name: format!("{table}, p50: {} above {}", HOGA_SPIN.name, FLOOR.name),
        unit: " µs".to_owned(),
        value: above.median,
        range: Some((above.min, above.max)),
        most: 0.5,
    })
}
