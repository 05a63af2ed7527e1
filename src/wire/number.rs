//! Parses the numbers of a message in place, eight digits at a time in a word, sixteen in a vector. Every `f64` is
//! correctly rounded.
//!
//! The usual spellings are read from a window of fixed size, which saves most bounds checks; `std` parses all others.
//! Two things cost time: instructions, and the dependency of each number's start on the end of the number before it. A
//! branch on the most likely length (eight decimals) breaks that dependency, because the processor predicts the branch.
//!
//! Vectors reinterpret bytes as numbers, so the processor has to be little-endian (`lib.rs` refuses others).

use std::hint::cold_path;
use std::num::{NonZeroU64, NonZeroUsize};

use bytemuck::cast;
use wide::{i16x8, u16x8};

use super::cursor::Cursor;
use super::decoder::SLACK;
use super::quotient::quotient;

/// An `f64` holds every whole number up to this one exactly.
const EXACT: u64 = 1 << 53;

/// The number of digits that always fit a `u64`.
const DIGITS_MAX: usize = 19;

const POW10: [u64; DIGITS_MAX + 1] = {
    let mut powers = [1; DIGITS_MAX + 1];
    let mut i = 1;
    while i <= DIGITS_MAX {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// `LEAST[n]` is the least number of `n` digits without a leading zero. `LEAST[0]` is above every number, so that
/// text without digits is refused.
const LEAST: [u64; 8] = {
    let mut least = [u64::MAX; 8];
    least[1] = 0;
    let mut count = 2;
    while count < 8 {
        least[count] = POW10[count - 1];
        count += 1;
    }
    least
};

/// The powers of ten that an `f64` holds exactly.
const POW10_F64: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The number of bytes that are examined for one number. At least this many follow every position in a message.
pub(super) const AHEAD: usize = SLACK;

/// `AHEAD` without the sign.
const WINDOW: usize = AHEAD - 1;

// The longest form: 16 digits, a point, 16 digits, and the byte that follows.
const _: () = assert!(WINDOW > 16 + 1 + 16);

/// An unsigned number and its length; `None` if `std` has to parse it. Small enough to be returned in registers.
pub(super) type Found = Option<(f64, NonZeroUsize)>;

/// Reads the JSON number at the start of `ahead` and steps over it. Returns `None` if there is no number, or if it is
/// too large for an `f64`. Never returns a negative zero.
#[inline(always)]
pub(super) fn number(ahead: &[u8], cursor: &mut Cursor<'_>) -> Option<f64> {
    let (sign, window) = ahead.split_first_chunk::<1>()?;
    // Few fields ever have a sign, so `unsigned` does not handle one.
    if sign == b"-" {
        return match unsigned(window.first_chunk()?) {
            Some((magnitude, len)) => {
                cursor.skip(1 + len.get());
                Some(0.0 - magnitude) // a negated zero would keep its sign
            }
            None => by_text(cursor),
        };
    }
    match unsigned(ahead.first_chunk()?) {
        Some((value, len)) => {
            cursor.skip(len.get());
            Some(value)
        }
        None => by_text(cursor),
    }
}

/// Reads an unsigned whole number of at most 19 digits and steps over it.
#[inline(always)]
pub(super) fn whole(ahead: &[u8], cursor: &mut Cursor<'_>) -> Option<u64> {
    let (value, len) = id(ahead.first_chunk()?)?;
    cursor.skip(len.get());
    Some(value)
}

/// Reads a number in quotes at the start of `bytes`. Returns `None` for unusual forms. The length includes the quotes.
#[cold]
#[inline(never)]
pub(super) fn quoted(bytes: &[u8]) -> Found {
    let [b'"', ahead @ ..] = bytes.first_chunk::<{ AHEAD + 1 }>()? else { return None };
    if ahead[0] == b'-' {
        let (magnitude, len) = unsigned_quoted(ahead.last_chunk()?)?;
        return Some((0.0 - magnitude, len.checked_add(3)?));
    }
    let (value, len) = unsigned_quoted(ahead.first_chunk()?)?;
    Some((value, len.checked_add(2)?))
}

/// Reads a [`whole`] number in quotes at the start of `bytes`. The length includes the quotes.
#[cold]
#[inline(never)]
pub(super) fn quoted_whole(bytes: &[u8]) -> Option<(u64, NonZeroUsize)> {
    let [b'"', ahead @ ..] = bytes.first_chunk::<{ AHEAD + 1 }>()? else { return None };
    let (value, len) = id(ahead.first_chunk()?)?;
    if *ahead.get(len.get())? == b'"' { Some((value, len.checked_add(2)?)) } else { None }
}

/// Reads an unsigned number.
///
/// Not inlined, because copies for all fields of a ticker would outgrow the processor's cache of decoded instructions.
#[inline(never)]
fn unsigned(window: &[u8; WINDOW]) -> Found {
    usual::<false>(window)
}

/// Reads an unsigned number with a quote behind it.
fn unsigned_quoted(window: &[u8; WINDOW]) -> Found {
    usual::<true>(window)
}

/// Reads up to seven digits, alone or with a point and up to eight decimals. Separate functions read all other forms,
/// so that this one does not have to save registers. `QUOTED` means that a quote has to follow.
#[inline(always)]
fn usual<const QUOTED: bool>(window: &[u8; WINDOW]) -> Found {
    let head = load(window, 0);
    let Some(others) = non_digits(head) else { return large::<QUOTED>(window) };
    let bits = digit_bits(others);
    let point = bits as usize / 8;
    // Without digits nothing is shifted, and `LEAST` refuses the value.
    let head = head.wrapping_shl(64 - bits);
    if window[point] != b'.' {
        let whole = eight_digits(head);
        let is_whole = ends::<QUOTED>(window[point]) && whole >= LEAST[point];
        return if is_whole { found(as_f64(whole), point) } else { unusual::<QUOTED>(window) };
    }
    let tail = load(window, point + 1);
    let Some(others) = non_digits(tail) else {
        // A branch lets the processor predict where the next field begins.
        let (whole, decimals) = both(head, tail);
        let (mantissa, end) = (whole * POW10[8] + decimals, point + 9);
        if whole < LEAST[point] {
            return None;
        }
        // Both operands are exact, so the one division rounds correctly. The same holds below.
        return if ends::<QUOTED>(window[end]) {
            found(as_f64(mantissa) / 1e8, end)
        } else {
            finer::<QUOTED>(window, end, mantissa)
        };
    };
    let bits = digit_bits(others);
    let scale = bits as usize / 8;
    let (whole, decimals) = both(head, tail.wrapping_shl(64 - bits));
    let (mantissa, end) = (whole * POW10[scale] + decimals, point + 1 + scale);
    if scale == 0 || whole < LEAST[point] {
        return None;
    }
    if ends::<QUOTED>(window[end]) {
        found(as_f64(mantissa) / POW10_F64[scale], end)
    } else {
        exponent::<QUOTED>(window, end, mantissa, scale)
    }
}

/// Reads a number with nine to twelve decimals, such as a rate. [`usual`] has read the first eight, up to `at`.
#[inline(never)]
fn finer<const QUOTED: bool>(window: &[u8; WINDOW], at: usize, mantissa: u64) -> Found {
    let tail = load(window, at);
    let bits = non_digits(tail).map_or(64, digit_bits);
    let count = bits as usize / 8;
    let end = at + count;
    if count > 4 || !ends::<QUOTED>(*window.get(end)?) {
        return unusual::<QUOTED>(window);
    }
    let mantissa = mantissa * POW10[count] + eight_digits(shifted(tail, bits));
    if mantissa > EXACT { unusual::<QUOTED>(window) } else { found(as_f64(mantissa) / POW10_F64[8 + count], end) }
}

/// Reads a number of at least eight digits with eight decimals, which eight zeros may follow: a price in hundreds of
/// millions, or a turnover.
#[inline(never)]
fn large<const QUOTED: bool>(window: &[u8; WINDOW]) -> Found {
    let whole = digits(window, 0);
    let decimals = load(window, whole.count + 1);
    let mut end = whole.count + 9;
    if window[whole.count] != b'.' || window[0] == b'0' || non_digits(decimals).is_some() {
        return unusual::<QUOTED>(window);
    }
    if !ends::<QUOTED>(window[end]) {
        if load(window, end) != 0 || !ends::<QUOTED>(window[end + 8]) {
            return unusual::<QUOTED>(window);
        }
        end += 8;
    }
    if decimals == 0 {
        return found(as_f64(whole.value), end);
    }
    match sum(whole, Digits { value: eight_digits(decimals), count: 8 }) {
        Some(value) => found(value, end),
        None => unusual::<QUOTED>(window),
    }
}

/// Reads any number of at most 16 digits on either side of the point.
#[inline(never)]
fn unusual<const QUOTED: bool>(window: &[u8; WINDOW]) -> Found {
    let whole = digits(window, 0);
    if whole.count == 0 || (whole.count > 1 && window[0] == b'0') {
        return None;
    }
    let (mut fraction, mut end) = (Digits { value: 0, count: 0 }, whole.count);
    if window[end] == b'.' {
        fraction = digits(window, end + 1);
        end += 1 + fraction.count;
        if fraction.count == 0 {
            return None;
        }
    }
    if !ends::<QUOTED>(window[end]) {
        return exponent::<QUOTED>(window, end, join(whole, fraction)?, fraction.count);
    }
    let value = match join(whole, fraction) {
        _ if fraction.value == 0 => as_f64(whole.value),
        Some(mantissa) if mantissa <= EXACT => as_f64(mantissa) / POW10_F64[fraction.count],
        // With few digits before the point, `sum` seldom succeeds.
        Some(mantissa) if whole.count < 9 => quotient(mantissa, fraction.count),
        _ => sum(whole, fraction)?,
    };
    found(value, end)
}

/// Reads a one-digit exponent, such as the `E8` of `1.16539E8`, the usual spelling of book prices. `at` is the position
/// of the `E`.
#[inline(never)]
fn exponent<const QUOTED: bool>(window: &[u8; WINDOW], at: usize, mantissa: u64, scale: usize) -> Found {
    let down = *window.get(at + 1)? == b'-';
    let end = at + 2 + usize::from(down);
    let power = usize::from(window.get(end - 1)?.wrapping_sub(b'0'));
    if window[at] | 0x20 != b'e' || power > 9 || !ends::<QUOTED>(*window.get(end)?) || mantissa > EXACT {
        return None;
    }
    let mantissa = as_f64(mantissa);
    // Both operands are exact, so there is one rounding. The fraction has at most 16 digits.
    let value = if down {
        mantissa / POW10_F64.get(scale + power)?
    } else if power >= scale {
        mantissa * POW10_F64[power - scale]
    } else {
        mantissa / POW10_F64.get(scale - power)?
    };
    found(value, end)
}

/// Returns the whole number at the start of `window`, and its length.
#[inline(never)]
fn id(window: &[u8; WINDOW]) -> Option<(u64, NonZeroUsize)> {
    let mut run = digits(window, 0);
    if run.count == 16 {
        // An id has 16 or 17 digits.
        let more = digits(window, 16);
        if more.count > 0 {
            run.value = run.value.wrapping_mul(POW10[more.count]).wrapping_add(more.value);
            run.count += more.count;
        }
    }
    if run.count > DIGITS_MAX || (run.count > 1 && window[0] == b'0') {
        return None;
    }
    Some((run.value, NonZeroUsize::new(run.count)?))
}

#[inline(always)]
fn found(value: f64, len: usize) -> Found {
    Some((value, NonZeroUsize::new(len)?))
}

/// Returns whether `byte` may follow a number.
#[inline(always)]
fn ends<const QUOTED: bool>(byte: u8) -> bool {
    if QUOTED {
        return byte == b'"';
    }
    if byte != b',' {
        cold_path(); // a comma is compared first
        return byte == b'}';
    }
    true
}

/// Converts a value of at most 63 bits. The processor converts a signed integer in one step.
#[inline(always)]
fn as_f64(value: u64) -> f64 {
    value as i64 as f64
}

/// Joins the digits on both sides of the point to one mantissa, if it fits a `u64`.
#[inline(always)]
fn join(whole: Digits, fraction: Digits) -> Option<u64> {
    (whole.count + fraction.count <= DIGITS_MAX).then(|| whole.value * POW10[fraction.count] + fraction.value)
}

/// Adds the fraction to the whole number, for more digits than one exact mantissa holds.
///
/// The fraction is off by less than 2^-51. If adding and subtracting that error both yield the same sum, the sum is
/// rounded correctly; otherwise returns `None`. The larger the whole number, the more often this succeeds.
#[inline(always)]
fn sum(whole: Digits, fraction: Digits) -> Option<f64> {
    const SLIP: f64 = 1.0 / (1u64 << 51) as f64;
    let (exact, part) = (as_f64(whole.value), as_f64(fraction.value) / POW10_F64[fraction.count]);
    let (least, most) = (exact + (part - SLIP), exact + (part + SLIP));
    (least == most && whole.value <= EXACT).then_some(least)
}

/// The slow path for every spelling: finds the end of the number and lets `std` parse it.
#[inline(always)]
fn by_text(cursor: &mut Cursor<'_>) -> Option<f64> {
    let (value, len) = std_number(cursor.rest())?;
    cursor.skip(len.get());
    Some(value)
}

#[cold]
#[inline(never)]
fn std_number(bytes: &[u8]) -> Found {
    let text = &bytes[..text_len(bytes)?];
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_finite() { found(value + 0.0, text.len()) } else { None } // + 0.0 makes a negative zero positive
}

/// Returns the length of the JSON number at the start of `bytes`.
pub(super) fn text_len(bytes: &[u8]) -> Option<usize> {
    let run = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = |at: usize, signs: &[u8]| usize::from(bytes.get(at).is_some_and(|b| signs.contains(b)));
    let mut at = sign(0, b"-");
    match run(at) {
        0 => return None,
        more if more > 1 && bytes[at] == b'0' => return None,
        count => at += count,
    }
    if bytes.get(at) == Some(&b'.') {
        let count = run(at + 1);
        if count == 0 {
            return None;
        }
        at += 1 + count;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + sign(at + 1, b"+-");
        let count = run(at);
        if count == 0 {
            return None;
        }
        at += count;
    }
    Some(at)
}

/// A run of at most 16 digits. If `count` is 0, `value` is unspecified.
#[derive(Clone, Copy)]
struct Digits {
    value: u64,
    count: usize,
}

/// Reads at most 16 digits, starting at `at`.
#[inline(always)]
fn digits(window: &[u8; WINDOW], at: usize) -> Digits {
    let head = load(window, at);
    if let Some(others) = non_digits(head) {
        let bits = digit_bits(others);
        return Digits { value: eight_digits(head.wrapping_shl(64 - bits)), count: bits as usize / 8 };
    }
    let tail = load(window, at + 8);
    let bits = non_digits(tail).map_or(64, digit_bits);
    let count = bits as usize / 8;
    let (head, tail) = both(head, shifted(tail, bits));
    Digits { value: head * POW10[count] + tail, count: 8 + count }
}

/// Loads eight bytes, the first into the lowest byte, and turns ASCII digits into their values.
#[inline(always)]
fn load(window: &[u8; WINDOW], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&window[at..at + 8]);
    u64::from_le_bytes(bytes) ^ 0x3030_3030_3030_3030
}

/// Returns the top bit of each byte that is not a digit, reliable up to the first such byte. `None` if all are digits.
#[inline(always)]
fn non_digits(word: u64) -> Option<NonZeroU64> {
    // Adding 0x76 sets the top bit of any value above 9. A carry can only spoil bytes after the first non-digit,
    // because only a non-digit carries.
    NonZeroU64::new((word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080)
}

/// Returns the number of low bits that belong to digits.
#[inline(always)]
fn digit_bits(others: NonZeroU64) -> u32 {
    others.trailing_zeros() & !7
}

/// Keeps the digits in the low `bits` bits and moves them up, so that zeros precede them. Returns 0 for no digits.
#[inline(always)]
fn shifted(word: u64, bits: u32) -> u64 {
    word.checked_shl(64 - bits).unwrap_or(0)
}

/// Combines eight digit values, the most significant in the lowest byte, to one number: pairs, then fours, then eight.
#[inline(always)]
fn eight_digits(values: u64) -> u64 {
    const MASK: u64 = 0x0000_00FF_0000_00FF;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let high = (pairs & MASK).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & MASK).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// Computes [`eight_digits`] of two words at once, with half the instructions.
#[inline(always)]
fn both(first: u64, second: u64) -> (u64, u64) {
    let values: u16x8 = cast([first, second]);
    let pairs = (values & u16x8::splat(0xFF)) * u16x8::splat(10) + (values >> 8u32);
    let fours = cast::<_, i16x8>(pairs).dot(cast([[100i16, 1]; 4]));
    let fours = i16x8::from_i32x8_saturate(cast([fours, fours]));
    let [first, second, ..]: [u32; 4] = cast(fours.dot(cast([[10_000i16, 1]; 4])));
    (first.into(), second.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text`, followed by other bytes. `None` unless exactly `text` was consumed.
    fn read(text: &str) -> Option<f64> {
        let bytes = [text.as_bytes(), b",\"st\":1234567890123456789012345", &[b' '; SLACK]].concat();
        let mut cursor = Cursor::new(&bytes).unwrap();
        let value = number(cursor.ahead(AHEAD)?, &mut cursor)?;
        (bytes.len() - cursor.rest().len() == text.len()).then_some(value)
    }

    /// The value that `std` parses, which is correctly rounded.
    fn expected(text: &str) -> f64 {
        text.parse::<f64>().unwrap() + 0.0
    }

    #[test]
    fn every_spelling_of_the_exchange_is_read() {
        for text in [
            "122720000.00000000",
            "49190000.0000",
            "19699800600.2538100000000000",
            "12747895025.205850000000",
            "67648718116.20854000",
            "331187169240.21526",
            "132059628541.5793871100000000",
            "215860278078.57789456",
            "999999999999.999999999",
            "9007199254740993.00001",
            "9007199254740992.99999",
            "-9007199254740993.50000",
            "0E-8",
            "0",
            "0.02100531",
            "109867000",
            "1.16539E8",
            "4.912E7",
            "7.9276E-4",
            "5.0E-4",
            "127.0",
            "9.9E-7",
            "6E-8",
            "2.1E-7",
            "1.55141E9",
            "-0.0022780433",
            "1e5",
            "1E+5",
            "860743.5307100000000000",
            "756858030743.69320000",
            "1386929.37231066771348207123",
            "1e22",
            "1e23",
            "1e-22",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993.00000000",
            "99999999999999999999999999999",
            "0.000000000000000000000000000001",
            "1e300",
            "4.9E-324",
            "1e-999",
            "12345678901234567890.5e-5",
            "0.1e1",
        ] {
            assert_eq!(read(text).map(f64::to_bits), Some(expected(text).to_bits()), "{text}");
        }
    }

    #[test]
    fn malformed_and_huge_numbers_are_refused() {
        for text in
            ["", "-", "+1", ".5", "1.", "01", "-01", "00", "1e", "1e+", "1.e5", "e5", "--1", "NaN", "1e999", "-1e999"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn zero_has_no_sign() {
        for text in ["-0", "-0.0", "-0E-8", "-0.00000000", "-1e-999", "-0.0000000000000000000000000000"] {
            assert_eq!(read(text).map(f64::to_bits), Some(0), "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_exact_up_to_nineteen_digits() {
        let read = |text: &str| {
            let bytes = [text.as_bytes(), b",", &[b'7'; SLACK]].concat();
            let mut cursor = Cursor::new(&bytes).unwrap();
            whole(cursor.ahead(AHEAD)?, &mut cursor)
        };
        assert_eq!(read("17877285547970001"), Some(17_877_285_547_970_001));
        assert_eq!(read("1691530805062000"), Some(1_691_530_805_062_000));
        assert_eq!(read("9999999999999999999"), Some(9_999_999_999_999_999_999));
        assert_eq!(read("0"), Some(0));
        for text in ["", "-1", "007", "10000000000000000000", "99999999999999999999999999999999", "x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_million_random_numbers_round_as_in_std() {
        let mut seed = 42u64;
        let mut random = move |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % end
        };
        let mut text = String::new();
        for i in 0..1_000_000 {
            text.clear();
            if random(8) == 0 {
                text.push('-');
            }
            // Short and long, plain and with an exponent, many with zeros at the end.
            let whole = random(if i % 16 == 0 { 22 } else { 12 });
            text.push(char::from(b'0' + if whole == 0 { 0 } else { 1 + random(9) as u8 }));
            (1..whole).for_each(|_| text.push(char::from(b'0' + random(10) as u8)));
            let decimals = random(if i % 8 == 0 { 24 } else { 10 });
            if decimals > 0 {
                text.push('.');
                (0..decimals).for_each(|_| text.push(char::from(b'0' + random(10) as u8)));
                (0..random(3) * random(6)).for_each(|_| text.push('0'));
            }
            if random(4) == 0 {
                let span = if i % 32 == 0 { 300 } else { 25 };
                let sign = ["", "-", "+"][random(3) as usize];
                text.push_str(&format!("{}{sign}{}", if random(2) == 0 { 'e' } else { 'E' }, random(span)));
            }
            let expected = expected(&text);
            let expected = expected.is_finite().then(|| expected.to_bits());
            assert_eq!(read(&text).map(f64::to_bits), expected, "{text}");
        }
    }
}
