//! The rule that chooses a connection's format, under virtual time. The tests write every message in all four formats
//! and count bytes, independently of the rule's algorithm.

use std::time::Duration;

use hoga::config::{FormatCosts, FormatRule, ReadCosts};
use hoga::model::{Format, Nanos, NounKind};
use hoga::session::{Counters, FormatReason, FormatSelector};
use hoga::wire::{Decoder, ObjectCounts, convert};
use hoga_testing::{Rng, fixtures, messages};

use crate::support::{decode, recorded};

const START: Nanos = Nanos::from_millis(1_790_000_000_000);
const ALL: &[Format] = &Format::ALL;

/// The size of messages in all formats, and a decoder's counts of them.
#[derive(Clone, Default)]
struct Trace {
    bytes: [u64; 4],
    messages: u64,
    delivered: ObjectCounts,
}

impl Trace {
    fn of(messages: &[String]) -> Self {
        let (mut trace, mut decoder) = (Self::default(), Decoder::new());
        for message in messages {
            assert!(decode(&mut decoder, message.as_bytes()).0.is_ok(), "{message}");
            for (format, bytes) in Format::ALL.into_iter().zip(&mut trace.bytes) {
                *bytes += convert(message, format).unwrap().messages[0].len() as u64;
            }
            trace.messages += 1;
        }
        trace.delivered = decoder.counters().by_type;
        trace
    }

    /// Returns random messages of each type.
    fn drawn(rng: &mut Rng) -> Self {
        let mut messages = Vec::new();
        for kind in 0..5 {
            for _ in 0..rng.below(6) {
                let draft = match kind {
                    0 => messages::ticker(rng),
                    1 => messages::trade(rng),
                    2 => messages::orderbook(rng, 5, false),
                    3 => messages::orderbook(rng, 30, true),
                    _ => messages::candle(rng),
                };
                messages.push(draft.write(false));
            }
        }
        Self::of(&messages)
    }

    /// Returns the trace repeated `n` times.
    fn times(&self, n: u64) -> Self {
        Self {
            bytes: self.bytes.map(|bytes| bytes * n),
            messages: self.messages * n,
            delivered: self.delivered.zip(&self.delivered, |count, _| count * n),
        }
    }

    fn cost(&self, format: Format, costs: &FormatCosts) -> f64 {
        let read = costs.read_ns[format as usize];
        let delivered = &self.delivered;
        let message = |kind: NounKind| delivered[kind] as f64 * read.messages[kind as usize];
        let reading = NounKind::ALL.map(message).iter().sum::<f64>() + delivered.units as f64 * read.unit;
        self.bytes[format as usize] as f64 * costs.byte_ns + reading
    }

    /// Returns the cheapest format by comparing all, and the share of the cost of `now` that it saves.
    fn optimum(&self, now: Format, costs: &FormatCosts) -> (Format, f64) {
        let costs = Format::ALL.map(|format| (format, self.cost(format, costs)));
        let least = costs.into_iter().min_by(|one, other| one.1.total_cmp(&other.1)).unwrap();
        let present = costs[now as usize].1;
        (least.0, if present > 0.0 { 1.0 - least.1 / present } else { 0.0 })
    }
}

fn drawn_costs(rng: &mut Rng) -> FormatCosts {
    let byte_ns = [0.0, 0.1, 1.0, 80.0][rng.below(4)];
    let mut ns = |most: usize| rng.below(most) as f64;
    // Reading always costs something, because traffic without any cost has no cheapest format.
    let read_ns = [(); 4].map(|()| ReadCosts { messages: NounKind::ALL.map(|_| 1.0 + ns(400)), unit: ns(60) });
    FormatCosts { byte_ns, read_ns }
}

/// A connection that a selector evaluates once per window.
struct Connection {
    selector: FormatSelector,
    rule: FormatRule,
    now: Nanos,
    counters: Counters,
    /// The format of the newest request.
    written: Format,
    changes: Vec<(Nanos, Format)>,
}

impl Connection {
    fn new(rule: FormatRule, formats: &'static [Format], format: Format) -> Self {
        let selector = FormatSelector::new(rule, formats, format);
        let mut connection =
            Self { selector, rule, now: START, counters: Counters::default(), written: format, changes: Vec::new() };
        connection.evaluate();
        connection
    }

