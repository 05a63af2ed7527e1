//! A reader learns of each new socket once, before the socket's first update.

use std::sync::Arc;

use crate::support::Seen::{Data, Gap, Socket};
use crate::support::*;
use hoga::feed::{Feed, FeedWriter, Filter, Item, Overflow, Update};
use hoga::model::{ConnectionId, DataType, DisconnectKind, Epoch, Nanos, Trade};
use hoga::sync::connection::ConnectionState;

/// A feed of one stream with one policy, and its connection.
struct Fixture {
    writer: FeedWriter<Trade>,
    feed: Feed<Trade>,
    sockets: Arc<ConnectionState>,
    clock: Arc<TestClock>,
    storage: Storage,
}

enum Storage {
    Queue,
    Ring(Box<SharedRing>),
    Newest(Box<Newest>),
}

const POLICIES: [Overflow; 4] = [
    Overflow::DropOldest,
    Overflow::DropNewest { capacity: 4 },
    Overflow::Conflate,
    Overflow::Throttle(std::time::Duration::from_nanos(1)),
];

impl Fixture {
    fn new(overflow: Overflow) -> Self {
        let Rig { mut writers, mut feed, mut sockets, clock } = rig(DataType::Trade, overflow, 1);
        let mut writer = writers.remove(0);
        let storage = match overflow {
            Overflow::DropOldest => {
                let ring = shared(4, 1);
                ring.follow(&mut writer, &[0], &[]);
                Storage::Ring(Box::new(ring))
            }
            Overflow::DropNewest { .. } => Storage::Queue,
            _ => {
                let spare = rig(DataType::Trade, Overflow::Conflate, 1).writers.remove(0);
                let newest = Newest::new(std::mem::replace(&mut writer, spare), 1);
                Storage::Newest(Box::new(newest))
            }
        };
        assert_eq!(feed.pop(), None);
        Self { writer, feed, sockets: sockets.remove(0), clock, storage }
    }

    fn opened(&self, epoch: u32, after: impl Into<Option<DisconnectKind>>) {
        self.sockets.opened(Epoch(epoch), Nanos(0), after.into());
    }

    fn publish(&mut self, version: u64, epoch: u32) {
        match &mut self.storage {
            Storage::Queue => {
                self.writer.push(on_socket(version, epoch));
            }
            Storage::Ring(ring) => ring.put(0, &on_socket(version, epoch)),
            Storage::Newest(newest) => {
                newest.put(0, version, epoch);
                newest.mark(0);
            }
        }
        self.clock.set(hoga::model::Nanos(version * 1_000));
    }

    fn drain(&mut self) -> Vec<Seen> {
        drain(&mut self.feed)
    }
}

fn socket(item: Item<Trade>) -> Option<(u16, u32, u32, Option<DisconnectKind>)> {
    let Item::Epoch { connection, old, new, reason, .. } = item else { return None };
    Some((connection.0, old.0, new.0, reason))
}

#[test]
fn a_new_socket_is_reported_before_its_first_data_except_the_first_socket() {
    for policy in POLICIES {
        let mut fixture = Fixture::new(policy);
        fixture.opened(1, None);
        assert_eq!(fixture.drain(), [], "{policy}");
        fixture.publish(1, 1);
        assert_eq!(fixture.drain(), [Data(1)], "{policy}");
        fixture.opened(2, DisconnectKind::Eof);
        fixture.publish(2, 2);
        assert_eq!(fixture.drain(), [Socket(1, 2), Data(2)], "{policy}");
        fixture.publish(3, 2);
        assert_eq!(fixture.drain(), [Data(3)], "{policy}");
    }
}

#[test]
fn a_new_socket_without_data_is_reported_once_with_its_reason() {
    for policy in POLICIES {
        let mut fixture = Fixture::new(policy);
        fixture.opened(1, None);
        fixture.publish(1, 1);
        assert_eq!(fixture.drain(), [Data(1)], "{policy}");
        fixture.opened(2, DisconnectKind::Reset);
        assert!(fixture.feed.wait(std::time::Duration::ZERO), "{policy}");
        assert_eq!(fixture.feed.pop().and_then(socket), Some((0, 1, 2, Some(DisconnectKind::Reset))), "{policy}");
        assert_eq!(fixture.drain(), [], "{policy}");
        fixture.publish(2, 2);
        assert_eq!(fixture.drain(), [Data(2)], "{policy}");
        assert_identity(fixture.feed.counts());
    }
}

#[test]
fn data_of_the_old_socket_precedes_the_new_socket() {
    for policy in &POLICIES[..2] {
        let mut fixture = Fixture::new(*policy);
        fixture.opened(1, None);
        fixture.publish(1, 1);
        fixture.publish(2, 1);
        fixture.opened(2, DisconnectKind::Silent);
        assert_eq!(fixture.drain(), [Data(1), Data(2), Socket(1, 2)], "{policy}");
        fixture.publish(3, 2);
        fixture.opened(3, DisconnectKind::Mute);
        fixture.publish(4, 3);
        assert_eq!(fixture.drain(), [Data(3), Socket(2, 3), Data(4)], "{policy}");
    }
}

