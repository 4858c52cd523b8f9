//! What happened in one run: every call with its times and its outcome, every watch with what it delivered, every
//! lease with its news. Times are nanoseconds since the start of the run.
//!
//! Written by the clients while they run, read by the checks afterwards.

mod seen;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use silly_etcd::etcd::pb::KeyValue;
use silly_etcd::etcd::{Applied, Error};

use crate::lockers::Counted;
pub use seen::{Batch, Event, Wanted, Watch, WatchEnd};

/// A point of time: nanoseconds since the start of the run.
pub type Time = u64;

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Content {
    pub value: String,
    pub created: i64,
    pub modified: i64,
    pub version: i64,
}

/// What a call does, to each of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Get,
    /// Reads what one member has, which may be old.
    SerializableGet,
    Put(String),
    Delete,
    /// Puts the value if the key was last modified at `expected`, or reads the key.
    Swap {
        expected: i64,
        value: String,
    },
}

impl Action {
    /// The value that it writes.
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Put(value) | Self::Swap { value, .. } => Some(value),
            Self::Get | Self::SerializableGet | Self::Delete => None,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered at a revision of the store.
    Ok {
        revision: i64,
        /// Of a swap: did it write?
        swapped: bool,
        /// What the keys held before a put or delete, or when they were read. Not told by a swap that wrote.
        found: Vec<Option<Content>>,
    },
    /// It certainly did nothing.
    Failed(String),
    /// It may have happened.
    Unknown(String),
}

/// One call of one client.
#[derive(Debug, Clone)]
pub struct Call {
    pub client: usize,
    pub keys: Vec<String>,
    pub action: Action,
    pub called: Time,
    pub returned: Time,
    pub outcome: Outcome,
}

impl Call {
    /// The revision of an answered call.
    pub fn revision(&self) -> Option<i64> {
        match self.outcome {
            Outcome::Ok { revision, .. } => Some(revision),
            Outcome::Failed(_) | Outcome::Unknown(_) => None,
        }
    }

    /// The revision at which the call wrote something, if it is known to have done so.
    pub fn wrote(&self) -> Option<i64> {
        let Outcome::Ok {
            revision,
            swapped,
            found,
        } = &self.outcome
        else {
            return None;
        };
        let wrote = match self.action {
            Action::Get | Action::SerializableGet => false,
            Action::Put(_) => true,
            Action::Delete => found.iter().any(Option::is_some),
            Action::Swap { .. } => *swapped,
        };
        wrote.then_some(*revision)
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error.applied {
            Applied::No => Self::Failed(error.to_string()),
            Applied::Maybe | Applied::Yes => Self::Unknown(error.to_string()),
        }
    }
}

/// One lease that was renewed in the background.
#[derive(Debug, Clone)]
pub struct Lease {
    /// 0: it was not granted.
    pub id: i64,
    pub ttl: Time,
    /// The key that lives with it.
    pub key: String,
    /// When each answer to grant and renewal arrived.
    pub renewed: Vec<Time>,
    /// When its loss was reported, and how.
    pub lost: Option<(Time, String)>,
    /// Did a write under it succeed after that?
    pub used_after: bool,
}

/// Everything of one run.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub calls: Vec<Call>,
    pub watches: Vec<Watch>,
    /// The reads of caches.
    pub cached: Vec<Call>,
    pub leases: Vec<Lease>,
    /// The writes under a lock.
    pub counted: Vec<Counted>,
    /// Why locks were not taken.
    pub refused: Vec<String>,
    /// Entries that are not there when they must be, or are there when they must not.
    pub unregistered: Vec<String>,
    /// Entries that were not there when they were said to be held.
    pub unheld: Vec<String>,
    /// From when to when there was a fault.
    pub faults: Vec<(Time, Time)>,
    /// When an older backup was restored.
    pub restored: Vec<Time>,
    /// From when to when a permission was taken.
    pub taken: Vec<(Time, Time)>,
}

/// The record in the making.
pub struct History {
    start: Instant,
    record: Mutex<Record>,
}

impl History {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            record: Mutex::default(),
        }
    }

    /// The present.
    pub fn now(&self) -> Time {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(Time::MAX)
    }

    /// To be held for a moment only.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<KeyValue> for Content {
    fn from(kv: KeyValue) -> Self {
        Self {
            value: text(&kv.value),
            created: kv.create_revision,
            modified: kv.mod_revision,
            version: kv.version,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One line.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Time| time as f64 / 1e6;
        write!(
            f,
            "{:10.3} {:10.3} client {} {:?} {:?} -> {:?}",
            ms(self.called),
            ms(self.returned),
            self.client,
            self.keys,
            self.action,
            self.outcome
        )
    }
}
