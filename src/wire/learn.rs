//! Learns from an object that differs from the documented form. It has been read before, so it is valid.

use super::cursor::Cursor;
use super::detour::{key_of_type, plain_key};
use super::layout::{Layout, Meaning};
use super::schema::{Record, find};
use super::skip::skip_value;

/// Maximum number of members from which the order of the fields is learned.
const MEMBERS_MAX: usize = 64;

/// Learns which fields of the object at `start` are displaced, and which odd keys it has.
pub(super) fn learn<R: Record, const SHORT: bool>(start: Cursor<'_>, layout: &mut Layout) {
    let (mut order, mut count) = ([0; MEMBERS_MAX], 0);
    let fields = Members { cursor: start }.filter_map(|member| find::<R>(member.key, SHORT));
    for index in fields.take(MEMBERS_MAX) {
        order[count] = index as u8;
        count += 1;
    }
    layout.learn_order(&order[..count], R::FIELDS.len());
    let mut known = 0;
    for Member { before, key, .. } in (Members { cursor: start }).take(MEMBERS_MAX) {
        let is_type = !R::IN_UNIT && key == key_of_type::<SHORT>();
        let meaning = match find::<R>(key, SHORT) {
            Some(index) if layout.displaced() & 1 << index == 0 => continue,
            Some(index) => Meaning::Field(index as u8),
            None if is_type && before == b'{' => continue,
            None if is_type => Meaning::Type,
            None => Meaning::Unknown { is_settled: !layout.wants_key(key.as_bytes()) },
        };
        known = layout.learn_odd_key(known, key, meaning);
    }
}

/// Learns from each object in the list that is the value of the key `list` in the object at `start`.
pub(super) fn learn_inside<R: Record, const SHORT: bool>(start: Cursor<'_>, list: &str, layout: &mut Layout) {
    let Some(Member { mut value, .. }) = (Members { cursor: start }).find(|member| member.key == list) else { return };
    value.skip(1); // the bracket
    while value.peek() == Some(b'{') {
        learn::<R, SHORT>(value, layout);
        if skip_value(&mut value).is_none() || !value.eat(b",") {
            return;
        }
    }
}

/// The members of an object.
struct Members<'m> {
    cursor: Cursor<'m>,
}

struct Member<'m> {
    /// The byte before the key.
    before: u8,
    key: &'m str,
    value: Cursor<'m>,
}

impl<'m> Iterator for Members<'m> {
    type Item = Member<'m>;

    fn next(&mut self) -> Option<Member<'m>> {
        let before = self.cursor.peek().filter(|before| matches!(before, b'{' | b','))?;
        self.cursor.skip(1);
        let key = plain_key(&mut self.cursor)?;
        let value = self.cursor;
        skip_value(&mut self.cursor)?;
        Some(Member { before, key, value })
    }
}