    fn evaluate(&mut self) -> Option<Format> {
        let changed = self.selector.evaluate(self.now, Some(self.written), &self.counters);
        if let Some(format) = changed {
            self.changes.push((self.now, format));
        }
        changed
    }

    /// Simulates a window with this traffic, of which `odd` messages need the general reader. A change of format is
    /// requested at once and starts a window.
    fn window(&mut self, trace: &Trace, odd: u64) -> Option<Format> {
        let sums = |sum: &mut u64, more: u64| *sum += more;
        sums(&mut self.counters.bytes, trace.bytes[self.written as usize]);
        sums(&mut self.counters.messages, trace.messages);
        sums(&mut self.counters.decode.fallbacks, odd);
        let by_type = &mut self.counters.decode.by_type;
        *by_type = by_type.zip(&trace.delivered, |sum, more| sum + more);
        self.now = self.now + self.rule.window;
        let is_settled = matches!(self.selector.reason(), FormatReason::WentBack { .. });
        assert!(is_settled || self.selector.next_evaluation() <= self.now);
        let changed = self.evaluate();
        if let Some(format) = changed {
            self.written = format;
            self.evaluate();
        }
        changed
    }
}

/// Returns the most sensitive rule: one window decides.
fn sensitive(costs: FormatCosts) -> FormatRule {
    FormatRule { costs, windows: 1, gain: 0.0, rest: Duration::ZERO, ..FormatRule::default() }
}

#[test]
fn the_choice_is_the_cheapest_of_all_formats_from_any_start() {
    let mut rng = Rng::new(121);
    let mut chosen = [0; 4];
    for _ in 0..500 {
        let (trace, costs) = (Trace::drawn(&mut rng), drawn_costs(&mut rng));
        for begin in Format::ALL {
            let (cheapest, gain) = trace.optimum(begin, &costs);
            if gain.abs() < 1e-9 && cheapest != begin {
                continue; // equal up to rounding: either is right
            }
            let mut connection = Connection::new(sensitive(costs), ALL, begin);
            connection.window(&trace, 0);
            assert_eq!(connection.written, cheapest, "from {begin:?} {:?} {costs:?}", trace.delivered);
            chosen[cheapest as usize] += 1;
        }
    }
    assert!(chosen.iter().all(|n| *n > 50), "every format must be cheapest sometimes: {chosen:?}");
}

/// Uses the repository's messages of each type, and recorded ones.
#[test]
fn on_documented_traffic_the_choice_is_the_cheapest_of_all_formats() {
    let of_type = |name: &str| {
        let is_of_type = |line: &String| line.starts_with(&format!("{{\"type\":\"{name}"));
        (name.to_owned(), fixtures::lines("data.DEFAULT.jsonl").into_iter().filter(is_of_type).collect::<Vec<_>>())
    };
    let own = ["ticker", "trade", "orderbook", "candle", ""].map(of_type);
    let files = [
        "cryptofeed/upbit-2021-04-17.SIMPLE.trade+orderbook.jsonl",
        "maxt/upbit-2026-07-30.DEFAULT.candle.jsonl",
        "upbit-docs/ticker.2025-09-26.DEFAULT.raw.jsonl",
        "upbit-docs/orderbook.2026-08-26.DEFAULT.30units.reserialised.jsonl",
    ];
    let mut rng = Rng::new(5);
    let captured = fixtures::captures()
        .into_iter()
        .flat_map(|folder| files.map(|file| (file.to_owned(), recorded(&folder.join(file)))));
    for (file, messages) in own.into_iter().chain(captured) {
        assert!(!messages.is_empty(), "{file}");
        let trace = Trace::of(&messages);
        let rule = FormatRule::default();
        let (cheapest, gain) = trace.optimum(Format::Default, &rule.costs);
        let mut connection = Connection::new(rule, ALL, Format::Default);
        for _ in 0..rule.windows {
            connection.window(&trace, 0);
        }
        assert_eq!((connection.written, cheapest), (Format::Simple, Format::Simple), "{file}");
        let FormatReason::Cheapest { gain: reported } = connection.selector.reason() else { panic!("{file}") };
        // Old trades lack four fields that the rule assumes.
        assert!((reported - gain).abs() < 0.10, "{file}: {reported} of {gain}");
        for _ in 0..50 {
            let costs = drawn_costs(&mut rng);
            let mut connection = Connection::new(sensitive(costs), ALL, Format::Default);
            connection.window(&trace, 0);
            let choice = connection.written;
            let loss = trace.cost(choice, &costs) / trace.cost(trace.optimum(choice, &costs).0, &costs) - 1.0;
            assert!(loss < 0.02 || file.contains("2021"), "{file}: {choice:?} costs {loss} too much with {costs:?}");
        }
    }
}

