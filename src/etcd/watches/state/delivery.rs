//! What a message with events is worth: each event exactly once, in order, and only to the watch of its range.

use super::super::reason::canceled;
use super::history::revision;
use super::table::{Key, Phase, Watch, Watches};
use crate::etcd::pb::{Event, Response, WatchResponse};

/// The bytes of one revision that are held back until its last fragment has come.
const FRAGMENTS_LIMIT: usize = 256 << 20;

impl Watches {
    /// The server has ended a watch.
    pub(super) fn canceled(&mut self, key: Key, message: &WatchResponse) {
        self.end(key, canceled(message));
    }

    /// The watches of the stream have had all events up to this revision, if they were there when that was asked for.
    pub(super) fn progress(&mut self, message: &WatchResponse) {
        if !std::mem::take(&mut self.progress_asked) {
            return;
        }
        let next = message.revision().saturating_add(1);
        for watch in self.by_key.values_mut() {
            if watch.asked && matches!(watch.phase, Phase::Attached(_)) && watch.fragments.is_empty() {
                watch.next_revision = watch.next_revision.max(next);
            }
        }
    }

    pub(super) fn events(&mut self, key: Key, mut message: WatchResponse) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        let foreign = |event: &Event| event.kv.as_ref().is_some_and(|kv| !watch.covers(&kv.key));
        if message.events.iter().any(foreign) {
            return self.fail("the server sent an event of a key that is not watched");
        }
        if message.fragment || !watch.fragments.is_empty() {
            watch.join(&mut message);
            if watch.fragment_bytes > FRAGMENTS_LIMIT {
                return self.give_up(key, "a revision in fragments has no end");
            }
            if message.fragment && message.events.is_empty() {
                return;
            }
            message.fragment = false;
        }
        if message.events.is_empty() {
            watch.next_revision = watch.next_revision.max(message.revision().saturating_add(1));
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
            self.history.hand_out(&message.events);
            self.deliver(key, message);
        }
    }

    fn deliver(&mut self, key: Key, mut message: WatchResponse) {
        let watches = self.by_key.len();
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        message.watch_id = key.cast_signed();
        watch.inbox.push(message);
        if watch.inbox.is_full(watches) {
            self.detach(key, Phase::Paused);
        }
    }
}

impl Watch {
    /// Joins fragments, and leaves in `message` the events of those revisions that are complete.
    fn join(&mut self, message: &mut WatchResponse) {
        self.fragment_bytes += prost::Message::encoded_len(message);
        self.fragments.append(&mut message.events);
        let whole = if message.fragment {
            whole_revisions(&self.fragments)
        } else {
            self.fragments.len()
        };
        if whole > 0 {
            message.events = self.fragments.drain(..whole).collect();
            self.fragment_bytes = self.fragments.iter().map(prost::Message::encoded_len).sum();
        }
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
