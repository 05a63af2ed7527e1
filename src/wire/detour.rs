//! Reads the members of an object that differ from the documented form. The scanner comes here at a key that it does not
//! expect, and at a value that it cannot read.
//!
//! Nothing but JSON is accepted. `None` means that the tape walk must read the message, from its beginning: it has white
//! space, escapes in keys or known values, or has to be refused.

use super::cursor::Cursor;
use super::differences::Differences;
use super::drift::Excerpt;
use super::layout::Meaning;
use super::loose::Loose;
use super::schema::{CODE, Record, TYPE, find};
use super::skip::{skip_string, skip_value};

/// What to do about the field whose key was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another member was read. Look for the field again at this position.
    Again(u32),
    /// The field is not here. Look for the next field.
    Pass,
}

/// Decides about the member at `cursor`, whose key is not the one of the field with this index. The index behind the
/// last one means that the object should end here.
///
/// Takes the cursor by value: a reference would force the caller's cursor out of registers.
#[cold]
#[inline(never)]
pub(super) fn odd_key<R: Record, const SHORT: bool>(
    mut cursor: Cursor<'_>,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<Next> {
    let layout = differences.odd::<R>(SHORT);
    let bit = 1 << index;
    if (layout.displaced() | layout.progress.met()) & bit != 0 {
        layout.progress.passed |= bit;
        return Some(Next::Pass);
    }
    if !is_before_key(cursor) {
        // The end of the object: all other fields are missing.
        (layout.progress.passed, layout.progress.is_new) = (layout.progress.passed | bit, true);
        return (cursor.peek()? == b'}').then_some(Next::Pass);
    }
    cursor.skip(1);
    let Some((len, meaning)) = cursor.chunk().and_then(|text| layout.next_odd_key(text)) else {
        return new_key::<R, SHORT>(cursor, index, record, differences);
    };
    match meaning {
        Meaning::Unknown { is_settled: true } => {
            cursor.skip(len);
            skip_value(&mut cursor)?;
            differences.notes.counts.unknown_keys += 1;
            Some(Next::Again(cursor.position()))
        }
        Meaning::Field(field) => {
            cursor.skip(len);
            read_elsewhere::<R, SHORT>(cursor, usize::from(field), index, record, differences)
        }
        Meaning::Type => end_of_type(cursor, differences),
        Meaning::Unknown { is_settled: false } => {
            let name = plain_key(&mut cursor)?;
            layout.settle_odd_key(name);
            skip_unknown::<R, SHORT>(cursor, name, differences)
        }
    }
}

/// Returns whether a key can follow the next byte: a comma, or a brace that opens an object. A brace after a value is
/// never in such a place.
#[inline(always)]
fn is_before_key(cursor: Cursor<'_>) -> bool {
    match cursor.peek() {
        Some(b',') => true,
        Some(b'{') => matches!(cursor.before(), None | Some(b'[' | b',')),
        _ => false,
    }
}

/// Reads a member whose key the layout does not know.
#[cold]
#[inline(never)]
fn new_key<R: Record, const SHORT: bool>(
    mut cursor: Cursor<'_>,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<Next> {
    differences.layout::<R>(SHORT).progress.is_new = true;
    let start = cursor;
    let name = plain_key(&mut cursor)?;
    if let Some(field) = find::<R>(name, SHORT) {
        return read_elsewhere::<R, SHORT>(cursor, field, index, record, differences);
    }
    // Which keys an object has can depend on these, see `tape::type_of`.
    if name == key_of_type::<SHORT>() {
        return end_of_type(start, differences);
    }
    if SHORT && name == CODE.long {
        return None;
    }
    skip_unknown::<R, SHORT>(cursor, name, differences)
}

pub(super) const fn key_of_type<const SHORT: bool>() -> &'static str {
    if SHORT { TYPE.short } else { TYPE.long }
}

/// Steps over the member with the type, which was found before the fields were read. Any other type is a second one.
fn end_of_type(cursor: Cursor<'_>, differences: &mut Differences) -> Option<Next> {
    let place = differences.type_place.take_if(|place| place.key == cursor.position())?;
    Some(Next::Again(place.end))
}

/// Reads the value of a field that is not where the table has it. `index` is the field that was expected there.
fn read_elsewhere<R: Record, const SHORT: bool>(
    mut cursor: Cursor<'_>,
    field: usize,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<Next> {
    let bit = 1 << field;
    let progress = &mut differences.layout::<R>(SHORT).progress;
    let is_over = field < index;
    let is_repeated = progress.met() & bit != 0 || is_over && progress.passed & bit == 0;
    if is_repeated && R::FIELDS[field].also.is_some() {
        // Which of them counts depends on their names.
        return None;
    }
    progress.passed |= u64::from(is_over) << field;
    if (R::FIELDS[field].scan[usize::from(SHORT)])(&mut cursor, record, differences).is_some() {
        let progress = &mut differences.layout::<R>(SHORT).progress;
        progress.read |= bit;
        progress.bad &= !bit;
        progress.empty &= !bit;
        return Some(Next::Again(cursor.position()));
    }
    read_loosely::<R, SHORT>(cursor, field, record, differences).map(Next::Again)
}

/// Reads the value at `cursor`, which does not have the documented form of the field with this index. Returns the
/// position behind it.
#[cold]
#[inline(never)]
pub(super) fn odd_value<R: Record, const SHORT: bool>(
    cursor: Cursor<'_>,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<u32> {
    let progress = &mut differences.odd::<R>(SHORT).progress;
    if progress.met() & 1 << index != 0 && R::FIELDS[index].also.is_some() {
        return None;
    }
    progress.passed |= 1 << index;
    read_loosely::<R, SHORT>(cursor, index, record, differences)
}

fn read_loosely<R: Record, const SHORT: bool>(
    mut cursor: Cursor<'_>,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<u32> {
    if !R::INSIDE[index].1.is_empty() {
        // A list that could not be read to its end.
        return None;
    }
    let start = cursor;
    let value = Loose::read(&mut cursor)?;
    let result = (R::FIELDS[index].read)(&value, record);
    differences.put::<R>(SHORT, index, result, || Excerpt::new(start.up_to(cursor)));
    Some(cursor.position())
}

fn skip_unknown<R: Record, const SHORT: bool>(
    mut cursor: Cursor<'_>,
    name: &str,
    differences: &mut Differences,
) -> Option<Next> {
    let start = cursor;
    skip_value(&mut cursor)?;
    differences.note_unknown::<R>(SHORT, name, || Excerpt::new(start.up_to(cursor)));
    Some(Next::Again(cursor.position()))
}

/// Steps over a key without escapes, and its colon.
pub(super) fn plain_key<'m>(cursor: &mut Cursor<'m>) -> Option<&'m str> {
    let key = skip_string(cursor)?;
    (cursor.eat(b":") && !key.contains('\\')).then_some(key)
}

/// Ends an object with a difference. Returns `None` if the tape walk must read the message.
#[cold]
#[inline(never)]
pub(super) fn finish_odd<R: Record, const SHORT: bool>(record: &mut R, differences: &mut Differences) -> Option<()> {
    differences.short = SHORT;
    let progress = differences.layout::<R>(SHORT).progress;
    // A field that was read in another place, and then under one of its names where the table has it.
    let is_ambiguous = progress.met() & !progress.passed & R::ALIASED != 0;
    if is_ambiguous || differences.type_place.is_some() {
        return None;
    }
    differences.finish(SHORT, record).ok()
}
