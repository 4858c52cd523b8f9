//! A model of an honest server, for [fuzzing](super): a history, watches that are sent it, and what is on the way.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Name, name};
use crate::etcd::pb::watch_request::RequestUnion;
use crate::etcd::pb::{Event, KeyValue, ResponseHeader, WatchRequest, WatchResponse};

/// With three of these an inbox is full.
static LARGE: [u8; 3 << 19] = [0; 3 << 19];

/// A server that does what etcd does.
#[derive(Default)]
pub(super) struct Server {
    /// The events of each revision, from 1 on.
    history: Vec<Vec<Event>>,
    /// The watches of this stream: id, and the next revision to send.
    pub(super) watches: Vec<(i64, i64)>,
    pub(super) sent: VecDeque<WatchResponse>,
}

impl Server {
    pub(super) fn revision(&self) -> i64 {
        self.history.len() as i64
    }

    pub(super) fn write(&mut self, events: usize, large: bool) {
        let mod_revision = self.revision() + 1;
        let value = if large {
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
            Some(RequestUnion::CreateRequest(create)) => {
                let created = true;
                let next = match create.start_revision {
                    0 => self.revision() + 1,
                    revision => revision,
                };
                self.watches.push((create.watch_id, next));
                let answer = self.answer(create.watch_id);
                self.sent.push_back(WatchResponse { created, ..answer });
            }
            Some(RequestUnion::CancelRequest(cancel)) => {
                let canceled = true;
                self.watches.retain(|(id, _)| *id != cancel.watch_id);
                let answer = self.answer(cancel.watch_id);
                self.sent.push_back(WatchResponse { canceled, ..answer });
            }
            _ => {}
        }
    }

    /// Sends a watch up to so many revisions, in fragments if that is asked for.
    pub(super) fn notify(&mut self, at: usize, revisions: usize, fragments: bool) {
        let Some(&(id, next)) = self.watches.get(at) else {
            return;
        };
        let behind = self.history.get(next as usize - 1..).unwrap_or_default();
        let revisions = revisions.min(behind.len());
        let events = behind.iter().take(revisions).flatten().cloned().collect::<Vec<_>>();
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
        if let Some(watch) = self.watches.get_mut(at) {
            watch.1 += revisions as i64;
        }
    }

    /// All events from a revision on.
    pub(super) fn since(&self, revision: i64) -> Vec<Name> {
        let revisions = self.history.get(revision as usize - 1..).unwrap_or_default();
        revisions.iter().flatten().map(name).collect()
    }

    /// Tells a watch that has been sent all how far that is.
    pub(super) fn progress(&mut self, at: usize) {
        if let Some(&(id, next)) = self.watches.get(at)
            && next == self.revision() + 1
        {
            self.sent.push_back(self.answer(id));
        }
    }
}
