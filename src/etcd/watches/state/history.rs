//! What a store must still hold to be the one that was watched: an older backup may have taken its place.
//!
//! In: the messages of the server and the events that are handed out. Out: the newest revision that was heard of, and a
//! witness: the last PUT that was handed out. No header tells a restored store from the one before.

use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

use super::delivery::revision;
use super::{Watch, WatchResponse, Watches};
use crate::etcd::error::{Code, Error};
use crate::etcd::pb::mvccpb::event::EventType;
use crate::etcd::pb::{Event, KeyValue, Response};

/// What is known of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct History {
    /// The newest revision that the store is known to have had.
    pub(in super::super) newest: i64,
    pub(in super::super) witness: Option<Witness>,
}

/// A PUT that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Witness {
    pub(in super::super) key: Bytes,
    pub(in super::super) revision: i64,
    create_revision: i64,
    version: i64,
    value: u64,
}

impl Witness {
    fn new(kv: &KeyValue) -> Self {
        Self {
            // Of its own, since it stays: a slice would hold the whole message.
            key: Bytes::copy_from_slice(&kv.key),
            revision: kv.mod_revision,
            create_revision: kv.create_revision,
            version: kv.version,
            value: hash(&kv.value),
        }
    }

    /// Is this what was put then?
    pub(in super::super) fn is(&self, kv: &KeyValue) -> bool {
        *self == Self::new(kv)
    }
}

fn hash(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(value);
    hasher.finish()
}

impl History {
    /// Notes the revision in a message, where it is the store's: etcd's proxy makes headers of its own, with whatever
    /// revision was asked for, and without a cluster.
    pub(super) fn see(&mut self, message: &WatchResponse) {
        if message.cluster_id() != 0 {
            self.newest = self.newest.max(message.revision());
        }
    }

    /// Notes the newest revision of these events, and their last PUT.
    pub(super) fn hand_out(&mut self, events: &[Event]) {
        let newest = events.iter().filter_map(revision).max();
        self.newest = self.newest.max(newest.unwrap_or(0));
        if let Some(kv) = last_put(events)
            && self
                .witness
                .as_ref()
                .is_none_or(|witness| witness.revision < kv.mod_revision)
        {
            self.witness = Some(Witness::new(kv));
        }
    }
}

/// The last PUT of these events that the end of its own revision has left there.
fn last_put(events: &[Event]) -> Option<&KeyValue> {
    let name = |event: &Event| event.kv.as_ref().map(|kv| (kv.mod_revision, kv.key.clone()));
    let stays = |at: usize| !events[at + 1..].iter().any(|later| name(later) == name(&events[at]));
    let mut puts = (0..events.len())
        .rev()
        .filter(|at| events[*at].r#type == EventType::Put as i32);
    events[puts.find(|at| stays(*at))?].kv.as_ref()
}

impl Watches {
    /// What the store must still hold, where a watch resumes that depends on it; and a key of that watch.
    pub(in super::super) fn resumes(&self) -> Option<(History, Bytes)> {
        let depends = |watch: &&Watch| watch.confirm.is_none() || watch.resumes && watch.request.start_revision == 0;
        let watch = self.by_key.values().find(depends)?;
        Some((self.history.clone(), watch.request.key.clone()))
    }

    /// Where no watch is left, nothing depends on what was seen.
    pub(super) fn forget_history(&mut self) {
        if self.by_key.is_empty() {
            self.history = History::default();
        }
    }

    /// The store is another one, and stands at `revision`. What was watched before goes on nowhere.
    pub(in super::super) fn store_went_back(&mut self, revision: i64) {
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
}
