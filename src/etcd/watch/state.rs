//! The state machine of a client's watches: which requests are to be sent, and what each message means.
//!
//! In: watches that come and go, messages of the server, the stream's breaks. Out: requests, responses in inboxes.
//! It has no socket, no clock and no task, so that tests and fuzzers can drive it step by step.
//!
//! A watch keeps its [`Key`] for life, but gets a new watch id on the wire each time it is created on a server: what
//! still arrives under an old id belongs to nobody.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::inbox::Inbox;
use super::reason::canceled;
use crate::etcd::error::{Code, Error};
use crate::etcd::failure::{Again, Failure, refuses_token};
use crate::etcd::pb::watch_request::RequestUnion;
use crate::etcd::pb::{Answer, Event, WatchCancelRequest, WatchCreateRequest, WatchRequest, WatchResponse};

/// Names a watch of this client.
pub(super) type Key = u64;

/// Names a watch on the wire. From 1 on: servers have mixed up watch 0 with a refused one.
pub(super) type WireId = i64;

/// The bytes of one revision that are held back until its last fragment has come.
const FRAGMENTS_LIMIT: usize = 256 << 20;

#[derive(Default)]
pub(super) struct Watches {
    by_key: BTreeMap<Key, Watch>,
    by_wire: HashMap<WireId, Key>,
    /// Created on this stream and not answered yet. The server answers in this order.
    unanswered: VecDeque<WireId>,
    requests: VecDeque<WatchRequest>,
    last_key: Key,
    last_wire: WireId,
    /// Could there be a new token?
    can_login: bool,
    refusal: Option<Error>,
}

struct Watch {
    request: WatchCreateRequest,
    /// All before this revision has been delivered.
    next_revision: i64,
    /// Progress notifications keep `next_revision` fresh; does the reader want to see them?
    wants_progress: bool,
    phase: Phase,
    /// Waits for the server's first word. Empty from then on.
    confirm: Option<oneshot::Sender<Result<(), Failure>>>,
    inbox: Arc<Inbox>,
    /// The cluster that it is a watch of; 0 while nobody has said.
    cluster_id: u64,
    /// Was it refused for what may be the fault of an old token, and not confirmed since?
    refused: bool,
    /// Events of a message whose last fragment has not come.
    fragments: Vec<Event>,
    fragment_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// To be created as soon as there is a stream.
    Detached,
    /// On the server, or on the way to it, under this id.
    Attached(WireId),
    /// Taken off the server until the reader has caught up.
    Paused,
}

impl Watches {
    /// No watches. `can_login` says whether a refused watch may be asked for again with a new token.
    pub(super) fn new(can_login: bool) -> Self {
        Self {
            can_login,
            ..Self::default()
        }
    }

    /// A new watch of all events from the revision `first` on. One whose request has no `start_revision` is created
    /// without one, since `first` may be compacted before the server hears of it, and resumed with it.
    pub(super) fn create(
        &mut self,
        mut request: WatchCreateRequest,
        first: i64,
        inbox: Arc<Inbox>,
        confirm: oneshot::Sender<Result<(), Failure>>,
    ) -> Key {
        self.last_key += 1;
        let watch = Watch {
            next_revision: first,
            wants_progress: std::mem::replace(&mut request.progress_notify, true),
            phase: Phase::Detached,
            confirm: Some(confirm),
            inbox,
            cluster_id: 0,
            refused: false,
            fragments: Vec::new(),
            fragment_bytes: 0,
            request,
        };
        self.by_key.insert(self.last_key, watch);
        self.attach(self.last_key);
        self.last_key
    }

    /// Forgets a watch. Says whether there was one.
    pub(super) fn cancel(&mut self, key: Key) -> bool {
        self.detach(key);
        self.by_key.remove(&key).is_some()
    }

    /// Puts a paused watch back on the server. Says whether it was paused.
    pub(super) fn resume(&mut self, key: Key) -> bool {
        let paused = self.by_key.get(&key).is_some_and(|watch| watch.phase == Phase::Paused);
        if paused {
            self.attach(key);
        }
        paused
    }

