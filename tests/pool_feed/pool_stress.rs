//! Runs real threads at full rate: readers never see a torn value, or one older than a value they saw before.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hoga::model::{ConnectionId, Epoch, Nanos, Receipt};
use hoga::sync::latest::{Loaded, Version, cell};

/// A value as large as an order book. Every word follows from the first.
#[derive(Clone, Copy)]
struct Payload([u64; 128]);

impl Payload {
    fn of(seed: u64) -> Self {
        Self(std::array::from_fn(|i| seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(i as u32)))
    }
}

/// Asserts that payload, stamps, epoch and version belong together. Returns the version.
fn check(version: &Version<Payload>) -> u64 {
    let seed = version.version;
    assert_eq!(version.value.0, Payload::of(seed).0, "torn value in version {seed}");
    assert_eq!((version.stamps.exchange_ms, version.stamps.received), (seed, Nanos(seed)));
    assert_eq!(version.stamps.published, Nanos(seed));
    assert_eq!(version.epoch, Epoch(seed as u32));
    seed
}

#[test]
fn readers_at_full_rate_never_see_a_torn_or_a_backward_version() {
    let (mut writer, reader) = cell::<Payload>();
    let stop = AtomicBool::new(false);
    let running = || !stop.load(Relaxed);
    thread::scope(|s| {
        let plain = s.spawn(|| {
            let mut newest = 0;
            while running() {
                let announced = reader.version();
                let seen = reader.load().get().map_or(0, check);
                assert!(seen >= announced && seen >= newest, "{seen} after {newest}, announced {announced}");
                newest = seen;
            }
            newest
        });
        let cached = s.spawn(|| {
            let (mut reader, mut newest) = (reader.cached(), 0);
            while running() {
                let seen = reader.load().map_or(0, check);
                assert!(seen >= newest, "{seen} after {newest}");
                newest = seen;
            }
            newest
        });
        let hoarder = s.spawn(|| {
            // Holds many more versions than the cell starts with, and releases them out of order.
            let mut held: [Option<Loaded<Payload>>; 12] = std::array::from_fn(|_| None);
            let mut newest = 0;
            while running() {
                let Some(loaded) = reader.load_if_newer(newest) else { continue };
                newest = loaded.get().map_or(0, check);
                let place = (newest % 12) as usize;
                if let Some(old) = held[place].replace(loaded) {
                    check(old.get().unwrap());
                }
            }
            newest
        });
        let publishing = s.spawn(|| {
            let mut seed = 0u64;
            while running() {
                seed += 1;
                let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(seed as u32), received: Nanos(seed) };
                assert_eq!(writer.publish(&Payload::of(seed), seed, &receipt, Nanos(seed)), seed);
            }
            seed
        });
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Relaxed);
        let published = publishing.join().unwrap();
        for seen in [plain, cached, hoarder].map(|reader| reader.join().unwrap()) {
            assert!(seen > 0 && seen <= published);
        }
        assert_eq!(reader.load().get().map(check), Some(published), "the last version stays");
    });
}
