//! `hoga bench formats`: compares the four formats of a simulated exchange with the same messages.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use hoga::model::Format;
use hoga::wire::convert;
use hoga_cli::exit::Failure;
use hoga_cli::formats::{Comparison, Samples};
use hoga_cli::object::Object;
use hoga_cli::origin::Origin;
use hoga_cli::{output, signals};
use hoga_exchange::{Config, ConnId, Exchange, Observer};
use hoga_testing::frames;

use crate::args::BenchFormatsArgs;
use crate::serving::traffic::UPGRADE;

/// 2026-03-11 14:40:58 UTC, an arbitrary time.
const START: u64 = 1_773_240_058_000_000_000;
const SECOND: u64 = 1_000_000_000;
const MARKETS: usize = 20;
/// Multiplies the activity of the markets.
const SPEED: f64 = 20.0;
/// How long the exchange runs, in virtual seconds.
const SECONDS: u64 = 20;
const TYPES: [&str; 4] = ["ticker", "trade", "orderbook", "candle.1s"];

/// Limits: the bytes with short keys, and the time of any format, as parts of DEFAULT's.
const BYTES_MOST: f64 = 0.8;
const TIME_MOST: f64 = 1.25;

/// Runs the benchmark and prints and checks the report.
pub fn run(args: &BenchFormatsArgs) -> Result<(), Failure> {
    signals::end_at_once()?;
    let comparison = recorded()?.compare(args.bench.time(), args.rate)?;
    let origin = Origin::this();
    let text = if args.bench.report.json {
        json(&origin, &comparison)
    } else {
        format!("{}\n{}", origin.line(), comparison.text())
    };
    output::print(&text)?;
    let missed = missed(&comparison);
    if args.bench.report.check && !missed.is_empty() {
        return Err(Failure::Failed(format!("missed: {}", missed.join("; "))));
    }
    Ok(())
}

fn json(origin: &Origin, comparison: &Comparison) -> String {
    let mut text = String::new();
    Object::line(&mut text, |object| {
        origin.fields(object);
        comparison.fields(object);
    });
    text
}

fn missed(comparison: &Comparison) -> Vec<String> {
    let mut missed = Vec::new();
    for cell in comparison.cells() {
        let (name, format) = (cell.name, cell.format.as_str());
        if cell.format.is_short() && cell.bytes_ratio > BYTES_MOST {
            missed.push(format!("{name}: {format} has {:.3} of the bytes, at most {BYTES_MOST}", cell.bytes_ratio));
        }
        match cell.time {
            Some(time) if time.ratio > TIME_MOST => {
                missed.push(format!("{name}: {format} takes {:.3} of the time, at most {TIME_MOST}", time.ratio));
            }
            None => missed.push(format!("{name} was not read in {format}")),
            Some(_) => {}
        }
    }
    missed
}

/// The messages sent to each connection, in order.
#[derive(Default, Clone)]
struct Sent(Arc<Mutex<BTreeMap<ConnId, Vec<String>>>>);

impl Observer for Sent {
    fn sent(&mut self, _: u64, conn: ConnId, payload: &[u8]) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.entry(conn).or_default().push(String::from_utf8_lossy(payload).into_owned());
    }
}

/// Records four connections that subscribe to the same streams at the same time, each in its own format. All of them
/// receive the same messages.
fn recorded() -> Result<Samples, Failure> {
    let config = Config { markets: MARKETS, speed: SPEED, ..Config::default() };
    let mut exchange = Exchange::new(config, START);
    let sent = Sent::default();
    exchange.observe(Box::new(sent.clone()));
    let codes: Vec<String> = exchange.markets().map(|code| format!("\"{code}\"")).collect();
    let conns = Format::ALL.map(|format| subscribe(&mut exchange, format, &codes.join(",")));
    for now in (START..START + SECONDS * SECOND).step_by(SECOND as usize / 100) {
        exchange.handle_timeout(now);
        for conn in conns {
            exchange.poll_transmit(now, conn, &mut Vec::new());
        }
    }
    let sent = std::mem::take(&mut *sent.0.lock().unwrap_or_else(PoisonError::into_inner));
    let [default, simple, json_list, simple_list] = conns.map(|conn| sent.get(&conn).cloned().unwrap_or_default());
    let mut samples = Samples::default();
    let lists = json_list.into_iter().zip(simple_list);
    for ((default, simple), (json_list, simple_list)) in default.into_iter().zip(simple).zip(lists) {
        let types = convert(&simple, Format::Default).map(|converted| converted.types);
        let [name] = types.as_deref().unwrap_or_default() else {
            return Err(Failure::Failed(format!("the exchange sent {simple}")));
        };
        samples.add(name, 1, [default, simple, json_list, simple_list].map(|message| vec![message]));
    }
    Ok(samples)
}

/// Opens a connection and subscribes to all types of these markets.
fn subscribe(exchange: &mut Exchange, format: Format, codes: &str) -> ConnId {
    let conn = exchange.connect(START, IpAddr::V4(Ipv4Addr::LOCALHOST));
    exchange.receive(START, conn, UPGRADE);
    let objects = TYPES.map(|data_type| format!(r#"{{"type":"{data_type}","codes":[{codes}]}}"#)).join(",");
    let request = format!(r#"[{{"ticket":"bench"}},{objects},{{"format":"{}"}}]"#, format.as_str());
    exchange.receive(START, conn, &frames::client(frames::TEXT, request.as_bytes()));
    conn
}
