//! The tolerant scanner, for messages that differ from the documented form. Like the strict scanner, it expects the
//! fields in the table's order. For each type it remembers which fields are displaced (`Layout`). At an unexpected key
//! it reads a known field where it is, or checks and skips the value of an unknown key. So a message costs more only for
//! its differences.
//!
//! It accepts nothing but JSON. It leaves some messages to the tape walk, which reads them from the beginning: messages
//! with white space, with escapes in keys or known values, with repeated keys, or with a type that is not the first
//! field; lists of several objects; and messages that must be refused.

use crate::model::{DataType, Format, Noun, NounKind, Receipt, Sink};

use super::cursor::Cursor;
use super::drift::Excerpt;
use super::layout::Layout;
use super::loose::Loose;
use super::progress::Progress;
use super::scan::scan_data_type;
use super::schema::{CODE, Quote, Record, TYPE, find};
use super::scratch::Scratch;
use super::skip::{skip_string, skip_value};

/// Reads the message in `bytes[..len]`, delivers it and returns the number of objects, which is 1. If the tape walk
/// must read it, returns `None` and delivers nothing. The bytes from `len` on may be read, but have no effect.
pub(super) fn tolerate_message(
    bytes: &[u8],
    len: usize,
    scratch: &mut Scratch,
    receipt: Receipt,
    sink: &mut impl Sink,
) -> Option<u32> {
    let mut cursor = Cursor::new(bytes)?;
    let frame = Frame { is_list: cursor.eat(b"["), end: bytes.len().checked_sub(len)? };
    let kind = if cursor.eat(b"{\"type\":\"") {
        tolerate_fields::<false>(cursor, frame, scratch)
    } else if cursor.eat(b"{\"ty\":\"") {
        tolerate_fields::<true>(cursor, frame, scratch)
    } else {
        return None;
    };
    if kind.is_none() {
        scratch.notes.clear();
    }
    scratch.deliver(kind?, receipt, sink);
    Some(1)
}

/// What is around an object.
#[derive(Clone, Copy)]
struct Frame {
    is_list: bool,
    /// The number of bytes after the message.
    end: usize,
}

/// Tries one type of message after the other.
macro_rules! tolerate_each {
    ([$SHORT:ident $cursor:ident $frame:ident $scratch:ident] $($Noun:ident $noun:ident,)*) => {
        $(if let Some(data_type) = scan_data_type::<$crate::model::$Noun>(&mut $cursor) {
            tolerate_noun::<$crate::model::$Noun, $SHORT>($cursor, $frame, data_type, $scratch)?;
            return Some(NounKind::$Noun);
        })*
    };
}

/// Reads from the type's word on.
fn tolerate_fields<const SHORT: bool>(mut cursor: Cursor<'_>, frame: Frame, scratch: &mut Scratch) -> Option<NounKind> {
    for_each_noun! { tolerate_each! SHORT cursor frame scratch }
    None
}

/// Reads the fields of one type of message to the end of the message, and learns from them.
fn tolerate_noun<T: Noun + Record, const SHORT: bool>(
    mut cursor: Cursor<'_>,
    frame: Frame,
    data_type: DataType,
    scratch: &mut Scratch,
) -> Option<()> {
    let Scratch { nouns, layouts, unit_layouts, notes, .. } = scratch;
    let (record, layout) = (T::place(nouns), &mut T::place(layouts)[usize::from(SHORT)]);
    let unit_layout = &mut unit_layouts[usize::from(SHORT)];
    record.set_data_type(data_type);
    let start = cursor;
    let mut progress = Progress::new(SHORT, layout, unit_layout, notes);
    tolerate_record::<_, SHORT>(&mut cursor, b',', record, &mut progress)?;
    if frame.is_list && !cursor.eat(b"]") || cursor.rest().len() != frame.end {
        return None;
    }
    let (is_new, new_unit) = (progress.is_new, progress.new_unit);
    if is_new {
        learn::<T, SHORT>(start, b',', layout);
    }
    if let Some(position) = new_unit {
        learn::<Quote, SHORT>(start.moved_to(position), b'{', unit_layout);
    }
    layout.count_tolerated();
    let data_type = record.data_type();
    scratch.commit(data_type, Format::of(SHORT, frame.is_list));
    Some(())
}

