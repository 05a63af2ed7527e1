//! Wire: numbers of a message, read where they stand. Up to eight digits are a word, two such words a vector; every `f64`
//! is correctly rounded.
//!
//! The usual spellings are read from a window of fixed size, so that hardly a place in it needs a check; any other goes to
//! `std`. Two things cost time: instructions, and the chain from the end of one number to the beginning of the next, which
//! is broken where the length can be guessed (eight decimals): a branch, which the processor runs ahead of.
//!
//! Bytes in vectors are taken for numbers as they lie, so the processor has to be little-endian (`lib.rs` refuses others).

use std::num::{NonZeroU64, NonZeroUsize};

use bytemuck::cast;
use wide::{i16x8, u16x8};

use super::cursor::Cursor;
use super::decoder::SLACK;
use super::quotient::quotient;

/// Whole numbers up to here are exact in an `f64`.
const EXACT: u64 = 1 << 53;

/// Digits that always fit a `u64`.
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

/// The least number of so many digits, for numbers that do not begin with a zero; none has no digits.
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

/// Bytes that are looked at for one number: as many as always follow a place in a message.
pub(super) const AHEAD: usize = SLACK;

/// The same without a sign.
const WINDOW: usize = AHEAD - 1;

// The furthest look: 16 digits, a point, 16 digits, and what is behind them.
const _: () = assert!(WINDOW > 16 + 1 + 16);

/// A number without a sign, and its length. Nothing if it has to be read the slow way. Small enough to come back in registers.
type Found = Option<(f64, NonZeroUsize)>;

