//! Calendar dates and times of day as the exchange prints them, in UTC unless a field's name says KST.

use std::fmt;

/// A calendar date.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Year, 0 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
}

/// A time of day, to the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 60; 60 is a leap second.
    pub second: u8,
}

/// A date and a time of day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// The time of day.
    pub time: Time,
}

/// The error for text that is not a date or a time in the expected spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTime;

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date or time in the exchange's spelling")
    }
}

impl std::error::Error for InvalidTime {}

impl Date {
    /// Creates a date from its parts. Refuses years above 9999, months outside 1 to 12, and days outside 1 to 31. Does
    /// not check the length of the month.
    pub const fn new(year: u16, month: u8, day: u8) -> Result<Self, InvalidTime> {
        if year > 9999 || month == 0 || month > 12 || day == 0 || day > 31 {
            return Err(InvalidTime);
        }
        Ok(Self { year, month, day })
    }

    /// Parses `yyyyMMdd`, the spelling of a ticker's `trade_date`.
    // Always inlined, like the parsers below: a ticker has many fields, and a call costs more than parsing one.
    #[inline(always)]
    pub fn from_compact(text: &[u8]) -> Result<Self, InvalidTime> {
        let text = text.try_into().map_err(|_| InvalidTime)?;
        let [century, _, year, _, month, _, day, _] = pairs::<{ pattern(b"00000000") }>(text)?;
        Self::new(u16::from(century) * 100 + u16::from(year), month, day)
    }

    /// Parses `yyyy-MM-dd`.
    #[inline(always)]
    pub fn from_dashed(text: &[u8]) -> Result<Self, InvalidTime> {
        let Some((&[a, b], rest)) = text.split_first_chunk() else { return Err(InvalidTime) };
        let rest = rest.try_into().map_err(|_| InvalidTime)?;
        let [year, _, _, month, _, _, day, _] = pairs::<{ pattern(b"00-00-00") }>(rest)?;
        let (a, b) = (a.wrapping_sub(b'0'), b.wrapping_sub(b'0'));
        if a > 9 || b > 9 {
            return Err(InvalidTime);
        }
        Self::new(u16::from(a) * 1000 + u16::from(b) * 100 + u16::from(year), month, day)
    }

    /// Prints `yyyyMMdd`.
    pub fn compact(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:04}{:02}{:02}", self.year, self.month, self.day))
    }
}

impl Time {
    /// Creates a time from its parts. Refuses hours above 23, minutes above 59 and seconds above 60.
    pub const fn new(hour: u8, minute: u8, second: u8) -> Result<Self, InvalidTime> {
        if hour > 23 || minute > 59 || second > 60 {
            return Err(InvalidTime);
        }
        Ok(Self { hour, minute, second })
    }

    /// Parses `HHmmss`, the spelling of a ticker's `trade_time`.
    #[inline(always)]
    pub fn from_compact(text: &[u8]) -> Result<Self, InvalidTime> {
        let &[a, b, c, d, e, f] = text else { return Err(InvalidTime) };
        let [hour, _, minute, _, second, ..] = pairs::<{ pattern(b"00000000") }>([a, b, c, d, e, f, b'0', b'0'])?;
        Self::new(hour, minute, second)
    }

    /// Parses `HH:mm:ss`.
    #[inline(always)]
    pub fn from_colons(text: &[u8]) -> Result<Self, InvalidTime> {
        let text = text.try_into().map_err(|_| InvalidTime)?;
        let [hour, _, _, minute, _, _, second, _] = pairs::<{ pattern(b"00:00:00") }>(text)?;
        Self::new(hour, minute, second)
    }

    /// Prints `HHmmss`.
    pub fn compact(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:02}{:02}{:02}", self.hour, self.minute, self.second))
    }
}

impl DateTime {
    /// Parses `yyyy-MM-ddTHH:mm:ss`, the spelling of a candle's start.
    #[inline(always)]
    pub fn from_iso(text: &[u8]) -> Result<Self, InvalidTime> {
        let text: &[u8; 19] = text.try_into().map_err(|_| InvalidTime)?;
        if text[10] != b'T' {
            return Err(InvalidTime);
        }
        Ok(Self { date: Date::from_dashed(&text[..10])?, time: Time::from_colons(&text[11..])? })
    }

    /// Converts a date and time in UTC to seconds since the beginning of 1970.
    pub(crate) fn to_unix(self) -> i64 {
        let Self { date, time } = self;
        let (month, day) = (i64::from(date.month), i64::from(date.day));
        // If years begin in March, the leap day is the last day of a year.
        let year = i64::from(date.year) - i64::from(month <= 2);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year;
        let seconds = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second);
        (days - DAYS_TO_1970) * DAY + seconds
    }

    /// Converts seconds since the beginning of 1970 to a date and time in UTC. `None` outside the years 0 to 9999.
    pub(crate) fn from_unix(seconds: i64) -> Option<Self> {
        let days = seconds.div_euclid(DAY) + DAYS_TO_1970;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let seconds = seconds.rem_euclid(DAY);
        let date = Date::new(year.try_into().ok()?, month as u8, day as u8).ok()?;
        let time = Time::new((seconds / 3600) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8).ok()?;
        Some(Self { date, time })
    }
}

/// The number of seconds in a day.
const DAY: i64 = 86_400;

/// The number of days from 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;

/// Prints `yyyy-MM-dd`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Prints `HH:mm:ss`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }
}

/// Prints `yyyy-MM-ddTHH:mm:ss`.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}", self.date, self.time)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns a spelling as a word, with its first character in the lowest byte.
const fn pattern(text: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*text)
}

