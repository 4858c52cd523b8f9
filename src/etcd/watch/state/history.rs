//! What a store must still hold to be the one that was watched: an older backup may have taken its place.
//!
//! In: the messages of the server and the events that are handed out. Out: the newest revision that was heard of, and a
//! witness: the key of the last PUT that was handed out. No header tells a restored store from the one before.

use bytes::Bytes;

use super::delivery::revision;
use super::{WatchResponse, Watches};
use crate::etcd::error::{Code, Error};
use crate::etcd::pb::mvccpb::event::EventType;
use crate::etcd::pb::{Event, Response};

/// What is known of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct History {
    /// The newest revision that the store is known to have had.
    pub(in super::super) newest: i64,
    /// A key, and the revision at which it was put.
    pub(in super::super) witness: Option<(Bytes, i64)>,
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
        let put = |event: &&Event| event.r#type == EventType::Put as i32;
        let Some(kv) = events.iter().rfind(put).and_then(|event| event.kv.as_ref()) else {
            return;
        };
        if self
            .witness
            .as_ref()
            .is_none_or(|(_, revision)| *revision < kv.mod_revision)
        {
            // Of its own, since it stays: a slice would hold the whole message.
            self.witness = Some((Bytes::copy_from_slice(&kv.key), kv.mod_revision));
        }
    }
}

impl Watches {
    /// What the store must still hold, where a watch resumes that depends on it; and a key of that watch.
    pub(in super::super) fn resumes(&self) -> Option<(History, Bytes)> {
        let confirmed = self.by_key.values().find(|watch| watch.confirm.is_none())?;
        Some((self.history.clone(), confirmed.request.key.clone()))
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