/// Steps over the JSON number that `ahead` begins with; `None` where there is none, or one too large for an `f64`. Never
/// gives a negative zero.
#[inline(always)]
pub(super) fn number(ahead: &[u8], cursor: &mut Cursor<'_>) -> Option<f64> {
    let (sign, window) = ahead.split_first_chunk::<1>()?;
    // Few fields ever have a sign, so the others are read without a thought of it.
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

/// Steps over a whole number of at most 19 digits without a sign.
#[inline(always)]
pub(super) fn whole(ahead: &[u8], cursor: &mut Cursor<'_>) -> Option<u64> {
    let (value, len) = id(ahead.first_chunk()?)?;
    cursor.skip(len.get());
    Some(value)
}

/// Up to seven digits, alone or with a point and up to eight decimals. All else is read by functions of their own, so that
/// this one need not save registers.
///
/// One copy for all callers: inlined into each of a ticker's many fields it would outgrow the processor's memory of decoded
/// instructions.
#[inline(never)]
fn unsigned(window: &[u8; WINDOW]) -> Found {
    let head = load(window, 0);
    let Some(others) = non_digits(head) else { return large(window) };
    let bits = digit_bits(others);
    let point = bits as usize / 8;
    // Without any digit nothing is shifted. `LEAST` refuses that.
    let head = head.wrapping_shl(64 - bits);
    if window[point] != b'.' {
        let whole = eight_digits(head);
        let is_whole = ends(window[point]) && whole >= LEAST[point];
        return if is_whole { found(as_f64(whole), point) } else { unusual(window) };
    }
    let tail = load(window, point + 1);
    let Some(others) = non_digits(tail) else {
        // A branch, because then the processor knows where the next field begins before it has looked.
        let (whole, decimals) = both(head, tail);
        let (mantissa, end) = (whole * POW10[8] + decimals, point + 9);
        if whole < LEAST[point] {
            return None;
        }
        // Both operands are exact, so the one division rounds correctly. So it is below.
        return if ends(window[end]) { found(as_f64(mantissa) / 1e8, end) } else { finer(window, end, mantissa) };
    };
    let bits = digit_bits(others);
    let scale = bits as usize / 8;
    let (whole, decimals) = both(head, tail.wrapping_shl(64 - bits));
    let (mantissa, end) = (whole * POW10[scale] + decimals, point + 1 + scale);
    if scale == 0 || whole < LEAST[point] {
        return None;
    }
    if ends(window[end]) {
        found(as_f64(mantissa) / POW10_F64[scale], end)
    } else {
        exponent(window, end, mantissa, scale)
    }
}

/// What [`unsigned`] has read eight decimals of, with more of them: a rate.
#[inline(never)]
fn finer(window: &[u8; WINDOW], at: usize, mantissa: u64) -> Found {
    let tail = load(window, at);
    let bits = non_digits(tail).map_or(64, digit_bits);
    let count = bits as usize / 8;
    let end = at + count;
    if count > 4 || !ends(*window.get(end)?) {
        return unusual(window);
    }
    let mantissa = mantissa * POW10[count] + eight_digits(shifted(tail, bits));
    if mantissa > EXACT { unusual(window) } else { found(as_f64(mantissa) / POW10_F64[8 + count], end) }
}

/// From eight digits on, with eight decimals that may be followed by eight zeros: a price in hundreds of millions, or a
/// turnover.
#[inline(never)]
fn large(window: &[u8; WINDOW]) -> Found {
    let whole = digits(window, 0);
    let decimals = load(window, whole.count + 1);
    let mut end = whole.count + 9;
    if window[whole.count] != b'.' || window[0] == b'0' || non_digits(decimals).is_some() {
        return unusual(window);
    }
    if !ends(window[end]) {
        if load(window, end) != 0 || !ends(window[end + 8]) {
            return unusual(window);
        }
        end += 8;
    }
    if decimals == 0 {
        return found(as_f64(whole.value), end);
    }
    match sum(whole, Digits { value: eight_digits(decimals), count: 8 }) {
        Some(value) => found(value, end),
        None => unusual(window),
    }
}

/// Any number of at most 16 digits on either side of the point.
#[inline(never)]
fn unusual(window: &[u8; WINDOW]) -> Found {
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
    if !ends(window[end]) {
        return exponent(window, end, join(whole, fraction)?, fraction.count);
    }
    let value = match join(whole, fraction) {
        _ if fraction.value == 0 => as_f64(whole.value),
        Some(mantissa) if mantissa <= EXACT => as_f64(mantissa) / POW10_F64[fraction.count],
        // For few digits before the point, the sum is seldom sure.
        Some(mantissa) if whole.count < 9 => quotient(mantissa, fraction.count),
        _ => sum(whole, fraction)?,
    };
    found(value, end)
}

/// A number with an exponent of one digit, `E8` of `1.16539E8`: the usual spelling of book prices. `at`: the `E`.
#[inline(never)]
fn exponent(window: &[u8; WINDOW], at: usize, mantissa: u64, scale: usize) -> Found {
    let down = *window.get(at + 1)? == b'-';
    let end = at + 2 + usize::from(down);
    let power = usize::from(window.get(end - 1)?.wrapping_sub(b'0'));
    if window[at] | 0x20 != b'e' || power > 9 || !ends(*window.get(end)?) || mantissa > EXACT {
        return None;
    }
    let mantissa = as_f64(mantissa);
    // Exact operands: one rounding. The digits of the fraction are at most 16.
    let value = if down {
        mantissa / POW10_F64.get(scale + power)?
    } else if power >= scale {
        mantissa * POW10_F64[power - scale]
    } else {
        mantissa / POW10_F64.get(scale - power)?
    };
    found(value, end)
}

/// The whole number that `window` begins with, and its length.
#[inline(never)]
fn id(window: &[u8; WINDOW]) -> Option<(u64, NonZeroUsize)> {
    let mut run = digits(window, 0);
    if run.count == 16 {
        // An id of 17 digits, or of 16.
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

/// What may stand behind a number.
#[inline(always)]
fn ends(byte: u8) -> bool {
    matches!(byte, b',' | b'}')
}

/// Of at most 63 bits: the processor converts it as a number that could have a sign, in one step.
#[inline(always)]
fn as_f64(value: u64) -> f64 {
    value as i64 as f64
}

/// One mantissa from the digits around the point, if it fits a `u64`.
#[inline(always)]
fn join(whole: Digits, fraction: Digits) -> Option<u64> {
    (whole.count + fraction.count <= DIGITS_MAX).then(|| whole.value * POW10[fraction.count] + fraction.value)
}

/// The value of digits that are too many for one exact mantissa.
///
/// The fraction is off by less than 2^-51. If as much more and as much less make no difference to the sum, then it is
/// rounded correctly. The larger the whole number is, the surer that is.
#[inline(always)]
fn sum(whole: Digits, fraction: Digits) -> Option<f64> {
    const SLIP: f64 = 1.0 / (1u64 << 51) as f64;
    let (exact, part) = (as_f64(whole.value), as_f64(fraction.value) / POW10_F64[fraction.count]);
    let (least, most) = (exact + (part - SLIP), exact + (part + SLIP));
    (least == most && whole.value <= EXACT).then_some(least)
}

/// The slow and always right way: finds the end of the number and lets `std` read it.
#[inline(always)]
fn by_text(cursor: &mut Cursor<'_>) -> Option<f64> {
    let (value, after) = std_number(*cursor)?;
    *cursor = after;
    Some(value)
}

/// Takes and gives its place by value: a reference passed to a call would force the caller's cursor out of registers.
#[cold]
#[inline(never)]
fn std_number(mut cursor: Cursor<'_>) -> Option<(f64, Cursor<'_>)> {
    let text = &cursor.rest()[..text_len(cursor.rest())?];
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    cursor.skip(text.len());
    value.is_finite().then_some((value + 0.0, cursor)) // + 0.0 turns a negative zero
}

/// Length of the JSON number that `bytes` begin with.
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

/// A run of at most 16 digits. Without any its `value` is garbage.
#[derive(Clone, Copy)]
struct Digits {
    value: u64,
    count: usize,
}

/// The digits from `at` on, but not more than 16.
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

/// Eight bytes, the first in the lowest place, with digits as their values.
#[inline(always)]
fn load(window: &[u8; WINDOW], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&window[at..at + 8]);
    u64::from_le_bytes(bytes) ^ 0x3030_3030_3030_3030
}

/// The top bit of each byte that is no digit, up to the first of them at least. None if all are digits.
#[inline(always)]
fn non_digits(word: u64) -> Option<NonZeroU64> {
    // Adding 0x76 sets the top bit of anything above 9. A carry can only spoil bytes behind the first non-digit, since
    // a byte that carries is one itself.
    NonZeroU64::new((word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080)
}

/// How many bits, from the lowest on, belong to digits.
#[inline(always)]
fn digit_bits(others: NonZeroU64) -> u32 {
    others.trailing_zeros() & !7
}

/// The digits of so many bits, with zeros in front and without what follows them. None are 0.
#[inline(always)]
fn shifted(word: u64, bits: u32) -> u64 {
    word.checked_shl(64 - bits).unwrap_or(0)
}

/// Eight digit values, the most significant in the lowest byte, as one number: pairs, then fours, then eight.
#[inline(always)]
fn eight_digits(values: u64) -> u64 {
    const MASK: u64 = 0x0000_00FF_0000_00FF;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let high = (pairs & MASK).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & MASK).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// [`eight_digits`] of two at once, with half the instructions.
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

    /// `text` with something behind it, read to its end.
    fn read(text: &str) -> Option<f64> {
        let bytes = [text.as_bytes(), b",\"st\":1234567890123456789012345", &[b' '; SLACK]].concat();
        let mut cursor = Cursor::new(&bytes).unwrap();
        let value = number(cursor.ahead(AHEAD)?, &mut cursor)?;
        (bytes.len() - cursor.rest().len() == text.len()).then_some(value)
    }

    /// What `std` makes of it, which rounds correctly.
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
    fn what_is_no_number_is_refused() {
        for text in
            ["", "-", "+1", ".5", "1.", "01", "-01", "00", "1e", "1e+", "1.e5", "e5", "--1", "NaN", "1e999", "-1e999"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_zero_has_no_sign() {
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
    fn a_million_numbers_are_rounded_as_std_rounds_them() {
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
