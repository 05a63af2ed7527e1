//! The budget of connects that everybody behind this address shares, across connections, engines and processes.
//!
//! Each grant has to pass twice: this process's own record, which is always there, and the file that processes share.
//! Where the file cannot be used, the first goes on alone. Times are the machine's own (`clock::since_boot`), because
//! engines do not agree in their `now` once somebody has set the wall clock.

mod file;
mod record;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use self::file::{Directory, LedgerFile, Trouble};
use self::record::{KEEP, Limit, Record};
use super::clock::since_boot;
use crate::config::{ConnectLedger, Endpoint, Limits, Pacing};
use crate::model::Nanos;
use crate::session::{DialBudget, Rate};

/// What the exchange counts connects in.
const WINDOW: Duration = Duration::from_secs(1);
/// When to ask again while somebody else is asking. A change of the file takes some ten microseconds.
const BUSY: Duration = Duration::from_millis(3);
/// For how long a busy file is asked again. A process that keeps it longer is stopped or frozen, and may never return it.
const BUSY_MAX: Duration = Duration::from_secs(1);
/// Tries that are further apart than this belong to different waits.
const BUSY_GAP: Duration = Duration::from_millis(500);
/// How often a hold is tried to be written, while others use the file.
const HOLD_TRIES: usize = 20;

/// What the connections of this process know together about one exchange. Grows with the number of exchanges only.
static PROCESS: Mutex<BTreeMap<Host, Arc<Mutex<Shared>>>> = Mutex::new(BTreeMap::new());

/// Name and port.
type Host = (String, u16);

/// Nothing is forgotten that somebody still counts.
const _: () = assert!(KEEP.as_millis() >= WINDOW.as_millis() + Pacing::Conservative.margin().as_millis());

#[derive(Debug, Default)]
struct Shared {
    record: Record,
    /// The file could not be used, and somebody was warned.
    warned: bool,
}

/// The file that processes share is not as it should be. Connects go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerWarning {
    /// Where it is, or should be.
    pub path: PathBuf,
    /// What is wrong with it, and what follows from that.
    pub text: String,
}

/// Takes warnings.
type Warn = Box<dyn Fn(LedgerWarning) + Send>;

/// One connection's access to the shared budget.
pub struct DialLedger {
    limit: Limit,
    shared: Arc<Mutex<Shared>>,
    file: Option<LedgerFile>,
    busy: Option<Busy>,
    warn: Warn,
}

/// A wait for a file that is busy.
#[derive(Debug, Clone, Copy)]
struct Busy {
    since: Nanos,
    last: Nanos,
    /// It has taken too long. Until the file is found free, it is tried once for each dial and not waited for.
    given_up: bool,
}

impl Busy {
    /// The file is busy at `now`; `before` is the wait so far.
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
    /// The budget for `endpoint`, shared as `ledger` says. Touches nothing before the first dial, and never fails.
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

    /// Gives warnings to `warn`, on the thread that dials and while others wait for the budget: it must not block. Default:
    /// nobody is warned.
    #[must_use]
    pub fn on_warning(mut self, warn: impl Fn(LedgerWarning) + Send + 'static) -> Self {
        self.warn = Box::new(warn);
        self
    }

    /// Takes one connect, or says how long to wait before asking again.
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

    /// What `change` makes of the file's record; `None` if there is no file that can be used.
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
            Err(Trouble::Busy) => {
                let busy = self.busy.insert(Busy::at(since_boot(), self.busy));
                if !busy.given_up {
                    return Some(Err(BUSY));
                }
                format!("another process has kept the file locked for {BUSY_MAX:?}")
            }
            Err(Trouble::Io(error)) => error.to_string(),
        };
        if !std::mem::replace(&mut shared.warned, true) {
            self.warn(file, format!("connects are counted for this process alone, not with others: {why}"));
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
        // Never `now` itself: who is told to come back at once would not let anybody else in.
        answer.map_err(|wait| now + wait.max(Duration::from_millis(1)))
    }

    fn hold(&mut self, now: Nanos, until: Nanos) {
        let wait = until.since(now);
        let shared = self.shared.clone();
        // Nobody holds this longer than a change of the file takes.
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
            // Should they all fail, the other processes learn it from their own refusal.
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
        let told = ledgers[5].try_acquire(NOW).unwrap_err();
        assert!(told > NOW && told <= NOW + Duration::from_millis(1250), "in the asker's own time: {told:?}");
        assert_eq!(ledger(&ConnectLedger::Process, 2).try_acquire(NOW), Ok(()));
    }

    #[test]
    fn a_refusal_told_to_one_holds_all() {
        let mut one = ledger(&ConnectLedger::Process, 3);
        let mut two = ledger(&ConnectLedger::Process, 3);
        one.hold(NOW, NOW + Duration::from_secs(60));
        assert!(two.try_acquire(NOW).unwrap_err() > NOW + Duration::from_secs(59));
    }

    #[test]
    fn without_a_usable_directory_the_process_goes_on_alone_and_warns_once() {
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
    fn a_file_that_cannot_be_read_is_warned_of() {
        let directory = std::env::temp_dir().join(format!("hoga-ledger-warning-{}", std::process::id()));
        let (to, warnings) = std::sync::mpsc::channel();
        let mut ledger = ledger(&ConnectLedger::Directory(directory.clone()), 50);
        ledger = ledger.on_warning(move |warning| to.send(warning).unwrap());
        let path = ledger.file.as_ref().unwrap().path();
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(ledger.try_acquire(NOW).is_err(), "it counts as used up");
        let warnings: Vec<_> = warnings.try_iter().collect();
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(
            warning.path == path && warning.text.starts_with("the connect ledger could not be read"),
            "{warning:?}"
        );
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_busy_file_is_waited_for_a_second_and_then_no_more_until_it_is_free() {
        let at = |ms: u64| Nanos::from_millis(1_000_000 + ms);
        let mut busy = None;
        for ms in (0..1000).step_by(3) {
            let now = Busy::at(at(ms), busy);
            assert!(!now.given_up, "after {ms} ms");
            busy = Some(now);
        }
        busy = Some(Busy::at(at(1000), busy));
        assert!(busy.unwrap().given_up);
        assert!(Busy::at(at(3_600_000), busy).given_up, "nobody has found it free since");
        // Found busy by two dials that have nothing to do with each other.
        let first = Busy::at(at(0), None);
        assert!(!Busy::at(at(3_600_000), Some(first)).given_up);
    }

    /// Somebody stopped in the middle of a change. Nobody dialed any more, and nothing said why.
    #[test]
    fn a_file_that_is_never_given_back_is_gone_on_without() {
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
        assert_eq!(ledger.try_acquire(NOW), Ok(()), "once given up, it is not waited for again");
        drop(holder);
        assert_eq!(ledger.try_acquire(NOW), Ok(()));
        assert!(ledger.busy.is_none(), "it is free: connects are counted with others again");
        let _ = std::fs::remove_dir_all(directory);
    }
}
