//! A bounded queue from a task to its readers.
//!
//! In: things, one after another, and at the end why there are no more. Out: the same. The task waits where there is no
//! room, so that memory is bounded by what is read.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::error::{Error, Result};
use super::readable::Readable;

pub(crate) struct Queue<T> {
    /// Held for the look only.
    state: Mutex<State<T>>,
    /// How many things may wait for a reader.
    room: usize,
    arrived: Notify,
    taken: Notify,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Why there are no more.
    end: Option<Error>,
}

impl<T> Queue<T> {
    pub(crate) fn new(room: usize) -> Self {
        let waiting = VecDeque::new();
        Self {
            state: Mutex::new(State { waiting, end: None }),
            room,
            arrived: Notify::new(),
            taken: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a thing, once there is room for it; none after the end.
    pub(crate) async fn push(&self, thing: T) {
        self.push_over(thing, |_| false).await;
    }

    /// The same, in place of the last that waits where that says nothing more.
    pub(crate) async fn push_over(&self, thing: T, is_stale: impl Fn(&T) -> bool) {
        loop {
            let taken = self.taken.notified();
            {
                let mut state = self.state();
                if state.end.is_some() {
                    return;
                }
                if state.waiting.back().is_some_and(&is_stale) {
                    state.waiting.pop_back();
                }
                if state.waiting.len() < self.room {
                    state.waiting.push_back(thing);
                    break;
                }
            }
            taken.await;
        }
        self.arrived.notify_waiters();
    }

    /// No more will come. The first reason holds; what waits is still read.
    pub(crate) fn end(&self, error: Error) {
        self.state().end.get_or_insert(error);
        self.arrived.notify_waiters();
        // Who waits for room waits no longer.
        self.taken.notify_waiters();
    }

    /// The same, and what waits is dropped.
    pub(crate) fn close(&self, error: Error) {
        self.state().waiting.clear();
        self.end(error);
    }
}

impl<T: Send + 'static> Readable for Queue<T> {
    type Item = T;

    fn take(&self) -> Option<Result<T>> {
        let mut state = self.state();
        let thing = state.waiting.pop_front();
        self.taken.notify_waiters();
        thing.map(Ok).or_else(|| state.end.clone().map(Err))
    }

    fn put_back(&self, thing: T) {
        self.state().waiting.push_front(thing);
    }

    async fn ready(&self) {
        loop {
            let arrived = self.arrived.notified();
            {
                let state = self.state();
                if !state.waiting.is_empty() || state.end.is_some() {
                    return;
                }
            }
            arrived.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::etcd::error::Code;

    #[tokio::test]
    async fn what_waits_for_room_is_dropped_at_the_end() {
        let queue = Arc::new(Queue::new(1));
        queue.push(1).await;
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.push(2).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        queue.end(Error::closed());
        waiting
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        assert_eq!(queue.take(), Some(Ok(1)));
        assert_eq!(
            queue.take().map(|taken| taken.map_err(|error| error.code)),
            Some(Err(Code::Closed))
        );
    }

    #[tokio::test]
    async fn what_says_nothing_more_makes_room() {
        let queue = Queue::new(1);
        queue.push(1).await;
        queue.push_over(2, |last| *last == 1).await;
        assert_eq!(queue.read().await, Ok(2));
    }
}
