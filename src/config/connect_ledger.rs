//! The choice of processes that share the budget of connects.

use std::path::PathBuf;

/// The engines that share the budget of connects. The exchange counts connects per IP address, so all processes behind
/// one address should share a ledger. Each exchange, by host and port, has a separate one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ConnectLedger {
    /// All engines of this user on this host. The ledger is a small file in `$XDG_RUNTIME_DIR/hoga`, or in `hoga-<uid>`
    /// in the temporary directory if that variable names no directory of this user. For processes with different
    /// environments, such as a login session and a service, set a directory instead.
    ///
    /// A directory that others can write to is not used. If the file cannot be used, or another process keeps it locked
    /// for a second, the engine warns once, continues, and shares the budget within the process only.
    ///
    /// If the exchange refuses one of the engines, all wait for the time that it demands, up to a day.
    #[default]
    Host,
    /// All engines on this host that name this directory, for all users. The directory is created if it does not exist.
    /// All engines must be able to write to it, and it should be on a local file system. Any user who can write there
    /// can change the budget. Falls back as [`Host`](Self::Host) does.
    Directory(PathBuf),
    /// The engines of this process only. No file is written.
    Process,
}
