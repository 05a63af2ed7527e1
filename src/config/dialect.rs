//! The differences between the exchanges that use Upbit's protocol. Data only, no logic.

use std::time::Duration;

use crate::model::Format;

/// The protocol details of one exchange: the requests that it accepts, and its defaults. Each
/// [`Endpoint`](super::Endpoint) has one.
///
/// In the exchange's protocol, a *unit* is one row of an order book: the n-th best ask and bid; and a *level* is a step
/// by which prices are grouped. In hoga's methods, these are [`levels`](crate::Subscription::levels) and
/// [`grouped`](crate::Subscription::grouped).
///
/// Fields may be added. Write your own dialect as `Dialect { has_candles: false, ..UPBIT }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// A short name for logs.
    pub name: &'static str,
    /// The name of the flag by which a request asks for one snapshot per market and nothing after it.
    pub only_snapshot: &'static str,
    /// The name of the flag by which a request asks for no snapshot.
    pub only_realtime: &'static str,
    /// The numbers of order-book units that a request can name after a code, as in `KRW-BTC.5`, in ascending order. The
    /// exchange silently answers any other number with `units_default` units.
    pub unit_counts: &'static [u8],
    /// The number of units of an order book if the code has no suffix.
    pub units_default: u8,
    /// Whether order books can be grouped by a price `level`. If not, the exchange closes a socket that requests a
    /// level.
    pub has_levels: bool,
    /// The level that messages of an ungrouped order book contain. So books cannot be grouped by this level.
    pub level_default: u32,
    /// Whether the exchange lists the subscriptions of a connection on request (LIST_SUBSCRIPTIONS).
    pub has_list: bool,
    /// Whether the exchange has candles. If not, the exchange closes a socket that requests them.
    pub has_candles: bool,
    /// The formats that a request can name. The exchange answers any other in [`Format::Default`].
    pub formats: &'static [Format],
    /// Connects per second that the exchange allows for one IP address. The engine does not apply it: set
    /// [`Limits::connects_per_second`](super::Limits::connects_per_second).
    pub connects_per_second: u32,
    /// How long the exchange blocks an address that connected too often, if its answer with status 418 states no time.
    pub block: Duration,
}

/// Upbit, on all its hosts except Indonesia.
pub const UPBIT: Dialect = Dialect {
    name: "upbit",
    only_snapshot: "is_only_snapshot",
    only_realtime: "is_only_realtime",
    unit_counts: &[1, 5, 15, 30],
    units_default: 30,
    has_levels: true,
    level_default: 0,
    has_list: true,
    has_candles: true,
    formats: &[Format::Default, Format::Simple, Format::JsonList, Format::SimpleList],
    connects_per_second: 5,
    // Not documented, except that each block is longer than the one before.
    block: Duration::from_secs(60),
};

/// Upbit Indonesia, which answers any `level` with an error and closes the socket.
pub const UPBIT_INDONESIA: Dialect = Dialect { name: "upbit-indonesia", has_levels: false, ..UPBIT };

/// Bithumb. Its documentation spells the flags as Upbit does, but its server ignores that spelling.
pub const BITHUMB: Dialect = Dialect {
    name: "bithumb",
    only_snapshot: "isOnlySnapshot",
    only_realtime: "isOnlyRealtime",
    unit_counts: &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    units_default: 15,
    has_levels: true,
    level_default: 1,
    // Not documented.
    has_list: false,
    has_candles: false,
    formats: &[Format::Default, Format::Simple],
    connects_per_second: 10,
    block: Duration::from_secs(600),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_each_dialect_are_valid_in_it() {
        for dialect in [UPBIT, UPBIT_INDONESIA, BITHUMB] {
            assert!(dialect.unit_counts.is_sorted() && dialect.unit_counts.contains(&dialect.units_default));
            assert!(dialect.formats.contains(&Format::Default) && dialect.connects_per_second > 0, "{}", dialect.name);
        }
    }
}
