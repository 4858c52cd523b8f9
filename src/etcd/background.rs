//! A task that a client has beside its calls, started when it is first needed, and again where it has ended: with a
//! runtime that broke.
//!
//! In: how to start it, and those who want it to look at once. Out: the word that it has looked. Used on the runtime.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::BoxFuture;
use tokio::runtime::{Handle, Id};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

type Start = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The task, from outside and from inside.
pub(crate) struct Background {
    start: OnceLock<Start>,
    /// Held for the look only.
    task: Mutex<Option<(Id, JoinHandle<()>)>>,
    wanted: Notify,
    /// It is looking now, and need not be told to.
    is_looking: AtomicBool,
    /// Somebody wants it to look who cannot start it.
    is_missing: AtomicBool,
    looked: watch::Sender<()>,
}

impl Default for Background {
    fn default() -> Self {
        Self {
            start: OnceLock::new(),
            task: Mutex::default(),
            wanted: Notify::new(),
            is_looking: AtomicBool::new(false),
            is_missing: AtomicBool::new(false),
            looked: watch::Sender::default(),
        }
    }
}

impl Background {
    /// How it is started. Said once.
    pub(crate) fn starts_by(&self, start: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) {
        let _ = self.start.set(Box::new(start));
    }

    /// Starts it, unless it is running.
    pub(crate) fn run(self: &Arc<Self>) {
        self.is_missing.store(false, Ordering::Relaxed);
        let runtime = Handle::current().id();
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task
            .as_ref()
            .is_none_or(|(of, task)| *of != runtime || task.is_finished())
        {
            self.is_looking.store(true, Ordering::Relaxed);
            let ending = Ending(self.clone());
            *task = self.start.get().map(|start| {
                let running = start();
                let task = tokio::spawn(async move {
                    let _ending = ending;
                    running.await;
                });
                (runtime, task)
            });
        }
    }

    /// Has it look, and waits until it has.
    pub(crate) async fn look(self: &Arc<Self>) {
        let mut looked = self.looked.subscribe();
        self.run();
        if !self.is_looking.load(Ordering::Relaxed) {
            self.wanted.notify_one();
        }
        // The sender is here.
        let _ = looked.changed().await;
    }

    /// Has it look soon. Where it is not running, the next connection that is asked for starts it.
    pub(crate) fn hurry(&self) {
        self.is_missing.store(true, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    /// There is nothing for it to do.
    pub(crate) fn rest(&self) {
        self.is_missing.store(false, Ordering::Relaxed);
    }

    /// Is it to be started, if it is not running?
    pub(crate) fn is_missing(&self) -> bool {
        self.is_missing.load(Ordering::Relaxed)
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

/// However the task ends, by a panic too, those who wait for it go on.
struct Ending(Arc<Background>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.looked();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_task_that_panics_goes_on_and_it_is_started_again() {
        let background = Arc::new(Background::default());
        let starts = Arc::new(Mutex::new(0));
        let started = starts.clone();
        background.starts_by(move || {
            *started.lock().unwrap() += 1;
            async { panic!("as it must not") }.boxed()
        });
        for count in 1..=3 {
            background.look().await;
            tokio::task::yield_now().await;
            assert_eq!(*starts.lock().unwrap(), count);
        }
    }
}
