//! The state machine of a client's watches: which requests are to be sent, and what each message means.
//!
//! In: watches that come and go, messages of the server, the stream's breaks. Out: requests, responses in inboxes.
//! It has no socket, no clock and no task, so that tests and fuzzers can drive it step by step. `binding` decides which
//! watch a confirmation belongs to, `delivery` what its events are worth, `history` remembers what the store held.
//!
//! A watch keeps its [`Key`] for life, but gets a new watch id on the wire each time it is created on a server: what
//! still arrives under an old id belongs to nobody.

mod binding;
mod delivery;
mod history;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

pub(super) use binding::Suspect;
pub(super) use history::History;

use super::inbox::{Budget, Inbox};
use crate::etcd::cause::Retry;
use crate::etcd::error::{Code, Error};
use crate::etcd::failure::Failure;
use crate::etcd::pb::watch_request::RequestUnion;
use crate::etcd::pb::{
    Event, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};

/// Names a watch of this client.
pub(super) type Key = u64;

/// Names a watch on the wire.
pub(super) type WireId = i64;

/// The ids on the wire begin behind this. A proxy that gives out ids of its own counts from 0, and must not hit upon
/// those that were asked for.
const FIRST: WireId = 1 << 32;

/// In place of a watch id: the message is about all watches of the stream.
const ALL: WireId = -1;

#[derive(Default)]
pub(super) struct Watches {
    by_key: BTreeMap<Key, Watch>,
    /// The watches that the present stream has confirmed, by the ids that they have on it.
    by_wire: HashMap<WireId, Key>,
    /// To be created on this stream.
    to_create: VecDeque<(WireId, Key)>,
    /// Created on this stream and not answered yet. Without a key where the watch is gone.
    creating: VecDeque<(WireId, Option<Key>)>,
    to_cancel: VecDeque<WireId>,
    last_key: Key,
    last_wire: WireId,
    /// Some server gives out ids of its own, or confirms in an order of its own. Then one watch is created at a time.
    careful: bool,
    /// This stream's server has confirmed a watch under the id that was asked for.
    keeps_ids: bool,
    /// Which member that was.
    member: u64,
    /// Could there be a new token?
    can_login: bool,
    /// Watches that were refused for what may be the fault of an old token, and why.
    denied: VecDeque<(Key, Error)>,
    /// Why the stream is to be ended: the server has broken the rules, or wants a new token.
    fault: Option<Failure>,
    /// The revision was asked for up to which the watches have had their events, and there is no answer yet.
    progress_asked: bool,
    /// It is to be asked for.
    wants_progress: bool,
    history: History,
    budget: Arc<Budget>,
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
    /// It was asked for on an earlier stream.
    resumes: bool,
    /// The cluster that it is a watch of; 0 while nobody has said.
    cluster_id: u64,
    /// How often in a row it was refused without a reason that holds.
    refusals: u32,
    /// It was confirmed on this stream before the last request for progress.
    asked: bool,
    /// Events of a message whose last fragment has not come.
    fragments: Vec<Event>,
    fragment_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// To be created as soon as there is a stream.
    Detached,
    /// On the way to the server under this id.
    Creating(WireId),
    /// On the server under this id.
    Attached(WireId),
    /// Taken off the server until the reader has caught up.
    Paused,
}

/// What a watch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The server sends its events.
    Attached,
    /// It waits for a stream.
    Detached,
    /// It waits for its reader.
    Paused,
    /// It has ended.
    Ended,
}

impl Watches {
    /// No watches. `can_login` says whether a refused watch may be asked for again with a new token.
    pub(super) fn new(can_login: bool) -> Self {
        Self {
            can_login,
            last_wire: FIRST,
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
            resumes: false,
            cluster_id: 0,
            refusals: 0,
            asked: false,
            fragments: Vec::new(),
            fragment_bytes: 0,
            request,
        };
        watch.inbox.join(&self.budget);
        if watch.request.start_revision == 0 {
            self.history.newest = self.history.newest.max(first.saturating_sub(1));
        }
        self.by_key.insert(self.last_key, watch);
        self.attach(self.last_key);
        self.last_key
    }

