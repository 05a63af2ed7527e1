//! Python: picows and orjson in a separate process. Measured if `python3` has both packages.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use hoga_cli::rounds::Error;
use tempfile::NamedTempFile;

use crate::serving::traffic::FIRST_STAMP;
use crate::stack::{Endpoint, Stack, Strategy};

const PYTHON: &str = "python3";
const CLIENT: &str = include_str!("picows.py");
/// Prints the installed versions in one line.
const VERSIONS: &str = "
import orjson, picows, platform
from importlib.metadata import PackageNotFoundError, version
parts = ['Python ' + platform.python_version()]
for package in ['picows', 'orjson', 'uvloop']:
    try:
        parts.append(package + ' ' + version(package))
    except PackageNotFoundError:
        pass
print(', '.join(parts))";

/// How long the client may take to end after the feeder has closed the connection.
const FAREWELL: Duration = Duration::from_secs(2);

/// picows and orjson, on uvloop if it is installed. The counter of messages is shared between the processes; a real
/// strategy would run in Python and not need it.
#[derive(Debug, Clone, Copy)]
pub struct Picows;

impl Picows {
    /// Returns the versions in use, or `None` if a package is missing or the system does not report the CPU time of a
    /// process.
    pub fn versions() -> Option<String> {
        cpu_of("self")?;
        let output = Command::new(PYTHON).args(["-c", VERSIONS]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Stack for Picows {
    fn start(&self, endpoint: &Endpoint) -> Result<Box<dyn Strategy>, Error> {
        let mut counter = NamedTempFile::new()?;
        counter.write_all(&0u64.to_ne_bytes())?;
        let client = Command::new(PYTHON)
            .args(["-c", CLIENT, &endpoint.url, &endpoint.request(), &endpoint.certificate_pem])
            .arg(counter.path())
            .arg(endpoint.core.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| Error::failed(PYTHON, e))?;
        Ok(Box::new(Counting { client, counter, read: 0, seen: 0 }))
    }
}

/// The strategy's end: the number of messages that the client has read.
struct Counting {
    client: Child,
    counter: NamedTempFile,
    read: u64,
    seen: u64,
}

impl Strategy for Counting {
    fn poll(&mut self) -> Option<u64> {
        if self.seen == self.read {
            self.read = count(self.counter.as_file()).unwrap_or(self.read);
        }
        // The feeder numbers its messages, so the n-th message is known.
        let stamp = FIRST_STAMP + self.seen;
        (self.seen < self.read).then(|| {
            self.seen += 1;
            stamp
        })
    }

    fn missed(&self) -> u64 {
        0
    }

    fn cpu(&self) -> Option<Duration> {
        cpu_of(&self.client.id().to_string())
    }
}

/// Returns the CPU time of the main thread of a process, the client's only thread.
fn cpu_of(process: &str) -> Option<Duration> {
    // The first number is the CPU time in ns; the time and the number of waits for a core follow.
    let text = std::fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn count(file: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(u64::from_ne_bytes(bytes))
}

impl Drop for Counting {
    fn drop(&mut self) {
        const LOOK: Duration = Duration::from_millis(1);
        for _ in 0..FAREWELL.as_millis() {
            match self.client.try_wait() {
                Ok(None) => thread::sleep(LOOK),
                _ => return,
            }
        }
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::feeder::Feeder;
    use crate::serving::traffic::Recording;
    use crate::session::Session;

    #[test]
    fn counts_every_message_and_its_own_time_if_picows_is_installed() {
        let Some(versions) = Picows::versions() else {
            // Unlike `eprintln`, this is shown although the test passes.
            let _ = writeln!(io::stderr(), "NOT TESTED: the picows client, because {PYTHON} has no picows and orjson");
            return;
        };
        assert!(versions.contains("picows "), "{versions}");
        let data_types = vec!["ticker", "trade", "orderbook"];
        let mut traffic = Recording { markets: 5, data_types, depth: None, frames: 600 }.run().unwrap();
        for is_secure in [false, true] {
            let feeder = Feeder::bind(is_secure).unwrap();
            let mut session = Session::start(&Picows, &feeder, &mut traffic, 0).unwrap();
            let saturated = session.saturate(2_000).unwrap();
            assert_eq!(saturated.missed, 0.0);
            assert!(saturated.cpu_ns > 0.0, "{saturated:?}");
        }
    }
}
