//! Calendar dates and times of day as the exchange prints them. All are UTC unless a field's name says KST.

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
    /// Second, 0 to 60 (a leap second is a second).
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

/// A text is not a date or a time in the expected spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTime;

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date or time in the exchange's spelling")
    }
}

impl std::error::Error for InvalidTime {}

impl Date {
    /// From its parts; refuses months and days that no calendar has.
    pub const fn new(year: u16, month: u8, day: u8) -> Result<Self, InvalidTime> {
        if year > 9999 || month == 0 || month > 12 || day == 0 || day > 31 {
            return Err(InvalidTime);
        }
        Ok(Self { year, month, day })
    }

    /// Reads `yyyyMMdd`, the spelling of a ticker's `trade_date`.
    pub fn from_compact(text: &[u8]) -> Result<Self, InvalidTime> {
        let text: &[u8; 8] = text.try_into().map_err(|_| InvalidTime)?;
        Self::new(
            pair(text[0], text[1])? * 100 + pair(text[2], text[3])?,
            two(text[4], text[5])?,
            two(text[6], text[7])?,
        )
    }

    /// Reads `yyyy-MM-dd`.
    pub fn from_dashed(text: &[u8]) -> Result<Self, InvalidTime> {
        let text: &[u8; 10] = text.try_into().map_err(|_| InvalidTime)?;
        if text[4] != b'-' || text[7] != b'-' {
            return Err(InvalidTime);
        }
        Self::new(
            pair(text[0], text[1])? * 100 + pair(text[2], text[3])?,
            two(text[5], text[6])?,
            two(text[8], text[9])?,
        )
    }

    /// Prints `yyyyMMdd`.
    pub fn compact(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:04}{:02}{:02}", self.year, self.month, self.day))
    }
}

impl Time {
    /// From its parts; refuses what no clock shows.
    pub const fn new(hour: u8, minute: u8, second: u8) -> Result<Self, InvalidTime> {
        if hour > 23 || minute > 59 || second > 60 {
            return Err(InvalidTime);
        }
        Ok(Self { hour, minute, second })
    }

    /// Reads `HHmmss`, the spelling of a ticker's `trade_time`.
    pub fn from_compact(text: &[u8]) -> Result<Self, InvalidTime> {
        let text: &[u8; 6] = text.try_into().map_err(|_| InvalidTime)?;
        Self::new(two(text[0], text[1])?, two(text[2], text[3])?, two(text[4], text[5])?)
    }

    /// Reads `HH:mm:ss`.
    pub fn from_colons(text: &[u8]) -> Result<Self, InvalidTime> {
        let text: &[u8; 8] = text.try_into().map_err(|_| InvalidTime)?;
        if text[2] != b':' || text[5] != b':' {
            return Err(InvalidTime);
        }
        Self::new(two(text[0], text[1])?, two(text[3], text[4])?, two(text[6], text[7])?)
    }

    /// Prints `HHmmss`.
    pub fn compact(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:02}{:02}{:02}", self.hour, self.minute, self.second))
    }
}

impl DateTime {
    /// Reads `yyyy-MM-ddTHH:mm:ss`, the spelling of a candle's start.
    pub fn from_iso(text: &[u8]) -> Result<Self, InvalidTime> {
        let text: &[u8; 19] = text.try_into().map_err(|_| InvalidTime)?;
        if text[10] != b'T' {
            return Err(InvalidTime);
        }
        Ok(Self { date: Date::from_dashed(&text[..10])?, time: Time::from_colons(&text[11..])? })
    }
}

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

fn two(tens: u8, ones: u8) -> Result<u8, InvalidTime> {
    match (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0')) {
        (tens @ 0..=9, ones @ 0..=9) => Ok(tens * 10 + ones),
        _ => Err(InvalidTime),
    }
}

fn pair(tens: u8, ones: u8) -> Result<u16, InvalidTime> {
    two(tens, ones).map(u16::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_reads_back_as_it_was_printed() {
        assert_eq!(Date::from_compact(b"20260923").unwrap().compact().to_string(), "20260923");
        assert_eq!(Date::from_dashed(b"2026-09-23").unwrap().to_string(), "2026-09-23");
        assert_eq!(Time::from_compact(b"121833").unwrap().compact().to_string(), "121833");
        assert_eq!(Time::from_colons(b"12:18:33").unwrap().to_string(), "12:18:33");
        assert_eq!(DateTime::from_iso(b"2026-07-30T07:50:00").unwrap().to_string(), "2026-07-30T07:50:00");
    }

    #[test]
    fn what_no_calendar_or_clock_shows_is_refused() {
        for text in ["", "2026-09-2", "2026-13-01", "2026-00-01", "2026-01-32", "2026/01/01", "202a-01-01"] {
            assert_eq!(Date::from_dashed(text.as_bytes()), Err(InvalidTime), "{text}");
        }
        for text in ["24:00:00", "00:60:00", "00:00:61", "00-00-00", "1:00:00"] {
            assert_eq!(Time::from_colons(text.as_bytes()), Err(InvalidTime), "{text}");
        }
        assert_eq!(DateTime::from_iso(b"2026-07-30 07:50:00"), Err(InvalidTime));
    }
}