    /// Forgets a watch. Says whether there was one.
    pub(super) fn cancel(&mut self, key: Key) -> bool {
        self.detach(key, Phase::Detached);
        let removed = self.by_key.remove(&key).is_some();
        self.forget_history();
        removed
    }

    /// Puts a paused watch back on the server. Says whether it was paused.
    pub(super) fn resume(&mut self, key: Key) -> bool {
        let paused = self.by_key.get(&key).is_some_and(|watch| watch.phase == Phase::Paused);
        if paused {
            self.attach(key);
        }
        paused
    }

    /// What a watch is doing, and the last revision that it has delivered all of.
    pub(super) fn standing(&self, key: Key) -> (Standing, i64) {
        let Some(watch) = self.by_key.get(&key) else {
            return (Standing::Ended, 0);
        };
        let standing = match watch.phase {
            Phase::Attached(_) => Standing::Attached,
            Phase::Detached | Phase::Creating(_) => Standing::Detached,
            Phase::Paused => Standing::Paused,
        };
        (standing, watch.next_revision.saturating_sub(1))
    }

    /// Is every watch that was confirmed on a server, or waiting for its reader?
    pub(super) fn are_attached(&self) -> bool {
        let attached = |watch: &Watch| matches!(watch.phase, Phase::Attached(_) | Phase::Paused);
        self.by_key
            .values()
            .all(|watch| attached(watch) || watch.confirm.is_some())
    }

    /// The member that has confirmed the watches of this stream; 0 where that is not known.
    pub(super) fn member(&self) -> u64 {
        self.member
    }

    /// Is there a proxy at the other end of the stream, which has given out ids of its own? Its stream outlives those
    /// between it and the store, so that this may change without a break.
    pub(super) fn are_proxied(&self) -> bool {
        self.by_wire.keys().any(|id| *id <= FIRST)
    }

    /// Is there nothing that needs a stream?
    pub(super) fn is_idle(&self) -> bool {
        self.by_key.values().all(|watch| watch.phase == Phase::Paused)
    }

    /// The next request to send on the present stream.
    pub(super) fn next_request(&mut self) -> Option<WatchRequest> {
        if let Some(watch_id) = self.to_cancel.pop_front() {
            return Some(request(RequestUnion::CancelRequest(WatchCancelRequest { watch_id })));
        }
        // A server that keeps no ids may be a proxy, which knows no progress.
        if std::mem::take(&mut self.wants_progress) && self.keeps_ids && !self.careful {
            return Some(self.progress_request());
        }
        if self.careful && !self.creating.is_empty() {
            return None;
        }
        let (wire, key) = self.to_create.pop_front()?;
        self.creating.push_back((wire, Some(key)));
        let watch = self.by_key.get(&key)?;
        let start_revision = match watch.confirm {
            Some(_) => watch.request.start_revision,
            // Servers have lost the deletion at the very revision that was compacted. What is repeated is dropped.
            None => watch.next_revision.saturating_sub(1).max(1),
        };
        Some(request(RequestUnion::CreateRequest(WatchCreateRequest {
            watch_id: wire,
            start_revision,
            fragment: true,
            ..watch.request.clone()
        })))
    }

    /// Wants to know the revision up to which all watches of the stream have had their events, unless that was asked
    /// and not answered: the answer to one request must not be taken for that to a later one. `given_up` says that none
    /// will come any more, since a server does not answer while some watch is behind.
    pub(super) fn ask_progress(&mut self, given_up: bool) -> bool {
        self.wants_progress = given_up || !self.progress_asked;
        self.wants_progress
    }

    fn progress_request(&mut self) -> WatchRequest {
        self.progress_asked = true;
        for watch in self.by_key.values_mut() {
            watch.asked = matches!(watch.phase, Phase::Attached(_));
        }
        request(RequestUnion::ProgressRequest(WatchProgressRequest {}))
    }

    /// The oldest watch that was asked for on this stream and not answered.
    pub(super) fn unanswered(&self) -> Option<WireId> {
        self.creating.front().map(|(wire, _)| *wire)
    }