#[test]
fn one_window_is_not_enough_and_an_interruption_restarts_the_count() {
    let trace = Trace::drawn(&mut Rng::new(3)).times(100);
    let rule = FormatRule::default();
    let mut connection = Connection::new(rule, ALL, Format::Default);
    assert_eq!([(); 2].map(|()| connection.window(&trace, 0)), [None; 2]);
    // An empty window decides nothing.
    assert_eq!(connection.window(&Trace::default(), 0), None);
    assert_eq!(connection.window(&trace, 0), Some(Format::Simple));
    assert!(matches!(connection.selector.reason(), FormatReason::Cheapest { gain } if gain > 0.2));

    // A window in which no other format would have saved enough.
    let same = Trace { delivered: ObjectCounts::default(), ..trace.clone() };
    let mut no_gain = same.clone();
    no_gain.delivered[NounKind::Candle] = 1;
    let mut connection = Connection::new(rule, ALL, Format::Default);
    connection.window(&trace, 0);
    connection.window(&trace, 0);
    assert_eq!(connection.window(&no_gain, 0), None);
    assert_eq!([(); 2].map(|()| connection.window(&trace, 0)), [None; 2], "from the start");
    assert_eq!(connection.window(&trace, 0), Some(Format::Simple));
}

#[test]
fn only_formats_of_the_exchange_are_chosen() {
    let mut costs = FormatCosts { byte_ns: 0.0, ..FormatCosts::default() };
    let all = |ns| ReadCosts { messages: [ns; NounKind::COUNT], unit: ns };
    (costs.read_ns[Format::JsonList as usize], costs.read_ns[Format::Simple as usize]) = (all(0.0), all(1.0));
    let trace = Trace::drawn(&mut Rng::new(3));
    let mut upbit = Connection::new(sensitive(costs), hoga::config::UPBIT.formats, Format::Default);
    assert_eq!(upbit.window(&trace, 0), Some(Format::JsonList));
    let mut bithumb = Connection::new(sensitive(costs), hoga::config::BITHUMB.formats, Format::Default);
    assert_eq!(bithumb.window(&trace, 0), Some(Format::Simple));
}

/// With any traffic and any costs, changes are rare and justified, and the same traffic causes the same changes.
#[test]
fn the_choice_never_flaps_and_is_the_same_for_the_same_traffic() {
    let mut changes = 0;
    for seed in 0..300 {
        let run = || {
            let mut rng = Rng::new(seed);
            let (bases, costs) = ([Trace::drawn(&mut rng), Trace::drawn(&mut rng)], drawn_costs(&mut rng));
            let rule = FormatRule { costs, gain: 0.02, ..FormatRule::default() };
            let mut connection = Connection::new(rule, ALL, Format::Default);
            let mut windows = Vec::new();
            for _ in 0..300 {
                let trace = bases[rng.below(2)].times(rng.below(20) as u64);
                let present = connection.written;
                let changed = connection.window(&trace, 0);
                windows.push((trace, present, changed));
            }
            (connection.changes.clone(), windows, rule)
        };
        let (changed, windows, rule) = run();
        assert_eq!(changed, run().0);
        for pair in changed.windows(2) {
            assert!(pair[1].0.since(pair[0].0) >= rule.rest, "seed {seed}: {changed:?}");
        }
        for (at, (_, present, to)) in windows.iter().enumerate().filter(|(_, window)| window.2.is_some()) {
            let seen = windows[..=at].iter().rev().filter(|window| window.0.messages > 0).take(rule.windows as usize);
            for (trace, ..) in seen {
                let gain = trace.optimum(*present, &rule.costs).1;
                assert!(gain > rule.gain - 1e-9, "seed {seed}, window {at}: {present:?} to {to:?} for {gain}");
            }
        }
        changes += changed.len();
    }
    assert!(changes > 100, "only {changes} changes");
}

