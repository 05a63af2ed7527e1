//! The text of a request: a ticket, one object per type and mode, and the format.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Mode, StreamSet, StreamSpec};
use crate::config::Dialect;
use crate::model::{DataType, Format, StreamKey};

/// Writes the request that makes a socket carry exactly `streams`, in `format`.
///
/// A request replaces everything that the socket carried, and the exchange answers it with a snapshot of each stream.
/// Streams in `running` are requested without a snapshot, and continue. Streams in `checked` are requested with a
/// snapshot, even if only their changes are wanted.
///
/// `ticket` is a label that the exchange does not interpret. It must not need JSON escapes; market codes never do.
pub fn request(
    ticket: &str,
    streams: &StreamSet,
    running: &BTreeSet<StreamKey>,
    checked: &BTreeSet<StreamKey>,
    format: Format,
    dialect: &Dialect,
) -> String {
    let mut objects: BTreeMap<(DataType, Mode), Vec<&StreamSpec>> = BTreeMap::new();
    for spec in streams.specs() {
        let mode = match spec.mode {
            Mode::All if running.contains(&spec.key) => Mode::RealtimeOnly,
            Mode::RealtimeOnly if checked.contains(&spec.key) => Mode::All,
            mode => mode,
        };
        objects.entry((spec.key.data_type, mode)).or_default().push(spec);
    }
    let mut text = format!(r#"[{{"ticket":"{ticket}"}}"#);
    for ((data_type, mode), specs) in objects {
        object(&mut text, data_type, mode, &specs, dialect);
    }
    let _ = write!(text, r#",{{"format":"{}"}}]"#, format.as_str());
    text
}

/// Writes the request for a list of the streams that the socket carries. It also sets the format, as every request
/// does.
pub fn list_request(ticket: &str, format: Format) -> String {
    format!(r#"[{{"ticket":"{ticket}"}},{{"method":"LIST_SUBSCRIPTIONS"}},{{"format":"{}"}}]"#, format.as_str())
}

/// Writes the object of one type and mode. Writing to a `String` cannot fail.
fn object(text: &mut String, data_type: DataType, mode: Mode, specs: &[&StreamSpec], dialect: &Dialect) {
    let _ = write!(text, r#",{{"type":"{}","codes":["#, data_type.as_str());
    let mut separator = "";
    for (market, spec) in specs.iter().filter_map(|spec| spec.key.market().zip(Some(spec))) {
        let _ = match spec.depth.count() {
            Some(levels) => write!(text, r#"{separator}"{market}.{levels}""#),
            None => write!(text, r#"{separator}"{market}""#),
        };
        separator = ",";
    }
    text.push(']');
    if let DataType::GroupedOrderbook(step) = data_type {
        let _ = write!(text, r#","level":{step}"#);
    }
    let flag = match mode {
        Mode::All => None,
        Mode::SnapshotOnly => Some(dialect.only_snapshot),
        Mode::RealtimeOnly => Some(dialect.only_realtime),
    };
    if let Some(flag) = flag {
        let _ = write!(text, r#","{flag}":true"#);
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UPBIT;
    use crate::model::{Grouping, Interval};
    use crate::plan::Depth;

    fn spec(data_type: DataType, code: &str) -> StreamSpec {
        StreamSpec::all(StreamKey::of(data_type, code.parse().unwrap()))
    }

    fn text(specs: Vec<StreamSpec>, running: &[StreamKey], format: Format) -> String {
        let running = running.iter().copied().collect();
        request("t-1", &specs.into_iter().collect(), &running, &BTreeSet::new(), format, &UPBIT)
    }

    #[test]
    fn streams_of_changes_only_are_checked_with_a_snapshot() {
        let changes = |code| StreamSpec { mode: Mode::RealtimeOnly, ..spec(DataType::Trade, code) };
        let (btc, eth) = (changes("KRW-BTC"), changes("KRW-ETH"));
        let checked = BTreeSet::from([eth.key]);
        let text = request("t", &[btc, eth].into_iter().collect(), &BTreeSet::new(), &checked, Format::Default, &UPBIT);
        assert_eq!(
            text,
            concat!(
                r#"[{"ticket":"t"},{"type":"trade","codes":["KRW-ETH"]},"#,
                r#"{"type":"trade","codes":["KRW-BTC"],"is_only_realtime":true},{"format":"DEFAULT"}]"#
            )
        );
    }

    #[test]
    fn one_request_carries_all_streams_grouped_by_type() {
        let specs = vec![
            spec(DataType::Candle(Interval::Second1), "KRW-BTC"),
            spec(DataType::Ticker, "KRW-ETH"),
            spec(DataType::Ticker, "KRW-BTC"),
            spec(DataType::Ticker, "KRW-ETH"),
        ];
        assert_eq!(
            text(specs, &[], Format::SimpleList),
            r#"[{"ticket":"t-1"},{"type":"ticker","codes":["KRW-BTC","KRW-ETH"]},{"type":"candle.1s","codes":["KRW-BTC"]},{"format":"SIMPLE_LIST"}]"#
        );
    }

    #[test]
    fn running_streams_are_requested_without_a_snapshot() {
        let (old, new) = (spec(DataType::Trade, "KRW-BTC"), spec(DataType::Trade, "KRW-ETH"));
        let once = StreamSpec { mode: Mode::SnapshotOnly, ..spec(DataType::Trade, "KRW-XRP") };
        assert_eq!(
            text(vec![old, new, once], &[old.key, once.key], Format::Default),
            concat!(
                r#"[{"ticket":"t-1"},{"type":"trade","codes":["KRW-ETH"]},"#,
                r#"{"type":"trade","codes":["KRW-XRP"],"is_only_snapshot":true},"#,
                r#"{"type":"trade","codes":["KRW-BTC"],"is_only_realtime":true},{"format":"DEFAULT"}]"#
            )
        );
    }

    #[test]
    fn requests_name_the_depth_and_the_step_of_books() {
        let step = DataType::GroupedOrderbook(Grouping::krw(10_000.0).unwrap());
        let shallow = StreamSpec { depth: Depth::levels(5), ..spec(DataType::Orderbook, "KRW-BTC") };
        assert_eq!(
            text(vec![shallow, spec(step, "KRW-BTC")], &[], Format::Default),
            concat!(
                r#"[{"ticket":"t-1"},{"type":"orderbook","codes":["KRW-BTC.5"]},"#,
                r#"{"type":"orderbook","codes":["KRW-BTC"],"level":10000},{"format":"DEFAULT"}]"#
            )
        );
        assert_eq!(
            list_request("t", Format::Simple),
            r#"[{"ticket":"t"},{"method":"LIST_SUBSCRIPTIONS"},{"format":"SIMPLE"}]"#
        );
    }
}
