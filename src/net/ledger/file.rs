//! The record in a file, changed by one process at a time. Nobody waits for another: a busy file says so.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::record::{Record, Unreadable};
use crate::model::Nanos;
use rustix::fs::OFlags;

/// Room for the largest limit that may be configured. What is longer was written by something else.
const BYTES_MAX: u64 = 256 * 1024;

/// Where the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Directory {
    /// This user's own.
    Private(PathBuf),
    /// Whoever may write there may write the file.
    Given(PathBuf),
}

/// One file for each exchange. It is opened for each change: should somebody clean up behind us, all still meet in the
/// file of this name.
#[derive(Debug)]
pub(super) struct LedgerFile {
    directory: Directory,
    name: String,
    /// Names this run of the machine.
    boot: String,
}

/// What came of a change.
#[derive(Debug)]
pub(super) struct Changed<R> {
    /// What the change returned.
    pub answer: R,
    /// Why the file's record was not used, if it was not.
    pub unreadable: Option<Unreadable>,
}

/// Why the record could not be changed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody else changes it right now.
    Busy,
    /// The file cannot be used.
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl LedgerFile {
    /// The file for one exchange. Nothing is touched yet.
    pub fn new(directory: Directory, host: &str, port: u16) -> Self {
        // IPv6 literals have colons, which not every file system takes.
        let name = format!("{}_{port}", host.to_ascii_lowercase().replace(':', "-"));
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { directory, name, boot: boot.trim().to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// Lets `change` read and change the record while nobody else does. `now` is asked for the time in between, so that
    /// the order in the record is the order of time. Returns what `change` returned, once that is written.
    ///
    /// Logs nothing: whoever reads the log must not make others wait for the file.
    pub fn change<R>(
        &self,
        now: impl Fn() -> Nanos,
        change: impl FnOnce(Nanos, &mut Record) -> R,
    ) -> Result<Changed<R>, Trouble> {
        self.directory.prepare()?;
        let mut file = Locked::new(self.open()?)?;
        let now = now();
        let before = read(&mut file.0)?;
        let (mut record, unreadable) = match Record::from_text(&before, &self.boot) {
            Ok(record) => (record, None),
            Err(why) => (Record::unknown(now), Some(why)),
        };
        let answer = change(now, &mut record);
        let after = record.to_text(&self.boot);
        if after != before {
            write(&mut file.0, &after)?;
        }
        Ok(Changed { answer, unreadable })
    }

    fn open(&self) -> io::Result<File> {
        let path = self.path();
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let file = match options.open(&path) {
            // Only then, because where everybody may write, Linux lets nobody create over another's file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => options.create(true).open(&path)?,
            result => result?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("this is not a file"));
        }
        if let Directory::Given(directory) = &self.directory
            && metadata.len() == 0
        {
            let mode = fs::metadata(directory)?.mode() & 0o666;
            // Another's file is as its maker wanted it.
            let _ = file.set_permissions(Permissions::from_mode(mode));
        }
        Ok(file)
    }
}

/// A file that nobody else can lock meanwhile.
struct Locked(File);

impl Locked {
    fn new(file: File) -> Result<Self, Trouble> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Trouble::Busy),
            Err(TryLockError::Error(error)) => Err(Trouble::Io(error)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing is not enough: a process that was forked meanwhile has the same open file, and with it the lock. Should
        // this fail, closing is all that is left.
        let _ = self.0.unlock();
    }
}

impl Directory {
    /// This user's own directory on this host.
    pub fn of_user() -> Self {
        let user = rustix::process::geteuid().as_raw();
        let is_ours = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == user);
        // Run by sudo, the variable may still name somebody else's.
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(is_ours);
        Self::Private(match runtime {
            Some(runtime) => runtime.join("hoga"),
            None => std::env::temp_dir().join(format!("hoga-{user}")),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Private(path) | Self::Given(path) => path,
        }
    }

    /// Makes it if need be. In a temporary directory somebody else may have been faster: a private one is checked.
    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Given(path) => fs::create_dir_all(path),
            Self::Private(path) => {
                match DirBuilder::new().mode(0o700).create(path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
                // Not of what a link points to: a link here was made by somebody else.
                let metadata = fs::symlink_metadata(path)?;
                let is_private = metadata.is_dir() && metadata.mode() & 0o077 == 0;
                if is_private && metadata.uid() == rustix::process::geteuid().as_raw() {
                    Ok(())
                } else {
                    Err(io::Error::other("this is not a directory that only this user may use"))
                }
            }
        }
    }
}

