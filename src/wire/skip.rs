//! Steps over JSON values that are not needed, and checks that they are valid. `None` means that the tape walk must
//! decide: the value contains white space, an escaped surrogate or deep nesting, or is not JSON.

use bytemuck::cast;
use wide::i8x16;

use super::cursor::Cursor;
use super::number::text_len;

/// Maximum nesting of lists and objects that is checked here.
const DEPTH_MAX: u32 = 32;

/// Steps over one value without white space.
#[inline(always)]
pub(super) fn skip_value(cursor: &mut Cursor<'_>) -> Option<()> {
    match cursor.peek()? {
        b'{' | b'[' => {
            // On a copy, so that the caller's cursor stays in registers.
            let mut local = *cursor;
            skip_nested(&mut local)?;
            *cursor = local;
            Some(())
        }
        _ => skip_single(cursor),
    }
}

/// Steps over a value that is no list and no object.
#[inline(always)]
fn skip_single(cursor: &mut Cursor<'_>) -> Option<()> {
    match cursor.peek()? {
        b'"' => skip_text(cursor),
        b'-' | b'0'..=b'9' => skip_number(cursor),
        _ => skip_literal(cursor),
    }
}

/// Steps over a list or an object.
#[inline(never)]
fn skip_nested(cursor: &mut Cursor<'_>) -> Option<()> {
    // The open lists and objects, the innermost in the lowest bit: 1 is an object, 0 a list. A 1 stands above the
    // outermost.
    let mut open = 1u64;
    loop {
        match cursor.peek()? {
            b'{' => {
                cursor.skip(1);
                if !cursor.eat(b"}") {
                    open = push(open, 1)?;
                    skip_key(cursor)?;
                    continue;
                }
            }
            b'[' => {
                cursor.skip(1);
                if !cursor.eat(b"]") {
                    open = push(open, 0)?;
                    continue;
                }
            }
            _ => skip_single(cursor)?,
        }
        // After a value: the end of the innermost list or object, or its next value.
        loop {
            let in_object = open & 1 == 1;
            match cursor.peek() {
                _ if open == 1 => return Some(()),
                Some(b',') => {
                    cursor.skip(1);
                    if in_object {
                        skip_key(cursor)?;
                    }
                    break;
                }
                Some(b'}') if in_object => {}
                Some(b']') if !in_object => {}
                _ => return None,
            }
            cursor.skip(1);
            open >>= 1;
        }
    }
}

/// Steps over a number. The usual short ones are recognized in a vector.
#[inline(always)]
fn skip_number(cursor: &mut Cursor<'_>) -> Option<()> {
    let len = cursor.chunk().and_then(short_number).or_else(|| text_len(cursor.rest()))?;
    cursor.skip(len);
    Some(())
}

/// Returns the length of a number without an exponent that ends within the text.
#[inline(always)]
fn short_number(text: &[u8; 32]) -> Option<usize> {
    let halves: [i8x16; 2] = cast(*text);
    let [low, high] = halves.map(|half| {
        let is_digit = half.simd_gt(i8x16::splat(b'0' as i8 - 1)) & half.simd_lt(i8x16::splat(b'9' as i8 + 1));
        u64::from(is_digit.to_bitmask())
    });
    // The bits above those of the text end each search.
    let others = !(high << 16 | low);
    let sign = usize::from(text[0] == b'-');
    let whole = (others >> sign).trailing_zeros() as usize;
    if whole == 0 || whole > 1 && text[sign] == b'0' {
        return None;
    }
    let mut len = sign + whole;
    if text.get(len) == Some(&b'.') {
        let decimals = (others >> (len + 1)).trailing_zeros() as usize;
        len += 1 + decimals;
        if decimals == 0 {
            return None;
        }
    }
    text.get(len).filter(|end| !matches!(end, b'e' | b'E')).map(|_| len)
}

/// Steps over a string. Short ones without escapes are recognized in a vector.
#[inline(always)]
fn skip_text(cursor: &mut Cursor<'_>) -> Option<()> {
    if let Some(len) = cursor.chunk().and_then(short_text) {
        cursor.skip(len);
        return Some(());
    }
    let mut local = *cursor;
    skip_string(&mut local)?;
    *cursor = local;
    Some(())
}

/// Counts the elements of the list at `cursor`, which has been read before.
pub(super) fn count_elements(mut cursor: Cursor<'_>) -> u64 {
    let mut count = 0;
    while matches!(cursor.peek(), Some(b'[' | b',')) {
        cursor.skip(1);
        if skip_value(&mut cursor).is_none() {
            break;
        }
        count += 1;
    }
    count
}

