//! How `hoga watch` reaches the exchange and which roots it trusts, by its arguments and the environment.

use std::io::{self, Write};

use hoga::config::{Proxy, Roots};
use hoga::engine::{Builder, Engine};

use crate::args::{RootsArg, WatchArgs};
use crate::exit::Failure;

/// Sets the proxy and the trusted roots.
pub fn configure(builder: Builder, args: &WatchArgs) -> Result<Builder, Failure> {
    let builder = builder.proxy(proxy(args)?).roots(roots(args));
    Ok(match &args.ca {
        Some(ca) => builder.root_certificates_file(ca),
        None => builder,
    })
}

/// Says on stderr which proxy and which roots are in force, unless there is no proxy and the public roots are the
/// bundled ones. Roots of `--ca` are the user's own words.
pub fn announce(engine: &Engine, args: &WatchArgs) {
    let network = engine.network();
    if network.proxy.is_some() || roots(args) != Roots::bundled() {
        // stderr may be closed; the summary has the same texts.
        let _ = writeln!(io::stderr(), "hoga: {network}");
    }
}

fn proxy(args: &WatchArgs) -> Result<Option<Proxy>, Failure> {
    let proxy = match args.proxy.as_ref().map(|arg| arg.0.as_str()) {
        None => Proxy::from_env(),
        Some("none") => Ok(None),
        Some(url) => Proxy::new(url).map(Some),
    };
    proxy.map_err(|invalid| Failure::Usage(format!("{invalid}; or use --proxy none")))
}

fn roots(args: &WatchArgs) -> Roots {
    match args.roots {
        None => Roots::from_env(),
        Some(RootsArg::Bundled) => Roots::bundled(),
        Some(RootsArg::System) => Roots::system(),
    }
}
