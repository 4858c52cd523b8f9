//! The completion queue of one lua_State: operations are submitted under ids, results wait here until the state's
//! Lua thread takes them.
//!
//! `submit`, `take` and `wait` belong to the Lua thread; results are pushed by the runtime's. The descriptor is
//! raised when the queue stops being empty and lowered when it is emptied: one wake-up per batch.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;

use super::runtime::Runtime;
use super::wake::Wake;

/// Carries results of type `T` to one lua_State.
pub struct Bridge<T> {
    completed: Arc<Completed<T>>,
    last_id: Cell<u64>,
    /// The process that made it. A forked child must not touch the queue: its lock may be held for ever.
    pid: u32,
}

struct Completed<T> {
    /// Held for a push or a pop. No longer than the number of operations that were submitted.
    results: Mutex<VecDeque<(u64, T)>>,
    wake: Wake,
}

/// Why an operation could not be submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// This is a forked child of the process that made the bridge.
    #[error("the client was created before the process forked")]
    Forked,
    /// The runtime could not be started.
    #[error("the runtime could not be started: {0}")]
    Runtime(#[from] io::Error),
}

impl<T: Send + 'static> Bridge<T> {
    /// An empty queue.
    pub fn new() -> io::Result<Self> {
        let completed = Completed {
            results: Mutex::default(),
            wake: Wake::new()?,
        };
        Ok(Self {
            completed: Arc::new(completed),
            last_id: Cell::new(0),
            pid: process::id(),
        })
    }

    /// Runs `operation` on the runtime. Its result, or what `panicked` makes of a panic, comes out of
    /// [`take`](Self::take) under the id that this returns.
    pub fn submit(
        &self,
        operation: impl Future<Output = T> + Send + 'static,
        panicked: fn() -> T,
    ) -> Result<u64, SubmitError> {
        if self.is_foreign() {
            return Err(SubmitError::Forked);
        }
        let id = self.last_id.get() + 1;
        let completed = self.completed.clone();
        Runtime::get()?.spawn(Box::pin(async move {
            let result = AssertUnwindSafe(operation).catch_unwind().await;
            completed.push(id, result.unwrap_or_else(|_| panicked()));
        }));
        self.last_id.set(id);
        Ok(id)
    }

    /// The oldest result that has not been taken.
    pub fn take(&self) -> Option<(u64, T)> {
        if self.is_foreign() {
            return None;
        }
        let mut results = self.completed.results();
        let result = results.pop_front();
        if results.is_empty() {
            self.completed.wake.lower();
        }
        result
    }

    /// Blocks this thread until there is a result, the time is over, or a signal came.
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        self.completed.wake.wait(limit)
    }

    fn is_foreign(&self) -> bool {
        self.pid != process::id()
    }
}

impl<T> Completed<T> {
    fn push(&self, id: u64, result: T) {
        let mut results = self.results();
        results.push_back((id, result));
        if results.len() == 1 {
            self.wake.raise();
        }
    }

    fn results(&self) -> MutexGuard<'_, VecDeque<(u64, T)>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next<T: Send + 'static>(bridge: &Bridge<T>) -> (u64, T) {
        loop {
            if let Some(result) = bridge.take() {
                return result;
            }
            bridge.wait(None).unwrap();
        }
    }

    #[test]
    fn every_result_comes_out_once_under_its_id() {
        let bridge = Bridge::new().unwrap();
        let mut ids: Vec<_> = (0..1000)
            .map(|i| (bridge.submit(async move { i }, || -1).unwrap(), i))
            .collect();
        let mut results: Vec<_> = (0..1000).map(|_| next(&bridge)).collect();
        ids.sort_unstable();
        results.sort_unstable();
        assert_eq!(results, ids);
        assert_eq!(bridge.take(), None);
    }

    #[test]
    fn a_panic_is_a_result() {
        let bridge = Bridge::new().unwrap();
        let id = bridge.submit(async { panic!("on purpose") }, || "panicked").unwrap();
        assert_eq!(next(&bridge), (id, "panicked"));
    }

    #[test]
    fn a_bridge_dropped_with_operations_under_way_leaves_nothing_behind() {
        let bridge = Bridge::new().unwrap();
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        bridge.submit(async { drop(finished.await) }, || ()).unwrap();
        let completed = Arc::downgrade(&bridge.completed);
        drop(bridge);
        finish.send(()).unwrap();
        while completed.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
