//! Who drives tokio: the library's own thread, or a Lua thread while that has nothing to do but wait for a result.
//!
//! A call whose caller drives needs no other thread, and a wake-up from thread to thread costs more than all else in a
//! call. But nothing may depend on Lua to come back: a Lua thread drives for a moment only, then sleeps; the own
//! thread takes over as soon as somebody sleeps, and when no Lua thread has driven for a while. It lets go when the
//! last sleeper is woken, which then drives by itself. Lua threads that never wait here never drive.

use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::unconstrained;

use super::signals::Blocked;
use super::wake::Wake;

/// An operation, to be run to its end.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// For how long a Lua thread drives before it sleeps: longer than most calls take, and short, since signals wait.
pub(super) const TURN: Duration = Duration::from_millis(50);

/// A Lua thread that has not driven for so long is busy with other things.
const BUSY: Duration = Duration::from_millis(5);

/// Between two attempts to replace a broken tokio, where descriptors or memory are lacking.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    /// Whoever holds this drives: a Lua thread for a turn at most, the own thread until `let_go`.
    tokio: Mutex<Tokio>,
    submitted: Submitted,
    /// Lua threads that sleep until a result of theirs is there.
    sleepers: AtomicUsize,
    /// Tells the own thread that the last sleeper was woken.
    let_go: Notify,
    /// Counts the times that a Lua thread has driven.
    turns: AtomicUsize,
    /// Raised to have the own thread look whether it is needed.
    bell: Wake,
}

/// tokio, and the operations that were submitted. They are not its tasks: when it breaks it may keep those for ever, and
/// nobody would hear what has become of them.
struct Tokio {
    /// Dropped first: what they leave behind is the runtime's.
    operations: FuturesUnordered<Task>,
    runtime: Runtime,
}

/// Operations on their way to tokio. A batch is taken at once, so that a burst of submissions costs one wake-up; it is
/// no longer than the number of coroutines that wait for it.
#[derive(Default)]
struct Submitted {
    /// Held for a push or a take.
    tasks: Mutex<Vec<Task>>,
    arrived: Notify,
}

impl Driver {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            tokio: Mutex::new(Tokio::new()?),
            submitted: Submitted::default(),
            sleepers: AtomicUsize::new(0),
            let_go: Notify::new(),
            turns: AtomicUsize::new(0),
            bell: Wake::new()?,
        })
    }

    /// Runs `task`, whoever drives.
    pub(super) fn spawn(&self, task: Task) {
        let mut tasks = self.submitted.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(task);
        if tasks.len() == 1 {
            self.submitted.arrived.notify_one();
        }
    }

    /// The life of the own thread, which ends with the process.
    pub(super) fn serve(&self) {
        loop {
            let tokio = self.tokio.lock().unwrap_or_else(PoisonError::into_inner);
            self.drive(tokio, self.let_go.notified());
            self.watch();
        }
    }

    /// Drives on this Lua thread until `done`, and returns the signals that it has held up meanwhile. Does nothing where
    /// another thread drives already.
    pub(super) fn turn(&self, done: impl Future<Output = ()>) -> Option<Blocked> {
        let tokio = match self.tokio.try_lock() {
            Ok(tokio) => tokio,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        // It fails for no set of signals that there is.
        let blocked = Blocked::lent().ok()?;
        self.drive(tokio, done);
        self.turns.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.bell.raise();
        }
        Some(blocked)
    }

    /// A Lua thread goes to sleep: somebody must drive.
    pub(super) fn sleep(&self) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        self.bell.raise();
    }

    /// A Lua thread was woken, or has woken up by itself. Each sleep ends once.
    pub(super) fn woken(&self) {
        if self.sleepers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.let_go.notify_one();
        }
    }

    /// Waits, on the own thread, until nobody drives and somebody should.
    fn watch(&self) {
        loop {
            let turns = self.turns.load(Ordering::SeqCst);
            let free = || !matches!(self.tokio.try_lock(), Err(TryLockError::WouldBlock));
            if self.sleepers.load(Ordering::SeqCst) > 0 && free() {
                return;
            }
            // It fails only for lack of kernel memory.
            let rung = self.bell.wait(Some(BUSY), None).unwrap_or(false);
            self.bell.lower();
            if !rung && self.turns.load(Ordering::SeqCst) == turns && free() {
                return;
            }
        }
    }

    /// Runs everything that was submitted until `done`. tokio does not survive a panic of its own: then all that was
    /// under way ends with it, and what comes later gets a new one.
    fn drive(&self, mut tokio: MutexGuard<'_, Tokio>, done: impl Future<Output = ()>) {
        let Tokio { operations, runtime } = &mut *tokio;
        let work = async {
            tokio::select! {
                biased;
                // Unconstrained, for tokio would forget whom it has made to yield when `done` comes in the same poll.
                () = unconstrained(self.submitted.run(operations)) => {}
                () = done => {}
            }
        };
        if catch_unwind(AssertUnwindSafe(|| runtime.block_on(work))).is_ok() {
            return;
        }
        let new = loop {
            if let Ok(Ok(new)) = catch_unwind(Tokio::new) {
                break new;
            }
            thread::sleep(REBUILD_PAUSE);
        };
        let Tokio { operations, runtime } = std::mem::replace(&mut *tokio, new);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _context = runtime.enter();
            drop(operations);
        }));
        // Without waiting for a name that is being looked up.
        let _ = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_background()));
    }
}

impl Submitted {
    /// Runs what has arrived and what arrives, for ever.
    async fn run(&self, operations: &mut FuturesUnordered<Task>) {
        loop {
            tokio::select! {
                biased;
                () = self.arrived.notified() => {
                    let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
                    operations.extend(tasks);
                }
                Some(()) = operations.next() => {}
            }
        }
    }
}

impl Tokio {
    fn new() -> io::Result<Self> {
        // It starts threads for files and names, from whichever thread drives.
        let block_signals = || std::mem::forget(Blocked::all());
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_start(block_signals)
            .build()?;
        // FuturesUnordered wakes its own task when one poll has polled as many futures as it holds. This one is polled
        // once and never again, so that there is always one that was not.
        let idle: Task = Box::pin(pending());
        Ok(Self {
            operations: FuturesUnordered::from_iter([idle]),
            runtime,
        })
    }
}
