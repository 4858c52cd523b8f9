//! What a store must still hold to be the one that was watched: an older backup may have taken its place.
//!
//! In: the messages of the server and the events that are handed out. Out: the newest revision that was heard of, and a
//! witness: the last PUT that was handed out. No header tells a restored store from the one before.

use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

use super::super::batch::{Entry, Events};
use crate::etcd::pb::{KeyValue, Response, WatchResponse};

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

    /// May the key, once put so, be like this now? It can only have been put later.
    pub(in super::super) fn may_precede(&self, kv: &KeyValue) -> bool {
        kv.mod_revision > self.revision || self.is(kv)
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
    pub(super) fn hand_out(&mut self, events: &Events) {
        let newest = events.entries().iter().filter_map(|event| event.revision).max();
        self.newest = self.newest.max(newest.unwrap_or(0));
        if let Some(put) = last_put(events)
            && self
                .witness
                .as_ref()
                .is_none_or(|witness| Some(witness.revision) < put.revision)
        {
            let kv = events.decode(put).and_then(|event| event.kv);
            self.witness = kv.as_ref().map(Witness::new);
        }
    }
}

/// The last PUT of these events that the end of its own revision has left there.
fn last_put(events: &Events) -> Option<&Entry> {
    let entries = events.entries();
    let name = |event: &Entry| event.revision.map(|revision| (revision, events.key(event)));
    let stays = |at: usize| !entries[at + 1..].iter().any(|later| name(later) == name(&entries[at]));
    let mut puts = (0..entries.len()).rev().filter(|at| entries[*at].is_put);
    let last = &entries[puts.find(|at| stays(*at))?];
    last.revision.is_some().then_some(last)
}
