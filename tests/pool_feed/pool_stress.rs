//! Runs real threads at full rate: readers never see a torn value, or one older than a value they saw before.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hoga::model::{ConnectionId, Epoch, FromWords, Nanos, Receipt, Words};
use hoga::sync::latest::{Reader, Version, Writer, cell};

/// Default length of the test, in milliseconds.
const MILLIS: u64 = 1_000;

/// Length of the test: as many seconds as `HOGA_STRESS_SECONDS` says, or [`MILLIS`].
fn length() -> Duration {
    let seconds = std::env::var("HOGA_STRESS_SECONDS").ok();
    seconds
        .map_or(Duration::from_millis(MILLIS), |text| Duration::from_secs(text.parse().expect("a number of seconds")))
}

/// A value as large as an order book. Every word follows from the first.
#[derive(Clone, Copy)]
struct Payload([u64; 128]);

fn word(seed: u64, at: usize) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(at as u32)
}

impl Payload {
    fn of(seed: u64) -> Self {
        Self(std::array::from_fn(|at| word(seed, at)))
    }
}

impl Words for Payload {
    const MAX: usize = 128;

    fn put(&self, word: &mut impl FnMut(u64)) {
        self.0.into_iter().for_each(word);
    }

    fn take(word: &mut impl FnMut() -> u64) -> Self {
        Self(std::array::from_fn(|_| word()))
    }
}

/// The first words of a payload.
struct Part([u64; 4]);

impl FromWords for Part {
    const WORDS: usize = 4;

    fn from_words(word: &mut impl FnMut() -> u64) -> Self {
        Self(std::array::from_fn(|_| word()))
    }
}

/// Asserts that stamps, epoch and version belong together. Returns the version.
fn check_header<T>(version: &Version<T>) -> u64 {
    let seed = version.version;
    assert_eq!((version.stamps.exchange_ms, version.stamps.received), (seed, Nanos(seed)));
    assert_eq!(version.stamps.published, Nanos(seed));
    assert_eq!(version.epoch, Epoch(seed as u32));
    seed
}

fn check(version: &Version<Payload>) -> u64 {
    let seed = check_header(version);
    assert_eq!(version.value.0, Payload::of(seed).0, "torn value in version {seed}");
    seed
}

fn check_part(version: &Version<Part>) -> u64 {
    let seed = check_header(version);
    assert_eq!(version.value.0, std::array::from_fn(|at| word(seed, at)), "torn part of version {seed}");
    seed
}

/// What one reader did.
#[derive(Debug, Default)]
struct Reads {
    loads: u64,
    newest: u64,
    /// Loads that started over, and the most starts of one load.
    restarted: u64,
    restarts_max: u64,
}

impl Reads {
    fn saw(&mut self, version: u64, announced: u64) {
        assert!(version >= announced && version >= self.newest, "{version} after {}, {announced}", self.newest);
        self.newest = version;
        self.loads += 1;
    }
}

/// Loads step by step, to count how often a load starts over.
fn load_parts(reader: &Reader<Part>, running: impl Fn() -> bool) -> Reads {
    let mut reads = Reads::default();
    while running() {
        let (announced, mut restarts) = (reader.version(), 0);
        let loaded = loop {
            match reader.try_load() {
                Some(loaded) => break loaded,
                None => restarts += 1,
            }
        };
        reads.restarted += u64::from(restarts > 0);
        reads.restarts_max = reads.restarts_max.max(restarts);
        reads.saw(loaded.version.as_ref().map_or(0, check_part), announced);
    }
    reads
}

fn load_whole(reader: &Reader<Payload>, running: impl Fn() -> bool) -> Reads {
    let mut reads = Reads::default();
    while running() {
        let announced = reader.version();
        reads.saw(reader.load().version.as_ref().map_or(0, check), announced);
    }
    reads
}

fn load_cached(reader: &Reader<Payload>, running: impl Fn() -> bool) -> Reads {
    let (mut cached, mut reads) = (reader.cached(), Reads::default());
    while running() {
        let announced = reader.version();
        reads.saw(cached.load().version.as_ref().map_or(0, check), announced);
    }
    reads
}

/// Publishes at changing rates: mostly without a pause, at times with short pauses, and seldom with pauses in which other
/// threads are scheduled. Returns the last version.
fn publish(mut writer: Writer<Payload>, running: impl Fn() -> bool) -> u64 {
    let mut seed = 0u64;
    while running() {
        seed += 1;
        let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(seed as u32), received: Nanos(seed) };
        assert_eq!(writer.publish(&Payload::of(seed), seed, &receipt, Nanos(seed)), seed);
        match seed >> 10 & 63 {
            0 if seed & 0x1FF == 0 => thread::sleep(Duration::from_millis(1)),
            0 if seed & 0xF == 0 => thread::yield_now(),
            1..16 => (0..seed & 0xFF).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
    seed
}

#[test]
fn readers_at_full_rate_never_see_a_torn_or_a_backward_version() {
    let (writer, reader) = cell::<Payload>();
    let (part, stop) = (reader.part(), AtomicBool::new(false));
    let running = || !stop.load(Relaxed);
    thread::scope(|s| {
        let parts = s.spawn(|| load_parts(&part, running));
        let whole = s.spawn(|| load_whole(&reader, running));
        let cached = s.spawn(|| load_cached(&reader, running));
        let publishing = s.spawn(|| publish(writer, running));
        thread::sleep(length());
        stop.store(true, Relaxed);
        let published = publishing.join().unwrap();
        for reads in [parts, whole, cached].map(|reader| reader.join().unwrap()) {
            println!("{reads:?} of {published} versions");
            assert!(reads.newest > 0 && reads.newest <= published);
        }
        assert_eq!(reader.load().version.as_ref().map(check), Some(published), "the last version stays");
    });
}
