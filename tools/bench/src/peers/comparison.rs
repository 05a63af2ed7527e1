//! `hoga bench peers`: compares whole clients that get the same messages from the same feeder.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hoga_cli::exit::Failure;
use hoga_cli::rounds::{Candidate, Column, Error, Line, Schedule};
use hoga_cli::signals::Interrupt;

use super::{FastWebSockets, Mio, Picows, Tokio, TokioTungstenite};
use crate::args::PeersArgs;
use crate::commands::outcome;
use crate::cpu::pin_here;
use crate::noise;
use crate::report::{Figure, Measured, Report, Target};
use crate::serving::feeder::Feeder;
use crate::serving::traffic::{Recording, Traffic};
use crate::stack::Wait;
use crate::stacks::Hoga;
use crate::turn::{
    Amount, CORES, Client, FEEDER_CORE, FLOOR, RATES, Turn, above_floor, burst_table, find, near_limit, rate_table,
};

const MARKETS: usize = 256;
const MESSAGES: usize = 4096;
const BURST: usize = 256;

const HOGA_PARK: Client = Client { name: "hoga, park", stack: &Hoga::new(Wait::Park) };
const HOGA_SPIN: Client = Client { name: "hoga, spin", stack: &Hoga::new(Wait::Spin) };
const TUNGSTENITE: Client = Client { name: "tokio-tungstenite + serde_json", stack: &Tokio(TokioTungstenite) };
const FAST: Client = Client { name: "fastwebsockets + sonic-rs", stack: &Tokio(FastWebSockets) };
const MIO_PARK: Client = Client { name: "mio + tungstenite + simd-json, park", stack: &Mio { wait: Wait::Park } };
const MIO_SPIN: Client = Client { name: "mio + tungstenite + simd-json, spin", stack: &Mio { wait: Wait::Spin } };
/// Measured if it is installed.
const PICOWS: Client = Client { name: "picows + orjson", stack: &Picows };

/// The clients whose figures are compared. Each peer waits as its users have it wait, so a parking peer is compared
/// with both waits of hoga.
const PAIRS: [(Client, &[Client]); 2] = [
    (HOGA_PARK, &[TUNGSTENITE, FAST, MIO_PARK, PICOWS]),
    (HOGA_SPIN, &[TUNGSTENITE, FAST, MIO_PARK, MIO_SPIN, PICOWS]),
];

/// Runs the benchmark and prints the report.
pub fn run(args: &PeersArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    // If pinning is not allowed, the range of the figures shows it.
    pin_here(FEEDER_CORE);
    let python = Picows::versions();
    let lab = Lab::new(Amount::of(args.time()), python.is_some())?;
    let is_over = || interrupt.is_asked();
    let lines = noise::run(lab.candidates(), Schedule::new(args.time(), &is_over), &CORES)?;
    let settings = BTreeMap::from([
        ("seconds".to_owned(), args.time().as_secs_f64().into()),
        ("markets".to_owned(), MARKETS.into()),
    ]);
    let mut report = Report::new("hoga bench peers", settings, &lines, targets(&lines));
    report.lines.extend(ratios(&lines));
    report.notes = near_limit(&lines);
    report.notes.extend(limits(&lines));
    report.notes.push(match python {
        Some(versions) => format!("{}: {versions}", PICOWS.name),
        None => format!("{} left out: python3 -m pip install picows orjson uvloop", PICOWS.name),
    });
    outcome(&report, &args.report, None)
}

/// The traffic and the two feeders.
struct Lab {
    plain: Feeder,
    secure: Feeder,
    tickers: RefCell<Traffic>,
    trades: RefCell<Traffic>,
    books: RefCell<Traffic>,
    amount: Amount,
    has_picows: bool,
}

impl Lab {
    fn new(amount: Amount, has_picows: bool) -> Result<Self, Error> {
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
            has_picows,
        })
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        let turn = |traffic, feeder| Turn { traffic, feeder, amount: self.amount };
        let (plain, secure) = (turn(&self.tickers, &self.plain), turn(&self.tickers, &self.secure));
        let picows = self.has_picows.then_some(PICOWS);
        let mut all = Vec::new();
        let saturated = [
            (TICKER_PLAIN, plain),
            (TICKER_TLS, secure),
            ("trade, plain", turn(&self.trades, &self.plain)),
            ("book of 30, plain", turn(&self.books, &self.plain)),
        ];
        for (what, turn) in saturated {
            let clients = [HOGA_PARK, TUNGSTENITE, FAST, MIO_PARK].into_iter().chain(picows);
            all.extend(clients.map(|client| turn.saturated(saturated_table(what), client.name, client)));
        }
        all.push(plain.limit());
        let clients = [HOGA_PARK, HOGA_SPIN, FLOOR, TUNGSTENITE, FAST, MIO_PARK, MIO_SPIN].into_iter().chain(picows);
        all.extend(clients.map(|client| plain.timed(TICKER_PLAIN, client, &RATES, &[BURST])));
        let clients = [HOGA_PARK, HOGA_SPIN, TUNGSTENITE, FAST, MIO_PARK, MIO_SPIN].into_iter().chain(picows);
        all.extend(clients.map(|client| secure.timed(TICKER_TLS, client, &[], &[BURST])));
        all
    }
}

const TICKER_PLAIN: &str = "ticker, plain";
const TICKER_TLS: &str = "ticker, TLS";

fn saturated_table(what: &str) -> String {
    format!("saturated, {what}")
}

/// Returns the ratios of hoga's figures to those of each peer, round by round.
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

/// Returns the ratios of all costs, which are the columns worth comparing.
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

/// Returns notes on the lower bound for any client. No client can be faster than the bare socket, so if the socket's
/// p99 is near a peer's, no client's p99 can be far below the peer's.
fn limits(lines: &[Line]) -> Vec<String> {
    let limit = |rate: &u64| {
        let table = rate_table(TICKER_PLAIN, *rate);
        let ratio = find(lines, &table, FLOOR)?.ratio(find(lines, &table, TUNGSTENITE)?, 1);
        let (median, floor, peer) = (ratio.median, FLOOR.name, TUNGSTENITE.name);
        Some(format!("{table}, p99: {floor} / {peer}: {median:.2}, the lower bound for any client"))
    };
    RATES.iter().filter_map(limit).collect()
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
    let (plain, secure) = (saturated_table(TICKER_PLAIN), saturated_table(TICKER_TLS));
    let mut all = vec![
        ratio(&plain, HOGA_PARK, TUNGSTENITE, 0, 1.0 / 5.0),
        ratio(&plain, HOGA_PARK, FAST, 0, 1.0 / 3.3),
        ratio(&secure, HOGA_PARK, TUNGSTENITE, 0, 1.0 / 4.0),
        ratio(&secure, HOGA_PARK, FAST, 0, 1.0 / 2.8),
    ];
    for rate in RATES {
        let table = rate_table(TICKER_PLAIN, rate);
        all.push(ratio(&table, HOGA_SPIN, TUNGSTENITE, 0, 1.0 / 2.4));
        all.push(ratio(&table, HOGA_SPIN, TUNGSTENITE, 1, 1.0 / 4.0));
        all.push(above_floor(lines, &table, HOGA_SPIN));
    }
    all.push(ratio(&burst_table(TICKER_PLAIN, BURST), HOGA_SPIN, TUNGSTENITE, 0, 1.0 / 6.0));
    all.push(ratio(&burst_table(TICKER_TLS, BURST), HOGA_SPIN, TUNGSTENITE, 0, 1.0 / 3.0));
    all.into_iter().flatten().collect()
}
