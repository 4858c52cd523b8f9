//! The results of one lua_State that nobody has taken yet, and how its Lua thread hears of them.
//!
//! Results are pushed by whichever thread drives the runtime. The Lua thread is told in the way that it waits: it drives
//! itself, or sleeps, or runs Lua while its host watches the descriptor or the port.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::driver::TURN;
use super::loopback::Loopback;
use super::runtime::Runtime;
use super::signals::Blocked;
use super::wake::Wake;

pub(super) struct Completed<T> {
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
    /// Has been signalled, and the queue not emptied since.
    raised: bool,
    loopback: Option<Loopback>,
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

impl<T> Completed<T> {
    pub(super) fn new() -> io::Result<Self> {
        let results = Results {
            queue: VecDeque::new(),
            lua: LuaThread::Busy,
            raised: false,
            loopback: None,
        };
        Ok(Self {
            results: Mutex::new(results),
            wake: Wake::new()?,
            arrived: Notify::new(),
        })
    }

    pub(super) fn push(&self, runtime: &Runtime, id: u64, result: T) {
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

    pub(super) fn take(&self) -> Option<(u64, T)> {
        let mut results = self.results();
        let result = results.queue.pop_front();
        if results.queue.is_empty() && results.raised {
            results.raised = false;
            self.wake.lower();
        }
        result
    }

    pub(super) fn put_back(&self, id: u64, result: T) {
        let mut results = self.results();
        results.queue.push_front((id, result));
        // Whoever has acted on the last signal needs another.
        results.raised = false;
        self.raise(&mut results);
    }

    /// Signals as if there was a result.
    pub(super) fn poke(&self) {
        self.raise(&mut self.results());
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.wake.descriptor()
    }

    /// Signals through this, too.
    pub(super) fn connect(&self, loopback: Loopback) {
        self.results().loopback = Some(loopback);
    }

    /// Blocks the Lua thread until there is a result, the time is over, or a signal came.
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        let Some(runtime) = Runtime::started() else {
            return self.wake.wait(limit, None).map(drop);
        };
        let start = Instant::now();
        if !self.results().await_as(LuaThread::Drives) {
            return Ok(());
        }
        let (arrived, blocked) = self.drive(runtime, limit.map_or(TURN, |limit| limit.min(TURN)));
        if arrived {
            return Ok(());
        }
        match limit.map(|limit| limit.saturating_sub(start.elapsed())) {
            Some(Duration::ZERO) => Ok(()),
            rest => self.sleep(runtime, rest, blocked.as_ref()),
        }
    }

    /// Drives until there is a result, for `limit` at most, unless another thread does. Says whether there is one, and
    /// which signals were held up.
    fn drive(&self, runtime: &Runtime, limit: Duration) -> (bool, Option<Blocked>) {
        let arrival = async {
            while self.results().queue.is_empty() {
                self.arrived.notified().await;
            }
        };
        let blocked = runtime.turn(async { drop(timeout(limit, arrival).await) });
        let mut results = self.results();
        results.lua = LuaThread::Busy;
        (!results.queue.is_empty(), blocked)
    }

    /// Sleeps until there is a result, the time is over, or a signal came: also one that was blocked until now.
    fn sleep(&self, runtime: &Runtime, limit: Option<Duration>, blocked: Option<&Blocked>) -> io::Result<()> {
        runtime.sleep();
        if !self.results().await_as(LuaThread::Sleeps) {
            runtime.woken();
            return Ok(());
        }
        let slept = self.wake.wait(limit, blocked.map(Blocked::asleep));
        let mut results = self.results();
        if results.lua == LuaThread::Sleeps {
            results.lua = LuaThread::Busy;
            runtime.woken();
        }
        slept.map(drop)
    }

    fn raise(&self, results: &mut Results<T>) {
        if !results.raised {
            results.raised = true;
            self.wake.raise();
            if let Some(loopback) = &results.loopback {
                loopback.ring();
            }
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