    /// Is there nothing that needs a stream?
    pub(super) fn is_idle(&self) -> bool {
        self.by_key.values().all(|watch| watch.phase == Phase::Paused)
    }

    /// The next request to send on the present stream.
    pub(super) fn next_request(&mut self) -> Option<WatchRequest> {
        self.requests.pop_front()
    }

    /// The oldest watch that was asked for on this stream and not answered.
    pub(super) fn unanswered(&self) -> Option<WireId> {
        self.unanswered.front().copied()
    }

    /// A new stream, on which nothing has been sent: all watches are created on it, each from where it stands.
    pub(super) fn connected(&mut self) {
        self.by_wire.clear();
        self.unanswered.clear();
        self.requests.clear();
        let keys: Vec<_> = self.by_key.keys().copied().collect();
        for key in keys {
            let Some(watch) = self.by_key.get_mut(&key) else {
                continue;
            };
            if watch.phase != Phase::Paused {
                watch.phase = Phase::Detached;
                self.attach(key);
            }
        }
    }

    /// No server could be reached: those who wait for a new watch are told. Older watches wait on.
    pub(super) fn stranded(&mut self, failure: &Failure) {
        let mut unconfirmed = Vec::new();
        for (key, watch) in &mut self.by_key {
            if let Some(confirm) = watch.confirm.take() {
                unconfirmed.push(*key);
                // The caller may have given up waiting.
                let _ = confirm.send(Err(failure.clone()));
            }
        }
        for key in unconfirmed {
            self.cancel(key);
        }
    }

    /// All watches end, for one reason.
    pub(super) fn end_all(&mut self, reason: &Error) {
        self.requests.clear();
        self.unanswered.clear();
        let keys: Vec<_> = self.by_key.keys().copied().collect();
        for key in keys {
            self.end(key, reason.clone());
        }
    }

    /// A message of the server.
    pub(super) fn receive(&mut self, message: WatchResponse) {
        if message.created {
            self.created(&message);
        } else if let Some(&key) = self.by_wire.get(&message.watch_id) {
            if message.canceled {
                self.end(key, canceled(&message));
            } else {
                self.events(key, message);
            }
        }
    }

    /// The refusal, since the last time this was asked, of a watch that a new stream with a new token may be granted.
    pub(super) fn refusal(&mut self) -> Option<Error> {
        self.refusal.take()
    }

    /// The answer to the oldest create that has none. A refused one comes with an id of the server's choice.
    fn created(&mut self, message: &WatchResponse) {
        let Some(wire) = self.unanswered.pop_front() else {
            return;
        };
        let (id, cluster_id) = (message.watch_id, message.cluster_id());
        let Some(&key) = self.by_wire.get(&wire) else {
            if !message.canceled && id != wire && !self.by_wire.contains_key(&id) {
                // It was cancelled under the id that was asked for.
                let cancel = WatchCancelRequest { watch_id: id };
                self.requests.push_back(request(RequestUnion::CancelRequest(cancel)));
            }
            return;
        };
        let taken = id < 0 || id != wire && self.by_wire.contains_key(&id);
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        if message.canceled {
            let reason = canceled(message);
            let stale = match reason.code {
                Code::Unauthenticated => true,
                _ if refuses_token(&reason.message) => true,
                // Some servers say this of an old token. The second time it is meant.
                Code::PermissionDenied => !std::mem::replace(&mut watch.refused, true),
                _ => false,
            };
            if stale && self.can_login {
                self.refusal = Some(reason);
            } else {
                self.end(key, reason);
            }
        } else if taken {
            self.give_up(key, &format!("the server answered watch {wire} with {id}"));
        } else if cluster_id != 0 && ![0, cluster_id].contains(&watch.cluster_id) {
            self.give_up(key, "the cluster was replaced by another, whose revisions are others");
        } else {
            watch.cluster_id = watch.cluster_id.max(cluster_id);
            // etcd's gRPC proxy gives ids of its own.
            self.by_wire.remove(&wire);
            self.by_wire.insert(id, key);
            watch.phase = Phase::Attached(id);
            watch.refused = false;
            if let Some(confirm) = watch.confirm.take() {
                // The caller may have given up waiting; its watcher then cancels the watch.
                let _ = confirm.send(Ok(()));
            }
        }
    }

