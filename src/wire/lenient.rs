//! Reads values that do not have the documented form: numbers as strings, times with fractions and zones, dates in other
//! spellings. All other values are errors.

use crate::model::{Date, DateTime, Time};

use super::error::Fault;
use super::loose::Loose;
use super::number::text_len;

/// Reads a finite number, also from a string.
pub(super) fn number(value: &Loose<'_>) -> Result<f64, Fault> {
    match number_of(value)? {
        Loose::Number { float, .. } => Ok(float),
        _ => Err(Fault::Type),
    }
}

/// Reads a whole number without a sign, also from a string. A fraction of zeros or an exponent is accepted below 2^53.
pub(super) fn whole(value: &Loose<'_>) -> Result<u64, Fault> {
    /// Whole numbers below this are exact in an `f64`.
    const EXACT: f64 = (1u64 << 53) as f64;

    match number_of(value)? {
        Loose::Number { whole: Some(whole), .. } if whole < u64::MAX => Ok(whole),
        Loose::Number { float, .. } if float.fract() == 0.0 && (0.0..EXACT).contains(&float) => Ok(float as u64),
        _ => Err(Fault::Type),
    }
}

/// Reads a Unix time in ms, from a number in s, ms, µs or ns, or from a date and time. A time without a zone is UTC.
pub(super) fn unix_ms(value: &Loose<'_>) -> Result<u64, Fault> {
    match number_of(value) {
        Ok(Loose::Number { whole: Some(whole), .. }) if whole < u64::MAX => Ok(to_ms(whole)),
        // The fraction matters only for a time in seconds.
        Ok(Loose::Number { float, .. }) if (0.0..SECONDS_END as f64).contains(&float) => {
            Ok((float * 1000.0).round() as u64)
        }
        Ok(Loose::Number { float, .. }) if (0.0..u64::MAX as f64).contains(&float) => Ok(to_ms(float as u64)),
        Ok(_) => Err(Fault::Type),
        Err(Fault::Value) => {
            let Loose::Text(text) = value else { return Err(Fault::Value) };
            let moment = Moment::parse(text.as_bytes()).ok_or(Fault::Value)?;
            moment.to_unix_ms().ok_or(Fault::Value)
        }
        Err(fault) => Err(fault),
    }
}

/// Returns the number in `value`, or in its text.
fn number_of<'a>(value: &Loose<'a>) -> Result<Loose<'a>, Fault> {
    match *value {
        Loose::Number { .. } => Ok(*value),
        Loose::Null | Loose::Text("") => Err(Fault::Empty),
        Loose::Text(text) if text_len(text.as_bytes()) == Some(text.len()) => Loose::number(text).ok_or(Fault::Value),
        Loose::Text(_) => Err(Fault::Value),
        _ => Err(Fault::Type),
    }
}

/// As seconds this is in the year 5138, as ms in 1973.
const SECONDS_END: u64 = 100_000_000_000;
/// As ms this is in the year 5138, as µs in 1973.
const MILLIS_END: u64 = SECONDS_END * 1000;
/// As µs this is in the year 5138, as ns in 1973.
const MICROS_END: u64 = MILLIS_END * 1000;

/// Converts a Unix time to ms. Its size shows its unit. Upbit's books had µs for some days of 2023; Bithumb's always
/// have.
#[inline(always)]
pub(super) fn to_ms(time: u64) -> u64 {
    // One comparison for the usual unit.
    if time.wrapping_sub(SECONDS_END) <= MILLIS_END - SECONDS_END { time } else { unit_to_ms(time) }
}

#[cold]
fn unit_to_ms(time: u64) -> u64 {
    if time < SECONDS_END {
        time * 1000
    } else if time <= MILLIS_END {
        time
    } else if time <= MICROS_END {
        time / 1000
    } else {
        time / 1_000_000
    }
}

/// Reads a date in any spelling. If a time follows, the date is taken as it is written, in any zone.
pub(super) fn date(value: &Loose<'_>) -> Result<Date, Fault> {
    match *value {
        Loose::Null | Loose::Text("") => Err(Fault::Empty),
        Loose::Text(text) => {
            let text = text.as_bytes();
            let date = Date::from_dashed(text).or_else(|_| Date::from_compact(text)).ok();
            date.or_else(|| Some(Moment::parse(text)?.local.date)).ok_or(Fault::Value)
        }
        Loose::DateParts([year, month, day]) => parts(year, month, day).ok_or(Fault::Value),
        _ => Err(Fault::Type),
    }
}

