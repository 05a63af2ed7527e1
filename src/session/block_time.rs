//! How long the exchange blocks this address, according to the text of its refusal. Upbit documents that the text states
//! the time, but not in which form, so any number with a unit of time counts.

use std::time::Duration;

/// Parts of the names of JSON fields whose number is a time, in seconds unless the name has another unit.
const FIELDS: [&str; 6] = ["retry_after", "retryafter", "retry-after", "block_time", "blocktime", "block-time"];

/// Returns the longest time in a text; `None` if there is none. The longest, because the text may also state the limit
/// that was exceeded, such as five requests in one second.
pub(super) fn stated(text: &str) -> Option<Duration> {
    let text = text.to_lowercase();
    let (mut rest, mut longest) = (text.as_str(), None);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let (digits, after) = number.split_at(end);
        // A digit within a word belongs to an id.
        let is_number = !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_'));
        let unit = unit_after(after).or_else(|| unit_of_field(before)).filter(|_| is_number);
        if let (Some(unit), Ok(count)) = (unit, digits.parse()) {
            longest = longest.max(Some(unit.saturating_mul(count)));
        }
        rest = after;
    }
    longest
}

/// Returns the unit that a text begins with.
fn unit_after(text: &str) -> Option<Duration> {
    let text = text.trim_start_matches([' ', '-']);
    let word = &text[..text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len())];
    match word {
        "ms" | "millisecond" | "milliseconds" => Some(Duration::from_millis(1)),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(Duration::from_secs(1)),
        "min" | "mins" | "minute" | "minutes" => Some(Duration::from_secs(60)),
        "hour" | "hours" => Some(Duration::from_secs(3600)),
        "day" | "days" => Some(Duration::from_secs(24 * 3600)),
        // Korean words may have endings: 초 is a second, 분 a minute, 시간 an hour.
        word if word.starts_with('초') => Some(Duration::from_secs(1)),
        word if word.starts_with('분') => Some(Duration::from_secs(60)),
        word if word.starts_with("시간") => Some(Duration::from_secs(3600)),
        _ => None,
    }
}

/// Returns the unit of the JSON field whose name and colon a text ends with, if its value is a time.
fn unit_of_field(text: &str) -> Option<Duration> {
    let name = text.trim_end_matches([' ', '"']).strip_suffix(':')?.trim_end().strip_suffix('"')?.rsplit('"').next()?;
    let unit = if name.contains("ms") || name.contains("milli") {
        Duration::from_millis(1)
    } else if name.contains("min") {
        Duration::from_secs(60)
    } else {
        Duration::from_secs(1)
    };
    FIELDS.iter().any(|part| name.contains(part)).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_unit_is_a_time() {
        for (text, seconds) in [
            ("blocked for 30 seconds", 30),
            (r#"{"error":{"name":"banned","message":"Blocked for 90 seconds."}}"#, 90),
            (r#"{"error":{"message":"more than 5 requests per 1 second, retry in 2 minutes","name":418}}"#, 120),
            (r#"{"error":{"message":"600초 동안 차단되었습니다."}}"#, 600),
            (r#"{"message":"10분간 이용할 수 없습니다"}"#, 600),
            (r#"{"message":"1시간 후에 다시 시도하세요"}"#, 3600),
            (r#"{"retry_after":45}"#, 45),
            (r#"{"error":{"code":429,"retryAfter" : "45"}}"#, 45),
            (r#"{"retry_after_ms":45000}"#, 45),
            (r#"{"block_time":7,"status":418}"#, 7),
            ("Retry in 5s", 5),
            ("a 3-day block", 3 * 24 * 3600),
        ] {
            assert_eq!(stated(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_no_time() {
        for text in [
            "",
            "banned",
            r#"{"error":{"name":418,"message":"I'm a teapot"}}"#,
            r#"{"status":429,"server":"s-17","time":1790000000}"#,
            r#"{"request":"7d3s-4min-0s","limit":"5 requests"}"#,
            "2026-12-01T00:20:30Z",
            "99999999999999999999 seconds",
        ] {
            assert_eq!(stated(text), None, "{text}");
        }
        assert!(stated("4294967295 days") > Some(Duration::from_secs(24 * 3600)), "the caller limits it");
    }
}
