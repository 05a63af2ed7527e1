//! Counts all rows: each in a process of its own, so that none depends on what others left behind.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use hoga_bench::counting::Valgrind;

use crate::baseline::Counts;
use crate::rows;
use crate::setting::Setting;
use crate::{Failure, PROFILE, RUN};

/// This program under callgrind.
pub struct Counter {
    valgrind: Valgrind,
    program: PathBuf,
    pub setting: Setting,
    /// For callgrind's profiles and the base commit.
    pub folder: PathBuf,
}

impl Counter {
    /// Fails where nothing can be counted.
    pub fn new() -> Result<Self, Failure> {
        let valgrind = Valgrind::find()?;
        let program = env::current_exe().map_err(|e| format!("this program does not know where it is: {e}"))?;
        // `target/instructions` unless cargo was told otherwise.
        let folder = program.parent().filter(|folder| folder.ends_with(PROFILE));
        let folder = folder.ok_or_else(|| format!("this is not the profile to be counted: `{RUN} COMMAND`"))?;
        let (setting, folder) = (Setting::here(&valgrind, &program)?, folder.join("callgrind"));
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Self { valgrind, program, setting, folder })
    }

    /// Instructions of one operation of each row. Counts as many rows at a time as there are cores.
    pub fn count_all(&self) -> Result<Counts, Failure> {
        let names: Vec<_> = rows::all().iter().map(|row| row.name().to_owned()).collect();
        let (next, counts) = (AtomicUsize::new(0), Mutex::new(Counts::new()));
        let work = || -> Result<(), Failure> {
            while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                let count = self.count(name)?;
                counts.lock().expect("nobody panics").insert(name.clone(), count);
            }
            Ok(())
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("nobody panics"))
        })?;
        Ok(counts.into_inner().expect("nobody panics"))
    }

    fn count(&self, row: &str) -> Result<f64, Failure> {
        let profile = self.folder.join(format!("{}.out", row.replace(", ", "-").replace(' ', "-")));
        let count = self.valgrind.count(&self.program, &["row", row], &profile);
        Ok(count.map_err(|e| format!("{row}: {e}"))?.each())
    }
}
