//! What a message with events is worth: each event exactly once, in order, and only to the watch of its range.

use super::super::batch::{Batch, Entry, Events};
use super::super::reason::canceled;
use super::table::{Key, Phase, Watch, Watches};
use crate::etcd::pb::{Response, WatchResponse};

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

    pub(super) fn events(&mut self, key: Key, message: Batch) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        let Batch {
            mut response,
            mut events,
        } = message;
        let foreign = |event: &Entry| event.revision.is_some() && !watch.covers(events.key(event));
        if events.entries().iter().any(foreign) {
            return self.fail("the server sent an event of a key that is not watched");
        }
        if response.fragment || !watch.fragments.is_empty() {
            events = watch.join(events, response.fragment);
            if watch.fragments.size() > FRAGMENTS_LIMIT {
                return self.give_up(key, "a revision in fragments has no end");
            }
            if response.fragment && events.is_empty() {
                return;
            }
            response.fragment = false;
        }
        if events.is_empty() {
            watch.next_revision = watch.next_revision.max(response.revision().saturating_add(1));
            if watch.wants_progress {
                self.deliver(key, Batch { response, events });
            }
            return;
        }
        let Some(last) = events.entries().iter().map(|event| event.revision).max().flatten() else {
            return self.give_up(key, "an event without a key");
        };
        // What a server repeats was delivered before.
        events.retain_from(watch.next_revision);
        if !events.is_empty() {
            watch.next_revision = last.saturating_add(1);
            self.history.hand_out(&events);
            self.counts.events += events.entries().len() as u64;
            self.deliver(key, Batch { response, events });
        }
    }

    fn deliver(&mut self, key: Key, mut message: Batch) {
        let watches = self.by_key.len();
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        message.response.watch_id = key.cast_signed();
        watch.inbox.push(message);
        if watch.inbox.is_full(watches) {
            self.detach(key, Phase::Paused);
        }
    }
}

impl Watch {
    /// Joins fragments, and returns the events of those revisions that are complete.
    fn join(&mut self, events: Events, is_fragment: bool) -> Events {
        self.fragments.append(events);
        let entries = self.fragments.entries();
        let whole = if is_fragment {
            whole_revisions(entries)
        } else {
            entries.len()
        };
        self.fragments.split_to(whole)
    }
}

/// How many of the events of a message, of which more is to come, are of revisions that are complete.
fn whole_revisions(events: &[Entry]) -> usize {
    let newest = events.last().map(|event| event.revision);
    events
        .iter()
        .rposition(|event| Some(event.revision) != newest)
        .map_or(0, |last| last + 1)
}