    /// A new stream, on which nothing has been sent: all watches are created on it, each from where it stands.
    pub(super) fn connected(&mut self) {
        self.by_wire.clear();
        self.creating.clear();
        self.to_create.clear();
        self.to_cancel.clear();
        self.denied.clear();
        self.fault = None;
        self.keeps_ids = false;
        self.member = 0;
        self.progress_asked = false;
        self.wants_progress = false;
        let keys: Vec<_> = self.by_key.keys().copied().collect();
        for key in keys {
            if self.by_key.get(&key).is_some_and(|watch| watch.phase != Phase::Paused) {
                self.attach(key);
            }
        }
    }

    /// The stream broke: nothing comes to any watch until there is another.
    pub(super) fn broke(&mut self) {
        for watch in self.by_key.values_mut() {
            watch.resumes = true;
            if watch.phase != Phase::Paused {
                watch.phase = Phase::Detached;
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
        let keys: Vec<_> = self.by_key.keys().copied().collect();
        for key in keys {
            self.end(key, reason.clone());
        }
    }

    /// A message of the server.
    pub(super) fn receive(&mut self, message: WatchResponse) {
        self.history.see(&message);
        if message.created {
            self.created(&message);
        } else if let Some(&key) = self.by_wire.get(&message.watch_id) {
            if message.canceled {
                self.canceled(key, &message);
            } else {
                self.events(key, message);
            }
        } else if message.watch_id == ALL && !message.canceled && message.events.is_empty() {
            self.progress(&message);
        }
    }

    /// Why the stream is to be ended, if it is.
    pub(super) fn fault(&self) -> Option<Failure> {
        self.fault.clone()
    }

    /// Wants the watch created on the present stream, from where it stands.
    fn attach(&mut self, key: Key) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        self.last_wire += 1;
        watch.phase = Phase::Creating(self.last_wire);
        watch.asked = false;
        watch.drop_fragments();
        self.to_create.push_back((self.last_wire, key));
    }

    /// Wants the watch taken off the server.
    fn detach(&mut self, key: Key, phase: Phase) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        watch.drop_fragments();
        match std::mem::replace(&mut watch.phase, phase) {
            Phase::Attached(wire) => {
                self.by_wire.remove(&wire);
                self.to_cancel.push_back(wire);
            }
            Phase::Creating(wire) => self.forget_creation(wire),
            Phase::Detached | Phase::Paused => {}
        }
    }

    /// Nobody waits any longer for the watch that was to be created under this id.
    fn forget_creation(&mut self, wire: WireId) {
        self.to_create.retain(|(other, _)| *other != wire);
        if let Some((_, key)) = self.creating.iter_mut().find(|(other, _)| *other == wire) {
            *key = None;
            self.to_cancel.push_back(wire);
        }
    }

    /// The server breaks the rules: the watch is taken off it.
    fn give_up(&mut self, key: Key, reason: &str) {
        self.detach(key, Phase::Detached);
        self.end(key, Error::new(Code::Protocol, reason));
    }

    /// The watch has ended.
    fn end(&mut self, key: Key, reason: Error) {
        if let Some(&Watch {
            phase: Phase::Creating(wire),
            ..
        }) = self.by_key.get(&key)
        {
            self.forget_creation(wire);
        }
        let Some(watch) = self.by_key.remove(&key) else { return };
        if let Phase::Attached(wire) = watch.phase {
            self.by_wire.remove(&wire);
        }
        if let Some(confirm) = watch.confirm {
            // The caller may have given up waiting.
            let _ = confirm.send(Err(Failure::last(reason.clone())));
        }
        watch.inbox.end(reason);
        self.forget_history();
    }

    /// The stream is to be ended, and everything resumed on another after a pause.
    fn fail(&mut self, reason: &str) {
        self.fail_with(Error::new(Code::Protocol, reason), Retry::Later);
    }

    fn fail_with(&mut self, error: Error, retry: Retry) {
        self.fault.get_or_insert(Failure {
            retry,
            ..Failure::last(error)
        });
    }
}

impl Watch {
    fn drop_fragments(&mut self) {
        (self.fragments, self.fragment_bytes) = Default::default();
    }

    /// Is the key in the range that is watched?
    fn covers(&self, key: &Bytes) -> bool {
        let (first, end) = (&self.request.key, &self.request.range_end);
        match &end[..] {
            [] => key == first || first.is_empty() && key[..] == [0],
            [0] => key >= first,
            end => key >= first && key[..] < *end,
        }
    }
}

fn request(union: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}

#[cfg(test)]
mod tests;
