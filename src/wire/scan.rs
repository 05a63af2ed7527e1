//! The strict scanner. Expects the documented fields in the documented order without white space, checks each of their
//! bytes, and gives up at the first difference. The tolerant scanner then reads the message from its beginning.

use crate::model::{DataType, Noun, NounKind, Receipt, Sink};

use super::cursor::Cursor;
use super::schema::Record;
use super::scratch::Scratch;

/// Reads the message in `bytes[..len]`, delivers it and returns the number of objects. If anything in it is unexpected,
/// returns `None` and delivers nothing. The bytes from `len` on may be read, but have no effect. If `LEARNED`, gives up
/// at types whose recent messages were not in the documented form.
#[inline]
pub(super) fn scan_message<const LEARNED: bool>(
    bytes: &[u8],
    len: usize,
    scratch: &mut Scratch,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Option<u32> {
    let mut cursor = Cursor::new(bytes)?;
    let end = bytes.len().checked_sub(len)?;
    if cursor.eat(b"[") {
        return scan_list::<LEARNED>(cursor, end, scratch, receipt, sink);
    }
    let kind = scan_object::<LEARNED>(&mut cursor, scratch)?;
    if cursor.rest().len() != end {
        return None;
    }
    scratch.deliver(kind, receipt, sink);
    Some(1)
}

/// Reads the rest of a list. Nothing may be delivered before the last byte has been read, so a list of several objects
/// is read twice. The exchange has not sent one so far.
fn scan_list<const LEARNED: bool>(
    mut cursor: Cursor<'_>,
    end: usize,
    scratch: &mut Scratch,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Option<u32> {
    let first = cursor;
    let mut kind = scan_object::<LEARNED>(&mut cursor, scratch)?;
    let mut count = 1;
    while cursor.eat(b",") {
        kind = scan_object::<LEARNED>(&mut cursor, scratch)?;
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
        let kind = scan_object::<LEARNED>(&mut cursor, scratch)?;
        scratch.deliver(kind, receipt, sink);
        cursor.skip(1); // the comma or bracket
    }
    Some(count)
}

/// Reads one object of any data type with long or short keys.
#[inline]
fn scan_object<const LEARNED: bool>(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Option<NounKind> {
    if cursor.eat(b"{\"type\":\"") {
        scan_fields::<false, LEARNED>(cursor, scratch)
    } else if cursor.eat(b"{\"ty\":\"") {
        scan_fields::<true, LEARNED>(cursor, scratch)
    } else {
        None
    }
}

/// Tries one type of message after the other.
macro_rules! scan_each {
    ([$SHORT:ident $LEARNED:ident $cursor:ident $scratch:ident] $($Noun:ident $noun:ident,)*) => {
        $(if let Some(data_type) = scan_data_type::<$crate::model::$Noun>($cursor) {
            if $LEARNED && !$scratch.layouts.$noun[usize::from($SHORT)].is_strict() {
                return None;
            }
            $scratch.nouns.$noun.set_data_type(data_type);
            scan_record::<_, $SHORT>($cursor, &mut $scratch.nouns.$noun)?;
            return Some(NounKind::$Noun);
        })*
    };
}

/// Reads from the type's word on.
#[inline(always)]
fn scan_fields<const SHORT: bool, const LEARNED: bool>(
    cursor: &mut Cursor<'_>,
    scratch: &mut Scratch,
) -> Option<NounKind> {
    for_each_noun! { scan_each! SHORT LEARNED cursor scratch }
    None
}

/// Reads the word of a data type that carries this type of message, with the closing quote.
#[inline(always)]
pub(super) fn scan_data_type<T: Noun>(cursor: &mut Cursor<'_>) -> Option<DataType> {
    T::DATA_TYPES.iter().find(|data_type| cursor.eat_word(data_type.as_str())).copied()
}

/// Not inlined: one function for each record and key style, each so long that the call does not matter.
#[inline(never)]
fn scan_record<R: Record, const SHORT: bool>(cursor: &mut Cursor<'_>, record: &mut R) -> Option<()> {
    // On a copy: a local cursor stays in registers, one behind a reference does not.
    let mut local = *cursor;
    record.scan::<SHORT>(&mut local, false)?;
    *cursor = local;
    Some(())
}
