//! A model of an honest server, for [fuzzing](super): a history, watches that are sent it, and what is on the way. As
//! etcd it keeps the ids that are asked for and confirms in order; as etcd's proxy it does neither.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Name, name};
use crate::etcd::pb::watch_request::RequestUnion;
use crate::etcd::pb::{Event, KeyValue, ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};

/// With three of these an inbox is full.
static LARGE: [u8; 3 << 19] = [0; 3 << 19];

/// A message may bring all of the history, so that there are not many of them.
const MOST_LARGE: usize = 16;

/// A server that does what etcd does, or its proxy.
#[derive(Default)]
pub(super) struct Server {
    /// The events of each revision, from 1 on.
    history: Vec<Vec<Event>>,
    is_proxy: bool,
    watches: Vec<Watch>,
    /// Watches of a proxy that are not confirmed yet, and what they ask for.
    unconfirmed: Vec<WatchCreateRequest>,
    last_id: i64,
    pub(super) sent: VecDeque<WatchResponse>,
}

/// A watch of this stream.
struct Watch {
    id: i64,
    key: Bytes,
    /// The next revision to send.
    next: i64,
}

impl Server {
    pub(super) fn revision(&self) -> i64 {
        self.history.len() as i64
    }

    /// A new stream, to a server or to a proxy.
    pub(super) fn connected(&mut self, is_proxy: bool) {
        let history = std::mem::take(&mut self.history);
        *self = Self {
            history,
            is_proxy,
            ..Self::default()
        };
    }

    /// The number of watches.
    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }

    pub(super) fn write(&mut self, events: usize, large: bool) {
        let mod_revision = self.revision() + 1;
        let has_value = |event: &&Event| event.kv.as_ref().is_some_and(|kv| !kv.value.is_empty());
        let before = self.history.iter().flatten().filter(has_value).count();
        let value = if large && before < MOST_LARGE {
            Bytes::from_static(&LARGE)
        } else {
            Bytes::new()
        };
        let event = |i: usize| Event {
            kv: Some(KeyValue {
                key: vec![i as u8].into(),
                mod_revision,
                value: value.clone(),
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        self.history.push((0..events).map(event).collect());
    }

    fn answer(&self, watch_id: i64) -> WatchResponse {
        WatchResponse {
            header: Some(ResponseHeader {
                revision: self.revision(),
                ..ResponseHeader::default()
            }),
            watch_id,
            ..WatchResponse::default()
        }
    }

    pub(super) fn serve(&mut self, request: &WatchRequest) {
        match &request.request_union {
            Some(RequestUnion::CreateRequest(create)) if self.is_proxy => self.unconfirmed.push(create.clone()),
            Some(RequestUnion::CreateRequest(create)) => self.create(create, create.watch_id),
            Some(RequestUnion::CancelRequest(cancel)) => {
                let canceled = true;
                self.watches.retain(|watch| watch.id != cancel.watch_id);
                let answer = self.answer(cancel.watch_id);
                self.sent.push_back(WatchResponse { canceled, ..answer });
            }
            Some(RequestUnion::ProgressRequest(_)) if !self.is_proxy => {
                let now = self.revision() + 1;
                if self.watches.iter().all(|watch| watch.next == now) {
                    self.sent.push_back(self.answer(-1));
                }
            }
            _ => {}
        }
    }

    fn create(&mut self, create: &WatchCreateRequest, id: i64) {
        let next = match create.start_revision {
            0 => self.revision() + 1,
            revision => revision,
        };
        let key = create.key.clone();
        self.watches.push(Watch { id, key, next });
        let created = true;
        let answer = self.answer(id);
        self.sent.push_back(WatchResponse { created, ..answer });
    }

    /// A proxy confirms one of the watches that wait for it, under an id of its own.
    pub(super) fn confirm(&mut self, at: usize) {
        if !self.unconfirmed.is_empty() {
            let create = self.unconfirmed.swap_remove(at % self.unconfirmed.len());
            self.create(&create, self.last_id);
            self.last_id += 1;
        }
    }

    /// Sends a watch up to so many revisions, in fragments if that is asked for.
    pub(super) fn notify(&mut self, at: usize, revisions: usize, fragments: bool) {
        let Some(watch) = self.watches.get_mut(at) else {
            return;
        };
        let (id, key, next) = (watch.id, watch.key.clone(), watch.next);
        let behind = self.history.get(next as usize - 1..).unwrap_or_default();
        let revisions = revisions.min(behind.len());
        watch.next += revisions as i64;
        let events = behind
            .iter()
            .take(revisions)
            .flatten()
            .filter(|event| name(event).1 >= key);
        let events = events.cloned().collect::<Vec<_>>();
        let answer = self.answer(id);
        let size = if fragments { 1 } else { events.len() };
        let mut chunks = events.chunks(size.max(1)).peekable();
        while let Some(chunk) = chunks.next() {
            let fragment = chunks.peek().is_some();
            let events = chunk.to_vec();
            self.sent.push_back(WatchResponse {
                fragment,
                events,
                ..answer.clone()
            });
        }
    }

    /// All events from a revision and a key on.
    pub(super) fn since(&self, revision: i64, key: &Bytes) -> Vec<Name> {
        let revisions = self.history.get(revision as usize - 1..).unwrap_or_default();
        revisions
            .iter()
            .flatten()
            .map(name)
            .filter(|(_, other)| other >= key)
            .collect()
    }

    /// Tells a watch that has been sent all how far that is.
    pub(super) fn progress(&mut self, at: usize) {
        if let Some(watch) = self.watches.get(at)
            && watch.next == self.revision() + 1
        {
            self.sent.push_back(self.answer(watch.id));
        }
    }
}
