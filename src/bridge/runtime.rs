//! The tokio runtime of this process: one thread, started by the first operation, that lives as long as the process.
//!
//! In: futures, from any thread. After a fork the child must not touch what it inherited: a runtime without its
//! thread, locks in any state. It leaves that as it lies and starts its own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};
use once_cell::sync::OnceCell;
use tokio::sync::Notify;

/// An operation, to be run to its end.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The runtime of the process that loaded the library. Those of its forked children hang on `child`.
static RUNTIME: OnceCell<Runtime> = OnceCell::new();

/// Between two attempts to replace a broken tokio, where descriptors or memory are lacking.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Runtime {
    pid: u32,
    submitted: Arc<Submitted>,
    /// The runtime of a forked child, in that child's memory only.
    child: OnceCell<&'static Runtime>,
}

/// Operations on their way to the runtime's thread. A batch is taken at once, so that a burst of submissions costs
/// one wake-up; it is no longer than the number of coroutines that wait for it.
#[derive(Default)]
struct Submitted {
    /// Held for a push or a take.
    tasks: Mutex<Vec<Task>>,
    arrived: Notify,
}

impl Runtime {
    /// The runtime of this process, started now if there is none.
    pub(super) fn get() -> io::Result<&'static Self> {
        let pid = process::id();
        let mut runtime = RUNTIME.get_or_try_init(Self::start)?;
        while runtime.pid != pid {
            runtime = runtime
                .child
                .get_or_try_init(|| Self::start().map(|child| &*Box::leak(Box::new(child))))?;
        }
        Ok(runtime)
    }

    /// Runs `task` on the runtime.
    pub(super) fn spawn(&self, task: Task) {
        let mut tasks = self.submitted.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(task);
        if tasks.len() == 1 {
            self.submitted.arrived.notify_one();
        }
    }

    fn start() -> io::Result<Self> {
        let mut runtime = build()?;
        let submitted = Arc::<Submitted>::default();
        let inbox = submitted.clone();
        let _masked = SignalMask::all()?;
        thread::Builder::new().name("silly-etcd".to_owned()).spawn(move || {
            // tokio catches the panics of tasks, but does not survive one of its own: then all that was under way
            // ends with it, and what comes later gets a new one.
            while catch_unwind(AssertUnwindSafe(|| runtime.block_on(inbox.dispatch()))).is_err() {
                let _ = catch_unwind(AssertUnwindSafe(|| drop(runtime)));
                runtime = loop {
                    if let Ok(Ok(runtime)) = catch_unwind(build) {
                        break runtime;
                    }
                    thread::sleep(REBUILD_PAUSE);
                };
            }
        })?;
        Ok(Self {
            pid: process::id(),
            submitted,
            child: OnceCell::new(),
        })
    }
}

fn build() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Submitted {
    /// Spawns what arrives, for ever.
    async fn dispatch(&self) {
        loop {
            self.arrived.notified().await;
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            for task in tasks {
                tokio::spawn(task);
            }
        }
    }
}

/// Blocks all signals of this thread while it lives. Threads started meanwhile inherit that: a write to a closed
/// socket must not kill the host with SIGPIPE, and the host's own signals must not land on a thread of ours.
struct SignalMask(SigSet);

impl SignalMask {
    fn all() -> io::Result<Self> {
        Ok(Self(SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?))
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // It was a valid mask a moment ago.
        let _ = self.0.thread_set_mask();
    }
}
