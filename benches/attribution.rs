//! What does it cost to record where the time of messages goes?
//!
//! `cargo bench -p hoga --bench attribution`. Two engines, one of which measures, read the same messages of one simulated
//! exchange at the same time; what is compared is the CPU time of their threads for each message, system calls included,
//! as Linux counts it. Neighbours on the machine disturb both alike, and each is the first to be started in half of the
//! runs. Plain sockets and sleeping threads: under TLS there is more beside which the cost would look small, and so there
//! is where threads spin. Not in the comparison: once one socket asks for stamps the kernel looks at its clock for each
//! packet of the machine, so both engines pay for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hoga::config::ConnectLedger;
use hoga::prelude::*;
use hoga_exchange::{Exchange, Server, ServerConfig};

const MARKETS: usize = 50;
/// How busy the markets are: messages come one by one, or many in one read.
const LOADS: [(&str, f64); 2] = [("single", 100.0), ("bulk", 2_000.0)];
const ROUND: Duration = Duration::from_millis(500);
/// Runs for each order of the two, and rounds of each.
const RUNS: usize = 6;
const ROUNDS: usize = 8;
/// A round in which one of the two had less to do says nothing of either: it was reconnecting.
const LEAST: f64 = 100.0;

fn main() {
    // `cargo test --benches` looks whether it runs.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (runs, rounds) = if is_measured { (RUNS, ROUNDS) } else { (1, 1) };
    println!("CPU time of the connection's thread for each message, ns: medians");
    println!("{:8} {:>10} {:>10} {:>8} {:>16}", "", "off", "on", "ratio", "ratios of rounds");
    for (name, speed) in LOADS {
        let rounds: Vec<_> =
            (0..runs).flat_map(|_| [false, true]).flat_map(|first| run(speed, first, rounds)).collect();
        let ratios: Vec<_> = rounds.iter().map(|[off, on]| on / off).collect();
        let [off, on] = [0, 1].map(|place| median(rounds.iter().map(|round| round[place]).collect()));
        let [low, high] = [f64::min, f64::max].map(|pick| ratios.iter().copied().reduce(pick).unwrap_or(f64::NAN));
        println!("{name:8} {off:>10.0} {on:>10.0} {:>8.3} {low:>8.3}{high:>8.3}", median(ratios));
    }
}

/// Two engines at once; `first`: whether the one that measures is started first. Gives the times of each round, without
/// and with measuring.
fn run(speed: f64, first: bool, rounds: usize) -> Vec<[f64; 2]> {
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    (config.exchange.speed, config.exchange.markets) = (speed, MARKETS);
    let markets: Vec<_> = Exchange::new(config.exchange.clone(), 0).markets().map(str::to_owned).collect();
    let server = Server::start(config).unwrap();
    let start = |measure: bool| {
        let engine = Engine::builder()
            .endpoint(Endpoint::custom(&server.url()).unwrap())
            .connect_ledger(ConnectLedger::Process)
            .measure_latencies(measure)
            .ticker(&markets)
            .trade(&markets)
            .orderbook(&markets)
            .start()
            .unwrap();
        engine.wait_ready(Duration::from_secs(60)).unwrap();
        engine
    };
    let engines = [first, !first].map(start);
    // Threads get their numbers in the order of their start.
    let tasks = connection_threads();
    let times = (0..rounds).filter_map(|_| round(&engines, &tasks));
    let times = times.map(|[a, b]| if first { [b, a] } else { [a, b] }).collect();
    let recorded = engines.iter().flat_map(Engine::latencies).map(|(_, one)| one.receive_to_decoded.count());
    assert!(recorded.sum::<u64>() > 0, "one of them measures");
    engines.iter().for_each(|engine| engine.shutdown(Duration::from_secs(5)).into_result().unwrap());
    times
}

/// CPU time per message of each engine during one round, in ns, if both had enough to do.
fn round(engines: &[Engine; 2], tasks: &[PathBuf]) -> Option<[f64; 2]> {
    let look = || [0, 1].map(|place| (cpu_ns(&tasks[place]), engines[place].connections()[0].counters.data as f64));
    let before = look();
    thread::sleep(ROUND);
    let after = look();
    let [messages, times] =
        [[0, 1].map(|place| after[place].1 - before[place].1), [0, 1].map(|place| after[place].0 - before[place].0)];
    let has_enough = messages.iter().all(|messages| *messages >= LEAST);
    has_enough.then(|| [0, 1].map(|place| times[place] / messages[place]))
}

/// The engines' threads, in the order of their start.
fn connection_threads() -> Vec<PathBuf> {
    let is_connection =
        |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "hoga-conn-0");
    let number = |task: &PathBuf| task.file_name()?.to_str()?.parse::<u64>().ok();
    let tasks = fs::read_dir("/proc/self/task").expect("Linux tells it for each thread");
    let mut tasks: Vec<_> = tasks.flatten().map(|task| task.path()).filter(is_connection).collect();
    tasks.sort_by_key(number);
    tasks
}

fn cpu_ns(task: &Path) -> f64 {
    // Nanoseconds on a CPU, time spent waiting, time slices.
    let schedstat = fs::read_to_string(task.join("schedstat")).unwrap();
    schedstat.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
