//! What the stream has delivered to a watch and its reader has not read yet, and at the end the reason of the end.
//!
//! Filled by the hub's task, emptied by its readers. Once it is [full](Inbox::is_full) the hub lets the server stop,
//! so a slow reader costs bounded memory and delays nobody else.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::batch::Batch;
use crate::etcd::error::{Error, Result};

/// The bytes that wait at most, one response more or less, in one inbox...
const LIMIT: usize = 4 << 20;

/// ... and about so many in all those of a client. Beyond that each may have its share.
const BUDGET: usize = 64 << 20;

/// What a response costs beside its events.
const RESPONSE_COST: usize = 400;

/// A smaller response that waits is copied: its events are a slice of what came with it, which may be large.
/// The one that waits alone is mostly taken at once, and copied only if that costs next to nothing.
const COPIED: usize = 16 << 10;
const COPIED_ALONE: usize = 1 << 10;

/// The bytes that wait in all inboxes of a client.
#[derive(Default)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    pub(super) fn waiting(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(super) struct Inbox {
    content: Mutex<Content>,
    /// Something was pushed, or the watch has ended.
    arrived: Notify,
}

#[derive(Default)]
struct Content {
    responses: VecDeque<(usize, Batch)>,
    bytes: usize,
    budget: Arc<Budget>,
    ended: Option<Error>,
}

impl Inbox {
    /// Counts what waits in this budget. Called before anything does.
    pub(super) fn join(&self, budget: &Arc<Budget>) {
        self.content().budget = budget.clone();
    }

    pub(super) fn push(&self, mut response: Batch) {
        let mut content = self.content();
        if content.ended.is_none() {
            let alone = content.responses.is_empty();
            compact(&mut response, if alone { COPIED_ALONE } else { COPIED });
            let cost = cost(&response);
            content.grow(cost);
            content.responses.push_back((cost, response));
            self.arrived.notify_waiters();
        }
    }

    /// Makes `response` the oldest.
    pub(super) fn put_back(&self, response: Batch) {
        let mut content = self.content();
        let cost = cost(&response);
        content.grow(cost);
        content.responses.push_front((cost, response));
    }

    /// Wakes whoever waits, though nothing may have come.
    pub(super) fn stir(&self) {
        self.arrived.notify_waiters();
    }

    /// Nothing more comes. The first reason stays.
    pub(super) fn end(&self, reason: Error) {
        self.content().ended.get_or_insert(reason);
        self.arrived.notify_waiters();
    }

    /// Drops what waits.
    pub(super) fn clear(&self) {
        let mut content = self.content();
        content.responses.clear();
        let bytes = content.bytes;
        content.shrink(bytes);
    }

    /// The oldest response, or when all is read and the watch has ended, why. `None`: wait for a change.
    pub(super) fn pop(&self) -> Option<Result<Batch>> {
        let mut content = self.content();
        if let Some((cost, response)) = content.responses.pop_front() {
            content.shrink(cost);
            return Some(Ok(response));
        }
        content.ended.clone().map(Err)
    }

    /// Is there something to pop?
    pub(super) fn is_ready(&self) -> bool {
        let content = self.content();
        !content.responses.is_empty() || content.ended.is_some()
    }

    /// Completes after the next push or end. To be asked for before `is_ready`, so that none is missed.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// Does more wait than the reader of one of so many watches may leave lying?
    pub(super) fn is_full(&self, watches: usize) -> bool {
        let content = self.content();
        let scarce = content.budget.0.load(Ordering::Relaxed) >= BUDGET;
        content.bytes >= LIMIT || scarce && content.bytes >= BUDGET / watches.max(1)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.budget.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn shrink(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.budget.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What nobody has read goes with its inbox.
impl Drop for Content {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// The bytes that a response costs.
fn cost(response: &Batch) -> usize {
    let events = &response.events;
    RESPONSE_COST + events.size() + size_of_val(events.entries())
}

/// Gives a response a buffer of its own, unless it has more than `limit` bytes.
fn compact(response: &mut Batch, limit: usize) {
    if response.events.size() <= limit {
        response.events.copy();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::etcd::error::Code;
    use crate::etcd::pb::{Event, KeyValue, WatchResponse};
    use crate::etcd::received::Receive;

    /// A response with one event of this value.
    fn response(value: Bytes) -> Batch {
        let kv = Some(KeyValue {
            key: "key".into(),
            value,
            ..KeyValue::default()
        });
        let response = WatchResponse {
            events: vec![Event { kv, ..Event::default() }],
            ..WatchResponse::default()
        };
        response.into()
    }

    #[test]
    fn what_was_read_is_given_back() {
        let budget = Arc::<Budget>::default();
        let inbox = Inbox::default();
        inbox.join(&budget);
        for _ in 0..3 {
            while !inbox.is_full(1) {
                inbox.push(response(vec![0; 1 << 20].into()));
            }
            while inbox.pop().is_some() {}
            assert_eq!(budget.0.load(Ordering::Relaxed), 0);
        }
        inbox.push(response("put back".into()));
        let read = inbox.pop().unwrap().unwrap();
        inbox.put_back(read);
        assert_ne!(budget.0.load(Ordering::Relaxed), 0);
        inbox.clear();
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
        inbox.push(response("forgotten".into()));
        inbox.end(Error::closed());
        drop(inbox);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_client_has_a_budget_of_which_each_watch_has_its_share() {
        let budget = Arc::<Budget>::default();
        let inboxes: Vec<_> = (0..100).map(|_| Inbox::default()).collect();
        let mut waiting = 0;
        for inbox in &inboxes {
            inbox.join(&budget);
            while !inbox.is_full(inboxes.len()) {
                inbox.push(response(vec![0; 100 << 10].into()));
                waiting += 100 << 10;
            }
        }
        assert!((BUDGET..3 * BUDGET).contains(&waiting), "{waiting} bytes wait");
        // The reader gets on.
        assert!(inboxes.iter().all(|inbox| inbox.pop().is_some()));
    }

    #[test]
    fn a_small_event_that_waits_does_not_hold_what_it_came_with() {
        let inbox = Inbox::default();
        let sizes = [10, 10, 10 << 10, 100 << 10];
        let mut blocks = Vec::new();
        for size in sizes {
            let events = response(vec![7; size].into()).parts().1.to_vec();
            let block = Bytes::from([&events[..], &[0; 1 << 20]].concat());
            inbox.push(Batch::receive(block.slice(..events.len())).unwrap());
            blocks.push(block);
        }
        let read = std::iter::from_fn(|| inbox.pop()).zip(blocks);
        let is_held = read.map(|(read, block)| {
            let read = read.unwrap();
            block.as_ptr_range().contains(&read.parts().1.as_ptr())
        });
        assert_eq!(is_held.collect::<Vec<_>>(), [false, false, false, true]);
    }

    #[test]
    fn the_first_reason_stays() {
        let inbox = Inbox::default();
        inbox.push(response("last".into()));
        inbox.end(Error::new(Code::Compacted, "first"));
        inbox.end(Error::closed());
        inbox.push(response("too late".into()));
        assert!(inbox.pop().unwrap().is_ok());
        assert_eq!(inbox.pop().unwrap().unwrap_err().code, Code::Compacted);
    }
}