/// The text in the file. What cannot be text reads as something that is no record.
fn read(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// In place, because a new file would have another lock. Who dies in between leaves a record that is whole, or one that
/// says that it is not.
fn write(file: &mut File, text: &str) -> io::Result<()> {
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::record::{KEEP, Limit};
    use super::*;
    use crate::session::Rate;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMIT: Limit = Limit { rate: Rate { count: 5, window: SECOND }, margin: Duration::from_millis(250) };

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    /// A directory of its own that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hoga-ledger-test-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> LedgerFile {
            LedgerFile::new(Directory::Private(self.0.join("own")), "API.example.test", 443)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn dial(file: &LedgerFile, now: Nanos) -> Result<(), Nanos> {
        file.change(|| now, |now, record| record.try_acquire(now, LIMIT)).unwrap().answer
    }

    #[test]
    fn two_handles_share_what_one_file_says() {
        let scratch = Scratch::new("shared");
        let (one, two) = (scratch.file(), scratch.file());
        (0..5).for_each(|i| dial(if i % 2 == 0 { &one } else { &two }, at(i)).unwrap());
        assert_eq!(dial(&two, at(100)), Err(at(1250)));
        assert_eq!(dial(&one, at(1250)), Ok(()));
        let other = LedgerFile::new(Directory::Private(scratch.0.join("own")), "api.example.test", 444);
        assert_eq!(dial(&other, at(100)), Ok(()), "another exchange has its own limit");
    }

    #[test]
    fn the_file_forgets_and_does_not_grow() {
        let scratch = Scratch::new("expiry");
        let file = scratch.file();
        (0..200).for_each(|i| dial(&file, at(i * 300)).unwrap());
        assert!(fs::metadata(file.path()).unwrap().len() < 300);
    }

    #[test]
    fn a_damaged_file_is_rebuilt_and_counts_as_used_up() {
        let scratch = Scratch::new("damaged");
        let file = scratch.file();
        dial(&file, at(0)).unwrap();
        let whole = fs::read(file.path()).unwrap();
        for damaged in [&whole[..whole.len() - 9], b"\xff\xfe\0\0", b"nonsense\n", &[b'7'; 300 * 1024]] {
            fs::write(file.path(), damaged).unwrap();
            let changed = file.change(|| at(10), |now, record| record.try_acquire(now, LIMIT)).unwrap();
            assert!(changed.unreadable.is_some());
            assert_eq!(changed.answer, Err(at(10) + KEEP), "{} bytes", damaged.len());
            assert_eq!(dial(&file, at(20)), Err(at(10) + KEEP), "rebuilt once, not each time");
            assert_eq!(dial(&file, at(10) + KEEP), Ok(()));
        }
    }

    #[test]
    fn times_from_the_future_and_of_another_boot_are_discarded() {
        let scratch = Scratch::new("future");
        let file = scratch.file();
        (0..5).for_each(|i| dial(&file, at(i)).unwrap());
        assert_eq!(dial(&file, Nanos::from_millis(5)), Ok(()), "the machine has started over");
        let mut rebooted = scratch.file();
        (0..4).for_each(|i| dial(&file, at(i)).unwrap());
        rebooted.boot = "another".to_owned();
        (0..5).for_each(|i| dial(&rebooted, at(i)).unwrap());
    }

    #[test]
    fn a_busy_file_says_so_at_once() {
        let scratch = Scratch::new("busy");
        let file = scratch.file();
        dial(&file, at(0)).unwrap();
        let holder = File::open(file.path()).unwrap();
        holder.lock().unwrap();
        let busy = || file.change(|| at(1), |now, record| record.try_acquire(now, LIMIT));
        assert!(matches!(busy(), Err(Trouble::Busy)));
        drop(holder);
        assert!(matches!(busy(), Ok(Changed { answer: Ok(()), .. })));
    }

    /// The lock belongs to the open file, and a process that is forked during a change inherits that.
    #[test]
    fn a_change_gives_its_lock_back_though_another_has_inherited_the_file() {
        let scratch = Scratch::new("inherited");
        let file = scratch.file();
        dial(&file, at(0)).unwrap();
        let locked = Locked::new(file.open().unwrap()).unwrap();
        let inherited = locked.0.try_clone().unwrap();
        assert!(matches!(file.change(|| at(1), |_, _| ()), Err(Trouble::Busy)));
        drop(locked);
        dial(&file, at(1)).unwrap();
        drop(inherited);
    }

    #[test]
    fn only_a_private_directory_of_this_user_is_used() {
        let scratch = Scratch::new("private");
        let (own, file) = (scratch.0.join("own"), scratch.file());
        dial(&file, at(0)).unwrap();
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);

        let refused = || file.change(at_zero, |_, _| ()).is_err();
        fs::set_permissions(&own, Permissions::from_mode(0o770)).unwrap();
        assert!(refused(), "others could write to it");
        fs::rename(&own, scratch.0.join("elsewhere")).unwrap();
        symlink(scratch.0.join("elsewhere"), &own).unwrap();
        assert!(refused(), "a link");
        fs::remove_file(&own).unwrap();
        fs::write(&own, "").unwrap();
        assert!(refused(), "a file");
    }

    fn at_zero() -> Nanos {
        at(0)
    }

    #[test]
    fn what_stands_in_the_files_place_is_not_followed() {
        let scratch = Scratch::new("place");
        let file = scratch.file();
        fs::write(scratch.0.join("precious"), "precious").unwrap();
        file.directory.prepare().unwrap();
        symlink(scratch.0.join("precious"), file.path()).unwrap();
        assert!(file.change(at_zero, |_, _| ()).is_err());
        assert_eq!(fs::read_to_string(scratch.0.join("precious")).unwrap(), "precious");
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert!(file.change(at_zero, |_, _| ()).is_err());
    }

    #[test]
    fn in_a_given_directory_who_may_write_there_may_write_the_file() {
        let scratch = Scratch::new("given");
        let directory = scratch.0.join("deep/shared");
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o770)).unwrap();
        let file = LedgerFile::new(Directory::Given(directory), "::1", 9443);
        dial(&file, at(0)).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o660);
        assert!(file.path().ends_with("--1_9443"));
    }
}
