//! The scanner. It expects the documented fields in the documented order without white space, checks each of their
//! bytes, and reads what differs on the way (`detour`). So a message costs more only for its differences.
//!
//! It leaves some messages to the tape walk, which reads them from the beginning: messages with white space, with
//! escapes in keys or known values, or with both names of a field, and messages that must be refused.

use crate::model::{DataType, Format, Noun, NounKind, Receipt, Sink};

use super::cursor::Cursor;
use super::detour::finish_odd;
use super::differences::{Differences, TypePlace};
use super::learn::{learn, learn_inside};
use super::schema::{Quote, Record, UNITS};
use super::scratch::Scratch;

/// Reads the message in `bytes[..len]`, delivers it and returns the number of objects. If the tape walk must read it,
/// returns `None` and delivers nothing. The bytes from `len` on may be read, but have no effect.
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
    let start = cursor;
    let kind = scan_object(&mut cursor, scratch)?;
    if cursor.rest().len() != end {
        return None;
    }
    deliver(kind, start, false, scratch, receipt, sink);
    Some(1)
}

/// Reads the rest of a list. Nothing may be delivered before the last byte has been read, so a list of several objects
/// is read twice. The exchange has not sent one so far.
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
        scratch.differences.drop_odd();
        kind = scan_object(&mut cursor, scratch)?;
        count += 1;
    }
    if !cursor.eat(b"]") || cursor.rest().len() != end {
        return None;
    }
    if count == 1 {
        deliver(kind, first, true, scratch, receipt, sink);
        return Some(1);
    }
    scratch.differences.drop_odd();
    let tolerated = scratch.tolerated;
    cursor = first;
    for _ in 0..count {
        let start = cursor;
        let kind = scan_object(&mut cursor, scratch)?;
        deliver(kind, start, true, scratch, receipt, sink);
        cursor.skip(1); // the comma or bracket
    }
    scratch.tolerated = scratch.tolerated.min(tolerated + 1);
    Some(count)
}

