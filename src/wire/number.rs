//! Wire: numbers of a message, read where they stand. Eight digits per step; every `f64` is correctly rounded.
//!
//! The usual spellings are read from a window of fixed size, so that no place in it needs a check; any other goes to
//! `std`. Where the next field begins depends on the length of this one, and that chain is what costs time: what can be
//! guessed (one digit, eight digits) is a branch, which the processor runs ahead of, and not arithmetic.

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

/// The powers of ten that an `f64` holds exactly.
const POW10_F64: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// What is looked at for one number: as many bytes as always follow a place in a message, but one for a sign.
const WINDOW: usize = SLACK - 1;

/// A run of at most 16 digits. Without any its `value` is garbage.
#[derive(Clone, Copy)]
struct Digits {
    value: u64,
    count: usize,
}

/// Steps over a JSON number; `None` where there is none, or one too large for an `f64`. Never gives a negative zero.
#[inline(always)]
pub(super) fn number(cursor: &mut Cursor<'_>) -> Option<f64> {
    if cursor.rest().first() == Some(&b'-') {
        return negative_number(cursor);
    }
    let window = cursor.chunk()?;
    take(cursor, whole_digits(window).and_then(|whole| from_point(window, whole)))
}

/// As [`number`], but one copy for all callers: inlined into each of a ticker's many fields it would outgrow the
/// processor's memory of decoded instructions.
#[inline(always)]
pub(super) fn shared_number(cursor: &mut Cursor<'_>) -> Option<f64> {
    if cursor.rest().first() == Some(&b'-') {
        return negative_number(cursor);
    }
    let (value, len) = shared(cursor.chunk()?);
    take(cursor, (len != 0).then_some((value, len)))
}

/// The number without a sign that `window` begins with, and its length: 0 for any but the usual spellings. The pair comes
/// back in registers, which an `Option` would not.
#[inline(never)]
fn shared(window: &[u8; WINDOW]) -> (f64, usize) {
    let Some(whole) = whole_digits(window) else { return (0.0, 0) };
    let end = whole.count + 9;
    match window[whole.count] {
        b',' => (as_f64(whole.value), whole.count),
        // Most prices end in `.00000000`, which says nothing.
        b'.' if load(window, whole.count + 1) == Some(0) && window[end] == b',' => (as_f64(whole.value), end),
        _ => shared_from_point(window, whole.value, whole.count),
    }
}

/// Apart from [`shared`], so that most numbers need so few registers that none has to be saved.
#[inline(never)]
fn shared_from_point(window: &[u8; WINDOW], value: u64, count: usize) -> (f64, usize) {
    from_point(window, Digits { value, count }).unwrap_or((0.0, 0))
}

/// Steps over a number that has been read, or reads it the slow way.
#[inline(always)]
fn take(cursor: &mut Cursor<'_>, usual: Option<(f64, usize)>) -> Option<f64> {
    match usual {
        Some((value, len)) => {
            cursor.skip(len)?;
            Some(value)
        }
        None => by_text(cursor),
    }
}

/// Steps over a number with a sign. Few fields ever have one, so the others are read without a thought of it.
#[inline(always)]
fn negative_number(cursor: &mut Cursor<'_>) -> Option<f64> {
    match shared(cursor.rest().get(1..)?.first_chunk()?) {
        (_, 0) => by_text(cursor),
        (magnitude, len) => {
            cursor.skip(1 + len)?;
            Some(0.0 - magnitude) // a negated zero would keep its sign
        }
    }
}

/// The number without a sign that `window` begins with, and its length, once its whole digits are known. `None` for any but
/// the usual spellings.
#[inline(always)]
fn from_point(window: &[u8; WINDOW], whole: Digits) -> Option<(f64, usize)> {
    let mut end = whole.count;
    let (mut mantissa, mut scale) = (whole.value, 0);
    if *window.get(end)? == b'.' {
        let fraction = digits(window, end + 1)?;
        if fraction.count == 0 {
            return None;
        }
        end += 1 + fraction.count;
        if fraction.value != 0 {
            match join(whole, fraction) {
                Some(joined) => (mantissa, scale) = joined,
                None => return long_number(window, end, whole, fraction),
            }
        }
    }
    match *window.get(end)? {
        b',' | b'}' => {}
        b'E' | b'e' => return exponent(window, end, mantissa, scale),
        // More digits than were looked at, or nothing that follows a number.
        _ => return None,
    }
    // Both operands are exact, or the divisor is 1, so the one division rounds correctly.
    Some((as_f64(mantissa) / POW10_F64.get(scale)?, end))
}

/// As [`from_point`], from where the digits turned out to be too many for one exact `f64`: the turnover of a large market,
/// or a fraction such as `.2538100000000000`, whose last zeros are what makes it long.
#[inline(never)]
fn long_number(window: &[u8; WINDOW], end: usize, whole: Digits, mut fraction: Digits) -> Option<(f64, usize)> {
    if !matches!(window.get(end)?, b',' | b'}') {
        return None;
    }
    if fraction.value.is_multiple_of(100_000_000) {
        fraction = Digits { value: fraction.value / 100_000_000, count: fraction.count - 8 };
    }
    let mantissa = u128::from(whole.value) * u128::from(POW10[fraction.count]) + u128::from(fraction.value);
    Some((quotient(mantissa, fraction.count)?, end))
}

