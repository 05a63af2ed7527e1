//! The exchange of the examples: the one of the first argument (`kr`, `sg`, `id`, `th`, `bithumb` or a URL), or, without
//! an argument, a simulated exchange inside the program.

use hoga::Builder;
use hoga::config::ConnectLedger;
use hoga::prelude::*;
use hoga_exchange::{Server, ServerConfig};

/// Returns the builder of an engine, and the simulated exchange, which must live as long as the engine.
#[allow(dead_code, reason = "only when the examples run as programs")]
pub fn builder() -> hoga::Result<(Builder, Option<Server>)> {
    let endpoint = match std::env::args().nth(1).as_deref() {
        None => return simulated(),
        Some("kr") => Endpoint::korea(),
        Some("sg") => Endpoint::singapore(),
        Some("id") => Endpoint::indonesia(),
        Some("th") => Endpoint::thailand(),
        Some("bithumb") => Endpoint::bithumb(),
        Some(url) => Endpoint::custom(url)?,
    };
    Ok((Engine::builder().endpoint(endpoint), None))
}

#[allow(dead_code, reason = "only when the examples run as programs")]
fn simulated() -> hoga::Result<(Builder, Option<Server>)> {
    let failed = |error| hoga::Error::Start { what: "simulated exchange", source: error };
    let server = Server::start(ServerConfig { plain: true, ..ServerConfig::default() }).map_err(failed)?;
    let endpoint = Endpoint::custom(&server.url())?;
    Ok((Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process), Some(server)))
}
