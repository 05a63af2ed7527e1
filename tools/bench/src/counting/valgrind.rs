//! Runs a program under valgrind and reads the counts.

use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs, io};

/// A pattern for the function in mod.rs whose instructions are counted; it matches all ways of mangling names.
const COUNTED: &str = "*hoga_bench*counting*counted*";
/// The same function for `--dump-after`, which ignores patterns that begin with `*`.
const DUMPED: &str = "hoga_bench::counting::counted";

/// An installed valgrind.
#[derive(Debug, Clone)]
pub struct Valgrind {
    version: String,
}

/// The counts of one run of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count {
    /// All instructions.
    pub instructions: u64,
    /// All operations.
    pub times: u64,
}

impl Count {
    /// Reads the number of operations that `program` printed, and the profile that callgrind wrote.
    fn read(times: &str, profile: &Path, program: &Path) -> Result<Self, String> {
        let times = times.parse().map_err(|_| format!("the counted program printed {times:?} instead of a number"))?;
        let instructions = instructions(profile)?;
        if instructions == 0 || times == 0 {
            return Err(format!("nothing was counted: is {} stripped of its symbols?", program.display()));
        }
        Ok(Self { instructions, times })
    }

    /// Returns the instructions of one operation, rounded to hundredths.
    pub fn each(self) -> f64 {
        (self.instructions as f64 / self.times as f64 * 100.0).round() / 100.0
    }
}

impl Valgrind {
    /// Finds valgrind in PATH.
    pub fn find() -> Result<Self, String> {
        let output = Command::new("valgrind").arg("--version").output().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => "valgrind is not installed: `apt-get install valgrind`, or use your system's \
                                        package manager"
                .to_owned(),
            _ => format!("valgrind could not be started: {e}"),
        })?;
        let version = said(&output).map_err(|e| format!("`valgrind --version` failed: {e}"))?;
        Ok(Self { version })
    }

    /// Returns valgrind's own version text, such as `valgrind-3.19.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Counts one piece of work: `program`, started with `args`, must call [`count`](super::count) for it. Callgrind
    /// writes its profile to `profile`.
    pub fn count(&self, program: &Path, args: &[&str], profile: &Path) -> Result<Count, String> {
        let toggle = format!("--toggle-collect={COUNTED}");
        let out = format!("--callgrind-out-file={}", profile.display());
        let times = run(&["--tool=callgrind", &toggle, &out], program, args)?;
        Count::read(&times, profile, program)
    }

    /// Counts several pieces of work in one process: `program`, started with `args`, must call [`count`](super::count)
    /// for each. Callgrind writes the profile of the n-th piece, counted from 1, to `profile.n`.
    pub fn count_each(&self, program: &Path, args: &[&str], profile: &Path) -> Result<Vec<Count>, String> {
        let (toggle, dump) = (format!("--toggle-collect={COUNTED}"), format!("--dump-after={DUMPED}"));
        let out = format!("--callgrind-out-file={}", profile.display());
        let times = run(&["--tool=callgrind", &toggle, &dump, &out], program, args)?;
        let nth = |n: usize| profile.with_added_extension((n + 1).to_string());
        times.lines().enumerate().map(|(n, times)| Count::read(times, &nth(n), program)).collect()
    }

    /// Returns what `program` prints under valgrind, on the processor that valgrind emulates.
    pub fn ask(&self, program: &Path, args: &[&str]) -> Result<String, String> {
        run(&["--tool=none"], program, args)
    }
}

/// Runs a program under valgrind and returns what it prints. The environment is empty, because it could change how
/// memory is allocated and copied.
fn run(options: &[&str], program: &Path, args: &[&str]) -> Result<String, String> {
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("-q").args(options).arg(program).args(args).env_clear();
    valgrind.envs(env::var_os("PATH").map(|path| ("PATH", path)));
    said(&valgrind.output().map_err(|e| format!("valgrind could not be started: {e}"))?)
}

/// Returns stdout of a process that succeeded, or the reason why it did not.
fn said(output: &Output) -> Result<String, String> {
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn instructions(profile: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(profile).map_err(|e| format!("{}: {e}", profile.display()))?;
    let total = text.lines().find_map(|line| {
        let total = line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:"))?;
        total.trim().parse().ok()
    });
    total.ok_or_else(|| format!("{} has no summary of callgrind", profile.display()))
}

/// Returns the processor features that this process detects, among those that decide which code hoga's dependencies
/// use. Under valgrind, these are the features of the emulated processor.
pub fn cpu_features() -> String {
    macro_rules! found {
        ($detected:ident: $($feature:tt)*) => {{
            let all = [$(($feature, std::arch::$detected!($feature))),*];
            all.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect::<Vec<_>>().join(" ")
        }};
    }
    #[cfg(target_arch = "x86_64")]
    return found!(is_x86_feature_detected: "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "pclmulqdq" "aes" "movbe" "avx"
        "avx2" "bmi1" "bmi2" "lzcnt" "fma" "f16c" "rdrand" "rdseed" "adx" "sha" "vaes" "vpclmulqdq" "avx512f");
    #[cfg(target_arch = "aarch64")]
    return found!(is_aarch64_feature_detected: "neon" "aes" "pmull" "sha2" "sha3" "crc" "lse" "sve" "sve2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    String::new()
}
