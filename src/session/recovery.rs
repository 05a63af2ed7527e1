//! What the engine does about each cause of a failure: one table, which `docs/recovery.md` prints.

use std::fmt::Write as _;

use super::Disconnect;
use crate::model::{DisconnectKind, Severity};
use crate::wire::ErrorName;
use crate::ws::RejectionKind;

/// The cause of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCause {
    /// A socket ended or could not be opened. [`DisconnectKind::UpgradeRejected`] is divided further: see
    /// [`Rejected`](Self::Rejected).
    Disconnect(DisconnectKind),
    /// The server answered the upgrade request with a status other than 101.
    Rejected(RejectionKind),
    /// The exchange answered a request with an error, and ends the socket.
    ServerError(ErrorName),
}

/// Who can remove the cause of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoverableBy {
    /// The engine, at once.
    Now,
    /// The engine, once the other side or the network works again.
    Later,
    /// A person. The engine tries again nevertheless, because it cannot know when the person has acted.
    Person,
}

/// What the engine does about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryAction {
    /// Opens another socket, and requests everything on it.
    Reconnect,
    /// The same, but no connection of this address dials before the time that the exchange demands.
    HoldDials,
    /// Sends no request before the block is over, then the newest one.
    HoldRequests,
    /// Requests parts of the streams until those that the exchange refuses are found, and leaves them out.
    SplitRequest,
    /// Drops the socket and its state, then opens another one.
    Restart,
    /// Nothing: the connection ended on purpose.
    Nothing,
}

/// How the pauses between attempts grow while they fail. All begin with [`Backoff::base`](crate::config::Backoff::base).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cadence {
    /// Up to [`Backoff::network_cap`](crate::config::Backoff::network_cap): an attempt costs the exchange nothing, and
    /// data must be back soon after the network is.
    Short,
    /// [`Short`](Self::Short) for the first 16 attempts in a row, which find the streams to leave out, then
    /// [`Long`](Self::Long).
    Search,
    /// Up to [`Backoff::cap`](crate::config::Backoff::cap): an attempt costs the exchange something.
    Long,
    /// Up to [`Backoff::slow_cap`](crate::config::Backoff::slow_cap): only a person can remove the cause.
    Slow,
    /// The time that the exchange demands, and a pause of [`Long`](Self::Long).
    Stated,
    /// No further attempt.
    Never,
}

/// What the engine does about one cause of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryRule {
    /// How severe the failure is.
    pub severity: Severity,
    /// Who can remove its cause.
    pub by: RecoverableBy,
    /// What the engine does.
    pub action: RecoveryAction,
    /// The pauses between attempts.
    pub cadence: Cadence,
    /// What a person should do or check; empty if nothing.
    pub advice: &'static str,
}

impl FailureCause {
    /// Returns every cause.
    pub fn all() -> impl Iterator<Item = Self> {
        let disconnects = DisconnectKind::ALL.into_iter().filter(|kind| *kind != DisconnectKind::UpgradeRejected);
        let rejections = RejectionKind::ALL.into_iter().map(Self::Rejected);
        let errors = ErrorName::ALL.into_iter().map(Self::ServerError);
        disconnects.map(Self::Disconnect).chain(rejections).chain(errors)
    }

    /// Returns the cause of a disconnect.
    pub fn of(disconnect: &Disconnect) -> Self {
        match disconnect {
            Disconnect::Rejected(rejection) => Self::Rejected(rejection.kind),
            other => Self::Disconnect(other.kind()),
        }
    }

    /// Returns a short, stable word for logs and scripts.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Disconnect(kind) => kind.as_str(),
            Self::Rejected(kind) => kind.as_str(),
            Self::ServerError(name) => name.as_str(),
        }
    }

    /// Returns what the engine does about this cause.
    pub const fn rule(self) -> RecoveryRule {
        match self {
            Self::Disconnect(kind) => of_disconnect(kind),
            Self::Rejected(kind) => of_rejection(kind),
            Self::ServerError(name) => of_server_error(name),
        }
    }
}

const fn rule(severity: Severity, by: RecoverableBy, action: RecoveryAction, cadence: Cadence) -> RecoveryRule {
    RecoveryRule { severity, by, action, cadence, advice: "" }
}

/// The rule for a cause that only a person can remove.
const fn person(cadence: Cadence, advice: &'static str) -> RecoveryRule {
    let (severity, by, action) = (Severity::High, RecoverableBy::Person, RecoveryAction::Reconnect);
    RecoveryRule { severity, by, action, cadence, advice }
}

