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

/// Where to go on after a key that was not expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) position: u32,
    /// Whether the expected field was read or is not here. Otherwise another member was read, and the field may follow.
    pub(super) is_done: bool,
}

/// Reads the member at `position`, whose key is not the one of the field with this index, or passes the field. The index
/// behind the last field stands for the end of the object.
///
/// Takes the parts of a cursor, see [`Cursor::at`].
#[cold]
#[inline(never)]
pub(super) fn odd_key<R: Record, const SHORT: bool>(
    bytes: &[u8],
    position: u32,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<Next> {
    let layout = differences.odd::<R>(SHORT);
    let bit = 1 << index;
    if (layout.displaced() | layout.progress.met) & bit != 0 {
        layout.progress.passed |= bit;
        return Some(Next { position, is_done: true });
    }
    read_member::<R, SHORT>(bytes, position, index, record, differences)
}

/// Reads the member at `position`. All fields from `index` on are missing if the object ends here.
#[inline(never)]
fn read_member<R: Record, const SHORT: bool>(
    bytes: &[u8],
    position: u32,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<Next> {
    // The scanner looks for the first field of a unit only after the brace, and for all others after a comma.
    let is_first_of_unit = R::IN_UNIT && index == 0;
    let mut cursor = Cursor::at(bytes, position);
    loop {
        let layout = differences.layout::<R>(SHORT);
        if !is_before_key(cursor) {
            layout.progress.passed |= 1 << index;
            layout.progress.is_new = true;
            return (cursor.peek()? == b'}').then_some(Next { position: cursor.position(), is_done: true });
        }
        let may_be_here = is_first_of_unit || cursor.peek() == Some(b'{');
        cursor.skip(1);
        let text = cursor.chunk()?;
        if may_be_here
            && let Some(field) = R::FIELDS.get(index)
            && field.keys[usize::from(SHORT)].starts(text)
        {
            cursor.skip(field.keys[usize::from(SHORT)].len());
            let position = read_here::<R, SHORT>(cursor, index, record, differences)?;
            return Some(Next { position, is_done: true });
        }
        let position = match layout.next_odd_key(text) {
            Some((len, meaning)) => {
                let value = cursor.moved_to(cursor.position() + len as u32);
                odd_member::<R, SHORT>(cursor, value, meaning, index, record, differences)?
            }
            None => new_member::<R, SHORT>(cursor, index, record, differences)?,
        };
        if !is_first_of_unit {
            return Some(Next { position, is_done: false });
        }
        cursor = cursor.moved_to(position);
    }
}

/// Reads the value at `cursor` of the field with this index, in any form.
#[inline(always)]
fn read_here<R: Record, const SHORT: bool>(
    cursor: Cursor<'_>,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<u32> {
    let (bytes, position) = (cursor.bytes(), cursor.position());
    let end = (R::FIELDS[index].scan[usize::from(SHORT)])(bytes, position, record, differences);
    end.or_else(|| odd_value::<R, SHORT>(bytes, position, index, record, differences))
}

/// Reads a member with a key that the layout knows.
#[inline(always)]
fn odd_member<R: Record, const SHORT: bool>(
    mut key: Cursor<'_>,
    mut value: Cursor<'_>,
    meaning: Meaning,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<u32> {
    match meaning {
        Meaning::Unknown { is_settled: true } => {
            skip_value(&mut value)?;
            differences.notes.counts.unknown_keys += 1;
            Some(value.position())
        }
        Meaning::Field(field) => read_elsewhere::<R, SHORT>(value, usize::from(field), index, record, differences),
        Meaning::Type => end_of_type(key, differences),
        Meaning::Unknown { is_settled: false } => {
            let name = plain_key(&mut key)?;
            differences.layout::<R>(SHORT).settle_odd_key(name);
            skip_unknown::<R, SHORT>(value, name, differences)
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
fn new_member<R: Record, const SHORT: bool>(
    mut cursor: Cursor<'_>,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<u32> {
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
fn end_of_type(cursor: Cursor<'_>, differences: &mut Differences) -> Option<u32> {
    let place = differences.type_place.take_if(|place| place.key == cursor.position())?;
    Some(place.end)
}

/// Reads the value of a field that is not where the table has it. `index` is the field that was expected there.
fn read_elsewhere<R: Record, const SHORT: bool>(
    cursor: Cursor<'_>,
    field: usize,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<u32> {
    let bit = 1 << field;
    let progress = &mut differences.layout::<R>(SHORT).progress;
    let is_over = field < index;
    let is_repeated = progress.met & bit != 0 || is_over && progress.passed & bit == 0;
    if is_repeated && R::FIELDS[field].also.is_some() {
        // Which of them counts depends on their names.
        return None;
    }
    progress.passed |= u64::from(is_over) << field;
    let end = (R::FIELDS[field].scan[usize::from(SHORT)])(cursor.bytes(), cursor.position(), record, differences);
    if end.is_some() {
        differences.layout::<R>(SHORT).progress.set_read(bit);
        return end;
    }
    read_loosely::<R, SHORT>(cursor, field, record, differences)
}

/// Reads the value at `position`, which does not have the documented form of the field with this index. Returns the
/// position behind it.
#[cold]
#[inline(never)]
pub(super) fn odd_value<R: Record, const SHORT: bool>(
    bytes: &[u8],
    position: u32,
    index: usize,
    record: &mut R,
    differences: &mut Differences,
) -> Option<u32> {
    let progress = &mut differences.odd::<R>(SHORT).progress;
    if progress.met & 1 << index != 0 && R::FIELDS[index].also.is_some() {
        return None;
    }
    progress.passed |= 1 << index;
    read_loosely::<R, SHORT>(Cursor::at(bytes, position), index, record, differences)
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
) -> Option<u32> {
    let start = cursor;
    skip_value(&mut cursor)?;
    differences.note_unknown::<R>(SHORT, name, || Excerpt::new(start.up_to(cursor)));
    Some(cursor.position())
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
    let is_ambiguous = progress.met & !progress.passed & R::ALIASED != 0;
    if is_ambiguous || differences.type_place.is_some() {
        return None;
    }
    let only_optional = progress.passed & !R::OPTIONAL == 0 && progress.met == 0 && progress.expected == 0;
    differences.is_drift |= !only_optional || progress.is_new;
    if progress.passed & !progress.read == 0 {
        return Some(());
    }
    differences.finish(SHORT, record).ok()
}
