//! Changes of the configuration while the engine runs.

use std::sync::Arc;

use super::Engine;
use crate::config::Config;
use crate::error::{Error, Result};

impl Engine {
    /// Returns the current configuration.
    pub fn config(&self) -> Arc<Config> {
        self.control.config()
    }

    /// Changes the configuration while the engine runs. No socket is replaced and no stream is interrupted. Changes
    /// apply at once, on open sockets too. A step of an attempt that has begun keeps its deadline.
    ///
    /// These can be changed: [`timeouts`](Config::timeouts), [`backoff`](Config::backoff), [`pacing`](Config::pacing),
    /// [`window`](Config::window), [`limits`](Config::limits) except `connects_per_second`, [`grace`](Config::grace),
    /// [`confirm_within`](Config::confirm_within), [`clean_up_every`](Config::clean_up_every) and
    /// [`stale_after`](Config::stale_after). For the format, see [`set_format`](Self::set_format).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn main() -> hoga::Result<()> {
    /// # let engine = hoga::Engine::builder().start()?;
    /// engine.reconfigure(|config| config.stale_after = Duration::from_secs(5))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Configuration`] names each setting that needs a new engine and each invalid value; in that case nothing
    /// was changed. [`Error::Stopped`] after a shutdown.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Config)) -> Result<()> {
        if !self.is_running() {
            return Err(Error::Stopped);
        }
        let before = self.config();
        let mut config = Config::clone(&before);
        change(&mut config);
        let mut problems = config.problems();
        let fixed = before.fixed_differences(&config);
        problems.extend(
            fixed.into_iter().map(|name| format!("{name} cannot be changed while the engine runs: start a new engine")),
        );
        if !problems.is_empty() {
            return Err(Error::Configuration(problems));
        }
        self.control.set_config(Arc::new(config));
        Ok(())
    }
}
