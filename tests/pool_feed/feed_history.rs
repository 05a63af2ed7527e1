//! Histories: the last items of a feed, in order, with gaps and changes of sockets in their places.

use crate::support::{Rig, Seen, on_socket, rig, short};
use hoga::feed::{History, Item, Overflow};
use hoga::model::{DataType, Epoch, Nanos, Stamps, Trade};
use hoga_testing::allocations;

fn seen<'a>(items: impl Iterator<Item = &'a Item<Trade>>) -> Vec<Seen> {
    items.map(|item| short(*item)).collect()
}

#[test]
fn a_history_keeps_the_last_items_with_gaps_and_reconnects_in_place() {
    let Rig { mut writers, mut feed, sockets, .. } =
        rig::<Trade>(DataType::Trade, Overflow::DropNewest { capacity: 3 }, 1);
    let mut history = History::new(6);
    let mut push = |version, epoch| {
        let mut update = on_socket(version, epoch);
        update.stamps = Stamps { received: Nanos(version * 10), ..Stamps::default() };
        writers[0].push(update);
    };
    sockets[0].opened(Epoch(1), Nanos(0), None);
    (1..=4).for_each(|version| push(version, 1));
    assert_eq!(history.record(&mut feed), 4, "three trades and a gap");
    sockets[0].opened(Epoch(2), Nanos(40), None);
    push(5, 2);
    assert_eq!(history.record(&mut feed), 2);
    let all = [Seen::Data(1), Seen::Data(2), Seen::Data(3), Seen::Gap(1), Seen::Socket(1, 2), Seen::Data(5)];
    assert_eq!(seen(history.last(100)), all);
    assert_eq!(seen(history.last(2)), all[2..], "the gap and the socket between the last two");
    assert_eq!(seen(history.last(0)), []);
    assert_eq!(seen(history.received(Nanos(20)..Nanos(50))), all[1..3]);
    assert_eq!(seen(history.received(Nanos(30)..Nanos(51))), all[2..]);
    assert_eq!(seen(history.received(Nanos(60)..Nanos(99))), []);

    push(6, 2);
    history.record(&mut feed);
    assert_eq!((history.len(), history.forgotten()), (6, 1));
    assert_eq!(seen(history.last(1)), [Seen::Data(6)]);
    assert_eq!(seen(history.last(100))[0], Seen::Data(2));
}

#[test]
fn a_history_allocates_nothing_after_its_creation() {
    let Rig { mut writers, mut feed, .. } = rig::<Trade>(DataType::Trade, Overflow::DropNewest { capacity: 8 }, 1);
    let mut history = History::new(16);
    assert!((16 * size_of::<Item<Trade>>()..32 * size_of::<Item<Trade>>()).contains(&history.bytes()));
    let before = history.bytes();
    let allocated_before = allocations::on_this_thread();
    for version in 1..=100 {
        writers[0].push(on_socket(version, 1));
        history.record(&mut feed);
    }
    let allocated = allocations::on_this_thread() - allocated_before;
    assert_eq!((allocated, history.bytes(), history.len()), (0, before, 16));
}
