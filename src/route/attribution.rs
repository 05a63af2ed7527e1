//! Where the time of messages went: recorded on the connection's thread, read from any other.
//!
//! # Synchronization
//!
//! All that is shared has one writer, the connection's thread, and each part stands for itself (Relaxed). Of the bounds of
//! the clock's offset, a reader that sees one old and one new sees bounds that are wider than need be, or exclude each
//! other where a clock was set, and then knows nothing. Who does not see `origin` yet sees nothing recorded relative to it.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::feed::Latency;
use crate::model::{ClockOffset, Nanos};
use crate::sync::histogram::{Recorded, Recorder, histogram};

/// `Shared::origin` before there is one.
const NONE: i64 = i64::MIN;
/// No two clocks are further apart than a day; a stamp that says so is wrong itself.
const ABSURD: u64 = 86_400_000_000_000;
/// The exchange's stamps are cut to whole ms.
const STAMP: i64 = 1_000_000;
/// What takes another look at the clock is measured for one message in so many: for each, that look alone would cost more
/// than all that is recorded. So are the kernel's stamps, by the socket (`net::socket`).
const SAMPLED: u64 = 8;

/// Where the time of a connection's messages went since the engine started; see
/// [`Engine::latencies`](crate::engine::Engine::latencies).
///
/// Four moments follow each other: the exchange's stamp, the receive stamp (right after the read that brought the last
/// bytes of the message), the publish stamp (the message is decoded and its stream found), and the moment when the pool and
/// every feed have been given it. What readers add is theirs to measure, from the publish stamp on:
/// [`Feed::measure_latencies`](crate::feed::Feed::measure_latencies),
/// [`Reading::published_age`](crate::pool::Reading::published_age). So exchange→receive, receive→publish and the reader's
/// publish→read add up to the whole; kernel→user is a part of the first, and fan-out of the last.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attribution {
    /// From the exchange's stamp to the receive stamp, by the middle of what [`clock_offset`](Self::clock_offset) allows.
    /// Differences between these times are right to a ms, the stamps' unit; all of them together may be off by
    /// [`exchange_error`](Self::exchange_error), which is why none is shown before that is known. Of changes only:
    /// snapshots carry the time of the last change, which may be long ago.
    pub exchange_to_receive: Latency,
    /// The same messages, each by how much longer it took than the fastest: the part that no clock can spoil.
    pub above_fastest: Latency,
    /// From when the kernel had received the bytes of a read until the receive stamp: waking the thread, reading and, under
    /// TLS, decrypting what is read first. By the kernel's stamp of the last segment that the read has bytes of: those before
    /// it have waited longer. Only where the kernel gives stamps (Linux), and of one read in eight, because they make a read
    /// dearer.
    pub kernel_to_user: Latency,
    /// From the receive stamp to the publish stamp. Of several messages in one read, the later wait for the earlier to be
    /// decoded and published, and that counts.
    pub receive_to_publish: Latency,
    /// From the publish stamp until the pool had the value and every feed its update. Readers may see it before that, those
    /// that are served first; feeds are told of it when all of what was read is done. Of one message in eight, because it
    /// takes a look at the clock of its own; where messages always come eight at a time, always of the same one of them.
    pub fan_out: Latency,
    /// What is known of how far the exchange's clock is ahead.
    pub clock_offset: ClockOffset,
}

impl Attribution {
    /// By how much each time of [`exchange_to_receive`](Self::exchange_to_receive) may be wrong, either way and all of
    /// them by the same; known once the exchange's clock is bounded from both sides.
    pub fn exchange_error(&self) -> Option<Duration> {
        Some(self.clock_offset.error()? + Duration::from_nanos(STAMP as u64 / 2))
    }

    /// Adds what another connection recorded. The error is that of either, or of what separates the two if that is more.
    pub fn add(&mut self, other: &Self) {
        self.exchange_to_receive.add(&other.exchange_to_receive);
        self.above_fastest.add(&other.above_fastest);
        self.kernel_to_user.add(&other.kernel_to_user);
        self.receive_to_publish.add(&other.receive_to_publish);
        self.fan_out.add(&other.fan_out);
        self.clock_offset = self.clock_offset.or(other.clock_offset);
    }
}

/// The reading end.
#[derive(Clone)]
pub(crate) struct AttributionReader {
    /// How much longer than the first message, and how much shorter.
    longer: Recorded,
    shorter: Recorded,
    kernel: Recorded,
    receive_to_publish: Recorded,
    fan_out: Recorded,
    shared: Arc<Shared>,
}

/// The writing end, of the connection's thread.
pub(crate) struct AttributionWriter {
    longer: Recorder,
    shorter: Recorder,
    kernel: Recorder,
    receive_to_publish: Recorder,
    fan_out: Recorder,
    messages: u64,
    /// What the first message seemed to take, by the two clocks as they are, in ns.
    origin: Option<i64>,
    offset: ClockOffset,
    shared: Arc<Shared>,
}

