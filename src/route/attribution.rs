//! Measures where the time of messages goes. The connection's thread records; any thread may read.
//!
//! # Synchronization
//!
//! Every shared value has one writer, the connection's thread, and no value depends on another, so all accesses are
//! Relaxed. A reader may see one old and one new bound of the clock's offset. Such bounds are wider than necessary. If
//! a clock was set meanwhile, they may exclude each other, and then count as unknown. A reader that does not see
//! `origin` yet also ignores everything recorded relative to it.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::feed::Latency;
use crate::model::{ClockOffset, Nanos, saturating_ns};
use crate::sync::histogram::{Recorded, Recorder, histogram};

/// The value of `Shared::origin` until the first message.
const NO_ORIGIN: i64 = i64::MIN;
/// The largest difference between the exchange's stamp and ours, in ns: one day. If they differ by more, the exchange's
/// stamp is wrong, and the message is not measured.
const OFFSET_NS_MAX: u64 = 86_400_000_000_000;
/// The unit of the exchange's stamps, in ns: they are cut to whole ms.
const STAMP_NS: i64 = 1_000_000;
/// Measurements that need another clock read are taken for one message in `SAMPLED`, because that read alone costs more
/// than everything else that is recorded. The socket samples the kernel's stamps at the same rate (`net::socket`).
const SAMPLED: u64 = 8;

/// Where the time of a connection's messages went since the engine started. See
/// [`Engine::latencies`](crate::engine::Engine::latencies).
///
/// There are four moments, in this order: the exchange's stamp, the receive stamp (right after the read that brought
/// the last bytes of the message), the publish stamp (the message is decoded and its stream is found), and the moment
/// when the pool and every feed have the message. Readers measure their own part, which starts at the publish stamp:
/// [`Feed::measure_latencies`](crate::feed::Feed::measure_latencies),
/// [`Reading::published_age`](crate::pool::Reading::published_age). So exchange→receive, receive→publish and the
/// reader's publish→read add up to the whole. Kernel→user is a part of the first, and fan-out of the last.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attribution {
    /// From the exchange's stamp to the receive stamp, computed with the middle of the range that
    /// [`clock_offset`](Self::clock_offset) allows. Differences between these times are accurate to 1 ms, the unit of
    /// the stamps. All of them may be off by the same error, [`exchange_error`](Self::exchange_error). Empty until that
    /// error is known. Only changes are counted: a snapshot carries the time of the last change, which may be long ago.
    pub exchange_to_receive: Latency,
    /// How much longer each of the same messages took than the fastest of them. This does not depend on the clocks'
    /// offset.
    pub above_fastest: Latency,
    /// From the moment when the kernel received the bytes of a read to the receive stamp. Includes waking the thread,
    /// reading and, under TLS, decrypting the first part of the read. Uses the kernel's stamp of the last segment with
    /// bytes in the read; earlier segments waited longer. Only available if the kernel provides stamps (Linux). One
    /// read in eight is measured, because stamps make a read more expensive.
    pub kernel_to_user: Latency,
    /// From the receive stamp to the publish stamp. If one read brings several messages, this includes the time that
    /// later messages wait while earlier ones are decoded and published.
    pub receive_to_publish: Latency,
    /// From the publish stamp until the pool has the value and every feed its update. The readers served first may see
    /// the update before that. Feeds are notified when all messages of the read are done. One message in eight is
    /// measured, because this needs an extra clock read. If messages always arrive in groups of eight, it is always the
    /// same position in the group.
    pub fan_out: Latency,
    /// How far the exchange's clock is ahead of ours: the bounds that are known so far.
    pub clock_offset: ClockOffset,
}

impl Attribution {
    /// Returns the possible error of the times in [`exchange_to_receive`](Self::exchange_to_receive), in either
    /// direction and equal for all of them. `None` until the exchange's clock is bounded from both sides.
    pub fn exchange_error(&self) -> Option<Duration> {
        Some(self.clock_offset.error()? + Duration::from_nanos(STAMP_NS as u64 / 2))
    }

    /// Adds the records of another connection. The resulting clock offset has bounds that contain both offsets, so its
    /// error may be larger than either.
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
    /// Times relative to the first message: those that were longer, and those that were shorter.
    longer: Recorded,
    shorter: Recorded,
    kernel: Recorded,
    receive_to_publish: Recorded,
    fan_out: Recorded,
    shared: Arc<Shared>,
}

/// The writing end, on the connection's thread.
pub(crate) struct AttributionWriter {
    longer: Recorder,
    shorter: Recorder,
    kernel: Recorder,
    receive_to_publish: Recorder,
    fan_out: Recorder,
    messages: u64,
    /// The receive stamp of the first message minus its exchange stamp, in ns, without any correction of the clocks.
    origin: Option<i64>,
    offset: ClockOffset,
    shared: Arc<Shared>,
}

/// The part of the writer's state that the reader needs.
struct Shared {
    origin: AtomicI64,
    low: AtomicI64,
    high: AtomicI64,
}

