//! Chooses the message format of a connection by its cost. Reads no clock and sends nothing: the caller passes the time
//! in and sends the request.

use std::fmt;
use std::time::Duration;

use super::Counters;
use crate::config::{FormatCosts, FormatRule, ReadCosts};
use crate::model::{Format, Nanos, NounKind};
use crate::wire::ObjectCounts;
use crate::wire::schema::{ORDERBOOK_UNIT, TYPE, names, short_saves};

/// The largest increase in the part of messages that are not in the documented form, compared with the format before.
/// One odd message is no reason to go back.
const ODD_MAX: f64 = 0.01;

/// How often to check whether the request for another format was sent.
const EVALUATE_EVERY: Duration = Duration::from_secs(1);

/// The number of bytes of `[` and `]`.
const BRACKETS: f64 = 2.0;

/// Why a connection has its format.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum FormatReason {
    /// The format was set explicitly.
    #[default]
    Fixed,
    /// The rule has found no reason to change it.
    Unchanged,
    /// It has the lowest cost.
    Cheapest {
        /// The part of the cost that it saves compared with the format before.
        gain: f64,
    },
    /// In another format, more messages were not in the documented form. The format does not change again.
    WentBack {
        /// The other format.
        from: Format,
    },
}

impl fmt::Display for FormatReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed => f.write_str("set explicitly"),
            Self::Unchanged => f.write_str("no reason to change it"),
            Self::Cheapest { gain } => write!(f, "cheapest by {:.0} %", gain * 100.0),
            Self::WentBack { from } => write!(f, "fewer messages are as documented in {}; final choice", from.as_str()),
        }
    }
}

/// The traffic of some time, all of it in one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Traffic {
    /// Bytes received from the socket.
    bytes: u64,
    /// Whole messages of any kind.
    messages: u64,
    /// Messages that were not in the documented form, could not be read, or were errors.
    odd: u64,
    /// Data objects by type.
    delivered: ObjectCounts,
}

/// Chooses the format of one connection.
///
/// For each window it computes the cost of the traffic in the current format and in every other one. The cost follows
/// from the number of objects of each type, because the documented keys differ by a known number of bytes. (Numbers are
/// also spelled a little differently, which is ignored.) If some format was cheaper by enough in enough windows in a
/// row, the cheapest over all of them is chosen. A window without data is ignored.
#[derive(Debug, Clone)]
pub struct FormatSelector {
    rule: FormatRule,
    formats: &'static [Format],
    format: Format,
    reason: FormatReason,
    /// When the window began, and the counters at that time.
    window: Option<(Nanos, Traffic)>,
    next_evaluation: Nanos,
    /// The number of windows in a row in which another format was cheaper by enough, and their traffic.
    streak: u32,
    pending: Traffic,
    changed_at: Option<Nanos>,
    /// The format before, while the change may still be undone.
    before: Option<Before>,
}

/// The format that a change replaced.
#[derive(Debug, Clone, Copy)]
struct Before {
    format: Format,
    /// The part of its messages that was odd.
    odd_part: f64,
    /// The number of windows in which odd messages are still blamed on the change. Later ones have another cause, and
    /// going back would not help.
    windows: u32,
}

impl FormatSelector {
    /// Creates the rule for a connection that has `format` now and may have any of `formats`.
    pub fn new(rule: FormatRule, formats: &'static [Format], format: Format) -> Self {
        Self {
            rule,
            formats,
            format,
            reason: FormatReason::Unchanged,
            window: None,
            next_evaluation: Nanos::default(),
            streak: 0,
            pending: Traffic::default(),
            changed_at: None,
            before: None,
        }
    }

    /// Returns why the connection has its format, or will have it once the request is sent.
    pub fn reason(&self) -> FormatReason {
        self.reason
    }

    /// Returns when to call [`evaluate`](Self::evaluate) again.
    pub fn next_evaluation(&self) -> Nanos {
        self.next_evaluation
    }

    /// Evaluates what the connection has counted by `now`. `written` is the format that its newest request named, if
    /// there was one. Returns the new format if it must change.
    pub fn evaluate(&mut self, now: Nanos, written: Option<Format>, counters: &Counters) -> Option<Format> {
        let total = Traffic::of(counters);
        let ready = written == Some(self.format) && !matches!(self.reason, FormatReason::WentBack { .. });
        let Some((start, before)) = self.window.filter(|_| ready) else {
            // The counts belong to another format, or the format does not change again.
            self.window = ready.then_some((now, total));
            self.next_evaluation = match self.reason {
                FormatReason::WentBack { .. } => Nanos::NEVER,
                _ => now + if ready { self.rule.window } else { EVALUATE_EVERY },
            };
            return None;
        };
        self.next_evaluation = start + self.rule.window;
        if now < self.next_evaluation {
            return None;
        }
        self.window = Some((now, total));
        self.next_evaluation = now + self.rule.window;
        self.judge(now, total.minus(&before))
    }

