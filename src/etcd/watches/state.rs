//! The state machine of a client's watches: which requests are to be sent, and what each message means.
//!
//! In: watches that come and go, messages of the server, the stream's breaks. Out: requests, responses in inboxes.
//! It has no socket, no clock and no task, so that tests and fuzzers can drive it step by step. `binding` decides which
//! watch a confirmation belongs to, `delivery` what its events are worth, `history` remembers what the store held, and
//! `table` holds the watches themselves.
//!
//! A watch keeps its [`Key`] for life, but gets a new watch id on the wire each time it is created on a server: what
//! still arrives under an old id belongs to nobody.

mod binding;
mod delivery;
mod history;
mod table;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

pub(super) use binding::Suspect;
pub(super) use history::History;
pub(crate) use table::Counts;
pub(super) use table::{Key, Watches};

use table::{ALL, FIRST, Phase, Watch, WireId};

use super::batch::{Batch, Events};
use super::inbox::Inbox;
use crate::etcd::error::{Code, Error};
use crate::etcd::failure::Failure;
use crate::etcd::pb::watch_request::RequestUnion;
use crate::etcd::pb::{WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest};

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
            fragments: Events::default(),
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

    /// How many watches are doing what, the bytes that wait to be read, and what they have seen so far.
    pub(super) fn numbers(&self) -> ([usize; 3], usize, Counts) {
        let mut standing = [0; 3];
        for watch in self.by_key.values() {
            standing[watch.phase.standing() as usize] += 1;
        }
        (standing, self.budget.waiting(), self.counts.clone())
    }

    /// What a watch is doing, and the last revision that it has delivered all of.
    pub(super) fn standing(&self, key: Key) -> (Standing, i64) {
        let Some(watch) = self.by_key.get(&key) else {
            return (Standing::Ended, 0);
        };
        (watch.phase.standing(), watch.next_revision.saturating_sub(1))
    }

    /// Has everybody who waits for a watch look again: at how far it is, and whether it is cut off.
    pub(super) fn stir(&self) {
        self.by_key.values().for_each(|watch| watch.inbox.stir());
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
    /// and not answered: the response to one request must not be taken for that to a later one. `given_up` says that
    /// none will come any more, since a server does not answer while some watch is behind.
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

    /// What the store must still hold, where a watch resumes that depends on it; and a key of that watch.
    pub(super) fn resumes(&self) -> Option<(History, Bytes)> {
        let depends = |watch: &&Watch| watch.confirm.is_none() || watch.resumes && watch.request.start_revision == 0;
        let watch = self.by_key.values().find(depends)?;
        Some((self.history.clone(), watch.request.key.clone()))
    }

    /// The store is another one, and stands at `revision`. What was watched before goes on nowhere.
    pub(super) fn store_went_back(&mut self, revision: i64) {
        let before = self.history.newest;
        let text = if revision < before {
            format!("the store went back from revision {before} to {revision}")
        } else {
            format!("the store went back to before revision {before} and was written on to {revision}")
        };
        let mut reason = Error::new(Code::Compacted, text);
        reason.compact_revision = Some(revision);
        self.history = History {
            newest: revision,
            witness: None,
        };
        let keys: Vec<_> = self.by_key.keys().copied().collect();
        for key in keys {
            let Some(watch) = self.by_key.get_mut(&key) else {
                continue;
            };
            if watch.confirm.is_none() {
                self.end(key, reason.clone());
            } else if watch.request.start_revision == 0 {
                watch.next_revision = revision.saturating_add(1);
            }
        }
    }

    /// A message of the server.
    pub(super) fn receive(&mut self, message: impl Into<Batch>) {
        let message = message.into();
        let response = &message.response;
        self.history.see(response);
        if response.created {
            self.created(response);
        } else if let Some(&key) = self.by_wire.get(&response.watch_id) {
            if response.canceled {
                self.canceled(key, response);
            } else {
                self.events(key, message);
            }
        } else if response.watch_id == ALL && !response.canceled && message.events.is_empty() {
            self.progress(response);
        }
    }

    /// Why the stream is to be ended, if it is.
    pub(super) fn fault(&self) -> Option<Failure> {
        self.fault.clone()
    }
}

impl Phase {
    fn standing(self) -> Standing {
        match self {
            Self::Attached(_) => Standing::Attached,
            Self::Detached | Self::Creating(_) => Standing::Detached,
            Self::Paused => Standing::Paused,
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
