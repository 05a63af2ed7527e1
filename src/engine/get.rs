//! One call that subscribes to a stream and returns its current value.

use std::time::Duration;

use super::Engine;
use crate::error::{Error, Result};
use crate::feed::Update;
use crate::model::Noun;
use crate::plan::Subscription;
use crate::pool::Reading;

/// How long one wait for the value lasts, because its health may also change without a newer value.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Engine {
    /// Subscribes to one stream, waits until its value can be trusted (its health is
    /// [`Live`](crate::pool::Health::Live) or [`Quiet`](crate::pool::Health::Quiet)), and returns it with its stamps. If
    /// the stream is carried already and its value can be trusted, returns at once.
    ///
    /// ```no_run
    /// # use hoga::prelude::*;
    /// # use std::time::Duration;
    /// # fn read(engine: &Engine) -> hoga::Result<()> {
    /// let timeout = Duration::from_secs(5);
    /// let price = engine.get(ticker("KRW-BTC"), timeout)?.value.trade_price;
    /// let book = engine.get(orderbook("KRW-BTC").levels(5), timeout)?.value;
    /// let minute = engine.get(candle(Interval::Minute1, "KRW-BTC"), timeout)?.value;
    /// # Ok(()) }
    /// ```
    ///
    /// This call holds the subscription until it returns. The stream then stays on the wire for the
    /// [grace period](crate::config::Config::grace), 5 s by default, so calls that follow each other sooner need no
    /// request. To keep a stream for longer, hold it ([`subscribe`](Self::subscribe)), or name it when the engine is
    /// built; to read it often, use a [`Handle`](crate::Handle) of the [`pool`](Self::pool).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the subscription is not of exactly one stream. Same as
    /// [`subscribe`](Self::subscribe). [`Error::NotReady`] names the stream and the reason if there is no such value
    /// when the timeout expires, or as soon as two requests brought nothing. [`Error::Stopped`] as soon as the engine
    /// does not run any more.
    pub fn get<T: Noun>(&self, subscription: Subscription<T>, timeout: Duration) -> Result<Update<T>> {
        let deadline = self.now() + timeout;
        let held = self.subscribe(subscription)?;
        let [key] = held.keys()[..] else {
            return Err(Error::InvalidArgument("get reads one stream; read several with DataPool::tickers".into()));
        };
        held.wait_confirmed(timeout)?;
        let handle = self.pool().stream::<T>(key)?;
        loop {
            let reading = handle.load();
            if reading.health().is_undisputed()
                && let Some(update) = update(&reading)
            {
                return Ok(update);
            }
            let left = deadline.since(self.now());
            if left.is_zero() {
                return Err(self.control.not_ready(vec![key], false));
            }
            handle.wait_newer(reading.version(), left.min(LOOK_EVERY))?;
        }
    }
}

/// Returns a copy of a reading; `None` if nothing has arrived.
fn update<T: Noun>(reading: &Reading<'_, T>) -> Option<Update<T>> {
    Some(Update {
        value: *reading.value()?,
        stamps: reading.stamps()?,
        connection: reading.connection()?,
        epoch: reading.epoch()?,
        version: reading.version(),
    })
}
