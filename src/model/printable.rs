//! Which characters of a text from outside may be printed.

/// Returns whether a character could mislead a reader of a terminal or a log: control characters, line and paragraph
/// separators, and marks that change the direction of the text.
pub(crate) fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_that_change_how_others_are_shown_are_misleading() {
        for c in ['\x1b', '\n', '\u{85}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{2028}'] {
            assert!(is_misleading(c), "{c:?}");
        }
        assert!(!"Upbit 업비트 “quote” … €→µ😀".chars().any(is_misleading));
    }
}
