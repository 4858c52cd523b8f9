//! A task that a client has beside its calls, started when it is first needed, and again where it has ended: with a
//! runtime that broke.
//!
//! In: how to start it, and those who want it to look at once. Out: the word that it has looked. Used on the runtime.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

type Start = Box<dyn Fn() -> JoinHandle<()> + Send + Sync>;

/// The task, from outside and from inside.
pub(crate) struct Background {
    start: OnceLock<Start>,
    /// Held for the look only.
    task: Mutex<Option<JoinHandle<()>>>,
    wanted: Notify,
    /// It is looking now, and need not be told to.
    is_looking: AtomicBool,
    looked: watch::Sender<()>,
}

impl Default for Background {
    fn default() -> Self {
        Self {
            start: OnceLock::new(),
            task: Mutex::default(),
            wanted: Notify::new(),
            is_looking: AtomicBool::new(false),
            looked: watch::Sender::default(),
        }
    }
}

impl Background {
    /// How it is started. Said once.
    pub(crate) fn starts_by(&self, start: impl Fn() -> JoinHandle<()> + Send + Sync + 'static) {
        let _ = self.start.set(Box::new(start));
    }

    /// Starts it, unless it is running.
    pub(crate) fn run(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            self.is_looking.store(true, Ordering::Relaxed);
            *task = self.start.get().map(|start| start());
        }
    }

    /// Has it look, and waits until it has.
    pub(crate) async fn look(&self) {
        let mut looked = self.looked.subscribe();
        self.run();
        if !self.is_looking.load(Ordering::Relaxed) {
            self.hurry();
        }
        // It does not go before this does.
        let _ = looked.changed().await;
    }

    /// Has it look soon, if it is running.
    pub(crate) fn hurry(&self) {
        self.wanted.notify_one();
    }

    /// Waits until somebody wants it to look.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// It looks now.
    pub(crate) fn looks(&self) {
        self.is_looking.store(true, Ordering::Relaxed);
    }

    /// It has looked.
    pub(crate) fn looked(&self) {
        self.is_looking.store(false, Ordering::Relaxed);
        self.looked.send_replace(());
    }
}
