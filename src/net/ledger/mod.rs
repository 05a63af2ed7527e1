//! The budget of connects from one address, shared across connections, engines and processes.
//!
//! Each connect must pass two checks: this process's own record, and the file that processes share. If the file cannot
//! be used, only the first check applies. Times are since boot (`clock::since_boot`), because the clocks of two engines
//! differ if the wall clock was set in between.

mod file;
mod record;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use self::file::{ChangeError, Directory, LedgerFile};
use self::record::{KEEP, Limit, Record};
use super::clock::since_boot;
use crate::config::{ConnectLedger, Endpoint, Limits, Pacing};
use crate::model::Nanos;
use crate::session::{DialBudget, Rate};

/// The window in which the exchange counts connects.
const WINDOW: Duration = Duration::from_secs(1);
/// The delay before another attempt while the file is busy. A change of the file takes about 10 µs.
const BUSY: Duration = Duration::from_millis(3);
/// How long to wait for a busy file. A process that holds it longer is stopped or frozen, and may never release it.
const BUSY_MAX: Duration = Duration::from_secs(1);
/// Attempts further apart than this belong to different waits.
const BUSY_GAP: Duration = Duration::from_millis(500);
/// The number of attempts to write a hold while others use the file.
const HOLD_TRIES: usize = 20;

/// The state of each exchange, shared by the connections of this process. Grows only with the number of exchanges.
static PROCESS: Mutex<BTreeMap<Host, Arc<Mutex<Shared>>>> = Mutex::new(BTreeMap::new());

/// Name and port.
type Host = (String, u16);

/// Connects must be kept for as long as the widest margin counts them.
const _: () = assert!(KEEP.as_millis() >= WINDOW.as_millis() + Pacing::Conservative.margin().as_millis());

#[derive(Debug, Default)]
struct Shared {
    record: Record,
    /// Whether a warning that the file cannot be used was issued.
    warned: bool,
}

/// A problem with the file that processes share. Connects go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerWarning {
    /// The path of the file.
    pub path: PathBuf,
    /// The problem and its consequence.
    pub text: String,
}

/// A callback for warnings.
type Warn = Box<dyn Fn(LedgerWarning) + Send>;

/// One connection's access to the shared budget.
pub struct DialLedger {
    limit: Limit,
    shared: Arc<Mutex<Shared>>,
    file: Option<LedgerFile>,
    busy: Option<Busy>,
    warn: Warn,
}

/// A wait for a busy file.
#[derive(Debug, Clone, Copy)]
struct Busy {
    since: Nanos,
    last: Nanos,
    /// Whether the wait took too long. Until the file is found free, each dial tries it once and does not wait for it.
    given_up: bool,
}

impl Busy {
    /// Returns the wait that is in progress at `now`; `before` is the previous state.
    fn at(now: Nanos, before: Option<Self>) -> Self {
        match before {
            Some(busy) if busy.given_up || now.since(busy.last) <= BUSY_GAP => {
                Self { last: now, given_up: busy.given_up || now.since(busy.since) >= BUSY_MAX, ..busy }
            }
            _ => Self { since: now, last: now, given_up: false },
        }
    }
}