/// Reads one object of any data type with long or short keys.
#[inline]
fn scan_object(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Option<NounKind> {
    if cursor.eat(b"{\"type\":\"") {
        scan_fields::<false>(cursor, None, scratch)
    } else if cursor.eat(b"{\"ty\":\"") {
        scan_fields::<true>(cursor, None, scratch)
    } else {
        scan_misplaced_type(cursor, scratch)
    }
}

/// Tries one type of message after the other.
macro_rules! scan_each {
    ([$SHORT:ident $cursor:ident $start:ident $scratch:ident] $($Noun:ident $noun:ident,)*) => {
        $(if let Some(data_type) = scan_data_type::<$crate::model::$Noun>($cursor) {
            if let Some((start, key)) = $start {
                $scratch.differences.expect_type(TypePlace { key, end: $cursor.position() });
                *$cursor = start;
                $scratch.nouns.$noun.set_data_type(data_type);
                scan_tolerantly::<_, $SHORT>($cursor, &mut $scratch.nouns.$noun, &mut $scratch.differences)?;
                return Some(NounKind::$Noun);
            }
            $scratch.nouns.$noun.set_data_type(data_type);
            scan_record::<_, $SHORT>($cursor, &mut $scratch.nouns.$noun, &mut $scratch.differences)?;
            return Some(NounKind::$Noun);
        })*
    };
}

/// Reads from the type's word on. If the member with the type is not the first one, `misplaced` has the start of the
/// object and the position of the type's key.
#[inline(always)]
fn scan_fields<'m, const SHORT: bool>(
    cursor: &mut Cursor<'m>,
    misplaced: Option<(Cursor<'m>, u32)>,
    scratch: &mut Scratch,
) -> Option<NounKind> {
    for_each_noun! { scan_each! SHORT cursor misplaced scratch }
    None
}

/// Reads the word of a data type that carries this type of message, with the closing quote.
#[inline(always)]
fn scan_data_type<T: Noun>(cursor: &mut Cursor<'_>) -> Option<DataType> {
    T::DATA_TYPES.iter().find(|data_type| cursor.eat_word(data_type.as_str())).copied()
}

/// Reads the fields of an object. Expects the documented form first, unless recent objects were different.
#[inline(always)]
fn scan_record<R: Record, const SHORT: bool>(
    cursor: &mut Cursor<'_>,
    record: &mut R,
    differences: &mut Differences,
) -> Option<()> {
    if differences.layout::<R>(SHORT).is_strict() {
        scan_strictly::<R, SHORT>(cursor, record, differences)
    } else {
        scan_tolerantly::<R, SHORT>(cursor, record, differences)
    }
}

/// Not inlined: one function for each record and key style, each so long that the call does not matter.
#[inline(never)]
fn scan_strictly<R: Record, const SHORT: bool>(
    cursor: &mut Cursor<'_>,
    record: &mut R,
    differences: &mut Differences,
) -> Option<()> {
    // On a copy: a local cursor stays in registers, one behind a reference does not.
    let mut local = *cursor;
    if record.scan::<SHORT, true>(&mut local, differences).is_some() {
        *cursor = local;
        return Some(());
    }
    differences.layout::<R>(SHORT).set_tolerant();
    scan_tolerantly::<R, SHORT>(cursor, record, differences)
}

#[cold]
#[inline(never)]
fn scan_tolerantly<R: Record, const SHORT: bool>(
    cursor: &mut Cursor<'_>,
    record: &mut R,
    differences: &mut Differences,
) -> Option<()> {
    differences.layout::<R>(SHORT).count_tolerant();
    let mut local = *cursor;
    record.scan::<SHORT, false>(&mut local, differences)?;
    *cursor = local;
    if differences.is_odd { finish_odd::<R, SHORT>(record, differences) } else { Some(()) }
}

/// Reads an object whose first member is not the type. Searches for the first text in it that looks like the type; the
/// object is refused if that is not the type.
#[cold]
#[inline(never)]
fn scan_misplaced_type(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Option<NounKind> {
    let start = *cursor;
    let mut word = start;
    while cursor.peek() == Some(b'{') {
        word.skip_to(b'y')?;
        let key = word.moved_to(word.position().checked_sub(2)?);
        for (name, short) in [(&b"\"type\":\""[..], false), (b"\"ty\":\"", true)] {
            *cursor = key;
            if cursor.eat(name) {
                let misplaced = Some((start, key.position()));
                return if short {
                    scan_fields::<true>(cursor, misplaced, scratch)
                } else {
                    scan_fields::<false>(cursor, misplaced, scratch)
                };
            }
        }
        *cursor = start;
        word.skip(1);
    }
    None
}

/// Delivers the object at `start`, which has been read.
#[inline(always)]
fn deliver(
    kind: NounKind,
    start: Cursor<'_>,
    is_list: bool,
    scratch: &mut Scratch,
    receipt: Receipt,
    sink: &mut impl Sink,
) {
    if scratch.differences.is_odd {
        commit_any(kind, start.bytes(), start.position(), is_list, scratch);
    }
    scratch.deliver(kind, receipt, sink);
}

#[cold]
#[inline(never)]
fn commit_any(kind: NounKind, bytes: &[u8], start: u32, is_list: bool, scratch: &mut Scratch) {
    let start = Cursor::at(bytes, start);
    with_noun!(kind, T => if scratch.differences.short {
        commit::<T, true>(start, is_list, scratch);
    } else {
        commit::<T, false>(start, is_list, scratch);
    });
}

/// Counts, reports and learns the differences of the object at `start`, which is about to be delivered.
fn commit<T: Noun + Record, const SHORT: bool>(start: Cursor<'_>, is_list: bool, scratch: &mut Scratch) {
    let data_type = T::place(&mut scratch.nouns).data_type();
    scratch.commit(data_type, Format::of(SHORT, is_list));
    let differences = &mut scratch.differences;
    let is_new_unit = differences.is_new_unit;
    scratch.tolerated += u64::from(differences.is_drift);
    let layout = differences.layout::<T>(SHORT);
    if layout.progress.is_new && layout.begin_to_learn() {
        learn::<T, SHORT>(start, layout);
    }
    layout.reset_progress();
    if is_new_unit {
        let layout = differences.layout::<Quote>(SHORT);
        layout.count_tolerant();
        if layout.begin_to_learn() {
            learn_inside::<Quote, SHORT>(start, if SHORT { UNITS.short } else { UNITS.long }, layout);
        }
        layout.reset_progress();
    }
    differences.end_message();
}
