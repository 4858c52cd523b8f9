//! What a client tells of what happens to it: connections that are lost, watches that are cut off, locks that are gone.
//!
//! In: events, from any thread, where they happen. Out: a [`Record`] of each to those who read them; nothing is made while
//! nobody does. The same again is told once in a second. Readers who are late miss the oldest, and hear how many.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{Code, Error, Result};
use super::readable::Readable;

/// So many records wait for a reader.
const RING: usize = 256;

/// The same again is told once in so long a time.
const INTERVAL: Duration = Duration::from_secs(1);

/// So many things are remembered of which something was told, and those of the last [`INTERVAL`].
const SUBJECTS: usize = 1024;

/// What is told of a key, in bytes.
const LONGEST_KEY: usize = 100;

/// A key as it is told: the beginning of it, in memory of its own.
pub(crate) fn shortened(key: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&key[..key.len().min(LONGEST_KEY)])
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is lost.
    Error,
    /// Something does not work at the moment.
    #[default]
    Warn,
    /// Something has changed, mostly for the better.
    Info,
}

impl Level {
    /// All of them, and how programs call them.
    pub const NAMES: [(&'static str, Self); 3] = [("error", Self::Error), ("warn", Self::Warn), ("info", Self::Info)];

    /// How programs call it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// How much it matters.
    pub level: Level,
    /// What it is, a word for programs.
    pub event: &'static str,
    /// When it happened.
    pub time: SystemTime,
    /// One line for a person.
    pub message: String,
    /// The server that it is about.
    pub endpoint: Option<Arc<str>>,
    /// Of a failure.
    pub code: Option<Code>,
    /// The call that it is about.
    pub call: Option<&'static str>,
    /// The key that it is about.
    pub key: Option<Bytes>,
    /// How long it took, or lasted.
    pub seconds: Option<f64>,
    /// How many attempts there were, of a call.
    pub attempts: Option<u32>,
    /// So often the same came again before this, and was not told.
    pub repeated: u64,
    /// So many records before this one were missed by its reader.
    pub missed: u64,
}

impl Record {
    /// One that says no more than this.
    pub fn new(event: &'static str, message: impl Into<String>) -> Self {
        Self {
            // As it is told.
            level: Level::default(),
            event,
            time: SystemTime::now(),
            message: message.into(),
            endpoint: None,
            code: None,
            call: None,
            key: None,
            seconds: None,
            attempts: None,
            repeated: 0,
            missed: 0,
        }
    }

    /// One of a failure.
    pub(crate) fn of(event: &'static str, error: &Error) -> Self {
        Self {
            code: Some(error.code),
            endpoint: error.endpoint.clone(),
            ..Self::new(event, error.message.clone())
        }
    }

    pub(crate) fn at(self, endpoint: &Arc<str>) -> Self {
        let endpoint = Some(endpoint.clone());
        Self { endpoint, ..self }
    }

    /// One about a key: the beginning of it is told.
    pub(crate) fn about(self, key: &[u8]) -> Self {
        let key = Some(shortened(key));
        Self { key, ..self }
    }

    pub(crate) fn after(self, took: Duration) -> Self {
        let seconds = Some(took.as_secs_f64());
        Self { seconds, ..self }
    }
}

/// Where the events of a client are told.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// What matters less is not told.
    level: Level,
    /// Is there anybody to tell?
    is_read: AtomicBool,
    /// Held for the look only.
    readers: Mutex<Readers>,
}

#[derive(Debug, Default)]
struct Readers {
    rings: Vec<Weak<Ring>>,
    told: HashMap<Subject, Told>,
}

/// What a record is about: the events that follow upon one another there, a server, and of some a key.
type Subject = (&'static str, Option<Arc<str>>, Option<Bytes>);

/// What was told last.
#[derive(Debug)]
struct Told {
    event: &'static str,
    at: Instant,
    /// So often it came again.
    more: u64,
}

fn subject(record: &Record) -> Subject {
    // What has failed may name a server, and what is well again does not.
    let (about, has_endpoint, has_key) = match record.event {
        "connected" | "disconnected" | "unreachable" => ("connection", true, false),
        "login" | "login_failed" => ("login", true, false),
        "down" | "up" => ("servers", false, false),
        "watches_cut" | "watches_resumed" => ("watches", false, false),
        "registered" | "registration_lost" => ("registration", false, true),
        "cache_loaded" | "cache_stale" => ("cache", false, true),
        "lock_lost" => ("lock", false, true),
        "watch_ended" => ("watch", false, true),
        other => (other, true, false),
    };
    let endpoint = record.endpoint.clone().filter(|_| has_endpoint);
    (about, endpoint, record.key.clone().filter(|_| has_key))
}

impl Readers {
    /// Is the record to be told, and how often did the same come before that was not?
    fn note(&mut self, record: &Record) -> Option<u64> {
        let now = Instant::now();
        let is_fresh = |told: &Told| now.saturating_duration_since(told.at) < INTERVAL;
        if self.told.len() >= SUBJECTS {
            self.told.retain(|_, told| is_fresh(told));
        }
        let subject = subject(record);
        let more = match self.told.get_mut(&subject) {
            Some(told) if told.event == record.event && is_fresh(told) => {
                told.more += 1;
                return None;
            }
            Some(told) if told.event == record.event => told.more,
            _ => 0,
        };
        let told = Told {
            event: record.event,
            at: now,
            more: 0,
        };
        self.told.insert(subject, told);
        Some(more)
    }
}

impl Journal {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            level,
            ..Self::default()
        }
    }