/// Creates both ends, with nothing recorded.
pub(crate) fn attribution() -> (AttributionWriter, AttributionReader) {
    let [longer, shorter, kernel, receive_to_publish, fan_out] = [(); 5].map(|()| histogram(Latency::LONGEST_NS));
    let (origin, low, high) = (AtomicI64::new(NO_ORIGIN), AtomicI64::new(i64::MIN), AtomicI64::new(i64::MAX));
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
    /// Records a message that was published at `published` and has been delivered to the pool and all feeds. Calls
    /// `now` for one message in eight.
    #[inline]
    pub fn message(&mut self, received: Nanos, published: Nanos, now: impl FnOnce() -> Nanos) {
        self.receive_to_publish.record(published.0.saturating_sub(received.0));
        if self.messages.is_multiple_of(SAMPLED) {
            self.fan_out.record(now().0.saturating_sub(published.0));
        }
        self.messages += 1;
    }

    /// Records a change that the exchange stamped at `exchange_ms`.
    #[inline]
    pub fn change(&mut self, exchange_ms: u64, received: Nanos) {
        if self.offset.received(exchange_ms, received) {
            self.share_offset();
        }
        let stamped = i64::try_from(Nanos::from_millis(exchange_ms).0).unwrap_or(i64::MAX);
        let took = (received.0 as i64).saturating_sub(stamped);
        if took.unsigned_abs() > OFFSET_NS_MAX {
            return;
        }
        // The clocks may be hours apart. Relative to the first message, small differences stay visible.
        let relative = took - self.origin.unwrap_or_else(|| self.set_origin(took));
        let side = if relative < 0 { &mut self.shorter } else { &mut self.longer };
        side.record(relative.unsigned_abs());
    }

    /// Records how long the bytes of a read had waited in the kernel.
    #[inline]
    pub fn read_after(&mut self, wait: Duration) {
        self.kernel.record(saturating_ns(wait));
    }

    /// Records a `Date` header of the exchange: `asked` and `answered` are our stamps of the request and its answer.
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
    /// Returns everything recorded so far.
    pub fn read(&self) -> Attribution {
        let Shared { origin, low, high } = &*self.shared;
        let clock_offset = ClockOffset::between(low.load(Relaxed), high.load(Relaxed));
        let relative = match origin.load(Relaxed) {
            NO_ORIGIN => Vec::new(),
            _ => self.relative(),
        };
        // Truncation takes half a ms off a stamp on average.
        let shift = clock_offset.estimate().map(|offset| origin.load(Relaxed).saturating_add(offset - STAMP_NS / 2));
        let fastest = relative.iter().map(|(took, _)| *took).min().unwrap_or_default();
        Attribution {
            exchange_to_receive: shift.map(|shift| shifted(&relative, shift)).unwrap_or_default(),
            above_fastest: shifted(&relative, -fastest),
            kernel_to_user: latency(&self.kernel),
            receive_to_publish: latency(&self.receive_to_publish),
            fan_out: latency(&self.fan_out),
            clock_offset,
        }
    }

    /// Returns each recorded time relative to that of the first message, in ns, with the number of messages that took
    /// it. A faster message has a negative time.
    fn relative(&self) -> Vec<(i64, u64)> {
        let mut relative = Vec::new();
        self.shorter.each(|time, times| relative.push((-(time as i64), times)));
        self.longer.each(|time, times| relative.push((time as i64, times)));
        relative
    }
}

/// Shifts the times. Negative results come from an error in the estimated offset and become zero.
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

    /// Records messages that each took the given time, from an exchange whose clock is ahead by `ahead_ms`.
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
    fn above_fastest_does_not_depend_on_the_clock_offset() {
        for ahead in [0, -5, 7_200_000, -7_200_000] {
            let (mut writer, reader) = attribution();
            received(&mut writer, ahead, &[20, 30, 12, 12, 52]);
            let read = reader.read();
            let above = [0.2, 0.4, 0.6, 0.8, 1.0].map(|part| ms(read.above_fastest.quantile(part)).round());
            assert_eq!(above, [0.0, 0.0, 8.0, 18.0, 40.0], "{ahead} ms ahead");
            assert_eq!((read.exchange_to_receive.count(), read.exchange_error()), (0, None), "one bound is not enough");
        }
    }

    #[test]
    fn with_both_bounds_known_the_times_are_within_the_error() {
        for ahead in [0, 3_000, -3_000, 86_400_000] {
            let (mut writer, reader) = attribution();
            received(&mut writer, ahead, &[20, 30, 12, 12, 52]);
            // The request was sent 10 ms before the date was written, and the answer was read 10 ms after.
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
    fn add_sums_the_records_of_two_connections() {
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
        assert_eq!(both.receive_to_publish.max(), Duration::from_nanos(803), "accurate to 1 %");
        assert_eq!(both.clock_offset.low(), Some(-20_000_000), "the wider bound");
    }

    #[test]
    fn the_clock_is_read_for_one_message_in_eight_starting_with_the_first() {
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
    fn absurd_stamps_are_ignored() {
        let (mut writer, reader) = attribution();
        // If the first one became the origin, the difference to the second would overflow.
        for exchange_ms in [100_000_000_000_000, 0, AT, u64::MAX, AT * 1000, AT] {
            writer.change(exchange_ms, Nanos(AT * MS));
            writer.dated(Nanos(AT * MS), Nanos(AT * MS), Nanos::from_millis(exchange_ms));
            reader.read();
        }
        assert_eq!(reader.read().above_fastest.count(), 2);
    }
}
