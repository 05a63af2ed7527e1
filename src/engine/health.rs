//! The health of the engine as a whole: a level, and the problems that explain it.

use std::collections::BTreeMap;
use std::fmt;

use super::Engine;
use super::status::ConnectionStatus;
use crate::feed::CallbackState;
use crate::model::{ConnectionId, DataType, DisconnectKind, Nanos};
use crate::pool::Health;
use crate::session::State;

/// How well the engine does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HealthLevel {
    /// Every wanted stream has a value against which nothing speaks.
    Healthy,
    /// Some streams, or something that does not concern values, have a problem.
    Degraded,
    /// No stream can be trusted, or the engine does not work.
    Critical,
}

/// A problem of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineProblem {
    /// The engine was shut down. Critical.
    Stopped,
    /// A thread of the engine has ended, and could not be continued. Critical.
    ThreadEnded,
    /// No connection that has streams to carry has an open socket. Critical.
    AllConnectionsDown,
    /// This connection has streams to carry and no open socket.
    ConnectionDown {
        /// The connection.
        connection: ConnectionId,
        /// How its last socket or attempt ended; `None` before the first.
        last: Option<DisconnectKind>,
    },
    /// The exchange's refusals, or the budget of connects, keep this connection from dialing or sending requests.
    HeldBack {
        /// The connection.
        connection: ConnectionId,
        /// The end of the wait.
        until: Nanos,
    },
    /// Streams whose value cannot be trusted.
    Streams {
        /// The word of their health, such as `stale` or `no_data`; see [`Health::as_str`].
        health: &'static str,
        /// Their number.
        count: usize,
    },
    /// No wanted stream has a value that can be trusted. Critical.
    NoStreamLives,
    /// Streams that are left out, because the exchange refuses requests for them.
    StreamsRefused {
        /// Their number.
        count: usize,
    },
    /// The last request for the list of markets failed.
    MarketList,
    /// This callback failed too often and is not called any more.
    CallbackQuarantined {
        /// Its name.
        name: Box<str>,
    },
}

/// The health of the engine at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineHealth {
    /// The level of the worst problem.
    pub level: HealthLevel,
    /// All problems; empty if the engine is healthy.
    pub problems: Vec<EngineProblem>,
    /// The number of wanted streams of each type.
    pub streams: Vec<(DataType, usize)>,
}

impl HealthLevel {
    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

impl EngineProblem {
    /// Returns how bad the problem is.
    pub const fn level(&self) -> HealthLevel {
        match self {
            Self::Stopped | Self::ThreadEnded | Self::AllConnectionsDown | Self::NoStreamLives => HealthLevel::Critical,
            Self::ConnectionDown { .. }
            | Self::HeldBack { .. }
            | Self::Streams { .. }
            | Self::StreamsRefused { .. }
            | Self::MarketList
            | Self::CallbackQuarantined { .. } => HealthLevel::Degraded,
        }
    }

    /// Returns a short, stable word for logs and scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::ThreadEnded => "thread_ended",
            Self::AllConnectionsDown => "all_connections_down",
            Self::ConnectionDown { .. } => "connection_down",
            Self::HeldBack { .. } => "held_back",
            Self::Streams { .. } => "streams",
            Self::NoStreamLives => "no_stream_lives",
            Self::StreamsRefused { .. } => "streams_refused",
            Self::MarketList => "market_list",
            Self::CallbackQuarantined { .. } => "callback_quarantined",
        }
    }
}

impl fmt::Display for EngineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the engine was shut down"),
            Self::ThreadEnded => f.write_str("a thread of the engine has ended; this is a bug in hoga"),
            Self::AllConnectionsDown => f.write_str("no connection has an open socket"),
            Self::ConnectionDown { connection, last: None } => write!(f, "connection {connection} is not open yet"),
            Self::ConnectionDown { connection, last: Some(last) } => {
                write!(f, "connection {connection} has no open socket: {last}")
            }
            Self::HeldBack { connection, .. } => {
                write!(f, "connection {connection} waits after a refusal, or for the budget of connects")
            }
            Self::Streams { health, count } => write!(f, "{count} streams are {health}"),
            Self::NoStreamLives => f.write_str("no stream has a value that can be trusted"),
            Self::StreamsRefused { count } => write!(f, "the exchange refuses requests for {count} streams"),
            Self::MarketList => f.write_str("the list of markets could not be loaded"),
            Self::CallbackQuarantined { name } => {
                write!(f, "callback \"{}\" is quarantined", name.escape_debug())
            }
        }
    }
}