impl DialLedger {
    /// Returns the budget for `endpoint`, shared according to `ledger`. Does not touch the file before the first dial,
    /// and never fails.
    pub fn new(ledger: &ConnectLedger, endpoint: &Endpoint, limits: Limits, pacing: Pacing) -> Self {
        let (host, port) = (endpoint.host(), endpoint.port());
        let directory = match ledger {
            ConnectLedger::Host => Some(Directory::of_user()),
            ConnectLedger::Directory(path) => Some(Directory::Given(path.clone())),
            ConnectLedger::Process => None,
        };
        let rate = Rate { count: limits.connects_per_second, window: WINDOW };
        let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            limit: Limit { rate, margin: pacing.margin() },
            shared: process.entry((host.to_ascii_lowercase(), port)).or_default().clone(),
            file: directory.map(|directory| LedgerFile::new(directory, host, port)),
            busy: None,
            warn: Box::new(|_| ()),
        }
    }

    /// Sets the callback for warnings. It runs on the thread that dials, while others wait for the budget, so it must
    /// not block. Default: warnings are dropped.
    #[must_use]
    pub fn on_warning(mut self, warn: impl Fn(LedgerWarning) + Send + 'static) -> Self {
        self.warn = Box::new(warn);
        self
    }

    /// Takes one connect, or returns how long to wait before the next attempt.
    fn acquire(&mut self, shared: &mut Shared) -> Result<(), Duration> {
        let (now, limit) = (since_boot(), self.limit);
        let mut record = shared.record.clone();
        record.try_acquire(now, limit).map_err(|free_at| free_at.since(now))?;
        let answer =
            self.in_file(shared, |now, record| record.try_acquire(now, limit).map_err(|free_at| free_at.since(now)));
        answer.unwrap_or(Ok(()))?;
        shared.record = record;
        Ok(())
    }

    /// Applies `change` to the file's record. Returns `None` if there is no usable file.
    fn in_file<R>(
        &mut self,
        shared: &mut Shared,
        change: impl FnOnce(Nanos, &mut Record) -> Result<R, Duration>,
    ) -> Option<Result<R, Duration>> {
        let file = self.file.as_ref()?;
        let why = match file.change(since_boot, change) {
            Ok(changed) => {
                self.busy = None;
                if let Some(why) = changed.unreadable {
                    self.warn(file, format!("the connect ledger could not be read and starts over: {why}"));
                }
                return Some(changed.answer);
            }
            Err(ChangeError::Busy) => {
                let busy = self.busy.insert(Busy::at(since_boot(), self.busy));
                if !busy.given_up {
                    return Some(Err(BUSY));
                }
                format!("another process has held its lock for {BUSY_MAX:?}")
            }
            Err(ChangeError::Io(error)) => error.to_string(),
        };
        if !std::mem::replace(&mut shared.warned, true) {
            self.warn(file, format!("connects are counted for this process alone, not shared with others: {why}"));
        }
        None
    }

    fn warn(&self, file: &LedgerFile, text: String) {
        (self.warn)(LedgerWarning { path: file.path(), text });
    }
}

impl fmt::Debug for DialLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialLedger").field("limit", &self.limit).field("file", &self.file).finish_non_exhaustive()
    }
}

impl DialBudget for DialLedger {
    fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos> {
        let shared = self.shared.clone();
        let answer = match shared.try_lock() {
            Ok(mut shared) => self.acquire(&mut shared),
            Err(TryLockError::Poisoned(shared)) => self.acquire(&mut shared.into_inner()),
            Err(TryLockError::WouldBlock) => Err(BUSY),
        };
        // Never `now` itself: a caller that retries at once would not let others in.
        answer.map_err(|wait| now + wait.max(Duration::from_millis(1)))
    }

