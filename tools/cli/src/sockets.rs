//! Notices where the data of one socket ends and the data of the next one begins.

use std::collections::BTreeMap;

use hoga::feed::Update;
use hoga::model::{ConnectionId, DisconnectKind, Epoch, Nanos};

use crate::line::NewSocket;

/// The newest socket of each connection. A feed has several parts, and each reports a new socket when its reader gets
/// there. These reports are combined into one change of sockets, at the first data of the new one.
#[derive(Default)]
pub struct Sockets(BTreeMap<ConnectionId, Socket>);

#[derive(Default)]
struct Socket {
    /// The epoch of the newest data, and when that data was received.
    epoch: Epoch,
    received: Nanos,
    /// The newest socket that the feed has reported, and why the one before it ended.
    reported: (Epoch, Option<DisconnectKind>),
}

impl Sockets {
    /// Records that the feed has reported a new socket.
    pub fn reported(&mut self, connection: ConnectionId, new: Epoch, reason: Option<DisconnectKind>) {
        let socket = self.0.entry(connection).or_default();
        if new > socket.reported.0 {
            socket.reported = (new, reason);
        }
    }

    /// Returns true if this is the first data of its socket.
    pub fn is_first<T>(&self, update: &Update<T>) -> bool {
        self.0.get(&update.connection).is_none_or(|socket| update.epoch > socket.epoch)
    }

    /// Records data. Returns the change of sockets if this is the first data of a socket and another one has sent data
    /// before.
    pub fn data<T>(&mut self, update: &Update<T>) -> Option<NewSocket> {
        let Update { connection, epoch: new, .. } = *update;
        let (first, socket) = (update.stamps.received, self.0.entry(connection).or_default());
        if new < socket.epoch {
            // Another part of the feed has already reached a newer socket.
            return None;
        }
        let (old, last) = (std::mem::replace(&mut socket.epoch, new), std::mem::replace(&mut socket.received, first));
        let disconnect = if socket.reported.0 == new { socket.reported.1 } else { None };
        let is_change = old != new && old != Epoch::default();
        is_change.then_some(NewSocket { connection, old, new, last, first, disconnect })
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

    fn change(old: u32, new: u32, [last, first]: [u64; 2], disconnect: DisconnectKind) -> Option<NewSocket> {
        let (old, new, last, first) = (Epoch(old), Epoch(new), Nanos(last), Nanos(first));
        Some(NewSocket { connection: ID, old, new, last, first, disconnect: Some(disconnect) })
    }

    #[test]
    fn a_change_is_returned_once_although_several_parts_of_the_feed_report_it() {
        let mut sockets = Sockets::default();
        assert!(sockets.is_first(&data(1, 10)));
        assert_eq!(sockets.data(&data(1, 10)), None, "there was no socket before");
        sockets.reported(ID, Epoch(2), Some(DisconnectKind::Eof));
        assert_eq!(sockets.data(&data(1, 11)), None, "from another part, which is behind");
        assert_eq!(sockets.data(&data(2, 20)), change(1, 2, [11, 20], DisconnectKind::Eof));
        sockets.reported(ID, Epoch(2), Some(DisconnectKind::Eof));
        assert_eq!((sockets.data(&data(1, 12)), sockets.data(&data(2, 21))), (None, None));
    }

    #[test]
    fn sockets_without_data_are_skipped() {
        let mut sockets = Sockets::default();
        sockets.data(&data(1, 10));
        sockets.reported(ID, Epoch(2), Some(DisconnectKind::Eof));
        sockets.reported(ID, Epoch(3), Some(DisconnectKind::Mute));
        // A part of the feed that is behind reports an older socket.
        sockets.reported(ID, Epoch(2), Some(DisconnectKind::Eof));
        assert_eq!(sockets.data(&data(3, 30)), change(1, 3, [10, 30], DisconnectKind::Mute));
    }
}
