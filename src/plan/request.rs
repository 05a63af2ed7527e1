//! The text of a request: ticket, objects of one type and mode each, format.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Mode, StreamSet, Want};
use crate::config::Dialect;
use crate::model::{DataType, Format, StreamKey};

/// Writes the request that makes a socket carry exactly `streams`, in `format`.
///
/// A request replaces everything that the socket carried, and the exchange answers it with a snapshot of each stream.
/// Streams in `running` are asked for without one: they go on where they are.
///
/// `ticket` labels the request and nothing else; it must not need JSON escapes. Market codes cannot need any.
pub fn request(
    ticket: &str,
    streams: &StreamSet,
    running: &BTreeSet<StreamKey>,
    format: Format,
    dialect: &Dialect,
) -> String {
    let mut objects: BTreeMap<(DataType, Mode), Vec<&Want>> = BTreeMap::new();
    for want in streams.wants() {
        let is_running = want.mode == Mode::All && running.contains(&want.key);
        let mode = if is_running { Mode::RealtimeOnly } else { want.mode };
        objects.entry((want.key.data_type, mode)).or_default().push(want);
    }
    let mut text = format!(r#"[{{"ticket":"{ticket}"}}"#);
    for ((data_type, mode), wants) in objects {
        object(&mut text, data_type, mode, &wants, dialect);
    }
    let _ = write!(text, r#",{{"format":"{}"}}]"#, format.as_str());
    text
}

/// Writes the question what the socket carries. It sets the format as every request does, so it must name it.
pub fn list_request(ticket: &str, format: Format) -> String {
    format!(r#"[{{"ticket":"{ticket}"}},{{"method":"LIST_SUBSCRIPTIONS"}},{{"format":"{}"}}]"#, format.as_str())
}

/// Writing to a `String` cannot fail.
fn object(text: &mut String, data_type: DataType, mode: Mode, wants: &[&Want], dialect: &Dialect) {
    let _ = write!(text, r#",{{"type":"{}","codes":["#, data_type.as_str());
    let mut separator = "";
    for (market, want) in wants.iter().filter_map(|want| want.key.market().zip(Some(want))) {
        let _ = match want.depth.count() {
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

    fn want(data_type: DataType, code: &str) -> Want {
        Want::all(StreamKey::of(data_type, code.parse().unwrap()))
    }

    fn text(wants: Vec<Want>, running: &[StreamKey], format: Format) -> String {
        let running = running.iter().copied().collect();
        request("t-1", &wants.into_iter().collect(), &running, format, &UPBIT)
    }

    #[test]
    fn one_request_carries_everything_grouped_by_type() {
        let wants = vec![
            want(DataType::Candle(Interval::Second1), "KRW-BTC"),
            want(DataType::Ticker, "KRW-ETH"),
            want(DataType::Ticker, "KRW-BTC"),
            want(DataType::Ticker, "KRW-ETH"),
        ];
        assert_eq!(
            text(wants, &[], Format::SimpleList),
            r#"[{"ticket":"t-1"},{"type":"ticker","codes":["KRW-BTC","KRW-ETH"]},{"type":"candle.1s","codes":["KRW-BTC"]},{"format":"SIMPLE_LIST"}]"#
        );
    }

    #[test]
    fn what_runs_is_asked_for_without_a_snapshot() {
        let (old, new) = (want(DataType::Trade, "KRW-BTC"), want(DataType::Trade, "KRW-ETH"));
        let once = Want { mode: Mode::SnapshotOnly, ..want(DataType::Trade, "KRW-XRP") };
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
    fn books_name_their_depth_and_their_step() {
        let step = DataType::GroupedOrderbook(Grouping::krw(10_000.0).unwrap());
        let shallow = Want { depth: Depth::levels(5), ..want(DataType::Orderbook, "KRW-BTC") };
        assert_eq!(
            text(vec![shallow, want(step, "KRW-BTC")], &[], Format::Default),
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