    fn hold(&mut self, now: Nanos, until: Nanos) {
        let wait = until.since(now);
        let shared = self.shared.clone();
        // Other threads hold this lock only for the time of a change of the file.
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let booted = since_boot();
        shared.record.hold(booted, booted + wait);
        for _ in 0..HOLD_TRIES {
            let answer = self.in_file(&mut shared, |now, record| {
                record.hold(now, now + wait);
                Ok(())
            });
            if !matches!(answer, Some(Err(_))) {
                break;
            }
            // If all attempts fail, the other processes find out by their own refusal.
            std::thread::yield_now();
        }
        drop(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::from_millis(1_790_000_000_000);

    fn ledger(kind: &ConnectLedger, port: u16) -> DialLedger {
        let endpoint = Endpoint::custom(&format!("wss://ledger.test:{port}/")).unwrap();
        DialLedger::new(kind, &endpoint, Limits::default(), Pacing::default())
    }

    #[test]
    fn the_connections_of_a_process_share_one_budget_for_each_exchange() {
        let mut ledgers: Vec<_> = (0..6).map(|_| ledger(&ConnectLedger::Process, 1)).collect();
        let granted = ledgers.iter_mut().filter_map(|l| l.try_acquire(NOW).ok()).count();
        assert_eq!(granted, 5);
        let free_at = ledgers[5].try_acquire(NOW).unwrap_err();
        assert!(free_at > NOW && free_at <= NOW + Duration::from_millis(1250), "in the caller's time: {free_at:?}");
        assert_eq!(ledger(&ConnectLedger::Process, 2).try_acquire(NOW), Ok(()));
    }

    #[test]
    fn a_hold_by_one_connection_holds_all() {
        let mut one = ledger(&ConnectLedger::Process, 3);
        let mut two = ledger(&ConnectLedger::Process, 3);
        one.hold(NOW, NOW + Duration::from_secs(60));
        assert!(two.try_acquire(NOW).unwrap_err() > NOW + Duration::from_secs(59));
    }

    #[test]
    fn without_a_usable_directory_the_process_counts_alone_and_warns_once() {
        let nowhere = ConnectLedger::Directory("/proc/no/such/place".into());
        let (to, warnings) = std::sync::mpsc::channel();
        let warned = || {
            let to = to.clone();
            ledger(&nowhere, 4).on_warning(move |warning| to.send(warning).unwrap())
        };
        let mut ledgers: Vec<_> = (0..6).map(|_| warned()).collect();
        let granted = ledgers.iter_mut().filter_map(|l| l.try_acquire(NOW).ok()).count();
        assert_eq!(granted, 5);
        let warnings: Vec<_> = warnings.try_iter().collect();
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(warning.text.starts_with("connects are counted for this process alone"), "{warning:?}");
    }

    #[test]
    fn an_unreadable_file_causes_a_warning() {
        let directory = std::env::temp_dir().join(format!("hoga-ledger-warning-{}", std::process::id()));
        let (to, warnings) = std::sync::mpsc::channel();
        let mut ledger = ledger(&ConnectLedger::Directory(directory.clone()), 50);
        ledger = ledger.on_warning(move |warning| to.send(warning).unwrap());
        let path = ledger.file.as_ref().unwrap().path();
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(ledger.try_acquire(NOW).is_err(), "the budget counts as spent");
        let warnings: Vec<_> = warnings.try_iter().collect();
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(
            warning.path == path && warning.text.starts_with("the connect ledger could not be read"),
            "{warning:?}"
        );
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_busy_file_is_waited_for_at_most_a_second_until_it_is_found_free() {
        let at = |ms: u64| Nanos::from_millis(1_000_000 + ms);
        let mut busy = None;
        for ms in (0..1000).step_by(3) {
            let now = Busy::at(at(ms), busy);
            assert!(!now.given_up, "after {ms} ms");
            busy = Some(now);
        }
        busy = Some(Busy::at(at(1000), busy));
        assert!(busy.unwrap().given_up);
        assert!(Busy::at(at(3_600_000), busy).given_up, "the file was not found free since");
        // Found busy by two unrelated dials.
        let first = Busy::at(at(0), None);
        assert!(!Busy::at(at(3_600_000), Some(first)).given_up);
    }

    /// A past bug: after a process stopped in the middle of a change, no process dialed any more, without a warning.
    #[test]
    fn dials_continue_without_a_file_that_stays_locked() {
        let directory = std::env::temp_dir().join(format!("hoga-ledger-test-{}-stuck", std::process::id()));
        let mut ledger = ledger(&ConnectLedger::Directory(directory.clone()), 5);
        ledger.try_acquire(NOW).unwrap();
        let holder = std::fs::File::open(ledger.file.as_ref().unwrap().path()).unwrap();
        holder.lock().unwrap();
        let mut tries = 0;
        while ledger.try_acquire(NOW).is_err() {
            tries += 1;
            assert!(tries < 10_000, "still waiting");
            std::thread::sleep(BUSY);
        }
        assert!(ledger.shared.lock().unwrap().warned);
        assert_eq!(ledger.try_acquire(NOW), Ok(()), "after giving up, there is no further wait");
        drop(holder);
        assert_eq!(ledger.try_acquire(NOW), Ok(()));
        assert!(ledger.busy.is_none(), "the file is free, so connects are shared again");
        let _ = std::fs::remove_dir_all(directory);
    }
}
