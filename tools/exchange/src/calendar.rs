//! Converts Unix milliseconds to calendar text. Upbit prints UTC, and also KST (UTC + 9 h) in candles.

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const DAY_MS: u64 = 86_400_000;
const KST_MS: u64 = 9 * 3_600_000;

/// A calendar date and a time of day.
pub(crate) struct Moment {
    year: u64,
    month: u64,
    day: u64,
    /// Days since Sunday.
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Moment {
    pub fn utc(ms: u64) -> Self {
        let (year, month, day) = civil(ms / DAY_MS);
        let second = ms / 1_000 % 86_400;
        // The epoch was a Thursday.
        let weekday = (ms / DAY_MS + 4) % 7;
        Self { year, month, day, weekday, hour: second / 3_600, minute: second / 60 % 60, second: second % 60 }
    }

    pub fn kst(ms: u64) -> Self {
        Self::utc(ms + KST_MS)
    }

    /// `2026-03-11`
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `20260311`
    pub fn date_compact(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    /// `14:40:58`
    pub fn time(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// `144058`
    pub fn time_compact(&self) -> String {
        format!("{:02}{:02}{:02}", self.hour, self.minute, self.second)
    }

    /// `Wed, 11 Mar 2026 14:40:58 GMT`
    pub fn http(&self) -> String {
        const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (weekday, month) = (WEEKDAYS[self.weekday as usize], MONTHS[self.month as usize - 1]);
        format!("{weekday}, {:02} {month} {:04} {} GMT", self.day, self.year, self.time())
    }

    /// `2026-03-11T14:40:58`
    pub fn date_time(&self) -> String {
        format!("{}T{}", self.date(), self.time())
    }
}

/// Converts days since 1970-01-01 to year, month and day (Howard Hinnant's `civil_from_days`, for days after the
/// epoch).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_like_recorded_frames() {
        let utc = Moment::utc(1_773_240_058_195);
        assert_eq!((utc.date(), utc.time()), ("2026-03-11".into(), "14:40:58".into()));
        assert_eq!((utc.date_compact(), utc.time_compact()), ("20260311".into(), "144058".into()));
        assert_eq!(utc.http(), "Wed, 11 Mar 2026 14:40:58 GMT");
        assert_eq!(Moment::kst(1_773_240_058_195).date_time(), "2026-03-11T23:40:58");
        assert_eq!(Moment::utc(951_782_400_000).date(), "2000-02-29");
        assert_eq!(Moment::utc(0).date_time(), "1970-01-01T00:00:00");
    }
}
