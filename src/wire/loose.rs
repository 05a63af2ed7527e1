//! One value of any JSON type, for fields whose value does not have the documented form. The same JSON yields the same
//! value from bytes and from simd-json's tape.

use super::cursor::Cursor;
use super::number::text_len;
use super::skip::{skip_string, skip_value};

/// A value of any JSON type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Loose<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number that fits an `f64`.
    Number {
        /// Finite, correctly rounded and never a negative zero.
        float: f64,
        /// The exact number, if it is written as a whole number without a sign and fits.
        whole: Option<u64>,
    },
    /// A string.
    Text(&'a str),
    /// `{"year":2026,"month":12,"day":24}`, the form of dates in the exchange's own SDK.
    DateParts([u64; 3]),
    /// Any other object, a list, or a number too large for an `f64`.
    Other,
}

impl<'a> Loose<'a> {
    /// Reads the value at `cursor` and steps over it. `None` if the tape walk must read it.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        match cursor.peek()? {
            b'n' => cursor.eat(b"null").then_some(Self::Null),
            b't' => cursor.eat(b"true").then_some(Self::Bool(true)),
            b'f' => cursor.eat(b"false").then_some(Self::Bool(false)),
            b'"' => skip_string(cursor).filter(|text| !text.contains('\\')).map(Self::Text),
            b'{' => Self::object(cursor),
            b'[' => skip_value(cursor).map(|()| Self::Other),
            _ => {
                let text = cursor.ahead(text_len(cursor.rest())?)?;
                cursor.skip(text.len());
                Self::number(std::str::from_utf8(text).ok()?)
            }
        }
    }

    /// Reads an object. Leaves dates in an unusual form to the tape walk.
    fn object(cursor: &mut Cursor<'a>) -> Option<Self> {
        let start = *cursor;
        if let Some(parts) = date_parts(cursor) {
            return Some(Self::DateParts(parts));
        }
        *cursor = start;
        skip_value(cursor)?;
        let text = start.up_to(*cursor);
        let may_be_date = text.contains(&b'\\') || text.windows(6).any(|part| part == b"\"year\"");
        (!may_be_date).then_some(Self::Other)
    }

    /// Converts the text of a JSON number.
    pub(super) fn number(text: &str) -> Option<Self> {
        let float = text.parse::<f64>().ok()? + 0.0; // + 0.0 makes a negative zero positive
        Some(if float.is_finite() { Self::Number { float, whole: text.parse().ok() } } else { Self::Other })
    }
}

/// Reads [`Loose::DateParts`] with its keys in this order and without spaces.
fn date_parts(cursor: &mut Cursor<'_>) -> Option<[u64; 3]> {
    let mut parts = [0; 3];
    for (part, key) in parts.iter_mut().zip([&b"{\"year\":"[..], b",\"month\":", b",\"day\":"]) {
        if !cursor.eat(key) {
            return None;
        }
        let digits = cursor.ahead(text_len(cursor.rest())?)?;
        *part = std::str::from_utf8(digits).ok()?.parse().ok()?;
        cursor.skip(digits.len());
    }
    cursor.eat(b"}").then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Loose<'_>> {
        let mut cursor = Cursor::new(text.as_bytes()).unwrap();
        let value = Loose::read(&mut cursor)?;
        assert_eq!(cursor.rest(), b",", "{text}");
        Some(value)
    }

    #[test]
    fn every_json_type_is_read() {
        assert_eq!(read("null,"), Some(Loose::Null));
        assert_eq!(read("false,"), Some(Loose::Bool(false)));
        assert_eq!(read("12,"), Some(Loose::Number { float: 12.0, whole: Some(12) }));
        assert_eq!(read("-1.5e3,"), Some(Loose::Number { float: -1500.0, whole: None }));
        assert_eq!(read("1e999,"), Some(Loose::Other));
        assert_eq!(read("\"한\","), Some(Loose::Text("한")));
        assert_eq!(read("{\"year\":2026,\"month\":12,\"day\":24},"), Some(Loose::DateParts([2026, 12, 24])));
        assert_eq!(read("[1,{}],"), Some(Loose::Other));
        assert_eq!(read("{\"a\":{\"day\":24}},"), Some(Loose::Other));
    }

    #[test]
    fn unusual_values_are_left_to_the_tape_walk() {
        for text in [
            "\"\\u0041\",",
            "{\"day\":24,\"year\":1},",
            "{\"\\u0079ear\":1},",
            "{\"year\":2026.0,\"month\":12,\"day\":24},",
            "[1,",
            "01x",
            "x,",
        ] {
            assert_eq!(Loose::read(&mut Cursor::new(text.as_bytes()).unwrap()), None, "{text}");
        }
    }
}