/// What the health is judged by.
#[derive(Default)]
struct Facts {
    stopped: bool,
    thread_ended: bool,
    connections: Vec<ConnectionFacts>,
    /// The wanted streams, with their health.
    streams: Vec<(DataType, Health)>,
    refused: usize,
    market_list_failed: bool,
    quarantined: Vec<Box<str>>,
}

#[derive(Clone, Copy)]
struct ConnectionFacts {
    id: ConnectionId,
    state: State,
    last: Option<DisconnectKind>,
    held_until: Option<Nanos>,
}

impl From<&ConnectionStatus> for ConnectionFacts {
    fn from(status: &ConnectionStatus) -> Self {
        let last = status.last_disconnect.as_ref().map(|disconnect| disconnect.kind());
        Self { id: status.id, state: status.state, last, held_until: status.blocked_until.or(status.dial_held_until) }
    }
}

impl Facts {
    fn judge(self) -> EngineHealth {
        let mut problems = Vec::new();
        problems.extend(self.stopped.then_some(EngineProblem::Stopped));
        problems.extend((self.thread_ended && !self.stopped).then_some(EngineProblem::ThreadEnded));
        problems.extend(connection_problems(&self.connections));
        problems.extend(stream_problems(&self.streams));
        if self.refused > 0 && self.streams.is_empty() {
            problems.push(EngineProblem::NoStreamLives);
        }
        problems.extend((self.refused > 0).then_some(EngineProblem::StreamsRefused { count: self.refused }));
        problems.extend(self.market_list_failed.then_some(EngineProblem::MarketList));
        problems.extend(self.quarantined.into_iter().map(|name| EngineProblem::CallbackQuarantined { name }));
        let level = problems.iter().map(EngineProblem::level).max().unwrap_or(HealthLevel::Healthy);
        let mut streams: BTreeMap<DataType, usize> = BTreeMap::new();
        for (data_type, _) in self.streams {
            *streams.entry(data_type).or_default() += 1;
        }
        EngineHealth { level, problems, streams: streams.into_iter().collect() }
    }
}

/// Returns the problems of the connections that have streams to carry.
fn connection_problems(all: &[ConnectionFacts]) -> Vec<EngineProblem> {
    let is_wanted = |one: &&ConnectionFacts| !matches!(one.state, State::Disconnected | State::Closing);
    let wanted: Vec<_> = all.iter().filter(is_wanted).collect();
    let down: Vec<_> = wanted.iter().filter(|one| !one.state.is_open()).collect();
    let mut problems = Vec::new();
    if !down.is_empty() && down.len() == wanted.len() {
        problems.push(EngineProblem::AllConnectionsDown);
    }
    problems.extend(down.iter().map(|one| EngineProblem::ConnectionDown { connection: one.id, last: one.last }));
    let held = wanted.iter().filter_map(|one| Some((one.id, one.held_until?)));
    problems.extend(held.map(|(connection, until)| EngineProblem::HeldBack { connection, until }));
    problems
}

fn stream_problems(streams: &[(DataType, Health)]) -> Vec<EngineProblem> {
    let disputed: Vec<_> = streams.iter().filter(|(_, health)| !health.is_undisputed()).collect();
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (_, health) in &disputed {
        *counts.entry(health.as_str()).or_default() += 1;
    }
    let mut problems = Vec::new();
    if !disputed.is_empty() && disputed.len() == streams.len() {
        problems.push(EngineProblem::NoStreamLives);
    }
    problems.extend(counts.into_iter().map(|(health, count)| EngineProblem::Streams { health, count }));
    problems
}