/// What of the writer's the reader has to know.
struct Shared {
    origin: AtomicI64,
    low: AtomicI64,
    high: AtomicI64,
}

/// Both ends, with nothing recorded.
pub(crate) fn attribution() -> (AttributionWriter, AttributionReader) {
    let [longer, shorter, kernel, receive_to_publish, fan_out] = [(); 5].map(|()| histogram(Latency::LONGEST_NS));
    let (origin, low, high) = (AtomicI64::new(NONE), AtomicI64::new(i64::MIN), AtomicI64::new(i64::MAX));
    let shared = Arc::new(Shared { origin, low, high });
    let writer = AttributionWriter {
        longer: longer.0,
        shorter: shorter.0,
        kernel: kernel.0,
        receive_to_publish: receive_to_publish.0,
        fan_out: fan_out.0,
        messages: 0,
        origin: None,
        offset: ClockOffset::UNKNOWN,
        shared: shared.clone(),
    };
    let reader = AttributionReader {
        longer: longer.1,
        shorter: shorter.1,
        kernel: kernel.1,
        receive_to_publish: receive_to_publish.1,
        fan_out: fan_out.1,
        shared,
    };
    (writer, reader)
}

impl AttributionWriter {
    /// A message of a wanted stream was published at `published`, and has been given to everybody. `now` is asked for some.
    #[inline]
    pub fn message(&mut self, received: Nanos, published: Nanos, now: impl FnOnce() -> Nanos) {
        self.receive_to_publish.record(published.0.saturating_sub(received.0));
        if self.messages.is_multiple_of(SAMPLED) {
            self.fan_out.record(now().0.saturating_sub(published.0));
        }
        self.messages += 1;
    }

    /// The exchange stamped a change at `exchange_ms`, and it was received.
    #[inline]
    pub fn change(&mut self, exchange_ms: u64, received: Nanos) {
        if self.offset.received(exchange_ms, received) {
            self.share_offset();
        }
        let stamped = i64::try_from(Nanos::from_millis(exchange_ms).0).unwrap_or(i64::MAX);
        let took = (received.0 as i64).saturating_sub(stamped);
        if took.unsigned_abs() > ABSURD {
            return;
        }
        // The clocks may be set hours apart; counted from the first message, small differences stay visible.
        let beyond = took - self.origin.unwrap_or_else(|| self.set_origin(took));
        let side = if beyond < 0 { &mut self.shorter } else { &mut self.longer };
        side.record(beyond.unsigned_abs());
    }

