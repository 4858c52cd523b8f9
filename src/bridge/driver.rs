//! Who drives tokio: the library's own thread, or a Lua thread while that has nothing to do but wait for a result.
//!
//! A call whose caller drives needs no other thread, and a wake-up from thread to thread costs more than all else in a
//! call. But nothing may depend on Lua to come back: a Lua thread drives for a moment only, then sleeps; the own
//! thread takes over as soon as somebody sleeps, and when no Lua thread has driven for a while. It lets go when the
//! last sleeper is woken, which then drives by itself. Lua threads that never wait here never drive.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::task::AtomicWaker;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, unconstrained};
use tokio::time::{Instant, Sleep, sleep};

use super::signals::Blocked;
use super::wake;

/// An operation, to be run to its end.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// For how long a Lua thread drives before it sleeps: longer than most calls take, and short, since signals wait.
pub(super) const TURN: Duration = Duration::from_millis(50);

/// A Lua thread that has not driven for so long is busy with other things.
const BUSY: Duration = Duration::from_millis(5);

/// tokio wakes itself up, with system calls, for a timer that is due before all others, as the deadline of each call
/// would be. So there is one that is due earlier, for so long after a call was submitted.
const TICK: Duration = Duration::from_secs(1);

/// Between two attempts to replace a broken tokio, where descriptors or memory are lacking.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    /// The thread that holds this drives: a Lua thread for a turn at most, the own thread until `let_go`.
    tokio: Mutex<Tokio>,
    submitted: Arc<Submitted>,
    /// Lua threads that sleep until a result of theirs is there.
    sleepers: AtomicUsize,
    /// Tells the own thread that the last sleeper was woken.
    let_go: Notify,
    /// Counts the times that a Lua thread has driven.
    turns: AtomicUsize,
    /// Raised to have the own thread look whether it is needed.
    bell: wake::Wake,
}

/// tokio, and the operations that were submitted. One task of its polls them all, and so is woken without a system
/// call; they are not tasks themselves: when it breaks it may keep those for ever, and nobody would hear what has
/// become of them.
struct Tokio {
    operations: Operations,
    /// Ends when an operation panics outside of its own code, or never.
    polling: JoinHandle<()>,
    runtime: Runtime,
}

/// Held by the task that polls them, for a poll, and by the thread that clears up after it.
type Operations = Arc<Mutex<FuturesUnordered<Task>>>;

/// Operations on their way to tokio. A batch is taken at once, so that a burst of submissions costs one wake-up; it is
/// no longer than the number of coroutines that wait for it.
#[derive(Default)]
struct Submitted {
    /// Held for a push or a take.
    batch: Mutex<Batch>,
    /// The task that takes them.
    taker: AtomicWaker,
}

#[derive(Default)]
struct Batch {
    /// Not polled yet.
    tasks: Vec<Task>,
    /// Polled once, and woken.
    woken: Vec<Task>,
    /// Those that were not woken since their first poll, by the number of their waker; `None` during that.
    asleep: HashMap<u64, Option<Task>>,
    /// The last of these numbers.
    numbered: u64,
    /// Of the tokio that there is.
    tokio: Option<Handle>,
    /// Some thread drives. One that begins to takes what is there already, and need not be woken.
    driven: bool,
}

impl Driver {
    pub(super) fn new() -> io::Result<Self> {
        let submitted = Arc::<Submitted>::default();
        let tokio = Tokio::new(&submitted)?;
        submitted.renew(&tokio);
        Ok(Self {
            tokio: Mutex::new(tokio),
            submitted,
            sleepers: AtomicUsize::new(0),
            let_go: Notify::new(),
            turns: AtomicUsize::new(0),
            bell: wake::Wake::new()?,
        })
    }

    /// Runs `task` on the thread that drives.
    pub(super) fn spawn(&self, task: Task) {
        self.submitted.push(task);
    }

    /// The same, of one that is likely to wait at first: it is polled right here, and the thread that drives hears of it
    /// once it is woken. Mostly that thread does so itself, and saves being woken for a look.
    pub(super) fn spawn_asleep(&self, mut task: Task) {
        let (number, tokio) = {
            let mut batch = self.submitted.batch();
            batch.numbered += 1;
            let number = batch.numbered;
            batch.asleep.insert(number, None);
            (number, batch.tokio.clone())
        };
        let waker = Waker::from(Arc::new(Asleep {
            submitted: self.submitted.clone(),
            number,
        }));
        let polled = {
            let _context = tokio.as_ref().map(Handle::enter);
            task.as_mut().poll(&mut Context::from_waker(&waker))
        };
        let mut batch = self.submitted.batch();
        let is_woken = match batch.asleep.get_mut(&number) {
            Some(place) if polled.is_pending() => {
                *place = Some(task);
                return;
            }
            place => place.is_none(),
        };
        batch.asleep.remove(&number);
        // What it waits for may have gone with the tokio that it began on.
        let is_lost = batch.tokio.as_ref().map(Handle::id) != tokio.as_ref().map(Handle::id);
        let is_unseen = polled.is_pending() && is_woken && !is_lost && batch.add_woken(task);
        drop(batch);
        if is_unseen {
            self.submitted.taker.wake();
        }
    }

