//! Blanks numbers that are too large for an `f64`. They are valid JSON, but simd-json refuses the whole text, even if
//! no field needs the number.

use super::number::text_len;

/// Replaces each number that is too large for an `f64` with `[0]` and spaces, in place. `[0]` is valid wherever a
/// number is, and no field accepts it. Returns whether there was such a number. Invalid JSON stays invalid.
pub(super) fn blank_huge_numbers(text: &mut [u8]) -> bool {
    let (mut at, mut found) = (0, false);
    while let Some(rest) = text.get_mut(at..).filter(|rest| !rest.is_empty()) {
        at += match (rest[0], text_len(rest)) {
            (b'"', _) => string_len(rest),
            (_, Some(len)) => {
                found |= blank_if_huge(&mut rest[..len]);
                len
            }
            // A malformed number: skip all its digits at once, to keep the time linear.
            (b'-' | b'0'..=b'9', None) => 1 + rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
            _ => 1,
        };
    }
    found
}

fn blank_if_huge(number: &mut [u8]) -> bool {
    let value = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
    let is_huge = value.is_some_and(f64::is_infinite);
    if is_huge {
        number.fill(b' ');
        number[..3].copy_from_slice(b"[0]");
    }
    is_huge
}

/// Returns the length of the string at the start of `text`, quotes included.
fn string_len(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let inside = text[1..].iter().take_while(|byte| {
        let is_end = **byte == b'"' && !is_escaped;
        is_escaped = **byte == b'\\' && !is_escaped;
        !is_end
    });
    inside.count() + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        assert_eq!(blank_huge_numbers(&mut bytes), bytes != text.as_bytes(), "{text}");
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_numbers_that_are_too_large_are_blanked() {
        assert_eq!(blanked(r#"{"a":1e400,"b":[-1E+999 ,2]}"#), r#"{"a":[0]  ,"b":[[0]     ,2]}"#);
        assert_eq!(blanked(&"9".repeat(400)), format!("[0]{}", " ".repeat(397)));
        for text in [
            r#"{"1e400":"\\ud800 1e400\\\"1e400","b":1.7976931348623157e308}"#,
            r#"{"a":"\"1e400","b":[0,-0.5e-400,123456789012345678901234567890]}"#,
            r#"[true,null,{}]"#,
        ] {
            assert_eq!(blanked(text), text);
        }
    }

    #[test]
    fn invalid_json_stays_invalid_and_takes_linear_time() {
        for text in ["01e400", "1e400.5", "1e400-", "--1e400", "{1e400:1}", "1e400 2", "[1e400", "\"1e400", "\"\\"] {
            let mut bytes = text.as_bytes().to_vec();
            blank_huge_numbers(&mut bytes);
            assert!(simd_json::to_tape(&mut bytes).is_err(), "{text}");
        }
        for text in ["0", "1.", "9e", "-", "\""] {
            blanked(&text.repeat(1_000_000));
        }
    }
}