/// Parses the two-digit numbers in eight characters at once. The i-th result is the number that starts at the i-th
/// character. `PATTERN` has `0` in place of each digit, and the exact character everywhere else.
#[inline(always)]
fn pairs<const PATTERN: u64>(text: [u8; 8]) -> Result<[u8; 8], InvalidTime> {
    let values = u64::from_le_bytes(text) ^ PATTERN;
    // The addition sets the top bit of each byte above 9, or above 0 in place of a fixed character. A byte can carry
    // into the next one only if it is wrong itself, so valid text has no carries.
    let wrong = (values.wrapping_add(const { limits(PATTERN) }) | values) & 0x8080_8080_8080_8080;
    if wrong != 0 {
        return Err(InvalidTime);
    }
    Ok((values.wrapping_mul(10).wrapping_add(values >> 8)).to_le_bytes())
}

/// Returns, for each byte, the number whose sum with a value has the top bit set if the value is too large.
const fn limits(pattern: u64) -> u64 {
    let mut limits = pattern.to_le_bytes();
    let mut i = 0;
    while i < 8 {
        limits[i] = if limits[i] == b'0' { 0x76 } else { 0x7F };
        i += 1;
    }
    u64::from_le_bytes(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_parses_and_prints_back_the_same() {
        assert_eq!(Date::from_compact(b"20260923").unwrap().compact().to_string(), "20260923");
        assert_eq!(Date::from_dashed(b"2026-09-23").unwrap().to_string(), "2026-09-23");
        assert_eq!(Time::from_compact(b"121833").unwrap().compact().to_string(), "121833");
        assert_eq!(Time::from_colons(b"12:18:33").unwrap().to_string(), "12:18:33");
        assert_eq!(DateTime::from_iso(b"2026-07-30T07:50:00").unwrap().to_string(), "2026-07-30T07:50:00");
    }

    #[test]
    fn impossible_dates_and_times_are_refused() {
        for text in ["", "2026-09-2", "2026-13-01", "2026-00-01", "2026-01-32", "2026/01/01", "202a-01-01"] {
            assert_eq!(Date::from_dashed(text.as_bytes()), Err(InvalidTime), "{text}");
        }
        for text in ["24:00:00", "00:60:00", "00:00:61", "00-00-00", "1:00:00"] {
            assert_eq!(Time::from_colons(text.as_bytes()), Err(InvalidTime), "{text}");
        }
        assert_eq!(DateTime::from_iso(b"2026-07-30 07:50:00"), Err(InvalidTime));
    }

    #[test]
    fn seconds_since_1970_convert_in_both_directions() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00", 0),
            ("1969-12-31T23:59:59", -1),
            ("2000-02-29T12:00:00", 951_825_600),
            ("2026-11-30T00:53:20", 1_796_000_000),
            ("9999-12-31T23:59:59", 253_402_300_799),
            ("0000-01-01T00:00:00", -62_167_219_200),
        ] {
            let time = DateTime::from_iso(text.as_bytes()).unwrap();
            assert_eq!((time.to_unix(), DateTime::from_unix(seconds)), (seconds, Some(time)), "{text}");
        }
        for seconds in (-62_167_219_200..253_402_300_799).step_by(86_400 * 13 + 12_345) {
            assert_eq!(DateTime::from_unix(seconds).unwrap().to_unix(), seconds);
        }
        assert_eq!((DateTime::from_unix(-62_167_219_201), DateTime::from_unix(253_402_300_800)), (None, None));
        assert_eq!((DateTime::from_unix(i64::MAX / 2), DateTime::from_unix(i64::MIN / 2)), (None, None));
    }

    #[test]
    fn every_character_is_checked() {
        // The numbers in the text, two digits each; `None` if a character does not fit the spelling.
        fn numbers(text: &[u8], spelling: &[u8]) -> Option<Vec<u16>> {
            let fits = |(&c, &s): (&u8, &u8)| if s == b'0' { c.is_ascii_digit() } else { c == s };
            let digits: Vec<u16> = text.iter().filter(|c| c.is_ascii_digit()).map(|c| u16::from(c - b'0')).collect();
            text.iter().zip(spelling).all(fits).then(|| digits.chunks(2).map(|pair| pair[0] * 10 + pair[1]).collect())
        }
        fn date(n: &[u16]) -> Option<Date> {
            Date::new(n[0] * 100 + n[1], n[2] as u8, n[3] as u8).ok()
        }
        fn time(n: &[u16]) -> Option<Time> {
            Time::new(n[0] as u8, n[1] as u8, n[2] as u8).ok()
        }
        for byte in 0..=255 {
            for at in 0..8 {
                let mut text = *b"20261123";
                text[at] = byte;
                assert_eq!(Date::from_compact(&text).ok(), numbers(&text, b"00000000").and_then(|n| date(&n)));
                let mut text = *b"12:18:33";
                text[at] = byte;
                assert_eq!(Time::from_colons(&text).ok(), numbers(&text, b"00:00:00").and_then(|n| time(&n)));
            }
            for at in 0..10 {
                let mut text = *b"2026-11-23";
                text[at] = byte;
                assert_eq!(Date::from_dashed(&text).ok(), numbers(&text, b"0000-00-00").and_then(|n| date(&n)));
            }
            for at in 0..6 {
                let mut text = *b"121833";
                text[at] = byte;
                assert_eq!(Time::from_compact(&text).ok(), numbers(&text, b"000000").and_then(|n| time(&n)));
            }
        }
    }
}
