//! Notices where the data of one socket ends and that of the next begins.

use std::collections::BTreeMap;

use hoga::feed::Update;
use hoga::model::{ConnectionId, DisconnectKind, Epoch, Nanos};

use crate::line::NewSocket;

/// The newest socket of each connection. A feed has several parts, each of which tells of a socket when it gets there;
/// here it is one turn, at the first data of the new one.
#[derive(Default)]
pub struct Sockets(BTreeMap<ConnectionId, Socket>);

#[derive(Default)]
struct Socket {
    /// Of the newest data, and when that was received.
    epoch: Epoch,
    received: Nanos,
    /// The newest socket that the feed told of, and why the one before it ended.
    told: (Epoch, Option<DisconnectKind>),
}

impl Sockets {
    /// The feed told of a new socket.
    pub fn told(&mut self, connection: ConnectionId, new: Epoch, reason: Option<DisconnectKind>) {
        let socket = self.0.entry(connection).or_default();
        if new > socket.told.0 {
            socket.told = (new, reason);
        }
    }

    /// This is the first data of its socket.
    pub fn is_first<T>(&self, update: &Update<T>) -> bool {
        self.0.get(&update.connection).is_none_or(|socket| update.epoch > socket.epoch)
    }

    /// Remembers the data; gives the turn, if another socket brought data before.
    pub fn data<T>(&mut self, update: &Update<T>) -> Option<NewSocket> {
        let Update { connection, epoch: new, .. } = *update;
        let (first, socket) = (update.stamps.received, self.0.entry(connection).or_default());
        if new < socket.epoch {
            // Another part of the feed is already further.
            return None;
        }
        let (old, last) = (std::mem::replace(&mut socket.epoch, new), std::mem::replace(&mut socket.received, first));
        let disconnect = if socket.told.0 == new { socket.told.1 } else { None };
        let is_turn = old != new && old != Epoch::default();
        is_turn.then_some(NewSocket { connection, old, new, last, first, disconnect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoga::model::Stamps;

    const ID: ConnectionId = ConnectionId(0);

    fn data(epoch: u32, received: u64) -> Update<()> {
        let stamps = Stamps { received: Nanos(received), ..Stamps::default() };
        Update { value: (), stamps, connection: ID, epoch: Epoch(epoch), version: 1 }
    }

    fn turn(old: u32, new: u32, [last, first]: [u64; 2], disconnect: DisconnectKind) -> Option<NewSocket> {
        let (old, new, last, first) = (Epoch(old), Epoch(new), Nanos(last), Nanos(first));
        Some(NewSocket { connection: ID, old, new, last, first, disconnect: Some(disconnect) })
    }

    #[test]
    fn a_turn_is_told_once_however_many_parts_of_the_feed_tell_of_it() {
        let mut sockets = Sockets::default();
        assert!(sockets.is_first(&data(1, 10)));
        assert_eq!(sockets.data(&data(1, 10)), None, "there was none before");
        sockets.told(ID, Epoch(2), Some(DisconnectKind::Eof));
        assert_eq!(sockets.data(&data(1, 11)), None, "from another part, which is not that far");
        assert_eq!(sockets.data(&data(2, 20)), turn(1, 2, [11, 20], DisconnectKind::Eof));
        sockets.told(ID, Epoch(2), Some(DisconnectKind::Eof));
        assert_eq!((sockets.data(&data(1, 12)), sockets.data(&data(2, 21))), (None, None));
    }

    #[test]
    fn sockets_that_brought_nothing_are_passed_over() {
        let mut sockets = Sockets::default();
        sockets.data(&data(1, 10));
        sockets.told(ID, Epoch(2), Some(DisconnectKind::Eof));
        sockets.told(ID, Epoch(3), Some(DisconnectKind::Mute));
        // A part that comes late knows nothing newer.
        sockets.told(ID, Epoch(2), Some(DisconnectKind::Eof));
        assert_eq!(sockets.data(&data(3, 30)), turn(1, 3, [10, 30], DisconnectKind::Mute));
    }
}
