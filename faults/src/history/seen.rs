//! What a watch was asked for, and what it delivered.

use silly_etcd::etcd::pb;
use silly_etcd::etcd::pb::mvccpb::event::EventType;

use super::{Content, Time, text};

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub key: String,
    pub revision: i64,
    /// What the key holds from then on; `None` for a delete.
    pub content: Option<Content>,
    /// What it held before, where that was asked for.
    pub previous: Option<Content>,
}

/// What a watch was asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The key, or with `prefix` what the keys begin with.
    pub key: String,
    pub prefix: bool,
    /// 0: from now on.
    pub start: i64,
    pub previous: bool,
    pub progress: bool,
    pub no_put: bool,
    pub no_delete: bool,
}

impl Wanted {
    /// Is it a key in the watch's range?
    pub fn covers(&self, key: &str) -> bool {
        if self.prefix {
            key.starts_with(&self.key)
        } else {
            key == self.key
        }
    }

    /// Does the watch want this event, if it is not too old?
    pub fn matches(&self, event: &Event) -> bool {
        self.covers(&event.key)
            && !if event.content.is_some() {
                self.no_put
            } else {
                self.no_delete
            }
    }
}

/// One answer of a watch: events, or without any the news that all up to the revision has been delivered.
#[derive(Debug, Clone)]
pub struct Batch {
    pub arrived: Time,
    pub revision: i64,
    pub events: Vec<Event>,
}

/// One watch, from its creation to its end.
#[derive(Debug, Clone)]
pub struct Watch {
    pub name: String,
    /// The number of its client.
    pub client: usize,
    pub wanted: Wanted,
    /// When it was asked for, and when that was confirmed.
    pub called: Time,
    pub confirmed: Time,
    pub batches: Vec<Batch>,
    pub ended: Time,
    pub end: WatchEnd,
    /// Does its reader dawdle?
    pub slow: bool,
}

impl Watch {
    /// The revision of the last event that it delivered.
    pub fn last(&self) -> Option<i64> {
        let last = self.batches.iter().rev().find_map(|batch| batch.events.last());
        last.map(|event| event.revision)
    }
}

/// Why nothing more was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEnd {
    /// All that was written until the end of the run should be there.
    Complete,
    /// The reader closed it in the middle.
    Closed,
    /// It fell behind what the store remembers: this is the first revision left.
    Compacted(i64),
    /// Its user may not read this any more.
    Denied(String),
    /// Anything else.
    Broken(String),
}

impl From<pb::Event> for Event {
    fn from(event: pb::Event) -> Self {
        let deleted = event.r#type() == EventType::Delete;
        let kv = event.kv.unwrap_or_default();
        Self {
            key: text(&kv.key),
            revision: kv.mod_revision,
            previous: event.prev_kv.map(Content::from),
            content: (!deleted).then(|| kv.into()),
        }
    }
}