/// Returns the length of a string of at most 15 ASCII characters without escapes, with its quotes.
#[inline(always)]
fn short_text(text: &[u8; 17]) -> Option<usize> {
    let all: i8x16 = cast(*text.last_chunk::<16>()?);
    let is = |byte: u8| all.simd_eq(i8x16::splat(byte as i8));
    // As signed bytes, control characters and all characters beyond ASCII are below the space.
    let ends = is(b'"') | is(b'\\') | all.simd_lt(i8x16::splat(b' ' as i8));
    let len = ends.to_bitmask().trailing_zeros() as usize;
    (text[0] == b'"' && text.get(1 + len) == Some(&b'"')).then_some(len + 2)
}

fn push(open: u64, kind: u64) -> Option<u64> {
    (open < 1 << DEPTH_MAX).then_some(open << 1 | kind)
}

fn skip_key(cursor: &mut Cursor<'_>) -> Option<()> {
    skip_text(cursor)?;
    cursor.eat(b":").then_some(())
}

fn skip_literal(cursor: &mut Cursor<'_>) -> Option<()> {
    (cursor.eat(b"null") || cursor.eat(b"true") || cursor.eat(b"false")).then_some(())
}

/// Steps over a string. Returns the text between its quotes, with its escapes unchanged.
pub(super) fn skip_string<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    let [b'"', text @ ..] = cursor.rest() else { return None };
    let mut len = 0;
    loop {
        match *text.get(len)? {
            b'"' => break,
            b'\\' => len += escape_len(&text[len..])?,
            0..0x20 => return None,
            _ => len += 1,
        }
    }
    cursor.skip(len + 2);
    std::str::from_utf8(&text[..len]).ok()
}

/// Returns the length of the escape at the start of `text`.
fn escape_len(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let digits = std::str::from_utf8(text.get(2..6)?).ok()?;
            let code =
                digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16))?;
            // A surrogate is half a character. The tape walk checks whether the other half follows.
            char::from_u32(code.ok()?).map(|_| 6)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of bytes of `text` that are stepped over.
    fn skipped(text: &[u8]) -> Option<usize> {
        let mut cursor = Cursor::new(text).unwrap();
        skip_value(&mut cursor)?;
        Some(text.len() - cursor.rest().len())
    }

    #[test]
    fn a_value_is_stepped_over_to_its_end_and_no_further() {
        for value in [
            "null",
            "true",
            "false",
            "0",
            "-0.5e+7",
            "1e400",
            "-12.5",
            "-0",
            "123456789012345678901234567890",
            "1234567890123456789012345678901",
            "12345678901234567890123456789012",
            "123456789012345.123456789012345",
            "12345678901234567890.1234567890123456789",
            "\"\"",
            "\"a\"",
            "\"\\\"\\u00e9\\\\\"",
            "\"가\u{7f}\"",
            "\"fourteen bytes\"",
            "\"fifteen bytes..\"",
            "\"sixteen bytes...\"",
            "\"seventeen bytes..\"",
            "\"fourteen bytes\\\"\"",
            "[]",
            "{}",
            "[1,[],{}]",
            "{\"a\":{\"b\":[null,\"]}\"]},\"\":-1}",
            "[[[[1]]]]",
        ] {
            let long = ",\"st\":1}".repeat(10);
            for behind in ["", ",\"st\":1}", "}", "]", "\0", &long] {
                let text = format!("{value}{behind}");
                assert_eq!(skipped(text.as_bytes()), Some(value.len()), "{text}");
            }
        }
    }

    #[test]
    fn invalid_json_is_never_stepped_over() {
        for text in [
            "",
            "nul",
            "True",
            "01",
            "-",
            "-01",
            "-.5",
            "1.x",
            "12345678901234567890123456789012.",
            "1.",
            "+1",
            ".5",
            "\"",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u+123\"",
            "\"a\nb\"",
            "\"\\",
            "[",
            "[1",
            "[1,]",
            "[,1]",
            "[1}",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:2}",
            "{\"a\":1]",
            "]",
            "}",
            "{\"a\" 1}",
            "[1 2]",
        ] {
            assert_eq!(skipped(text.as_bytes()), None, "{text}");
            let behind = " ".repeat(40);
            assert_eq!(skipped(format!("{text}{behind}").as_bytes()), None, "{text}");
        }
        assert_eq!(skipped(b"\"\xff\""), None);
        assert_eq!(skipped(b"\"\xed\xa0\x80\""), None);
    }

    #[test]
    fn unusual_values_are_left_to_the_tape_walk() {
        assert_eq!(skipped(b"[1, 2]"), None);
        assert_eq!(skipped(b"\"\\ud83d\\ude00\""), None);
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        assert_eq!((skipped(&nested(33)), skipped(&nested(34))), (Some(66), None));
        assert_eq!(skipped(&b"[".repeat(1_000_000)), None);
    }
}
