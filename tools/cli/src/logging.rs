//! Logs on stderr, and only when asked for: stdout belongs to the data.

use std::env;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Logs from now on: nothing, or more the more often `-v` was given, unless `RUST_LOG` says what.
pub fn start(verbose: u8) {
    let default = match verbose {
        0 => "off",
        1 => "info",
        _ => "debug",
    };
    let asked = env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let wanted = asked.or_else(|| default.parse().ok()).unwrap_or_default();
    // A log that cannot be written would be reported with `eprintln!`, which panics for the same reason.
    let logs = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    tracing_subscriber::registry().with(wanted).with(logs).init();
}