fn parts(year: u64, month: u64, day: u64) -> Option<Date> {
    Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
}

/// Reads a time of day in any spelling. Refuses zones other than UTC.
pub(super) fn time(value: &Loose<'_>) -> Result<Time, Fault> {
    match *value {
        Loose::Null | Loose::Text("") => Err(Fault::Empty),
        Loose::Text(text) => {
            let text = text.as_bytes();
            let clock = || Clock::parse(text).filter(|clock| clock.zone.unwrap_or(0) == 0).map(|clock| clock.time);
            Time::from_compact(text).ok().or_else(clock).ok_or(Fault::Value)
        }
        _ => Err(Fault::Type),
    }
}

/// Reads a date and time in any spelling. Returns it in the zone that is `zone` minutes ahead of UTC, which is also the
/// zone of a text that names none.
pub(super) fn date_time(value: &Loose<'_>, zone: i32) -> Result<DateTime, Fault> {
    match *value {
        Loose::Null | Loose::Text("") => Err(Fault::Empty),
        Loose::Text(text) => {
            let moment = Moment::parse(text.as_bytes()).ok_or(Fault::Value)?;
            let Some(written) = moment.zone.filter(|written| *written != zone) else { return Ok(moment.local) };
            DateTime::from_unix(moment.local.to_unix() + i64::from(zone - written) * 60).ok_or(Fault::Value)
        }
        _ => Err(Fault::Type),
    }
}

/// A date and time as it is written.
struct Moment {
    local: DateTime,
    millis: u64,
    /// Minutes ahead of UTC, if a zone is named.
    zone: Option<i32>,
}

/// A time of day as it is written.
struct Clock {
    time: Time,
    millis: u64,
    zone: Option<i32>,
}

impl Moment {
    /// Reads `yyyy-MM-dd`, `T` or a space, and a [`Clock`].
    fn parse(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (b'T' | b' ', clock) = rest.split_first()? else { return None };
        let (date, clock) = (Date::from_dashed(date).ok()?, Clock::parse(clock)?);
        Some(Self { local: DateTime { date, time: clock.time }, millis: clock.millis, zone: clock.zone })
    }

    fn to_unix_ms(&self) -> Option<u64> {
        let seconds = self.local.to_unix() - i64::from(self.zone.unwrap_or(0)) * 60;
        Some(u64::try_from(seconds).ok()? * 1000 + self.millis)
    }
}

impl Clock {
    /// Reads `HH:mm`, then optionally `:ss` with or without a fraction, then optionally `Z` or an offset such as
    /// `+09:00`.
    fn parse(text: &[u8]) -> Option<Self> {
        let (hours, mut rest) = text.split_at_checked(5)?;
        let mut full = *b"00:00:00";
        full[..5].copy_from_slice(hours);
        let mut millis = 0;
        if let [b':', a, b, behind @ ..] = rest {
            full[6..].copy_from_slice(&[*a, *b]);
            rest = behind;
            if let [b'.' | b',', behind @ ..] = rest {
                let count = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if count == 0 {
                    return None;
                }
                let digit = |at: usize| u64::from(behind[..count].get(at).map_or(0, |byte| byte - b'0'));
                millis = digit(0) * 100 + digit(1) * 10 + digit(2);
                rest = &behind[count..];
            }
        }
        let zone = match rest {
            [] => None,
            b"Z" | b"z" => Some(0),
            _ => Some(offset(rest)?),
        };
        Some(Self { time: Time::from_colons(&full).ok()?, millis, zone })
    }
}

