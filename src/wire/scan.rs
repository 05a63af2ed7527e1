//! The scanner: the fast reader. Expects the documented fields in the documented order without white space, and checks
//! every byte. If anything is unexpected, it stops, and the tape walk reads the message from the start.

use crate::model::{DataType, Noun, NounKind, Receipt, Sink};

use super::cursor::Cursor;
use super::schema::Record;
use super::scratch::Scratch;

/// Reads the message in `bytes[..len]`, delivers it and returns the number of objects. If anything is unexpected,
/// delivers nothing and returns `None`. The bytes from `len` on may be read, but are ignored.
#[inline]
pub(super) fn scan_message(
    bytes: &[u8],
    len: usize,
    scratch: &mut Scratch,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Option<u32> {
    let mut cursor = Cursor::new(bytes)?;
    let end = bytes.len().checked_sub(len)?;
    if cursor.eat(b"[") {
        return scan_list(cursor, end, scratch, receipt, sink);
    }
    let kind = scan_object(&mut cursor, scratch)?;
    if cursor.rest().len() != end {
        return None;
    }
    scratch.deliver(kind, receipt, sink);
    Some(1)
}

/// Reads the rest of a list. Nothing may be delivered before the last byte has been checked, so a list of several
/// objects is read twice. The exchange has not been observed to send such lists.
fn scan_list(
    mut cursor: Cursor<'_>,
    end: usize,
    scratch: &mut Scratch,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Option<u32> {
    let first = cursor;
    let mut kind = scan_object(&mut cursor, scratch)?;
    let mut count = 1;
    while cursor.eat(b",") {
        kind = scan_object(&mut cursor, scratch)?;
        count += 1;
    }
    if !cursor.eat(b"]") || cursor.rest().len() != end {
        return None;
    }
    if count == 1 {
        scratch.deliver(kind, receipt, sink);
        return Some(1);
    }
    cursor = first;
    for _ in 0..count {
        let kind = scan_object(&mut cursor, scratch)?;
        scratch.deliver(kind, receipt, sink);
        cursor.skip(1); // the comma or bracket
    }
    Some(count)
}

/// Reads one object of any data type with long or short keys.
#[inline]
fn scan_object(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Option<NounKind> {
    if cursor.eat(b"{\"type\":\"") {
        scan_fields::<false>(cursor, scratch)
    } else if cursor.eat(b"{\"ty\":\"") {
        scan_fields::<true>(cursor, scratch)
    } else {
        None
    }
}

/// Tries one noun after another.
macro_rules! scan_each {
    ([$SHORT:ident $cursor:ident $scratch:ident] $($Noun:ident $noun:ident,)*) => {
        $(if let Some(data_type) = scan_data_type::<$crate::model::$Noun>($cursor) {
            $scratch.nouns.$noun.set_data_type(data_type);
            scan_record::<_, $SHORT>($cursor, &mut $scratch.nouns.$noun)?;
            return Some(NounKind::$Noun);
        })*
    };
}

/// Reads an object from the value of its type on.
#[inline(always)]
fn scan_fields<const SHORT: bool>(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Option<NounKind> {
    for_each_noun! { scan_each! SHORT cursor scratch }
    None
}

/// Reads a data type of the noun `T` and the closing quote.
#[inline(always)]
fn scan_data_type<T: Noun>(cursor: &mut Cursor<'_>) -> Option<DataType> {
    T::DATA_TYPES.iter().find(|data_type| cursor.eat_word(data_type.as_str())).copied()
}

/// Reads a record. Not inlined: one function for each record and key set is long enough to make the call negligible.
#[inline(never)]
fn scan_record<R: Record, const SHORT: bool>(cursor: &mut Cursor<'_>, record: &mut R) -> Option<()> {
    // Works on a copy: a local cursor stays in registers, but a cursor behind a reference does not.
    let mut local = *cursor;
    record.scan::<SHORT>(&mut local, false)?;
    *cursor = local;
    Some(())
}
