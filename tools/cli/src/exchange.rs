//! `hoga exchange`: serves the simulated exchange on a loopback port until it is interrupted.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use hoga_exchange::{Config, Fault, LogFile, Replay, Server, ServerConfig, Stats};
use tempfile::NamedTempFile;

use crate::args::ExchangeArgs;
use crate::exit::Failure;
use crate::object::Object;
use crate::output;
use crate::signals::{Interrupt, Usr1, survive_file_size_limit};

/// Serves until a signal arrives, then prints its counters to stderr.
pub fn run(args: ExchangeArgs) -> Result<(), Failure> {
    let (interrupt, usr1) = (Interrupt::catch()?, Usr1::catch()?);
    survive_file_size_limit()?;
    let log_end = LogEnd::default();
    let server = start(args, &log_end)?;
    let ca = certificate(&server)?;
    announce(&server, ca.as_ref())?;
    let mut muted = false;
    while !interrupt.is_asked() {
        if usr1.take() {
            muted = !muted;
            server.inject(Fault::Mute(muted));
            let _ = writeln!(io::stderr(), "{}", if muted { "muted: no data is sent" } else { "data is sent again" });
        }
        thread::park();
    }
    let stats = server.stats();
    server.shutdown();
    // An error means that stderr is closed, so nobody reads the counters.
    let _ = summarize(&stats);
    match log_end.get() {
        Some(why) => Err(Failure::Failed(format!("the log is incomplete: {why}"))),
        None => Err(Failure::Interrupted),
    }
}

/// Why the log ended before the exchange, if it did.
type LogEnd = Arc<OnceLock<String>>;

fn start(args: ExchangeArgs, log_end: &LogEnd) -> Result<Server, Failure> {
    let replay = match args.replay[..] {
        [] => None,
        ref files => Some(Replay::load(files).map_err(|e| Failure::Usage(format!("--replay {e}")))?),
    };
    replay.iter().for_each(report_other_lines);
    // After the replay has been read, because it may be the same file.
    let log = args.log.as_deref().map(|path| create_log(path, log_end)).transpose()?;
    let listen = args.listen;
    let config = config(args, replay);
    let server = match log {
        Some(log) => Server::start_observed(config, Box::new(log)),
        None => Server::start(config),
    };
    server.map_err(|e| Failure::Usage(format!("--listen {listen}: {e}")))
}

/// Creates the log. If it ends early, reports that at once, and keeps the reason for the exit code.
fn create_log(path: &Path, log_end: &LogEnd) -> Result<LogFile, Failure> {
    let log_end = log_end.clone();
    let log = LogFile::create(path, move |failure| {
        // stderr may be closed; the exit code still reports the failure.
        let _ = writeln!(io::stderr(), "hoga: the log ends here: {failure}");
        let _ = log_end.set(failure.to_string());
    });
    log.map_err(|e| Failure::Usage(format!("--log {}: {e}", path.display())))
}

/// Reports the lines that are not replayed to stderr, which may be closed.
fn report_other_lines(replay: &Replay) {
    let contents = replay.contents();
    if contents.messages < contents.lines {
        let (messages, lines) = (contents.messages, contents.lines);
        let others = contents.others();
        let _ = writeln!(io::stderr(), "replays {messages} messages of {lines} lines; other lines: {others}");
    }
}

fn config(args: ExchangeArgs, replay: Option<Replay>) -> ServerConfig {
    let exchange = Config {
        seed: args.seed,
        markets: usize::from(args.markets),
        speed: args.speed.times(),
        pace: args.speed.pace(),
        idle_timeout: args.idle_timeout,
        replay: replay.map(Arc::new),
        ..Config::of(args.dialect.into())
    };
    ServerConfig { listen: args.listen, plain: args.plain, exchange, ..ServerConfig::default() }
}

/// Writes the authority's certificate to a temporary file that only this user can read. Dropping the file removes it.
fn certificate(server: &Server) -> Result<Option<NamedTempFile>, Failure> {
    if server.ca_pem().is_empty() {
        return Ok(None);
    }
    let write = || {
        let mut file = tempfile::Builder::new().prefix("hoga-exchange-").suffix(".pem").tempfile()?;
        file.write_all(server.ca_pem().as_bytes())?;
        Ok(file)
    };
    let error =
        |e: io::Error| Failure::Failed(format!("the certificate could not be written to a temporary file: {e}"));
    write().map(Some).map_err(error)
}

fn announce(server: &Server, ca: Option<&NamedTempFile>) -> io::Result<()> {
    let mut line = String::new();
    Object::line(&mut line, |object| {
        object.text("listening", &server.url());
        match ca {
            Some(file) => object.text("ca", &file.path().to_string_lossy()),
            None => object.plain("ca", "null"),
        };
    });
    output::print(&line)
}

fn summarize(stats: &Stats) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(out, "connections {}, upgrades {}, requests {}", stats.connections, stats.upgrades, stats.requests)?;
    writeln!(out, "data frames {}, bytes {}", stats.data_frames, stats.data_bytes)?;
    writeln!(out, "pings {}, text pings {}", stats.ping_frames, stats.text_pings)?;
    writeln!(out, "errors {}, idle closes {}, slow readers {}", stats.errors, stats.idle_closes, stats.slow_readers)?;
    writeln!(out, "violations of the exchange's rules by clients: {}", stats.violations())
}
