//! The ledger file: holds a record, and is changed by one process at a time. Never waits: a busy file is an error.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::record::{Record, Unreadable};
use crate::model::Nanos;
use rustix::fs::OFlags;

/// Enough for the largest configurable limit. A longer file was not written by hoga.
const BYTES_MAX: u64 = 256 * 1024;

/// The directory of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Directory {
    /// This user's own directory.
    Private(PathBuf),
    /// A configured directory. The file is writable for everyone who can write to the directory.
    Given(PathBuf),
}

/// The file of one exchange. It is opened for each change, so that all processes meet in the file with this name, even
/// if it was deleted in between.
#[derive(Debug)]
pub(super) struct LedgerFile {
    directory: Directory,
    name: String,
    /// The id of this boot of the machine.
    boot: String,
}

/// The result of a change.
#[derive(Debug)]
pub(super) struct Changed<R> {
    /// The return value of the change.
    pub answer: R,
    /// Why the file's record was replaced, if it was.
    pub unreadable: Option<Unreadable>,
}

/// Why the record could not be changed.
#[derive(Debug)]
pub(super) enum ChangeError {
    /// Another process or thread holds the lock.
    Busy,
    /// The file cannot be used.
    Io(io::Error),
}

impl From<io::Error> for ChangeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl LedgerFile {
    /// Returns the file for one exchange. Does not open it yet.
    pub fn new(directory: Directory, host: &str, port: u16) -> Self {
        // IPv6 literals have colons, which some file systems refuse.
        let name = format!("{}_{port}", host.to_ascii_lowercase().replace(':', "-"));
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { directory, name, boot: boot.trim().to_owned() }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// Calls `change` with the record, under the file's lock, and writes the changed record. `now` is read under the
    /// lock, too, so that the order in the record is the order of time. Returns the result of `change` after the write.
    ///
    /// Logs nothing: a slow log must not make others wait for the file.
    pub fn change<R>(
        &self,
        now: impl Fn() -> Nanos,
        change: impl FnOnce(Nanos, &mut Record) -> R,
    ) -> Result<Changed<R>, ChangeError> {
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
            // Not `create` from the start: in world-writable directories, Linux refuses it for another user's file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => options.create(true).open(&path)?,
            result => result?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if let Directory::Given(directory) = &self.directory
            && metadata.len() == 0
        {
            let mode = fs::metadata(directory)?.mode() & 0o666;
            // Fails for another user's file, which keeps the mode that its owner set.
            let _ = file.set_permissions(Permissions::from_mode(mode));
        }
        Ok(file)
    }
}

/// A file with an exclusive lock.
struct Locked(File);

impl Locked {
    fn new(file: File) -> Result<Self, ChangeError> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(ChangeError::Busy),
            Err(TryLockError::Error(error)) => Err(ChangeError::Io(error)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing is not enough: a process that was forked in the meantime shares the open file, and so the lock. If
        // this fails, closing is all that is left.
        let _ = self.0.unlock();
    }
}

impl Directory {
    /// Returns this user's own directory on this host.
    pub fn of_user() -> Self {
        let user = rustix::process::geteuid().as_raw();
        let is_ours = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == user);
        // Under sudo, the variable may still name another user's directory.
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

    /// Creates the directory if necessary. Checks a private one, because in a temporary directory another user may have
    /// created it first.
    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Given(path) => fs::create_dir_all(path),
            Self::Private(path) => {
                match DirBuilder::new().mode(0o700).create(path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
                // Does not follow links: a link here was created by another user.
                let metadata = fs::symlink_metadata(path)?;
                let is_private = metadata.is_dir() && metadata.mode() & 0o077 == 0;
                if is_private && metadata.uid() == rustix::process::geteuid().as_raw() {
                    Ok(())
                } else {
                    Err(io::Error::other("it is not a directory that only this user can use"))
                }
            }
        }
    }
}

/// Returns the text in the file. Invalid UTF-8 is replaced, which makes the record unreadable.
fn read(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Overwrites the file in place, because a new file would have another lock. If the process dies in between, the record
/// is complete or detectably incomplete.
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

    /// A directory for one test, deleted after it.
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
    fn two_handles_share_one_file() {
        let scratch = Scratch::new("shared");
        let (one, two) = (scratch.file(), scratch.file());
        (0..5).for_each(|i| dial(if i % 2 == 0 { &one } else { &two }, at(i)).unwrap());
        assert_eq!(dial(&two, at(100)), Err(at(1250)));
        assert_eq!(dial(&one, at(1250)), Ok(()));
        let other = LedgerFile::new(Directory::Private(scratch.0.join("own")), "api.example.test", 444);
        assert_eq!(dial(&other, at(100)), Ok(()), "another exchange has its own limit");
    }

    #[test]
    fn old_connects_are_dropped_and_the_file_does_not_grow() {
        let scratch = Scratch::new("expiry");
        let file = scratch.file();
        (0..200).for_each(|i| dial(&file, at(i * 300)).unwrap());
        assert!(fs::metadata(file.path()).unwrap().len() < 300);
    }

    #[test]
    fn a_damaged_file_is_rebuilt_and_counts_as_spent() {
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
        assert_eq!(dial(&file, Nanos::from_millis(5)), Ok(()), "the machine has restarted");
        let mut rebooted = scratch.file();
        (0..4).for_each(|i| dial(&file, at(i)).unwrap());
        rebooted.boot = "another".to_owned();
        (0..5).for_each(|i| dial(&rebooted, at(i)).unwrap());
    }

    #[test]
    fn a_busy_file_is_reported_at_once() {
        let scratch = Scratch::new("busy");
        let file = scratch.file();
        dial(&file, at(0)).unwrap();
        let holder = File::open(file.path()).unwrap();
        holder.lock().unwrap();
        let busy = || file.change(|| at(1), |now, record| record.try_acquire(now, LIMIT));
        assert!(matches!(busy(), Err(ChangeError::Busy)));
        drop(holder);
        assert!(matches!(busy(), Ok(Changed { answer: Ok(()), .. })));
    }

    /// The lock belongs to the open file, and a process that is forked during a change inherits the open file.
    #[test]
    fn a_change_releases_its_lock_even_if_another_process_inherited_the_file() {
        let scratch = Scratch::new("inherited");
        let file = scratch.file();
        dial(&file, at(0)).unwrap();
        let locked = Locked::new(file.open().unwrap()).unwrap();
        let inherited = locked.0.try_clone().unwrap();
        assert!(matches!(file.change(|| at(1), |_, _| ()), Err(ChangeError::Busy)));
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
        assert!(refused(), "others can write to it");
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
    fn a_link_or_a_directory_in_place_of_the_file_is_refused() {
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
    fn in_a_given_directory_the_file_is_writable_for_everyone_who_can_write_there() {
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