/// The digits before the point: at least one, and no zero in front, as JSON demands.
#[inline(always)]
fn whole_digits(window: &[u8; WINDOW]) -> Option<Digits> {
    let first = window[0].wrapping_sub(b'0');
    // Guessing a single digit lets the processor read on before it knows where the point is.
    if window[1] == b'.' {
        return (first <= 9).then_some(Digits { value: first.into(), count: 1 });
    }
    if !(1..=9).contains(&first) {
        return (first == 0 && !window[1].is_ascii_digit()).then_some(Digits { value: 0, count: 1 });
    }
    digits(window, 0)
}

/// Of at most 63 bits: the processor converts it as a number that could have a sign, in one step.
#[inline(always)]
fn as_f64(value: u64) -> f64 {
    value as i64 as f64
}

/// Steps over a whole number of at most 19 digits without a sign.
#[inline(always)]
pub(super) fn whole(cursor: &mut Cursor<'_>) -> Option<u64> {
    let window = cursor.chunk()?;
    let mut run = digits(window, 0)?;
    if run.count == 16 {
        // An id of 17 digits, or of 16.
        let more = digits(window, 16)?;
        if more.count > 0 {
            run.value = run.value.wrapping_mul(POW10[more.count]).wrapping_add(more.value);
            run.count += more.count;
        }
    }
    if run.count == 0 || run.count > DIGITS_MAX || (run.count > 1 && window[0] == b'0') {
        return None;
    }
    cursor.skip(run.count)?;
    Some(run.value)
}

/// One mantissa from the digits around the point, and its number of decimals; `None` if an `f64` cannot hold it.
#[inline(always)]
fn join(whole: Digits, fraction: Digits) -> Option<(u64, usize)> {
    if whole.count + fraction.count > DIGITS_MAX {
        return None;
    }
    let mantissa = whole.value * POW10[fraction.count] + fraction.value;
    (mantissa <= EXACT).then_some((mantissa, fraction.count))
}

/// The rest of a number with an exponent of one digit, `E8` of `1.16539E8`: the usual spelling of book prices.
#[inline(always)]
fn exponent(window: &[u8; WINDOW], at: usize, mantissa: u64, scale: usize) -> Option<(f64, usize)> {
    let down = *window.get(at + 1)? == b'-';
    let end = at + 2 + usize::from(down);
    let power = usize::from(window.get(end - 1)?.wrapping_sub(b'0'));
    if power > 9 || !matches!(window.get(end)?, b',' | b'}') || mantissa > EXACT {
        return None;
    }
    let mantissa = as_f64(mantissa);
    // Exact operands: one rounding. The digits of the fraction are at most 16.
    let value = if down {
        mantissa / POW10_F64.get(scale + power)?
    } else if power >= scale {
        mantissa * POW10_F64[power - scale]
    } else {
        mantissa / POW10_F64[scale - power]
    };
    Some((value, end))
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
    cursor.skip(text.len())?;
    value.is_finite().then_some((value + 0.0, cursor)) // + 0.0 turns a negative zero
}

/// Length of the JSON number that `bytes` begin with.
fn text_len(bytes: &[u8]) -> Option<usize> {
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

/// The digits from `at` on, but not more than 16.
#[inline(always)]
fn digits(window: &[u8; WINDOW], at: usize) -> Option<Digits> {
    let head = load(window, at)?;
    let bits = digit_bits(head);
    if bits < 64 {
        // Shifting drops what follows the digits and fills up with zeros in front.
        return Some(Digits { value: eight_digits(head.wrapping_shl(64 - bits)), count: bits as usize / 8 });
    }
    let head = eight_digits(head);
    if !window.get(at + 8)?.is_ascii_digit() {
        return Some(Digits { value: head, count: 8 });
    }
    let tail = load(window, at + 8)?;
    let bits = digit_bits(tail);
    let count = bits as usize / 8;
    Some(Digits { value: head * POW10[count] + eight_digits(tail << (64 - bits)), count: 8 + count })
}

/// Eight bytes, the first in the lowest place, with digits as their values.
#[inline(always)]
fn load(window: &[u8; WINDOW], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*window.get(at..at + 8)?.first_chunk()?) ^ 0x3030_3030_3030_3030)
}

/// How many bits, from the lowest on, belong to digits.
#[inline(always)]
fn digit_bits(word: u64) -> u32 {
    // Adding 0x76 sets the top bit of anything above 9. A carry can only spoil bytes behind the first non-digit, since
    // a byte that carries is one itself.
    let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    others.trailing_zeros() & !7
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` with something behind it, read to its end.
    fn read(text: &str) -> Option<f64> {
        let bytes = [text.as_bytes(), b",\"st\":1234567890123456789012345", &[b' '; SLACK]].concat();
        let mut cursor = Cursor::new(&bytes);
        let value = number(&mut cursor)?;
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
        let read = |text: &str| whole(&mut Cursor::new(&[text.as_bytes(), b",", &[b'7'; SLACK]].concat()));
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
