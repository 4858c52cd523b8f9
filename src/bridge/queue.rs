//! What a lua_State sees of the bridge: operations are submitted under ids, and results are taken.
//!
//! Everything here belongs to the Lua thread; the operations run on the runtime.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::completed::Completed;
use super::driver::{Driver, Task};
use super::loopback::Loopback;
use super::owned::Owned;
use super::runtime::Runtime;

/// Carries results of type `T` to one lua_State.
pub struct Bridge<T> {
    completed: Owned<Arc<Completed<T>>>,
    last_id: Cell<u64>,
    /// How many results have been taken.
    taken: Cell<u64>,
    /// How many had been at the last wait that did not say what it knows.
    known: Cell<u64>,
    /// In a forked child, until somebody has asked: the last operation that was submitted before the fork.
    abandoned: Cell<Option<u64>>,
}

/// Why an operation could not be submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// This is a forked child of the process that made the bridge.
    #[error("the process has forked")]
    Forked,
    /// The runtime could not be started.
    #[error("the runtime could not be started: {0}")]
    Runtime(#[from] io::Error),
}

impl<T: Send + 'static> Bridge<T> {
    /// An empty queue.
    pub fn new() -> io::Result<Self> {
        Self::after(0, 0, None)
    }

    /// In a forked child the bridge that is to take this one's place, and goes on with its ids; else `None`.
    pub fn child(&self) -> Option<io::Result<Self>> {
        let foreign = self.completed.get().is_none();
        let last_id = self.last_id.get();
        // One more: whoever waits looks first then, and hears what is abandoned.
        let taken = self.taken.get() + 1;
        foreign.then(|| Self::after(last_id, taken, Some(last_id)))
    }

    /// Says once, in a forked child: all operations up to this one are the parent's, and their results too.
    pub fn abandoned(&self) -> Option<u64> {
        self.abandoned.take()
    }

    /// Is there something for [`abandoned`](Self::abandoned) to say?
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.get().is_some()
    }

    fn after(last_id: u64, taken: u64, abandoned: Option<u64>) -> io::Result<Self> {
        Ok(Self {
            completed: Owned::new(Arc::new(Completed::new()?)),
            last_id: Cell::new(last_id),
            taken: Cell::new(taken),
            known: Cell::new(0),
            abandoned: Cell::new(abandoned),
        })
    }

    /// Runs `operation` on the runtime. Its result, or what `panicked` makes of a panic, comes out of
    /// [`take`](Self::take) under the id that this returns.
    pub fn submit(
        &self,
        operation: impl Future<Output = T> + Send + 'static,
        panicked: fn() -> T,
    ) -> Result<u64, SubmitError> {
        self.submit_by(Driver::spawn, operation, panicked)
    }

    /// The same of one that is likely to wait at first, for what another operation or a stream brings.
    pub fn submit_asleep(
        &self,
        operation: impl Future<Output = T> + Send + 'static,
        panicked: fn() -> T,
    ) -> Result<u64, SubmitError> {
        self.submit_by(Driver::spawn_asleep, operation, panicked)
    }

    fn submit_by(
        &self,
        spawn: fn(&Driver, Task),
        operation: impl Future<Output = T> + Send + 'static,
        panicked: fn() -> T,
    ) -> Result<u64, SubmitError> {
        let completed = self.completed.get().ok_or(SubmitError::Forked)?.clone();
        let id = self.last_id.get() + 1;
        let runtime = Runtime::get()?;
        let pending = Pending {
            completed,
            runtime,
            id,
            result: None,
            panicked,
        };
        // Before anything can complete.
        self.last_id.set(id);
        let task = Box::pin(async move {
            let mut pending = pending;
            pending.result = AssertUnwindSafe(operation).catch_unwind().await.ok();
        });
        spawn(runtime, task);
        Ok(id)
    }

    /// The oldest result that has not been taken.
    pub fn take(&self) -> Option<(u64, T)> {
        let result = self.completed.get()?.take();
        if result.is_some() {
            self.taken.set(self.taken.get() + 1);
        }
        result
    }

    /// Makes `result` the oldest that has not been taken.
    pub fn put_back(&self, id: u64, result: T) {
        if let Some(completed) = self.completed.get() {
            completed.put_back(id, result);
        }
    }

    /// The same without a signal, for a caller that is about to take it again.
    pub fn leave(&self, id: u64, result: T) {
        if let Some(completed) = self.completed.get() {
            completed.leave(id, result);
        }
    }

    /// How many results have been taken.
    pub fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Blocks this thread until there is a result, the time is over, or a signal came. Blocks only where as many results
    /// have been taken as the caller knows of, or else as at the last wait: a finalizer of Lua's may have taken one,
    /// behind the back of the caller that waits for it.
    pub fn wait(&self, limit: Option<Duration>, known: Option<u64>) -> io::Result<()> {
        let taken = self.taken.get();
        let known = known.unwrap_or_else(|| self.known.replace(taken));
        match self.completed.get() {
            Some(completed) if taken == known => completed.wait(limit),
            _ => Ok(()),
        }
    }

    /// A descriptor that is readable while there are results, for a host's event loop. It outlives this queue.
    pub fn descriptor(&self) -> Option<RawFd> {
        Some(self.completed.get()?.descriptor())
    }

    /// A port on 127.0.0.1 for a host that can watch sockets of its own only, and what it must send there first. From
    /// then on it receives a line break when there are results. A new port takes the place of an earlier one.
    pub fn port(&self) -> Result<(u16, String), SubmitError> {
        let completed = self.completed.get().ok_or(SubmitError::Forked)?;
        let loopback = Loopback::listen(Runtime::get()?)?;
        let introduction = (loopback.port, loopback.nonce.clone());
        completed.connect(loopback);
        Ok(introduction)
    }

    /// How many results wait to be taken, and how often the Lua thread was told of some.
    pub fn load(&self) -> (usize, u64) {
        self.completed.get().map_or((0, 0), |completed| completed.load())
    }

    /// Signals as if there was a result.
    pub fn poke(&self) {
        if let Some(completed) = self.completed.get() {
            completed.poke();
        }
    }
}

/// An operation under way. However it ends, also with the runtime that it is on, a result comes out.
struct Pending<T> {
    completed: Arc<Completed<T>>,
    runtime: &'static Runtime,
    id: u64,
    result: Option<T>,
    panicked: fn() -> T,
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(self.panicked);
        self.completed.push(self.runtime, self.id, result);
    }
}

#[cfg(test)]
mod tests;