    /// Bytes were read that had waited in the kernel.
    #[inline]
    pub fn read_after(&mut self, wait: Duration) {
        self.kernel.record(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The exchange said what its clock showed.
    pub fn dated(&mut self, asked: Nanos, answered: Nanos, date: Nanos) {
        if self.offset.answered(asked, answered, date) {
            self.share_offset();
        }
    }

    #[cold]
    fn set_origin(&mut self, took: i64) -> i64 {
        self.origin = Some(took);
        self.shared.origin.store(took, Relaxed);
        took
    }

    #[cold]
    fn share_offset(&self) {
        self.shared.low.store(self.offset.low().unwrap_or(i64::MIN), Relaxed);
        self.shared.high.store(self.offset.high().unwrap_or(i64::MAX), Relaxed);
    }
}

impl AttributionReader {
    /// What was recorded so far.
    pub fn read(&self) -> Attribution {
        let Shared { origin, low, high } = &*self.shared;
        let clock_offset = ClockOffset::between(low.load(Relaxed), high.load(Relaxed));
        let beyond = match origin.load(Relaxed) {
            NONE => Vec::new(),
            _ => self.beyond(),
        };
        // A stamp was cut by half a ms in the mean.
        let shift = clock_offset.estimate().map(|offset| origin.load(Relaxed).saturating_add(offset - STAMP / 2));
        let fastest = beyond.iter().map(|(took, _)| *took).min().unwrap_or_default();
        Attribution {
            exchange_to_receive: shift.map(|shift| shifted(&beyond, shift)).unwrap_or_default(),
            above_fastest: shifted(&beyond, -fastest),
            kernel_to_user: latency(&self.kernel),
            receive_to_publish: latency(&self.receive_to_publish),
            fan_out: latency(&self.fan_out),
            clock_offset,
        }
    }

    /// How much longer than the first message others took, in ns, and how many.
    fn beyond(&self) -> Vec<(i64, u64)> {
        let mut beyond = Vec::new();
        self.shorter.each(|time, times| beyond.push((-(time as i64), times)));
        self.longer.each(|time, times| beyond.push((time as i64, times)));
        beyond
    }
}

/// Nothing takes less than no time, whatever the estimate says.
fn shifted(times: &[(i64, u64)], shift: i64) -> Latency {
    let mut latency = Latency::new();
    for (time, times) in times {
        latency.record_many(Duration::from_nanos(time.saturating_add(shift).max(0) as u64), *times);
    }
    latency
}

fn latency(recorded: &Recorded) -> Latency {
    let mut latency = Latency::new();
    recorded.each(|time, times| latency.record_many(Duration::from_nanos(time), times));
    latency
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const AT: u64 = 1_800_000_000_000;

    /// Messages that took so many ms each, from an exchange whose clock is so many ms ahead.
    fn received(writer: &mut AttributionWriter, ahead_ms: i64, took_ms: &[u64]) {
        for (number, took) in (1000..).zip(took_ms) {
            let sent = AT + number * 10;
            writer.change(sent.checked_add_signed(ahead_ms).unwrap(), Nanos((sent + took) * MS));
        }
    }

    fn ms(time: Duration) -> f64 {
        (time.as_secs_f64() * 1e4).round() / 10.0
    }

    #[test]
    fn the_part_above_the_fastest_needs_no_clock() {
        for ahead in [0, -5, 7_200_000, -7_200_000] {
            let (mut writer, reader) = attribution();
            received(&mut writer, ahead, &[20, 30, 12, 12, 52]);
            let read = reader.read();
            let above = [0.2, 0.4, 0.6, 0.8, 1.0].map(|part| ms(read.above_fastest.quantile(part)).round());
            assert_eq!(above, [0.0, 0.0, 8.0, 18.0, 40.0], "{ahead} ms ahead");
            assert_eq!((read.exchange_to_receive.count(), read.exchange_error()), (0, None), "one side bounds nothing");
        }
    }

    #[test]
    fn with_both_bounds_the_times_are_right_within_the_error() {
        for ahead in [0, 3_000, -3_000, 86_400_000] {
            let (mut writer, reader) = attribution();
            received(&mut writer, ahead, &[20, 30, 12, 12, 52]);
            // Asked 10 ms before it was written, and read 10 ms after.
            let ours = Nanos((AT + 900) * MS);
            let theirs = (AT + 900).checked_add_signed(ahead).unwrap();
            writer.dated(
                ours - Duration::from_millis(10),
                ours + Duration::from_millis(10),
                Nanos::from_millis(theirs / 1000 * 1000),
            );
            let read = reader.read();
            let error = ms(read.exchange_error().unwrap());
            assert!(error < 521.0, "{error}");
            let (low, high) = (read.clock_offset.low().unwrap(), read.clock_offset.high().unwrap());
            assert!((low..=high).contains(&(ahead * MS as i64)), "{:?}", read.clock_offset);
            let slowest = ms(read.exchange_to_receive.max());
            assert!((slowest - 52.0).abs() <= error + 0.01 * slowest, "{slowest} ms, ± {error} ms");
            assert_eq!(read.exchange_to_receive.count(), 5);
        }
    }

    #[test]
    fn what_connections_recorded_adds_up() {
        let [(mut one, one_reader), (mut other, other_reader)] = [attribution(), attribution()];
        received(&mut one, 0, &[20, 30]);
        received(&mut other, 5, &[20]);
        one.message(Nanos(100), Nanos(300), || Nanos(350));
        other.message(Nanos(100), Nanos(900), || Nanos(1000));
        other.read_after(Duration::from_micros(7));
        let mut both = one_reader.read();
        both.add(&other_reader.read());
        let counts = [&both.above_fastest, &both.kernel_to_user, &both.receive_to_publish, &both.fan_out];
        assert_eq!(counts.map(Latency::count), [3, 1, 2, 2]);
        assert_eq!(both.receive_to_publish.max(), Duration::from_nanos(803), "to a hundredth");
        assert_eq!(both.clock_offset.low(), Some(-20_000_000), "the one that says less");
    }

    #[test]
    fn the_clock_is_asked_for_one_message_in_eight_beginning_with_the_first() {
        let (mut writer, reader) = attribution();
        let mut asked = 0;
        for message in 1..=17 {
            writer.message(Nanos(100), Nanos(300), || {
                asked += 1;
                Nanos(350)
            });
            let read = reader.read();
            assert_eq!((read.receive_to_publish.count(), read.fan_out.count()), (message, asked));
        }
        assert_eq!(asked, 3);
    }

    #[test]
    fn absurd_stamps_break_nothing_and_are_left_out() {
        let (mut writer, reader) = attribution();
        // The first of them, had it been the origin, would have overflowed the difference to the second.
        for exchange_ms in [100_000_000_000_000, 0, AT, u64::MAX, AT * 1000, AT] {
            writer.change(exchange_ms, Nanos(AT * MS));
            writer.dated(Nanos(AT * MS), Nanos(AT * MS), Nanos::from_millis(exchange_ms));
            reader.read();
        }
        assert_eq!(reader.read().above_fastest.count(), 2);
    }
}