/// Reads an offset such as `+09:00`, `+0900` or `+09`. Returns minutes.
fn offset(text: &[u8]) -> Option<i32> {
    let (sign, [a, b, rest @ ..]) = text.split_first()? else { return None };
    let sign = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let minutes = match rest {
        [] => [b'0', b'0'],
        [c, d] | [b':', c, d] => [*c, *d],
        _ => return None,
    };
    let time = Time::from_colons(&[*a, *b, b':', minutes[0], minutes[1], b':', b'0', b'0']).ok()?;
    Some(sign * (i32::from(time.hour) * 60 + i32::from(time.minute)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T>(read: fn(&Loose<'_>) -> Result<T, Fault>, text: &str) -> Result<T, Fault> {
        read(&Loose::Text(text))
    }

    #[test]
    fn a_number_may_be_a_string() {
        assert_eq!(text(number, "123.4"), Ok(123.4));
        assert_eq!(text(number, "-0E-8").map(f64::to_bits), Ok(0));
        assert_eq!(text(whole, "17877285547970001"), Ok(17_877_285_547_970_001));
        assert_eq!(whole(&Loose::Number { float: 7.0, whole: None }), Ok(7));
        for odd in ["1,234", " 1", "1 ", "+1", "01", "0x1", "NaN", "inf", "abc"] {
            assert_eq!(text(number, odd), Err(Fault::Value), "{odd}");
        }
        assert_eq!((text(number, ""), number(&Loose::Null)), (Err(Fault::Empty), Err(Fault::Empty)));
        assert_eq!((text(number, "1e999"), number(&Loose::Bool(true))), (Err(Fault::Type), Err(Fault::Type)));
        for odd in ["-1", "1.5", "18446744073709551615", "1e300"] {
            assert_eq!(text(whole, odd), Err(Fault::Type), "{odd}");
        }
    }

    #[test]
    fn the_size_of_a_time_shows_its_unit() {
        for time in ["1796000000", "1796000000000", "1796000000000000", "1796000000000000000"] {
            assert_eq!(text(unix_ms, time), Ok(1_796_000_000_000), "{time}");
        }
        assert_eq!(text(unix_ms, "1796000000.123"), Ok(1_796_000_000_123));
        assert_eq!(text(unix_ms, "1.796E12"), Ok(1_796_000_000_000));
        assert_eq!(text(unix_ms, "2026-11-30T00:53:20.123Z"), Ok(1_796_000_000_123));
        assert_eq!(text(unix_ms, "2026-11-30T09:53:20+09:00"), Ok(1_796_000_000_000));
        assert_eq!(text(unix_ms, "2026-11-30 00:53"), Ok(1_795_999_980_000));
        assert_eq!((text(unix_ms, "-1"), text(unix_ms, "1969-12-31T23:59:59")), (Err(Fault::Type), Err(Fault::Value)));
        assert_eq!((to_ms(100_000_000_000), to_ms(100_000_000_000_000)), (100_000_000_000, 100_000_000_000_000));
        assert_eq!((to_ms(99_999_999_999), to_ms(100_000_000_000_001)), (99_999_999_999_000, 100_000_000_000));
    }

    #[test]
    fn dates_and_times_are_read_in_every_spelling() {
        let day = Date { year: 2026, month: 12, day: 24 };
        for spelled in ["2026-12-24", "20261224", "2026-12-24T00:00:00", "2026-12-24T00:00:00.123Z", "2026-12-24 15:00"]
        {
            assert_eq!(text(date, spelled), Ok(day), "{spelled}");
        }
        assert_eq!(date(&Loose::DateParts([2026, 12, 24])), Ok(day));
        assert_eq!(date(&Loose::DateParts([2026, 13, 24])), Err(Fault::Value));
        let noon = |second| Time { hour: 12, minute: 30, second };
        for spelled in ["12:30:45", "123045", "12:30:45.999", "12:30:45Z", "12:30:45+00:00"] {
            assert_eq!(text(time, spelled), Ok(noon(45)), "{spelled}");
        }
        assert_eq!(text(time, "12:30"), Ok(noon(0)));
        for odd in ["12", "12:3", "25:00", "12:30:", "12:30:45.", "12:30:45+09:00", "12:30:45x", "12:30pm", "noon"] {
            assert_eq!(text(time, odd), Err(Fault::Value), "{odd}");
        }
        let utc = DateTime { date: day, time: noon(0) };
        let kst = DateTime { date: day, time: Time { hour: 21, minute: 30, second: 0 } };
        for (spelled, zone, expected) in [
            ("2026-12-24T12:30:00", 0, utc),
            ("2026-12-24T12:30", 0, utc),
            ("2026-12-24T21:30:00+09:00", 0, utc),
            ("2026-12-24T21:30:00+0900", 540, kst),
            ("2026-12-24T12:30:00.000Z", 540, kst),
            ("2026-12-24T07:30:00-05", 0, utc),
        ] {
            assert_eq!(date_time(&Loose::Text(spelled), zone), Ok(expected), "{spelled}");
        }
        assert_eq!(date_time(&Loose::Text("2026-12-24"), 0), Err(Fault::Value));
    }
}