    fn events(&mut self, key: Key, mut message: WatchResponse) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        if message.fragment || !watch.fragments.is_empty() {
            watch.fragment_bytes += prost::Message::encoded_len(&message);
            watch.fragments.append(&mut message.events);
            let whole = if message.fragment {
                whole_revisions(&watch.fragments)
            } else {
                watch.fragments.len()
            };
            if whole > 0 {
                message.events = watch.fragments.drain(..whole).collect();
                watch.fragment_bytes = watch.fragments.iter().map(prost::Message::encoded_len).sum();
            }
            if watch.fragment_bytes > FRAGMENTS_LIMIT {
                return self.give_up(key, "a revision in fragments has no end");
            }
            if message.fragment && whole == 0 {
                return;
            }
            message.fragment = false;
        }
        if message.events.is_empty() {
            let revision = message.header.as_ref().map_or(0, |header| header.revision);
            watch.next_revision = watch.next_revision.max(revision.saturating_add(1));
            if watch.wants_progress {
                self.deliver(key, message);
            }
            return;
        }
        let Some(last) = message.events.iter().map(revision).max().flatten() else {
            return self.give_up(key, "an event without a key");
        };
        // What a server repeats was delivered before.
        let next_revision = watch.next_revision;
        message.events.retain(|event| revision(event) >= Some(next_revision));
        if !message.events.is_empty() {
            watch.next_revision = last.saturating_add(1);
            self.deliver(key, message);
        }
    }

    fn deliver(&mut self, key: Key, mut message: WatchResponse) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        message.watch_id = key.cast_signed();
        watch.inbox.push(message);
        if watch.inbox.is_full() {
            self.detach(key);
            if let Some(watch) = self.by_key.get_mut(&key) {
                watch.phase = Phase::Paused;
            }
        }
    }

    /// Wants the watch created on the present stream, from where it stands.
    fn attach(&mut self, key: Key) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        self.last_wire += 1;
        let wire = self.last_wire;
        watch.phase = Phase::Attached(wire);
        watch.fragments.clear();
        watch.fragment_bytes = 0;
        let create = WatchCreateRequest {
            watch_id: wire,
            start_revision: if watch.confirm.is_some() {
                watch.request.start_revision
            } else {
                watch.next_revision
            },
            fragment: true,
            ..watch.request.clone()
        };
        self.by_wire.insert(wire, key);
        self.unanswered.push_back(wire);
        self.requests.push_back(request(RequestUnion::CreateRequest(create)));
    }

    /// Wants the watch taken off the server.
    fn detach(&mut self, key: Key) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        if let Phase::Attached(wire) = watch.phase {
            watch.phase = Phase::Detached;
            self.by_wire.remove(&wire);
            let cancel = WatchCancelRequest { watch_id: wire };
            self.requests.push_back(request(RequestUnion::CancelRequest(cancel)));
        }
    }

    /// The server breaks the rules: the watch is taken off it.
    fn give_up(&mut self, key: Key, reason: &str) {
        self.detach(key);
        self.end(key, Error::new(Code::Protocol, reason));
    }

    /// The watch has ended.
    fn end(&mut self, key: Key, reason: Error) {
        let Some(watch) = self.by_key.remove(&key) else { return };
        if let Phase::Attached(wire) = watch.phase {
            self.by_wire.remove(&wire);
        }
        if let Some(confirm) = watch.confirm {
            // The caller may have given up waiting.
            let _ = confirm.send(Err(Failure {
                error: reason.clone(),
                again: Again::Never,
            }));
        }
        watch.inbox.end(reason);
    }
}

fn request(union: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}

/// How many of the events of a message, of which more is to come, are of revisions that are complete.
fn whole_revisions(events: &[Event]) -> usize {
    let newest = events.last().map(revision);
    events
        .iter()
        .rposition(|event| Some(revision(event)) != newest)
        .map_or(0, |last| last + 1)
}

fn revision(event: &Event) -> Option<i64> {
    event.kv.as_ref().map(|kv| kv.mod_revision)
}

#[cfg(test)]
mod tests;