    /// The life of the own thread, which ends with the process.
    pub(super) fn serve(&self) {
        loop {
            // First, since the Lua thread that had this one started is likely to drive.
            self.watch();
            let tokio = self.tokio.lock().unwrap_or_else(PoisonError::into_inner);
            self.drive(tokio, self.let_go.notified());
        }
    }

    /// Drives on this Lua thread until `done`, and returns the signals that it has held up meanwhile. Does nothing
    /// where another thread drives already.
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
            if rung {
                self.bell.lower();
            }
            if !rung && self.turns.load(Ordering::SeqCst) == turns && free() {
                return;
            }
        }
    }

    /// Runs everything that was submitted until `done`. tokio does not survive a panic of its own: then all that was
    /// under way ends with it, and what comes later gets a new one.
    fn drive(&self, mut tokio: MutexGuard<'_, Tokio>, done: impl Future<Output = ()>) {
        let Tokio { polling, runtime, .. } = &mut *tokio;
        let work = async {
            self.submitted.begin();
            tokio::select! {
                biased;
                () = done => {}
                ended = polling => if let Err(panicked) = ended {
                    resume_unwind(panicked.into_panic());
                }
            }
        };
        let driven = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
        self.submitted.batch().driven = false;
        if driven.is_ok() {
            return;
        }
        let new = loop {
            if let Ok(Ok(new)) = catch_unwind(AssertUnwindSafe(|| Tokio::new(&self.submitted))) {
                break new;
            }
            thread::sleep(REBUILD_PAUSE);
        };
        let Tokio {
            operations, runtime, ..
        } = std::mem::replace(&mut *tokio, new);
        let operations = std::mem::take(&mut *operations.lock().unwrap_or_else(PoisonError::into_inner));
        let begun = self.submitted.renew(&tokio);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            // What they leave behind is the runtime's.
            let _context = runtime.enter();
            drop(operations);
            drop(begun);
        }));
        // Without waiting for a name that is being looked up.
        let _ = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_background()));
    }
}

impl Batch {
    /// Adds one that was woken, under the same lock that it was found under: a new tokio comes before that or after.
    /// Says whether the task that takes them is to be woken.
    fn add_woken(&mut self, task: Task) -> bool {
        self.woken.push(task);
        self.is_unseen()
    }

    /// Does the one that was added last wait alone, while some thread drives?
    fn is_unseen(&self) -> bool {
        self.driven && self.waiting() == 1
    }

    fn waiting(&self) -> usize {
        self.tasks.len() + self.woken.len()
    }
}

impl Submitted {
    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with a new tokio. Returns what has begun with the one before.
    fn renew(&self, tokio: &Tokio) -> (Vec<Task>, HashMap<u64, Option<Task>>) {
        let mut batch = self.batch();
        batch.tokio = Some(tokio.runtime.handle().clone());
        (std::mem::take(&mut batch.woken), std::mem::take(&mut batch.asleep))
    }

    fn push(&self, task: Task) {
        let unseen = {
            let mut batch = self.batch();
            batch.tasks.push(task);
            batch.is_unseen()
        };
        if unseen {
            self.taker.wake();
        }
    }

    /// Somebody drives from now on. Called on that thread, inside of tokio, where waking a task is no system call.
    fn begin(&self) {
        let waiting = {
            let mut batch = self.batch();
            batch.driven = true;
            batch.waiting() > 0
        };
        if waiting {
            self.taker.wake();
        }
    }

    /// Polls what has arrived and what is under way, for ever.
    fn poll(
        &self,
        operations: &Mutex<FuturesUnordered<Task>>,
        mut tick: Pin<&mut Sleep>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        // Before the look: who comes after it wakes us.
        self.taker.register(context.waker());
        let (new, woken) = {
            let mut batch = self.batch();
            (std::mem::take(&mut batch.tasks), std::mem::take(&mut batch.woken))
        };
        if !(new.is_empty() && woken.is_empty()) && tick.as_mut().poll(context).is_ready() {
            tick.as_mut().reset(Instant::now() + TICK);
            let _ = tick.poll(context);
        }
        let mut operations = operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.extend(new.into_iter().chain(woken));
        while let Poll::Ready(Some(())) = operations.poll_next_unpin(context) {}
        Poll::Pending
    }
}

/// Wakes a task that is asleep: from then on it is like all others.
struct Asleep {
    submitted: Arc<Submitted>,
    number: u64,
}

impl Wake for Asleep {
    fn wake(self: Arc<Self>) {
        let is_unseen = {
            let mut batch = self.submitted.batch();
            let task = batch.asleep.remove(&self.number).flatten();
            task.is_some_and(|task| batch.add_woken(task))
        };
        if is_unseen {
            self.submitted.taker.wake();
        }
    }
}

impl Tokio {
    fn new(submitted: &Arc<Submitted>) -> io::Result<Self> {
        // It starts threads for files and names, from whichever thread drives.
        let block_signals = || std::mem::forget(Blocked::all());
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_start(block_signals)
            .build()?;
        let operations = Operations::default();
        let (submitted, polled) = (submitted.clone(), operations.clone());
        // Unconstrained: else one operation would have to yield for what others have done.
        let polling = runtime.spawn(unconstrained(async move {
            let mut tick = pin!(sleep(Duration::ZERO));
            poll_fn(|context| submitted.poll(&polled, tick.as_mut(), context)).await;
        }));
        Ok(Self {
            operations,
            polling,
            runtime,
        })
    }
}

#[cfg(test)]
mod tests;