const fn of_disconnect(kind: DisconnectKind) -> RecoveryRule {
    use DisconnectKind as Kind;
    use RecoverableBy::{Later, Now};
    use RecoveryAction::{Nothing, Reconnect, Restart};
    use Severity::{High, Low, Medium};
    match kind {
        Kind::DnsFailed
        | Kind::DnsTimeout
        | Kind::ConnectRefused
        | Kind::ConnectFailed
        | Kind::ConnectTimeout
        | Kind::ProxyFailed
        | Kind::ProxyTimeout
        | Kind::TlsTimeout
        | Kind::UpgradeTimeout => rule(Medium, Later, Reconnect, Cadence::Short),
        Kind::OutOfResources => {
            person(Cadence::Short, "close files or sockets of this process, or raise its limits (ulimit -n)")
        }
        Kind::ProxyRefused => {
            person(Cadence::Slow, "check the proxy's address, the user name and the password, and what it allows")
        }
        Kind::TlsFailed => person(
            Cadence::Slow,
            "check the certificate of the server, the root certificates, and this machine's clock",
        ),
        // Without a more specific kind, the status is unknown.
        Kind::UpgradeRejected => of_rejection(RejectionKind::Other),
        // The server may only be busy.
        Kind::TlsEnded | Kind::HandshakeFailed => rule(Medium, Later, Reconnect, Cadence::Long),
        Kind::ClosedByPeer
        | Kind::Eof
        | Kind::Reset
        | Kind::Truncated
        | Kind::IoFailed
        | Kind::ProtocolError
        | Kind::Silent
        | Kind::Mute
        | Kind::NotReading => rule(Medium, Now, Reconnect, Cadence::Long),
        Kind::Panicked => {
            RecoveryRule { advice: "report it: this is a bug in hoga", ..rule(High, Now, Restart, Cadence::Long) }
        }
        Kind::Unwanted | Kind::Stopped => rule(Low, Now, Nothing, Cadence::Never),
    }
}

const fn of_rejection(kind: RejectionKind) -> RecoveryRule {
    use RecoverableBy::Later;
    use RecoveryAction::{HoldDials, Reconnect};
    use Severity::{High, Medium};
    match kind {
        RejectionKind::Redirect => person(Cadence::Slow, "check the endpoint: redirects are not followed"),
        RejectionKind::Unauthorized => {
            person(Cadence::Slow, "check the keys, their scope, and the addresses that the exchange allows")
        }
        RejectionKind::Banned => RecoveryRule {
            advice: "find out which process at this address connects too often; each ban is longer than the one before",
            ..rule(High, Later, HoldDials, Cadence::Stated)
        },
        RejectionKind::TooManyRequests => rule(Medium, Later, HoldDials, Cadence::Stated),
        RejectionKind::ServerError => rule(Medium, Later, Reconnect, Cadence::Long),
        RejectionKind::Other => person(Cadence::Slow, "check the endpoint, and proxies on the way to it"),
    }
}

const fn of_server_error(name: ErrorName) -> RecoveryRule {
    use RecoverableBy::{Later, Person};
    use RecoveryAction::{HoldRequests, SplitRequest};
    use Severity::{High, Medium};
    match name {
        ErrorName::InvalidAuth => {
            person(Cadence::Slow, "check the keys, their scope, and the addresses that the exchange allows")
        }
        ErrorName::TooManyRequest => rule(Medium, Later, HoldRequests, Cadence::Stated),
        ErrorName::WrongFormat
        | ErrorName::NoTicket
        | ErrorName::NoType
        | ErrorName::NoCodes
        | ErrorName::InvalidParam
        | ErrorName::Other => RecoveryRule {
            advice: "check the subscription of the streams that are left out",
            ..rule(High, Person, SplitRequest, Cadence::Search)
        },
    }
}

impl RecoverableBy {
    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "later",
            Self::Person => "person",
        }
    }
}

impl RecoveryAction {
    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::HoldDials => "hold_dials",
            Self::HoldRequests => "hold_requests",
            Self::SplitRequest => "split_request",
            Self::Restart => "restart",
            Self::Nothing => "nothing",
        }
    }
}

impl Cadence {
    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Search => "search",
            Self::Long => "long",
            Self::Slow => "slow",
            Self::Stated => "stated",
            Self::Never => "never",
        }
    }
}

/// Returns the table of all rules as Markdown.
pub fn recovery_table() -> String {
    let mut table = String::from("| cause | severity | recoverable by | action | pauses | advice |\n");
    table.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for cause in FailureCause::all() {
        let RecoveryRule { severity, by, action, cadence, advice } = cause.rule();
        let [severity, by] = [severity.as_str(), by.as_str()];
        let [action, cadence] = [action.as_str(), cadence.as_str()];
        let _ = writeln!(table, "| `{}` | {severity} | {by} | {action} | {cadence} | {advice} |", cause.code());
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_cause_has_its_own_code() {
        let causes: Vec<_> = FailureCause::all().collect();
        let codes: HashSet<_> = causes.iter().map(|cause| cause.code()).collect();
        assert_eq!(codes.len(), causes.len());
    }

    #[test]
    fn rules_agree_with_themselves() {
        for cause in FailureCause::all() {
            let RecoveryRule { severity, by, action, cadence, advice } = cause.rule();
            let context = cause.code();
            assert_eq!(
                by == RecoverableBy::Person,
                severity == Severity::High && !advice.is_empty() && {
                    !matches!(action, RecoveryAction::Restart | RecoveryAction::HoldDials)
                },
                "{context}: a person must know what to do"
            );
            assert_eq!(
                cadence == Cadence::Never,
                action == RecoveryAction::Nothing,
                "{context}: the engine never gives up"
            );
            if cadence == Cadence::Slow {
                assert_eq!(by, RecoverableBy::Person, "{context}: everything else is tried more often");
            }
        }
    }
}
