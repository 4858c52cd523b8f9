//! The results of one lua_State that nobody has taken yet, and how its Lua thread hears of them.
//!
//! Results are pushed by whichever thread drives the runtime. The Lua thread is told in the way that it waits: it
//! drives itself, or sleeps, or runs Lua while its host watches the descriptor or the port.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::driver::TURN;
use super::interrupt;
use super::loopback::{Bell, Loopback};
use super::runtime::Runtime;
use super::signals::Blocked;
use super::wake::Wake;

pub(super) struct Completed<T> {
    /// Held for a push or a pop, never for a system call: the thread that is woken wants it next.
    results: Mutex<Results<T>>,
    wake: Wake,
    /// There is a result, for a Lua thread that drives.
    arrived: Notify,
}

struct Results<T> {
    /// No longer than the number of operations that were submitted.
    queue: VecDeque<(u64, T)>,
    lua: LuaThread,
    /// The host watches the descriptor.
    watched: bool,
    /// How often the descriptor was raised, or is about to be, since it was lowered.
    raised: u64,
    loopback: Option<Loopback>,
    /// There was a signal, through the loopback where there is one, and the queue was not emptied since.
    rung: bool,
    /// How often there was a signal to somebody who slept, or to the host.
    wakeups: u64,
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

/// What is left to do for a result, once the lock is released.
#[must_use]
#[derive(Default)]
struct Signal {
    raise: bool,
    ring: Option<Bell>,
    /// For the Lua thread that drives.
    arrived: bool,
    /// The Lua thread slept.
    woken: bool,
}

impl<T> Completed<T> {
    pub(super) fn new() -> io::Result<Self> {
        let results = Results {
            queue: VecDeque::new(),
            lua: LuaThread::Busy,
            watched: false,
            raised: 0,
            loopback: None,
            rung: false,
            wakeups: 0,
        };
        Ok(Self {
            results: Mutex::new(results),
            wake: Wake::new()?,
            arrived: Notify::new(),
        })
    }

    pub(super) fn push(&self, runtime: &Runtime, id: u64, result: T) {
        let signal = self.results().push(id, result);
        self.give(&signal);
        if signal.woken {
            runtime.woken();
        }
    }

    pub(super) fn take(&self) -> Option<(u64, T)> {
        let mut results = self.results();
        let result = results.queue.pop_front();
        results.rung &= !results.queue.is_empty();
        if result.is_some() || results.raised == 0 {
            return result;
        }
        drop(results);
        // Lowered before the last look: what came in between saw that it was raised. A signal that is still on its way
        // stays counted, and is lowered the next time.
        let lowered = self.wake.lower();
        let mut results = self.results();
        results.raised = results.raised.saturating_sub(lowered);
        results.queue.pop_front()
    }

    pub(super) fn put_back(&self, id: u64, result: T) {
        let signal = self.results().put_back(id, result);
        self.give(&signal);
    }

    pub(super) fn leave(&self, id: u64, result: T) {
        self.results().queue.push_front((id, result));
    }

    /// How many results wait, and how often the Lua thread was told of some.
    pub(super) fn load(&self) -> (usize, u64) {
        let results = self.results();
        (results.queue.len(), results.wakeups)
    }

    /// Signals as if there was a result.
    pub(super) fn poke(&self) {
        let signal = self.results().signal();
        self.give(&signal);
    }

    /// The descriptor, raised from now on while there are results.
    pub(super) fn descriptor(&self) -> RawFd {
        let signal = self.results().watch();
        self.give(&signal);
        self.wake.descriptor()
    }

    /// Signals through this, too.
    pub(super) fn connect(&self, loopback: Loopback) {
        let earlier = self.results().loopback.replace(loopback);
        drop(earlier);
    }

    /// Blocks the Lua thread until there is a result, the time is over, or a signal came.
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        let Some(runtime) = Runtime::started() else {
            return self.doze(limit, None);
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
            rest => self.sleep(runtime, rest, blocked),
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
    fn sleep(&self, runtime: &Runtime, limit: Option<Duration>, blocked: Option<Blocked>) -> io::Result<()> {
        runtime.sleep();
        if !self.results().await_as(LuaThread::Sleeps) {
            runtime.woken();
            return Ok(());
        }
        let slept = self.doze(limit, blocked);
        let mut results = self.results();
        if results.lua == LuaThread::Sleeps {
            results.lua = LuaThread::Busy;
            runtime.woken();
        }
        slept
    }

    /// A signal cannot come between the look for one and the wait: it is blocked until that.
    fn doze(&self, limit: Option<Duration>, blocked: Option<Blocked>) -> io::Result<()> {
        let blocked = blocked.or_else(|| Blocked::lent().ok());
        if interrupt::is_fresh() {
            return Ok(());
        }
        self.wake.wait(limit, blocked.as_ref().map(Blocked::asleep)).map(drop)
    }

    fn give(&self, signal: &Signal) {
        if signal.raise {
            self.wake.raise();
        }
        if let Some(bell) = &signal.ring {
            bell.ring();
        }
        if signal.arrived {
            self.arrived.notify_one();
        }
    }

    fn results(&self) -> MutexGuard<'_, Results<T>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Results<T> {
    fn push(&mut self, id: u64, result: T) -> Signal {
        self.queue.push_back((id, result));
        let signal = self.signal_of_push();
        self.wakeups += u64::from(signal.raise || signal.ring.is_some());
        signal
    }

    fn signal_of_push(&mut self) -> Signal {
        match self.lua {
            LuaThread::Busy => self.signal(),
            LuaThread::Drives => Signal {
                arrived: true,
                ..Signal::default()
            },
            LuaThread::Sleeps => {
                self.lua = LuaThread::Busy;
                // The host hears of it too: a thread that sleeps may end before it takes the result.
                Signal {
                    raise: self.raise(),
                    woken: true,
                    ..self.signal()
                }
            }
        }
    }

    fn put_back(&mut self, id: u64, result: T) -> Signal {
        self.queue.push_front((id, result));
        // The host that has read the last line break needs another.
        self.rung = false;
        self.signal()
    }

    fn watch(&mut self) -> Signal {
        let unseen = !self.watched && (self.rung || !self.queue.is_empty());
        self.watched = true;
        Signal {
            raise: unseen && self.raise(),
            ..Signal::default()
        }
    }

    /// Signals to the host, unless it was and has yet to look.
    fn signal(&mut self) -> Signal {
        let heard = std::mem::replace(&mut self.rung, true);
        Signal {
            raise: self.watched && self.raise(),
            ring: self.loopback.as_ref().filter(|_| !heard).map(Loopback::bell),
            ..Signal::default()
        }
    }

    /// Shall the descriptor be raised?
    fn raise(&mut self) -> bool {
        let lowered = self.raised == 0;
        self.raised += u64::from(lowered);
        lowered
    }

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
mod tests;
