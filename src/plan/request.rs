//! The text of a subscription request: ticket, one object per type, format.

use std::fmt::Write;

use super::StreamSet;
use crate::model::{DataType, Format};

/// Writes the request that makes a connection carry exactly `streams`, in `format`.
///
/// `ticket` labels the request and nothing else; it must not need JSON escapes. Market codes cannot need any.
pub fn request(ticket: &str, streams: &StreamSet, format: Format) -> String {
    let mut text = format!(r#"[{{"ticket":"{ticket}"}}"#);
    let mut current: Option<DataType> = None;
    for key in streams.keys() {
        // The set is sorted by type, so each type opens one object.
        let separator = if current == Some(key.data_type) {
            ","
        } else {
            close_object(&mut text, current);
            let _ = write!(text, r#",{{"type":"{}","codes":["#, key.data_type);
            current = Some(key.data_type);
            ""
        };
        let _ = write!(text, r#"{separator}"{}""#, key.market);
    }
    close_object(&mut text, current);
    let _ = write!(text, r#",{{"format":"{}"}}]"#, format.as_str());
    text
}

fn close_object(text: &mut String, open: Option<DataType>) {
    if open.is_some() {
        text.push_str("]}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Interval, StreamKey};

    #[test]
    fn one_request_carries_everything_grouped_by_type() {
        let key = |data_type, code: &str| StreamKey { data_type, market: code.parse().unwrap() };
        let streams: StreamSet = [
            key(DataType::Candle(Interval::Second1), "KRW-BTC"),
            key(DataType::Ticker, "KRW-ETH"),
            key(DataType::Ticker, "KRW-BTC"),
            key(DataType::Ticker, "KRW-ETH"),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            request("t-1", &streams, Format::SimpleList),
            r#"[{"ticket":"t-1"},{"type":"ticker","codes":["KRW-BTC","KRW-ETH"]},{"type":"candle.1s","codes":["KRW-BTC"]},{"format":"SIMPLE_LIST"}]"#
        );
    }
}