    fn judge(&mut self, now: Nanos, seen: Traffic) -> Option<Format> {
        if let Some(before) = &mut self.before
            && seen.messages > 0
        {
            let Before { format, odd_part, .. } = *before;
            if seen.odd_part() > odd_part + ODD_MAX {
                let from = self.format;
                return Some(self.change(now, format, FormatReason::WentBack { from }, &seen));
            }
            before.windows -= 1;
            self.before = self.before.filter(|before| before.windows > 0);
        }
        if seen.delivered == ObjectCounts::default() {
            return None;
        }
        if self.cheapest(&seen).1 < self.rule.gain {
            (self.streak, self.pending) = (0, Traffic::default());
            return None;
        }
        self.streak += 1;
        self.pending = self.pending.plus(&seen);
        let rested = self.changed_at.is_none_or(|at| now.since(at) >= self.rule.rest);
        if self.streak < self.rule.windows || !rested {
            return None;
        }
        let seen = std::mem::take(&mut self.pending);
        self.streak = 0;
        let (format, gain) = self.cheapest(&seen);
        // The cheapest format may have been a different one in each window.
        (gain >= self.rule.gain && format != self.format)
            .then(|| self.change(now, format, FormatReason::Cheapest { gain }, &seen))
    }

    fn change(&mut self, now: Nanos, format: Format, reason: FormatReason, seen: &Traffic) -> Format {
        self.before = Some(Before { format: self.format, odd_part: seen.odd_part(), windows: self.rule.windows });
        (self.format, self.reason) = (format, reason);
        (self.window, self.streak, self.pending) = (None, 0, Traffic::default());
        self.changed_at = Some(now);
        self.next_evaluation = now + EVALUATE_EVERY;
        format
    }

    /// Returns the format with the lowest cost for this traffic, and the part of the cost that it saves. Among equals,
    /// the current format wins, then the first.
    fn cheapest(&self, seen: &Traffic) -> (Format, f64) {
        let cost = |format| seen.cost_in(format, self.format, &self.rule.costs);
        let now = cost(self.format);
        let cheaper = |best: (Format, f64), format: &Format| {
            let cost = cost(*format);
            if cost < best.1 { (*format, cost) } else { best }
        };
        let (format, cost) = self.formats.iter().fold((self.format, now), cheaper);
        (format, if now > 0.0 { 1.0 - cost / now } else { 0.0 })
    }
}

impl Traffic {
    /// Returns the traffic that a connection has counted.
    fn of(counters: &Counters) -> Self {
        let Counters { bytes, messages, server_errors, decode, .. } = *counters;
        Self { bytes, messages, odd: decode.fallbacks + decode.malformed + server_errors, delivered: decode.by_type }
    }

    /// Returns what this traffic, received in `written`, would have cost in `format`, in ns.
    fn cost_in(&self, format: Format, written: Format, costs: &FormatCosts) -> f64 {
        let bytes = self.bytes as f64 + self.syntax_bytes(format) - self.syntax_bytes(written);
        let ReadCosts { messages, unit } = costs.read_ns[format as usize];
        bytes * costs.byte_ns + self.sum(|kind| messages[kind as usize], unit)
    }

    /// Returns the bytes of keys and brackets, less an amount that is the same in all formats.
    fn syntax_bytes(&self, format: Format) -> f64 {
        let saves = |kind| (short_saves(names(kind)) + short_saves(&[TYPE])) as f64;
        let saved = self.sum(saves, short_saves(ORDERBOOK_UNIT) as f64);
        let brackets = self.sum(|_| BRACKETS, 0.0);
        f64::from(u8::from(format.is_list())) * brackets - f64::from(u8::from(format.is_short())) * saved
    }

    /// Sums up a value for each message, by type, and for each unit of an order book.
    fn sum(&self, each: impl Fn(NounKind) -> f64, unit: f64) -> f64 {
        let messages = NounKind::ALL.iter().map(|kind| self.delivered[*kind] as f64 * each(*kind));
        messages.chain([self.delivered.units as f64 * unit]).sum()
    }

    fn odd_part(&self) -> f64 {
        self.odd as f64 / self.messages.max(1) as f64
    }

    fn minus(&self, other: &Self) -> Self {
        self.with(other, |one, other| one.saturating_sub(other))
    }

    fn plus(&self, other: &Self) -> Self {
        self.with(other, |one, other| one + other)
    }

    fn with(&self, other: &Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            bytes: each(self.bytes, other.bytes),
            messages: each(self.messages, other.messages),
            odd: each(self.odd, other.odd),
            delivered: self.delivered.zip(&other.delivered, each),
        }
    }
}