#[test]
fn a_gap_and_a_new_socket_are_reported_in_order() {
    let mut ring = Fixture::new(Overflow::DropOldest);
    let mut queue = Fixture::new(Overflow::DropNewest { capacity: 4 });
    for fixture in [&mut ring, &mut queue] {
        fixture.opened(1, None);
        fixture.publish(1, 1);
        assert_eq!(fixture.drain(), [Data(1)]);
        (2..=7).for_each(|version| fixture.publish(version, 1));
        fixture.opened(2, DisconnectKind::Eof);
        fixture.publish(8, 2);
    }
    assert_eq!(ring.drain(), [Gap(3), Data(5), Data(6), Data(7), Socket(1, 2), Data(8)]);
    assert_eq!(queue.drain(), [Data(2), Data(3), Data(4), Data(5), Gap(3), Socket(1, 2)]);
}

#[test]
fn sockets_that_opened_between_two_reads_are_reported_as_one() {
    for policy in POLICIES {
        let mut fixture = Fixture::new(policy);
        fixture.opened(1, None);
        fixture.publish(1, 1);
        assert_eq!(fixture.drain(), [Data(1)], "{policy}");
        (2..=5).for_each(|epoch| fixture.opened(epoch, DisconnectKind::ALL[epoch as usize]));
        let item = fixture.feed.pop();
        assert_eq!(item.and_then(socket), Some((0, 1, 5, Some(DisconnectKind::ALL[5]))), "{policy}");
        assert_eq!(fixture.drain(), [], "{policy}");
    }
}

#[test]
fn a_reason_is_known_for_64_sockets_and_then_forgotten() {
    let mut fixture = Fixture::new(Overflow::DropNewest { capacity: 4 });
    for (epoch, after) in [(1, None), (2, Some(DisconnectKind::TlsFailed)), (3, None)] {
        fixture.opened(epoch, after);
        fixture.publish(u64::from(epoch), epoch);
    }
    let mut other = Fixture::new(Overflow::DropNewest { capacity: 4 });
    for (epoch, after) in [(1, None), (2, DisconnectKind::TlsFailed.into())] {
        other.opened(epoch, after);
        other.publish(u64::from(epoch), epoch);
    }
    (4..=65).for_each(|epoch| fixture.opened(epoch, DisconnectKind::Eof));
    (3..=66).for_each(|epoch| other.opened(epoch, DisconnectKind::Eof));
    let epochs = |fixture: &mut Fixture| fixture.feed.by_ref().filter_map(socket).collect::<Vec<_>>();
    let last = Some(DisconnectKind::Eof);
    assert_eq!(epochs(&mut fixture), [(0, 1, 2, Some(DisconnectKind::TlsFailed)), (0, 2, 3, None), (0, 3, 65, last)]);
    assert_eq!(epochs(&mut other), [(0, 1, 2, None), (0, 2, 66, last)]);
}

#[test]
fn each_connection_reports_its_own_sockets() {
    let Rig { mut writers, mut feed, sockets, .. } = rig(DataType::Trade, Overflow::DROP_NEWEST, 3);
    for (id, socket) in (0..).zip(&sockets) {
        socket.opened(Epoch(1), Nanos(0), None);
        let update = Update { connection: ConnectionId(id), ..update(u64::from(id)) };
        writers[usize::from(id)].push(update);
    }
    assert_eq!(drain(&mut feed).len(), 3);
    sockets[2].opened(Epoch(2), Nanos(0), Some(DisconnectKind::Eof));
    sockets[0].opened(Epoch(4), Nanos(0), Some(DisconnectKind::Mute));
    let mut epochs: Vec<_> = feed.by_ref().filter_map(socket).collect();
    epochs.sort_unstable_by_key(|(connection, ..)| *connection);
    assert_eq!(epochs, [(0, 1, 4, Some(DisconnectKind::Mute)), (2, 1, 2, Some(DisconnectKind::Eof))]);
}

#[test]
fn a_late_reader_does_not_learn_of_earlier_sockets() {
    let Rig { mut writers, mut feed, sockets, .. } = rig(DataType::Trade, Overflow::DropOldest, 1);
    sockets[0].opened(Epoch(7), Nanos(0), Some(DisconnectKind::Eof));
    let mut ring = SharedRing { socket: 7, ..shared(4, 1) };
    let followed = vec![ring.streams[0].join(Filter::new(true, true), false)];
    writers[0].join_broadcast(&ring.ring, &ring.waiters, followed, vec![on_socket(1, 7)]);
    ring.publish(0, 2);
    assert_eq!(drain(&mut feed), [Data(1), Data(2)]);
    sockets[0].opened(Epoch(8), Nanos(0), None);
    assert_eq!(drain(&mut feed), [Socket(7, 8)]);
}
