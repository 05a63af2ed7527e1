//! Logs to stderr, and only on request, because stdout is for data.

use std::env;
use std::io::{self, IsTerminal};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. `verbose` is the number of `-v` flags: 0 is off, 1 is level info, 2 or more is level debug. A valid
/// `RUST_LOG` overrides it. Colors are used only on a terminal, and not if `NO_COLOR` is set.
pub fn start(verbose: u8) {
    let default = match verbose {
        0 => "off",
        1 => "info",
        _ => "debug",
    };
    let asked = env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let wanted = asked.or_else(|| default.parse().ok()).unwrap_or_default();
    // A log that cannot be written would be reported with `eprintln!`, which panics for the same reason.
    let colors = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logs = fmt::layer().with_writer(io::stderr).with_ansi(colors).log_internal_errors(false);
    tracing_subscriber::registry().with(wanted).with(logs).init();
}
