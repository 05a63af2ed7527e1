//! How exchanges that speak Upbit's protocol differ in what may be asked of them. Data only: nothing here decides.

use crate::model::Format;

/// What one exchange understands, and what it takes as said when nothing is. An [`Endpoint`](super::Endpoint)
/// carries its own.
///
/// Fields may be added: write a dialect of your own as `Dialect { has_candles: false, ..UPBIT }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// A short word for logs.
    pub name: &'static str,
    /// The flag of a type object that asks for one snapshot per market and nothing after it.
    pub only_snapshot: &'static str,
    /// The flag of a type object that asks for no snapshot.
    pub only_realtime: &'static str,
    /// The counts of order-book units that can be asked for behind a code, as in `KRW-BTC.5`; ascending. Another count
    /// is answered with `units_default` units, without a word.
    pub unit_counts: &'static [u8],
    /// The units of an order book where the code has no suffix.
    pub units_default: u8,
    /// Whether order books can be grouped by a price `level`. Where they cannot, asking for one ends the connection.
    pub has_levels: bool,
    /// The level of an order book that is not grouped, as its messages print it. So no book can be grouped by it.
    pub level_default: u32,
    /// Whether there are candles. Where there are none, asking for them ends the connection.
    pub has_candles: bool,
    /// The formats that can be asked for. Another one is answered as [`Format::Default`].
    pub formats: &'static [Format],
    /// Connects per second and address that the exchange allows.
    pub connects_per_second: u32,
}

/// Upbit, on all its hosts but the Indonesian.
pub const UPBIT: Dialect = Dialect {
    name: "upbit",
    only_snapshot: "is_only_snapshot",
    only_realtime: "is_only_realtime",
    unit_counts: &[1, 5, 15, 30],
    units_default: 30,
    has_levels: true,
    level_default: 0,
    has_candles: true,
    formats: &[Format::Default, Format::Simple, Format::JsonList, Format::SimpleList],
    connects_per_second: 5,
};

/// Upbit Indonesia, which answers any `level` with an error and a close.
pub const UPBIT_INDONESIA: Dialect = Dialect { name: "upbit-indonesia", has_levels: false, ..UPBIT };

/// Bithumb, whose documentation writes the flags as Upbit does and whose server ignores them in that spelling.
pub const BITHUMB: Dialect = Dialect {
    name: "bithumb",
    only_snapshot: "isOnlySnapshot",
    only_realtime: "isOnlyRealtime",
    unit_counts: &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    units_default: 15,
    has_levels: true,
    level_default: 1,
    has_candles: false,
    formats: &[Format::Default, Format::Simple],
    connects_per_second: 10,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_takes_as_said_is_something_it_knows() {
        for dialect in [UPBIT, UPBIT_INDONESIA, BITHUMB] {
            assert!(dialect.unit_counts.is_sorted() && dialect.unit_counts.contains(&dialect.units_default));
            assert!(dialect.formats.contains(&Format::Default) && dialect.connects_per_second > 0, "{}", dialect.name);
        }
    }
}
