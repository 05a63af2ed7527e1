//! Prints numbers in the spellings of Upbit's JVM. `message` decides which field uses which.
//!
//! All values are fixed point: an integer and its number of decimals, so sums are exact.

use std::borrow::Cow;

/// The number of decimals of every price and size in this crate.
pub(crate) const SCALE: u32 = 8;
/// One, at [`SCALE`].
pub(crate) const ONE: i64 = 100_000_000;

/// Java's `BigDecimal.toString`: `122720000.00000000`, `0E-8`, `9.9E-7`, `0.00000689`.
pub(crate) fn big_decimal(out: &mut Vec<u8>, unscaled: i128, scale: u32) {
    let digits = sign_and_digits(out, unscaled);
    let adjusted = digits.len() as i64 - 1 - i64::from(scale);
    if adjusted >= -6 {
        return point(out, &digits, digits.len() as i64 - i64::from(scale));
    }
    scientific(out, &digits, adjusted, b"");
}

/// Java's `Double.toString` of a value with [`SCALE`] decimals: `1.16539E8`, `3426000.0`, `7.9276E-4`.
pub(crate) fn double(out: &mut Vec<u8>, value: i128) {
    if value == 0 {
        return out.extend_from_slice(b"0.0");
    }
    let text = sign_and_digits(out, value);
    let (rounded, exponent) = shortest(&text);
    let digits = trim(&rounded);
    if !(-3..7).contains(&exponent) {
        return scientific(out, digits, exponent, b"0");
    }
    let whole = exponent + 1;
    if whole < digits.len() as i64 {
        return point(out, digits, whole);
    }
    out.extend_from_slice(digits);
    out.extend(std::iter::repeat_n(b'0', whole as usize - digits.len()));
    out.extend_from_slice(b".0");
}

/// A value with [`SCALE`] decimals, without an exponent or trailing zeros: `116606000`, `0.00000853`.
pub(crate) fn plain(out: &mut Vec<u8>, value: i128) {
    let (mut value, mut scale) = (value, SCALE);
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    let digits = sign_and_digits(out, value);
    point(out, &digits, digits.len() as i64 - i64::from(scale));
}

pub(crate) fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&Digits::of(value.into()));
}

/// Decimal digits on the stack: a book has 120 numbers, too many for one allocation each.
struct Digits {
    text: [u8; 39],
    start: usize,
}

impl Digits {
    fn of(mut value: u128) -> Self {
        let mut digits = Self { text: [b'0'; 39], start: 39 };
        while value > u128::from(u64::MAX) {
            digits.push((value % 10) as u8);
            value /= 10;
        }
        // Nearly all values fit in 64 bits, where division is several times cheaper.
        let mut value = value as u64;
        loop {
            digits.push((value % 10) as u8);
            value /= 10;
            if value == 0 {
                return digits;
            }
        }
    }

    fn push(&mut self, digit: u8) {
        self.start -= 1;
        self.text[self.start] = b'0' + digit;
    }
}

impl std::ops::Deref for Digits {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

fn sign_and_digits(out: &mut Vec<u8>, value: i128) -> Digits {
    if value < 0 {
        out.push(b'-');
    }
    Digits::of(value.unsigned_abs())
}

fn trim(digits: &[u8]) -> &[u8] {
    let length = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    &digits[..length]
}

/// Returns the digits of the shortest text of the f64, and the decimal exponent of the first digit.
fn shortest(digits: &[u8]) -> (Cow<'_, [u8]>, i64) {
    // Up to 15 digits survive the conversion to f64, so they already are its shortest text.
    if trim(digits).len() <= 15 {
        return (Cow::Borrowed(digits), digits.len() as i64 - 1 - i64::from(SCALE));
    }
    let text = str::from_utf8(digits).expect("digits are ASCII");
    let value: f64 = format!("{text}e-{SCALE}").parse().expect("digits with an exponent are a number");
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("`{:e}` prints an exponent");
    (Cow::Owned(mantissa.replace('.', "").into_bytes()), exponent.parse().expect("a small integer"))
}

/// Prints `digits` with the decimal point after the first `whole` of them, filled with zeros on the left.
fn point(out: &mut Vec<u8>, digits: &[u8], whole: i64) {
    if whole <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', -whole as usize));
        return out.extend_from_slice(digits);
    }
    let (left, right) = digits.split_at((whole as usize).min(digits.len()));
    out.extend_from_slice(left);
    if !right.is_empty() {
        out.push(b'.');
        out.extend_from_slice(right);
    }
}

/// Prints `d.dddE±n`. If there is only one digit, `lone` follows the point (Double prints `5.0E-4`, BigDecimal `5E-4`).
fn scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i64, lone: &[u8]) {
    let rest = if digits.len() > 1 { &digits[1..] } else { lone };
    out.push(digits[0]);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.push(b'E');
    if exponent < 0 {
        out.push(b'-');
    }
    integer(out, exponent.unsigned_abs());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn big_decimals_are_spelled_like_java() {
        for (value, scale, expected) in [
            (12_272_000_000_000_000, 8, "122720000.00000000"),
            (0, 8, "0E-8"),
            (0, 0, "0"),
            (1, 8, "1E-8"),
            (99, 8, "9.9E-7"),
            (689, 8, "0.00000689"),
            (3_600_000, 8, "0.03600000"),
            (-11_200_000_000_000, 8, "-112000.00000000"),
            (14_830_508, 10, "0.0014830508"),
            (632, 10, "6.32E-8"),
            (5, 0, "5"),
            (399, 4, "0.0399"),
        ] {
            assert_eq!(text(|out| big_decimal(out, value, scale)), expected);
        }
    }

    #[test]
    fn doubles_are_spelled_like_java() {
        for (value, expected) in [
            (11_653_900_000_000_000, "1.16539E8"),
            (4_912_000_000_000_000, "4.912E7"),
            (342_600_000_000_000, "3426000.0"),
            (1_000_000_000_000_000, "1.0E7"),
            (999_999_900_000_000, "9999999.0"),
            (689, "6.89E-6"),
            (79_276, "7.9276E-4"),
            (50_000, "5.0E-4"),
            (100_000, "0.001"),
            (224_034_130, "2.2403413"),
            (0, "0.0"),
            (1, "1.0E-8"),
            (2_575_227_555_420_627, "2.575227555420627E7"),
            (-12_700_000_000, "-127.0"),
        ] {
            assert_eq!(text(|out| double(out, value)), expected);
        }
    }

    #[test]
    fn plain_numbers_have_neither_exponent_nor_trailing_zeros() {
        for (value, expected) in
            [(11_660_600_000_000_000, "116606000"), (853, "0.00000853"), (8_717_033_000_000, "87170.33"), (0, "0")]
        {
            assert_eq!(text(|out| plain(out, value)), expected);
        }
    }

    #[test]
    fn a_double_reads_back_as_the_nearest_f64() {
        for value in [1i128, 12_345_678_901_234_567_890, 75_685_803_074_369_320_000, 99_999_999_999_999_999] {
            let exact: f64 = format!("{value}e-8").parse().unwrap();
            assert_eq!(text(|out| double(out, value)).parse::<f64>().unwrap().to_bits(), exact.to_bits());
        }
    }
}
