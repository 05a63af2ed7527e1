//! `hoga exchange`: serves the simulated exchange on a loopback port until it is interrupted.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use hoga_exchange::{Config, Fault, Replay, Server, ServerConfig, Stats};
use tempfile::NamedTempFile;

use crate::args::ExchangeArgs;
use crate::exit::Failure;
use crate::object::Object;
use crate::output;
use crate::signals::{Interrupt, Usr1};

/// Serves until a signal arrives, then prints its counters to stderr.
pub fn run(args: ExchangeArgs) -> Result<(), Failure> {
    let (interrupt, usr1) = (Interrupt::catch()?, Usr1::catch()?);
    let server = start(args)?;
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
    Err(Failure::Interrupted)
}

fn start(args: ExchangeArgs) -> Result<Server, Failure> {
    if let Some(path) = &args.log {
        // Created here first, because the server's error does not name the file.
        File::create(path).map_err(|e| Failure::Usage(format!("--log {}: {e}", path.display())))?;
    }
    let replay = match args.replay[..] {
        [] => None,
        ref files => Some(Replay::load(files).map_err(|e| Failure::Usage(format!("--replay {e}")))?),
    };
    let listen = args.listen;
    Server::start(config(args, replay)).map_err(|e| Failure::Usage(format!("--listen {listen}: {e}")))
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
    ServerConfig { listen: args.listen, plain: args.plain, exchange, log: args.log, ..ServerConfig::default() }
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