    /// Tells of an event, if anybody wants to hear of it.
    pub(crate) fn tell(&self, level: Level, record: impl FnOnce() -> Record) {
        if level > self.level || !self.is_read.load(Ordering::Relaxed) {
            return;
        }
        let mut record = record();
        record.level = level;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        match readers.note(&record) {
            Some(more) => record.repeated = more,
            None => return,
        }
        readers.rings.retain(|ring| match ring.upgrade() {
            Some(ring) => {
                ring.push(record.clone());
                true
            }
            None => false,
        });
        self.is_read.store(!readers.rings.is_empty(), Ordering::Relaxed);
    }

    /// What reads the records from now on.
    pub(crate) fn read(&self, closed: &CancellationToken) -> Records {
        let ring = Arc::<Ring>::default();
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.rings.retain(|ring| ring.strong_count() > 0);
        readers.rings.push(Arc::downgrade(&ring));
        self.is_read.store(true, Ordering::Relaxed);
        Records {
            ring,
            closed: closed.child_token(),
        }
    }
}

/// The records that one reader has not read.
#[derive(Debug, Default)]
struct Ring {
    /// Held for the look only.
    content: Mutex<Content>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Content {
    records: VecDeque<Record>,
    missed: u64,
}

impl Ring {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, record: Record) {
        let mut content = self.content();
        if content.records.len() == RING {
            let oldest = content.records.pop_front();
            content.missed += 1 + oldest.map_or(0, |oldest| oldest.missed);
        }
        content.records.push_back(record);
        self.arrived.notify_waiters();
    }
}

/// The records of a client, to be read. Those that are there are read also after the client was closed.
pub struct Records {
    ring: Arc<Ring>,
    closed: CancellationToken,
}

impl Records {
    /// Reads no more. May be called from any thread, and again.
    pub fn close(&self) {
        self.closed.cancel();
    }
}

impl Readable for Records {
    type Item = Record;

    fn take(&self) -> Option<Result<Record>> {
        let mut content = self.ring.content();
        match content.records.pop_front() {
            Some(mut record) => {
                record.missed += std::mem::take(&mut content.missed);
                Some(Ok(record))
            }
            None => self.closed.is_cancelled().then(|| Err(Error::closed())),
        }
    }

    fn put_back(&self, record: Record) {
        self.ring.content().records.push_front(record);
    }

    async fn ready(&self) {
        let come = async {
            loop {
                let arrived = self.ring.arrived.notified();
                if !self.ring.content().records.is_empty() {
                    return;
                }
                arrived.await;
            }
        };
        self.closed.run_until_cancelled(come).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(endpoint: &str) -> Record {
        Record::new("lost", "no more").at(&endpoint.into())
    }

    fn told(records: &Records) -> Vec<(String, u64, u64)> {
        let all = std::iter::from_fn(|| records.take()?.ok());
        all.map(|record| (record.endpoint.unwrap().to_string(), record.repeated, record.missed))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_again_is_told_once_in_a_second() {
        let journal = Journal::new(Level::Info);
        let records = journal.read(&CancellationToken::new());
        for _ in 0..5 {
            journal.tell(Level::Warn, || lost("a"));
            journal.tell(Level::Warn, || lost("b"));
        }
        assert_eq!(told(&records), [("a".to_owned(), 0, 0), ("b".to_owned(), 0, 0)]);
        tokio::time::advance(INTERVAL).await;
        journal.tell(Level::Warn, || lost("a"));
        assert_eq!(told(&records), [("a".to_owned(), 4, 0)]);
        // What is true now is always told.
        for event in ["connected", "disconnected", "connected"] {
            journal.tell(Level::Info, || Record::new(event, "").at(&"a".into()));
        }
        assert_eq!(told(&records).len(), 3);
        for event in ["watches_cut", "watches_resumed", "watches_cut"] {
            let record = || Record::new(event, "");
            journal.tell(Level::Info, || match event {
                "watches_cut" => record().at(&"a".into()),
                _ => record(),
            });
        }
        assert_eq!(std::iter::from_fn(|| records.take()).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_not_remembered_for_ever() {
        let journal = Journal::default();
        let _records = journal.read(&CancellationToken::new());
        for number in 0..3 * SUBJECTS {
            journal.tell(Level::Warn, || lost(&number.to_string()));
            tokio::time::advance(INTERVAL / 100).await;
        }
        assert!(journal.readers.lock().unwrap().told.len() <= SUBJECTS);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_misses_the_oldest_and_hears_how_many() {
        let journal = Journal::default();
        let records = journal.read(&CancellationToken::new());
        for number in 0..RING + 3 {
            journal.tell(Level::Warn, || lost(&number.to_string()));
        }
        let all = told(&records);
        assert_eq!(all.len(), RING);
        assert_eq!(all[0], ("3".to_owned(), 0, 3));
        assert_eq!(all[1], ("4".to_owned(), 0, 0));
    }

    #[tokio::test]
    async fn nothing_is_made_while_nobody_reads() {
        let journal = Journal::default();
        let never = || -> Record { unreachable!() };
        journal.tell(Level::Error, never);
        let closed = CancellationToken::new();
        let records = journal.read(&closed);
        journal.tell(Level::Info, never);
        journal.tell(Level::Error, || lost("a"));
        closed.cancel();
        records.ready().await;
        assert_eq!(told(&records).len(), 1);
        assert_eq!(records.take().unwrap().unwrap_err().code, Code::Closed);
        drop(records);
        journal.tell(Level::Error, || lost("b"));
        journal.tell(Level::Error, never);
    }
}