/// Reads the fields of an object up to and including its closing brace, and makes missing fields absent.
pub(super) fn tolerate_record<R: Record, const SHORT: bool>(
    cursor: &mut Cursor<'_>,
    before: u8,
    record: &mut R,
    progress: &mut Progress<'_>,
) -> Option<()> {
    // On a copy: a local cursor stays in registers, one behind a reference does not.
    let mut local = *cursor;
    record.tolerate::<SHORT>(&mut local, before, progress)?;
    *cursor = local;
    progress.finish(record).ok()
}

/// Reads the member at `cursor`, whose key is not the expected one, and returns the position behind it. `Some(None)` at
/// the end of the object. `before` is the byte that has to stand before the key.
#[inline(never)]
pub(super) fn detour<'m, R: Record, const SHORT: bool>(
    mut cursor: Cursor<'m>,
    before: u8,
    record: &mut R,
    progress: &mut Progress<'_>,
) -> Option<Option<Cursor<'m>>> {
    match cursor.rest() {
        [b'}', ..] if before == b',' => return Some(None),
        [b'{', b'}', ..] if before == b'{' => return Some(None),
        [first, ..] if *first == before => cursor.skip(1),
        _ => return None,
    }
    if let Some(len) = progress.layout.known_key(cursor.rest()) {
        cursor.skip(len);
        skip_value(&mut cursor)?;
        progress.notes.counts.unknown_keys += 1;
        return Some(Some(cursor));
    }
    let key = plain_key(&mut cursor)?;
    let start = cursor;
    let Some(index) = find::<R>(key, SHORT) else {
        // Which keys an object has can depend on these, see `type_of`.
        if key == if SHORT { TYPE.short } else { TYPE.long } || SHORT && key == CODE.long {
            return None;
        }
        skip_value(&mut cursor)?;
        progress.note_unknown(key.as_bytes(), || Excerpt::new(start.up_to(cursor)));
        return Some(Some(cursor));
    };
    let bit = 1 << index;
    if progress.met() & bit != 0 {
        return None;
    }
    progress.passed |= bit;
    progress.is_new |= progress.layout.displaced() & bit == 0;
    if (R::FIELDS[index].scan[usize::from(SHORT)])(&mut cursor, record, progress).is_some() {
        progress.read |= bit;
        return Some(Some(cursor));
    }
    read_loosely(start, index, record, progress).map(Some)
}

/// Steps over a key without escapes, and its colon.
fn plain_key<'m>(cursor: &mut Cursor<'m>) -> Option<&'m str> {
    let key = skip_string(cursor)?;
    (cursor.eat(b":") && !key.contains('\\')).then_some(key)
}

/// Reads the value of a field that does not have the documented form. Returns the position behind it.
#[inline(never)]
pub(super) fn read_loosely<'m, R: Record>(
    mut cursor: Cursor<'m>,
    index: usize,
    record: &mut R,
    progress: &mut Progress<'_>,
) -> Option<Cursor<'m>> {
    let start = cursor;
    let value = Loose::read(&mut cursor)?;
    let result = (R::FIELDS[index].read)(&value, record);
    progress.put::<R>(index, result, || Excerpt::new(start.up_to(cursor)));
    Some(cursor)
}

/// Learns which fields of an object are displaced. The object has been read before, so it is valid.
#[cold]
fn learn<R: Record, const SHORT: bool>(mut cursor: Cursor<'_>, before: u8, layout: &mut Layout) {
    if !layout.wants_to_learn() {
        return;
    }
    let (mut order, mut count) = ([0; 64], 0);
    let mut before = before;
    while count < order.len() && cursor.peek() == Some(before) {
        cursor.skip(1);
        let Some(key) = plain_key(&mut cursor) else { break };
        if let Some(index) = find::<R>(key, SHORT) {
            order[count] = index as u8;
            count += 1;
        }
        if skip_value(&mut cursor).is_none() {
            break;
        }
        before = b',';
    }
    layout.learn(&order[..count], R::FIELDS.len());
}
