//! The watches of a client as they stand on the present stream, by key and by the ids that they have on the wire.
//!
//! Out: how a watch is attached to the stream, detached from it, and ended. What a message means is for others.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::batch::Events;
use super::super::inbox::{Budget, Inbox};
use super::history::History;
use crate::etcd::cause::Retry;
use crate::etcd::error::{Code, Error};
use crate::etcd::failure::Failure;
use crate::etcd::journal::{Level, Record};
use crate::etcd::pb::WatchCreateRequest;
use crate::etcd::stats::Stats;

/// Names a watch of this client.
pub(in super::super) type Key = u64;

/// Names a watch on the wire.
pub(in super::super) type WireId = i64;

/// The ids on the wire begin behind this. A proxy that gives out ids of its own counts from 0, and must not hit upon
/// those that were asked for.
pub(super) const FIRST: WireId = 1 << 32;

/// In place of a watch id: the message is about all watches of the stream.
pub(super) const ALL: WireId = -1;

/// What the watches of a client have seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Events that were delivered.
    pub(crate) events: u64,
    /// Watches that went on, on another stream or after a pause.
    pub(crate) resumes: u64,
    /// Watches that have ended by themselves, by the code of the reason.
    pub(crate) ends: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
pub(in super::super) struct Watches {
    pub(super) by_key: BTreeMap<Key, Watch>,
    /// The watches that the present stream has confirmed, by the ids that they have on it.
    pub(super) by_wire: HashMap<WireId, Key>,
    /// To be created on this stream.
    pub(super) to_create: VecDeque<(WireId, Key)>,
    /// Created on this stream and not answered yet. Without a key where the watch is gone.
    pub(super) creating: VecDeque<(WireId, Option<Key>)>,
    pub(super) to_cancel: VecDeque<WireId>,
    pub(super) last_key: Key,
    pub(super) last_wire: WireId,
    /// Some server gives out ids of its own, or confirms in an order of its own. Then one watch is created at a time.
    pub(super) careful: bool,
    /// This stream's server has confirmed a watch under the id that was asked for.
    pub(super) keeps_ids: bool,
    /// Which member that was.
    pub(super) member: u64,
    /// Could there be a new token?
    pub(super) can_login: bool,
    /// Watches that were refused for what may be the fault of an old token, and why.
    pub(super) denied: VecDeque<(Key, Error)>,
    /// Why the stream is to be ended: the server has broken the rules, or wants a new token.
    pub(super) fault: Option<Failure>,
    /// The revision was asked for up to which the watches have had their events, and there is no response yet.
    pub(super) progress_asked: bool,
    /// It is to be asked for.
    pub(super) wants_progress: bool,
    pub(super) history: History,
    pub(super) counts: Counts,
    /// Ends are told in its journal.
    pub(in super::super) stats: Arc<Stats>,
    pub(super) budget: Arc<Budget>,
}

pub(super) struct Watch {
    pub(super) request: WatchCreateRequest,
    /// All before this revision has been delivered.
    pub(super) next_revision: i64,
    /// Progress notifications keep `next_revision` fresh; does the reader want to see them?
    pub(super) wants_progress: bool,
    pub(super) phase: Phase,
    /// Waits for the server's first word. Empty from then on.
    pub(super) confirm: Option<oneshot::Sender<Result<(), Failure>>>,
    pub(super) inbox: Arc<Inbox>,
    /// It was asked for on an earlier stream.
    pub(super) resumes: bool,
    /// The cluster that it is a watch of; 0 while nobody has said.
    pub(super) cluster_id: u64,
    /// How often in a row it was refused without a reason that holds.
    pub(super) refusals: u32,
    /// It was confirmed on this stream before the last request for progress.
    pub(super) asked: bool,
    /// Events of a message whose last fragment has not come.
    pub(super) fragments: Events,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// To be created as soon as there is a stream.
    Detached,
    /// On the way to the server under this id.
    Creating(WireId),
    /// On the server under this id.
    Attached(WireId),
    /// Taken off the server until the reader has caught up.
    Paused,
}

impl Watches {
    /// Wants the watch created on the present stream, from where it stands.
    pub(super) fn attach(&mut self, key: Key) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        self.last_wire += 1;
        watch.phase = Phase::Creating(self.last_wire);
        watch.asked = false;
        watch.drop_fragments();
        self.to_create.push_back((self.last_wire, key));
    }

    /// Wants the watch taken off the server.
    pub(super) fn detach(&mut self, key: Key, phase: Phase) {
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
    pub(super) fn forget_creation(&mut self, wire: WireId) {
        self.to_create.retain(|(other, _)| *other != wire);
        if let Some((_, key)) = self.creating.iter_mut().find(|(other, _)| *other == wire) {
            *key = None;
            self.to_cancel.push_back(wire);
        }
    }

    /// The server breaks the rules: the watch is taken off it.
    pub(super) fn give_up(&mut self, key: Key, reason: &str) {
        self.detach(key, Phase::Detached);
        self.end(key, Error::new(Code::Protocol, reason));
    }

    /// The watch has ended.
    pub(super) fn end(&mut self, key: Key, reason: Error) {
        if let Some(&Watch {
            phase: Phase::Creating(wire),
            ..
        }) = self.by_key.get(&key)
        {
            self.forget_creation(wire);
        }
        let Some(watch) = self.by_key.remove(&key) else { return };
        if reason.code != Code::Closed {
            *self.counts.ends.entry(reason.code.name()).or_default() += 1;
            let ended = || Record::of("watch_ended", &reason).about(&watch.request.key);
            self.stats.journal.tell(Level::Warn, ended);
        }
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
    pub(super) fn fail(&mut self, reason: &str) {
        self.fail_with(Error::new(Code::Protocol, reason), Retry::Later);
    }

    pub(super) fn fail_with(&mut self, error: Error, retry: Retry) {
        self.fault.get_or_insert(Failure {
            retry,
            ..Failure::last(error)
        });
    }

    /// Where no watch is left, nothing depends on what was seen.
    pub(super) fn forget_history(&mut self) {
        if self.by_key.is_empty() {
            self.history = History::default();
        }
    }
}

impl Watch {
    pub(super) fn drop_fragments(&mut self) {
        self.fragments = Events::default();
    }

    /// Is the key in the range that is watched?
    pub(super) fn covers(&self, key: &[u8]) -> bool {
        let (first, end) = (&self.request.key, &self.request.range_end);
        match &end[..] {
            [] => key == first || first.is_empty() && key == [0],
            [0] => key >= &first[..],
            end => key >= &first[..] && key < end,
        }
    }
}
