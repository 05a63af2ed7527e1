//! The kinds of faults, numbered for `--only`, and how each is made.

use std::time::Duration;

use hoga_exchange::{ErrorName, Fault};

use crate::bed::Bed;
use crate::proxy::Harm;

/// What a fault must lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Another socket.
    NewSocket,
    /// The order book of this market is asked for again, on the same socket.
    Asked { market: usize },
    /// Nothing: the socket stays, and the messages arrive.
    Nothing,
}

/// A kind of fault.
pub struct Case {
    pub number: u8,
    pub name: &'static str,
    pub begin: fn(&Bed),
    /// How long it lasts; zero if it happens once.
    pub lasts: Duration,
    pub end: fn(&Bed),
    pub expected: Expected,
}

use Expected::{Asked, NewSocket, Nothing};

/// The market with a mute stream.
const MUTE: usize = 0;
/// The market with a forgotten stream: another one, because a silence teaches that such a silence is usual.
const FORGOTTEN: usize = 1;

/// All kinds, in order.
pub const CASES: [Case; 24] = [
    once(1, "TCP reset", |bed| bed.proxy.harm_one(0, Harm::Reset), NewSocket),
    once(2, "end of TCP between messages", |bed| bed.inject(Fault::DropAll), NewSocket),
    once(3, "end of TCP inside a frame", |bed| bed.proxy.harm_one(0, Harm::Cut), NewSocket),
    once(4, "half-close by the server", |bed| bed.proxy.harm_one(0, Harm::HalfClose), NewSocket),
    lasting(5, "connects refused", 2, refuse_connects, |bed| bed.proxy.refuse(false), NewSocket),
    once(7, "half-open connection", |bed| bed.proxy.harm_one(0, Harm::Stall), NewSocket),
    once(13, "frame that never ends", |bed| bed.proxy.harm_one(0, Harm::Stick), NewSocket),
    lasting(14, "TLS handshake unanswered", 6, freeze, |bed| bed.inject(Fault::Stall(false)), NewSocket),
    once(16, "upgrade answered with 301", |bed| reject(bed, 301, None), NewSocket),
    once(18, "upgrade answered with 429, Retry-After 2 s", |bed| reject(bed, 429, Some(2)), NewSocket),
    once(19, "upgrade answered with 418, Retry-After 2 s", |bed| reject(bed, 418, Some(2)), NewSocket),
    once(20, "upgrade answered with 503", |bed| reject(bed, 503, None), NewSocket),
    once(22, "data in the bytes of the upgrade's answer", early_data, NewSocket),
    once(23, "garbage instead of a frame", |bed| bed.inject(Fault::Garbage), NewSocket),
    lasting(
        30,
        "text frames",
        2,
        |bed| bed.inject(Fault::SendText(true)),
        |bed| bed.inject(Fault::SendText(false)),
        Nothing,
    ),
    lasting(
        31,
        "fragments with pings between",
        2,
        |bed| bed.inject(Fault::Fragment(true)),
        |bed| bed.inject(Fault::Fragment(false)),
        Nothing,
    ),
    once(33, "close frame", |bed| bed.inject(Fault::CloseAll(1011)), NewSocket),
    lasting(
        53,
        "unknown keys",
        2,
        |bed| bed.inject(Fault::UnknownKeys(true)),
        |bed| bed.inject(Fault::UnknownKeys(false)),
        Nothing,
    ),
    once(55, "error object instead of data", |bed| bed.inject(Fault::ErrorNow(ErrorName::WrongFormat)), NewSocket),
    lasting(
        56,
        "one stream mute",
        8,
        |bed| mute_stream(bed, true),
        |bed| mute_stream(bed, false),
        Asked { market: MUTE },
    ),
    once(57, "one stream forgotten", forget, Asked { market: FORGOTTEN }),
    lasting(
        58,
        "pings answered, no data",
        16,
        |bed| bed.inject(Fault::Mute(true)),
        |bed| bed.inject(Fault::Mute(false)),
        NewSocket,
    ),
    lasting(
        62,
        "every trade twice",
        2,
        |bed| bed.inject(Fault::DuplicateTrades(true)),
        |bed| bed.inject(Fault::DuplicateTrades(false)),
        Nothing,
    ),
    lasting(
        63,
        "book times in microseconds",
        2,
        |bed| bed.inject(Fault::MicrosecondTimestamps(true)),
        |bed| bed.inject(Fault::MicrosecondTimestamps(false)),
        Nothing,
    ),
];

const fn once(number: u8, name: &'static str, begin: fn(&Bed), expected: Expected) -> Case {
    Case { number, name, begin, lasts: Duration::ZERO, end: |_| {}, expected }
}

const fn lasting(
    number: u8,
    name: &'static str,
    seconds: u64,
    begin: fn(&Bed),
    end: fn(&Bed),
    expected: Expected,
) -> Case {
    Case { number, name, begin, lasts: Duration::from_secs(seconds), end, expected }
}

/// Closes all connections, and refuses TCP connects from then on.
pub fn refuse_connects(bed: &Bed) {
    bed.proxy.refuse(true);
    bed.proxy.harm_all(Some(Harm::Reset));
}

/// Freezes the exchange and resets the connection, so that the next one is not answered.
fn freeze(bed: &Bed) {
    bed.inject(Fault::Stall(true));
    bed.proxy.harm_all(Some(Harm::Reset));
}

fn reject(bed: &Bed, status: u16, retry_after: Option<u32>) {
    bed.inject(Fault::RejectUpgrades { count: 1, status, retry_after, body: "no".to_owned() });
    bed.inject(Fault::DropAll);
}

fn early_data(bed: &Bed) {
    bed.inject(Fault::EarlyData(true));
    bed.inject(Fault::DropAll);
}

fn mute_stream(bed: &Bed, on: bool) {
    bed.inject(Fault::MuteStream { type_name: "orderbook".to_owned(), code: bed.market(MUTE), on });
}

fn forget(bed: &Bed) {
    bed.inject(Fault::Forget { type_name: "orderbook".to_owned(), code: bed.market(FORGOTTEN) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_in_order() {
        assert!(CASES.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
}
