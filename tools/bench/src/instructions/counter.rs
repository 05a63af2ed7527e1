//! Counts all rows, each in its own process, so that none depends on the state that others leave behind.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use hoga_bench::counting::{Count, Valgrind};

use crate::baseline::Counts;
use crate::rows;
use crate::setting::Setting;
use crate::{Failure, PROFILE, RUN};

/// This program under callgrind.
pub struct Counter {
    valgrind: Valgrind,
    program: PathBuf,
    pub setting: Setting,
    /// The folder for callgrind's profiles and the base commit.
    pub folder: PathBuf,
}

impl Counter {
    /// Finds valgrind and the versions to compare; fails if nothing can be counted.
    pub fn new() -> Result<Self, Failure> {
        let valgrind = Valgrind::find()?;
        let program = env::current_exe().map_err(|e| format!("the path of this program is unknown: {e}"))?;
        // `target/instructions`, unless cargo uses another directory.
        let folder = program.parent().filter(|folder| folder.ends_with(PROFILE));
        let folder =
            folder.ok_or_else(|| format!("this program was built with another profile; run `{RUN} COMMAND`"))?;
        let (setting, folder) = (Setting::here(&valgrind, &program)?, folder.join("callgrind"));
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Self { valgrind, program, setting, folder })
    }

    /// Returns the instructions of one operation of each row. Counts as many rows in parallel as there are cores.
    pub fn count_all(&self) -> Result<Counts, Failure> {
        let names: Vec<_> = rows::all().iter().map(|row| row.name().to_owned()).collect();
        let (next, counts) = (AtomicUsize::new(0), Mutex::new(Counts::new()));
        let work = || -> Result<(), Failure> {
            while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                let count = self.count(name)?;
                counts.lock().expect("no worker panics").insert(name.clone(), count);
            }
            Ok(())
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
        })?;
        Ok(counts.into_inner().expect("no worker panics"))
    }

    /// Returns the counts of all cases of [`drift`](crate::drift), in order.
    pub fn count_drift(&self) -> Result<Vec<Count>, Failure> {
        self.valgrind.count_each(&self.program, &["drift-cases"], &self.folder.join("drift.out"))
    }

    fn count(&self, row: &str) -> Result<f64, Failure> {
        let profile = self.folder.join(format!("{}.out", row.replace(", ", "-").replace(' ', "-")));
        let count = self.valgrind.count(&self.program, &["row", row], &profile);
        Ok(count.map_err(|e| format!("{row}: {e}"))?.each())
    }
}
