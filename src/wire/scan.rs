//! Wire: the fast reader. Expects the documented fields in the documented order without white space, checks every byte
//! of it, and gives up at the first surprise; the general reader then takes the message from its beginning.

use crate::model::{Interval, Receipt, Sink};

use super::cursor::Cursor;
use super::records::{Found, Records};
use super::schema::Record;

/// Reads the message in `bytes[..len]` and delivers it; `None` if anything in it is unexpected, with nothing delivered.
/// The bytes behind `len` may be read, but mean nothing.
#[inline]
pub(super) fn scan_message(
    bytes: &[u8],
    len: usize,
    records: &mut Records,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Option<u32> {
    let mut cursor = Cursor::new(bytes)?;
    let end = bytes.len().checked_sub(len)?;
    if cursor.eat(b"[") {
        return scan_list(cursor, end, records, receipt, sink);
    }
    let found = scan_object(&mut cursor, records)?;
    if cursor.rest().len() != end {
        return None;
    }
    records.deliver(found, receipt, sink);
    Some(1)
}

/// Reads the rest of a list. Nothing may be delivered before the last byte has been seen, so a list of several, which
/// the exchange has never been seen to send, is read twice.
fn scan_list(
    mut cursor: Cursor<'_>,
    end: usize,
    records: &mut Records,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Option<u32> {
    let first = cursor;
    let mut found = scan_object(&mut cursor, records)?;
    let mut count = 1;
    while cursor.eat(b",") {
        found = scan_object(&mut cursor, records)?;
        count += 1;
    }
    if !cursor.eat(b"]") || cursor.rest().len() != end {
        return None;
    }
    if count == 1 {
        records.deliver(found, receipt, sink);
        return Some(1);
    }
    cursor = first;
    for _ in 0..count {
        let found = scan_object(&mut cursor, records)?;
        records.deliver(found, receipt, sink);
        cursor.skip(1); // the comma or bracket
    }
    Some(count)
}

/// Reads one object of any data type with long or short keys.
#[inline]
fn scan_object(cursor: &mut Cursor<'_>, records: &mut Records) -> Option<Found> {
    if cursor.eat(b"{\"type\":\"") {
        scan_fields::<false>(cursor, records)
    } else if cursor.eat(b"{\"ty\":\"") {
        scan_fields::<true>(cursor, records)
    } else {
        None
    }
}

/// Reads from the type's word on.
#[inline(always)]
fn scan_fields<const SHORT: bool>(cursor: &mut Cursor<'_>, records: &mut Records) -> Option<Found> {
    if cursor.eat(b"orderbook\"") {
        scan_record::<_, SHORT>(cursor, &mut records.orderbook).map(|()| Found::Orderbook)
    } else if cursor.eat(b"ticker\"") {
        scan_record::<_, SHORT>(cursor, &mut records.ticker).map(|()| Found::Ticker)
    } else if cursor.eat(b"trade\"") {
        scan_record::<_, SHORT>(cursor, &mut records.trade).map(|()| Found::Trade)
    } else if cursor.eat(b"candle.") {
        records.candle.interval = scan_interval(cursor)?;
        scan_record::<_, SHORT>(cursor, &mut records.candle).map(|()| Found::Candle)
    } else {
        None
    }
}

/// One function per record and key set: long enough that a call costs nothing.
#[inline(never)]
fn scan_record<R: Record, const SHORT: bool>(cursor: &mut Cursor<'_>, record: &mut R) -> Option<()> {
    // On a copy: a local cursor stays in registers, one behind a reference does not.
    let mut local = *cursor;
    record.scan::<SHORT>(&mut local, false)?;
    *cursor = local;
    Some(())
}

/// What follows `candle.`, with the closing quote.
fn scan_interval(cursor: &mut Cursor<'_>) -> Option<Interval> {
    const WORDS: [(&[u8], Interval); 9] = [
        (b"1s\"", Interval::Second1),
        (b"1m\"", Interval::Minute1),
        (b"3m\"", Interval::Minute3),
        (b"5m\"", Interval::Minute5),
        (b"10m\"", Interval::Minute10),
        (b"15m\"", Interval::Minute15),
        (b"30m\"", Interval::Minute30),
        (b"60m\"", Interval::Minute60),
        (b"240m\"", Interval::Minute240),
    ];
    WORDS.into_iter().find(|(word, _)| cursor.eat(word)).map(|(_, interval)| interval)
}
