//! What the stream has delivered to a watch and its reader has not read yet, and at the end the reason of the end.
//!
//! Filled by the hub's task, emptied by its readers. Once it is [full](Inbox::is_full) the hub lets the server stop,
//! so a slow reader costs bounded memory and delays nobody else.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::etcd::error::{Error, Result};
use crate::etcd::pb::{Event, KeyValue, WatchResponse};

/// The bytes that wait at most, one response more or less.
const LIMIT: usize = 4 << 20;

/// What an event costs beside its keys and values.
const EVENT_COST: usize = 200;

#[derive(Default)]
pub(super) struct Inbox {
    content: Mutex<Content>,
    /// Something was pushed, or the watch has ended.
    arrived: Notify,
}

#[derive(Default)]
struct Content {
    responses: VecDeque<(usize, WatchResponse)>,
    bytes: usize,
    ended: Option<Error>,
}

impl Inbox {
    pub(super) fn push(&self, response: WatchResponse) {
        let mut content = self.content();
        if content.ended.is_none() {
            let cost = cost(&response);
            content.bytes += cost;
            content.responses.push_back((cost, response));
            self.arrived.notify_waiters();
        }
    }

    /// Makes `response` the oldest.
    pub(super) fn put_back(&self, response: WatchResponse) {
        let mut content = self.content();
        let cost = cost(&response);
        content.bytes += cost;
        content.responses.push_front((cost, response));
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
        content.bytes = 0;
    }

    /// The oldest response, or when all is read and the watch has ended, why. `None`: wait for a change.
    pub(super) fn pop(&self) -> Option<Result<WatchResponse>> {
        let mut content = self.content();
        if let Some((cost, response)) = content.responses.pop_front() {
            content.bytes -= cost;
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

    /// Does more wait than a reader may leave lying?
    pub(super) fn is_full(&self) -> bool {
        self.content().bytes >= LIMIT
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that a response costs.
fn cost(response: &WatchResponse) -> usize {
    let size = |kv: &Option<KeyValue>| kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len());
    let cost = |event: &Event| size(&event.kv) + size(&event.prev_kv) + EVENT_COST;
    response.events.iter().map(cost).sum::<usize>() + EVENT_COST
}
