//! Which processes share the budget of connects.

use std::path::PathBuf;

/// Which engines share the budget of connects. The exchange counts them per address, so all processes behind one address should
/// ask one ledger. Each exchange, by host and port, has its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ConnectLedger {
    /// All engines of this user on this host: a small file in `$XDG_RUNTIME_DIR/hoga`, or in `hoga-<uid>` within the
    /// temporary directory where that variable names no directory of this user. Processes with different environments
    /// (a login session and a service, say) should be given a directory instead.
    ///
    /// A directory that others could write to is not used. Where the file cannot be used, or another process keeps it
    /// locked for a second, the engine goes on all the same, warns once and shares the budget within the process.
    ///
    /// When the exchange refuses one of them, all wait for as long as it asks for, a day at most.
    #[default]
    Host,
    /// All engines on this host that name this directory, whoever runs them. It is made if it does not exist, and must
    /// be writable for all of them; keep it on a local file system. The budget is as trustworthy as those who may write
    /// there. Falls back as [`Host`](Self::Host) does.
    Directory(PathBuf),
    /// The engines of this process only. No file is written.
    Process,
}