/// The same traffic with noise causes at most one change.
#[test]
fn noise_around_one_mix_changes_the_format_once_at_most() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let (base, costs) = (Trace::drawn(&mut rng), drawn_costs(&mut rng));
        let mut connection =
            Connection::new(FormatRule { costs, rest: Duration::ZERO, ..FormatRule::default() }, ALL, Format::Default);
        for _ in 0..200 {
            connection.window(&base.times(rng.below(50) as u64), 0);
        }
        assert!(connection.changes.len() <= 1, "seed {seed}: {:?}", connection.changes);
    }
}

#[test]
fn a_format_that_falls_back_more_often_is_abandoned_permanently() {
    let trace = Trace::drawn(&mut Rng::new(3)).times(100);
    let odd = trace.messages / 10;
    let rule = FormatRule { windows: 3, ..sensitive(FormatCosts::default()) };
    let mut connection = Connection::new(rule, ALL, Format::Default);
    let changes = [(); 3].map(|()| connection.window(&trace, odd));
    assert_eq!(changes, [None, None, Some(Format::Simple)]);
    // As many odd messages as before: the exchange causes them, not the format.
    assert_eq!(connection.window(&trace, odd), None);
    // A single odd message is not enough.
    assert_eq!(connection.window(&trace, odd + 1), None);
    assert_eq!(connection.window(&trace, 2 * odd), Some(Format::Default));
    assert_eq!(connection.selector.reason(), FormatReason::WentBack { from: Format::Simple });
    for _ in 0..100 {
        connection.now = connection.now + Duration::from_secs(3600);
        assert_eq!(connection.window(&trace, 0), None, "permanently");
    }
}

/// A later change of the exchange makes the messages odd, not our change of format. Going back would be permanent.
#[test]
fn odd_messages_long_after_a_change_are_not_blamed_on_it() {
    let trace = Trace::drawn(&mut Rng::new(3)).times(100);
    let rule = FormatRule { windows: 3, ..sensitive(FormatCosts::default()) };
    let mut connection = Connection::new(rule, ALL, Format::Default);
    for _ in 0..rule.windows {
        connection.window(&trace, 0);
    }
    assert_eq!(connection.written, Format::Simple);
    for _ in 0..100 {
        // A silent window proves nothing.
        assert_eq!(connection.window(&Trace::default(), 0), None);
    }
    for _ in 0..rule.windows {
        assert_eq!(connection.window(&trace, 0), None);
    }
    assert_eq!(connection.window(&trace, trace.messages / 2), None);
    assert!(matches!(connection.selector.reason(), FormatReason::Cheapest { .. }));
}

#[test]
fn a_refused_format_is_abandoned_although_no_message_arrives_in_it() {
    let trace = Trace::drawn(&mut Rng::new(3)).times(100);
    let mut connection = Connection::new(sensitive(FormatCosts::default()), ALL, Format::Default);
    assert_eq!(connection.window(&trace, 0), Some(Format::Simple));
    connection.counters.server_errors += 1;
    connection.counters.messages += 1;
    assert_eq!(connection.window(&Trace::default(), 0), Some(Format::Default));
}

/// Frames of the old format must not be counted as frames of the new one.
#[test]
fn a_format_is_not_evaluated_before_its_request_is_sent() {
    let trace = Trace::drawn(&mut Rng::new(3)).times(100);
    let mut connection = Connection::new(sensitive(FormatCosts::default()), ALL, Format::Default);
    connection.window(&trace, 0);
    assert_eq!(connection.written, Format::Simple);
    connection.written = Format::Default; // the budget holds the request back
    for _ in 0..10 {
        connection.now = connection.now + Duration::from_secs(60);
        connection.counters.decode.fallbacks += 1000;
        assert_eq!(connection.evaluate(), None);
    }
    connection.written = Format::Simple;
    assert_eq!(connection.evaluate(), None);
    assert_eq!(connection.window(&trace, 0), None, "its window started with the request");
}