impl Engine {
    /// Returns the health of the engine as a whole, with every problem. An engine without subscriptions is healthy. One
    /// that has just started is not, until its streams have values. For one stream, see
    /// [`Reading::health`](crate::Reading::health).
    pub fn health(&self) -> EngineHealth {
        let (wanted, refused) = self.control.with_planner(|planner| {
            let (expected, _) = planner.expected();
            let (refused, wanted): (Vec<_>, Vec<_>) =
                expected.into_iter().partition(|key| planner.refusal(*key).is_some());
            (wanted, refused.len())
        });
        let statuses: BTreeMap<_, _> =
            self.pool().streams().into_iter().map(|status| (status.key, status.health)).collect();
        let health = |key| statuses.get(key).copied().unwrap_or(Health::NoData { since: Nanos::default() });
        let quarantined = self.callbacks().into_iter().filter(|status| status.state == CallbackState::Quarantined);
        Facts {
            stopped: self.control.is_stopped(),
            thread_ended: !self.control.is_alive(),
            connections: self.connections().iter().map(ConnectionFacts::from).collect(),
            streams: wanted.iter().map(|key| (key.data_type, health(key))).collect(),
            refused,
            market_list_failed: self.market_list().failure.is_some(),
            quarantined: quarantined.map(|status| status.name).collect(),
        }
        .judge()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn connection(id: u16, state: State) -> ConnectionFacts {
        ConnectionFacts { id: ConnectionId(id), state, last: Some(DisconnectKind::Eof), held_until: None }
    }

    fn judge(connections: &[ConnectionFacts], streams: &[Health]) -> (HealthLevel, String) {
        let streams = streams.iter().map(|health| (DataType::Ticker, *health)).collect();
        words(&Facts { connections: connections.to_vec(), streams, ..Facts::default() }.judge())
    }

    fn words(health: &EngineHealth) -> (HealthLevel, String) {
        let codes: Vec<_> = health.problems.iter().map(EngineProblem::code).collect();
        (health.level, codes.join(" "))
    }

    #[test]
    fn the_level_follows_from_connections_and_streams() {
        use HealthLevel::{Critical, Degraded, Healthy};
        let (up, down) = (connection(0, State::Active), connection(1, State::Reconnecting));
        let other_down = connection(0, State::Connecting);
        let idle = connection(2, State::Disconnected);
        let since = Nanos(1);
        let stale = Health::Disconnected { since };
        let table = [
            (vec![idle], vec![], (Healthy, "")),
            (vec![up, idle], vec![Health::Live], (Healthy, "")),
            (vec![up, down], vec![Health::Live, stale], (Degraded, "connection_down streams")),
            (vec![up], vec![Health::Live, Health::NoData { since }], (Degraded, "streams")),
            (vec![up], vec![stale], (Critical, "no_stream_lives streams")),
            (
                vec![other_down, down],
                vec![stale, Health::NoData { since }],
                (Critical, "all_connections_down connection_down connection_down no_stream_lives streams streams"),
            ),
            // Values stay undisputed for no time at all after both ends, so the connections alone decide.
            (vec![other_down, down], vec![], (Critical, "all_connections_down connection_down connection_down")),
        ];
        for (connections, streams, (level, codes)) in table {
            assert_eq!(judge(&connections, &streams), (level, codes.to_owned()));
        }
    }

    #[test]
    fn each_other_fact_is_a_problem_of_its_own() {
        use HealthLevel::{Critical, Degraded};
        let held = ConnectionFacts { held_until: Some(Nanos(9)), ..connection(0, State::Active) };
        let table = [
            (Facts { stopped: true, thread_ended: true, ..Facts::default() }, Critical, "stopped"),
            (Facts { thread_ended: true, ..Facts::default() }, Critical, "thread_ended"),
            (Facts { connections: vec![held], ..Facts::default() }, Degraded, "held_back"),
            (Facts { refused: 3, ..Facts::default() }, Critical, "no_stream_lives streams_refused"),
            (Facts { market_list_failed: true, ..Facts::default() }, Degraded, "market_list"),
            (Facts { quarantined: vec!["a".into()], ..Facts::default() }, Degraded, "callback_quarantined"),
        ];
        for (facts, level, codes) in table {
            let health = facts.judge();
            assert_eq!(words(&health), (level, codes.to_owned()));
            assert!(health.problems[0].to_string().len() > 15, "{}", health.problems[0]);
        }
    }
}
