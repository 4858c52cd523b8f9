//! The completion queue of one lua_State: operations are submitted under ids, results wait here until the state's
//! Lua thread takes them.
//!
//! `submit`, `take` and `wait` belong to the Lua thread; results are pushed by whichever thread drives the runtime. The
//! descriptor is raised when the queue stops being empty and lowered when it is emptied: one wake-up per batch, and
//! none where the Lua thread itself drives.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::driver::TURN;
use super::owned::Owned;
use super::runtime::Runtime;
use super::wake::Wake;

/// Carries results of type `T` to one lua_State.
pub struct Bridge<T> {
    completed: Owned<Arc<Completed<T>>>,
    last_id: Cell<u64>,
    /// Has a result been taken since the last wait?
    taken: Cell<bool>,
    /// In a forked child, until somebody has asked: the last operation that was submitted before the fork.
    abandoned: Cell<Option<u64>>,
}

struct Completed<T> {
    /// Held for a push or a pop.
    results: Mutex<Results<T>>,
    wake: Wake,
    /// There is a result, for a Lua thread that drives.
    arrived: Notify,
}

struct Results<T> {
    /// No longer than the number of operations that were submitted.
    queue: VecDeque<(u64, T)>,
    lua: LuaThread,
    raised: bool,
}

/// What the Lua thread is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LuaThread {
    /// It runs Lua, or its host watches the descriptor.
    Busy,
    /// It drives the runtime until there is a result.
    Drives,
    /// It sleeps until the descriptor is raised.
    Sleeps,
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
        Self::after(0, None)
    }

    /// In a forked child the bridge that is to take this one's place, and goes on with its ids; else `None`.
    pub fn child(&self) -> Option<io::Result<Self>> {
        let foreign = self.completed.get().is_none();
        let last_id = self.last_id.get();
        foreign.then(|| Self::after(last_id, Some(last_id)))
    }

    /// Says once, in a forked child: all operations up to this one are the parent's, and their results too.
    pub fn abandoned(&self) -> Option<u64> {
        self.abandoned.take()
    }

    fn after(last_id: u64, abandoned: Option<u64>) -> io::Result<Self> {
        let completed = Completed {
            results: Mutex::new(Results {
                queue: VecDeque::new(),
                lua: LuaThread::Busy,
                raised: false,
            }),
            wake: Wake::new()?,
            arrived: Notify::new(),
        };
        Ok(Self {
            completed: Owned::new(Arc::new(completed)),
            last_id: Cell::new(last_id),
            taken: Cell::new(false),
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
        runtime.spawn(Box::pin(async move {
            let mut pending = pending;
            pending.result = AssertUnwindSafe(operation).catch_unwind().await.ok();
        }));
        self.last_id.set(id);
        Ok(id)
    }

    /// The oldest result that has not been taken.
    pub fn take(&self) -> Option<(u64, T)> {
        let completed = self.completed.get()?;
        let mut results = completed.results();
        let result = results.queue.pop_front()?;
        if results.queue.is_empty() && results.raised {
            results.raised = false;
            completed.wake.lower();
        }
        self.taken.set(true);
        Some(result)
    }

    /// Makes `result` the oldest that has not been taken.
    pub fn put_back(&self, id: u64, result: T) {
        if let Some(completed) = self.completed.get() {
            let mut results = completed.results();
            results.queue.push_front((id, result));
            completed.raise(&mut results);
        }
    }

    /// Blocks this thread until there is a result, the time is over, or a signal came. Drives the runtime for a while,
    /// then sleeps. Does not block where a result was taken since the last wait: a finalizer of Lua's may have done
    /// that, behind the back of whoever waits for it.
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        if self.taken.replace(false) {
            return Ok(());
        }
        let Some(completed) = self.completed.get() else {
            return Ok(());
        };
        let Some(runtime) = Runtime::started() else {
            return completed.wake.wait(limit);
        };
        let start = Instant::now();
        if completed.drive(runtime, limit.map_or(TURN, |limit| limit.min(TURN))) {
            return Ok(());
        }
        match limit.map(|limit| limit.saturating_sub(start.elapsed())) {
            Some(Duration::ZERO) => Ok(()),
            rest => completed.sleep(runtime, rest),
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

impl<T> Completed<T> {
    fn push(&self, runtime: &Runtime, id: u64, result: T) {
        let mut results = self.results();
        results.queue.push_back((id, result));
        match results.lua {
            LuaThread::Busy => self.raise(&mut results),
            LuaThread::Drives => self.arrived.notify_one(),
            LuaThread::Sleeps => {
                results.lua = LuaThread::Busy;
                self.raise(&mut results);
                runtime.woken();
            }
        }
    }

    /// Drives until there is a result, for `limit` at most. Says whether there is one.
    fn drive(&self, runtime: &Runtime, limit: Duration) -> bool {
        if !self.results().await_as(LuaThread::Drives) {
            return true;
        }
        let arrival = async {
            while self.results().queue.is_empty() {
                self.arrived.notified().await;
            }
        };
        runtime.turn(async { drop(timeout(limit, arrival).await) });
        let mut results = self.results();
        results.lua = LuaThread::Busy;
        !results.queue.is_empty()
    }

    /// Sleeps until there is a result, the time is over, or a signal came.
    fn sleep(&self, runtime: &Runtime, limit: Option<Duration>) -> io::Result<()> {
        runtime.sleep();
        if !self.results().await_as(LuaThread::Sleeps) {
            runtime.woken();
            return Ok(());
        }
        let slept = self.wake.wait(limit);
        let mut results = self.results();
        if results.lua == LuaThread::Sleeps {
            results.lua = LuaThread::Busy;
            runtime.woken();
        }
        slept
    }

    fn raise(&self, results: &mut Results<T>) {
        if !results.raised {
            results.raised = true;
            self.wake.raise();
        }
    }

    fn results(&self) -> MutexGuard<'_, Results<T>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Results<T> {
    /// The Lua thread is about to wait like this. Says no where there is a result already.
    fn await_as(&mut self, lua: LuaThread) -> bool {
        let none = self.queue.is_empty();
        if none {
            self.lua = lua;
        }
        none
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
    fn p1_a_panic_is_a_result() {
        let bridge = Bridge::new().unwrap();
        let id = bridge.submit(async { panic!("on purpose") }, || "panicked").unwrap();
        assert_eq!(next(&bridge), (id, "panicked"));
    }

    #[test]
    fn p1_an_operation_that_is_dropped_has_a_result_too() {
        let bridge = Bridge::new().unwrap();
        let completed = bridge.completed.get().unwrap().clone();
        drop(Pending {
            completed,
            runtime: Runtime::get().unwrap(),
            id: 7,
            result: None,
            panicked: || "panicked",
        });
        assert_eq!(bridge.take(), Some((7, "panicked")));
    }

    #[test]
    fn p4_whoever_waits_looks_again_after_a_result_was_taken() {
        let bridge = Bridge::new().unwrap();
        bridge.submit(async {}, || ()).unwrap();
        next(&bridge);
        bridge.wait(None).unwrap();
    }

    #[test]
    fn p2_a_result_that_is_put_back_is_the_next() {
        let bridge = Bridge::new().unwrap();
        bridge.submit(async { 1 }, || -1).unwrap();
        let (id, result) = next(&bridge);
        bridge.put_back(id, result);
        assert_eq!(next(&bridge), (id, 1));
        assert_eq!(bridge.take(), None);
    }

    #[test]
    fn p3_a_bridge_dropped_with_operations_under_way_leaves_nothing_behind() {
        let bridge = Bridge::new().unwrap();
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        bridge.submit(async { drop(finished.await) }, || ()).unwrap();
        let completed = Arc::downgrade(bridge.completed.get().unwrap());
        drop(bridge);
        finish.send(()).unwrap();
        while completed.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
