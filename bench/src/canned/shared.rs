//! What the canned server answers, and the little that it keeps: who watches, who waits, how many renewals came.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};

use super::pb::etcdserverpb::{self as rpc, watch_request::RequestUnion};
use super::pb::mvccpb::{Event, KeyValue};
use crate::data;

/// etcd sends at most so many revisions in one response.
const BATCH: i64 = 1000;
/// Renewals are counted in slots of this length.
const SLOT: Duration = Duration::from_millis(100);

/// Where the responses of one watch stream go.
type Watching = mpsc::Sender<Result<rpc::WatchResponse, Status>>;

pub struct Shared {
    /// The length of the history, and then one more for each put.
    revision: AtomicI64,
    history: i64,
    next_lease: AtomicI64,
    /// Of the lease that was granted last.
    ttl: AtomicI64,
    one: rpc::RangeResponse,
    many: rpc::RangeResponse,
    large: rpc::RangeResponse,
    parked: watch::Sender<i64>,
    /// Which of the watches is next to get an event.
    next_watch: AtomicUsize,
    /// Who watches a key: the stream and the watch's id in it.
    watchers: Mutex<HashMap<Bytes, (Watching, i64)>>,
    renewals: Mutex<Renewals>,
}

/// Lease renewals since they were asked for last.
struct Renewals {
    total: i64,
    peak: i64,
    slot: i64,
    slot_end: Instant,
}

impl Shared {
    pub fn new(history: i64) -> Self {
        let range = |kvs: Vec<KeyValue>| rpc::RangeResponse {
            header: Some(header(history)),
            count: kvs.len() as i64,
            kvs,
            more: false,
        };
        let many = (0..data::MANY_KEYS).map(|number| kv(data::key(data::MANY, number), data::SMALL, 1));
        Self {
            revision: AtomicI64::new(history),
            history,
            next_lease: AtomicI64::new(1),
            ttl: AtomicI64::new(0),
            one: range(vec![kv(data::ONE, data::SMALL, 1)]),
            many: range(many.collect()),
            large: range(vec![kv(data::LARGE, data::LARGE_SIZE, 1)]),
            parked: watch::Sender::new(0),
            next_watch: AtomicUsize::new(0),
            watchers: Mutex::default(),
            renewals: Mutex::new(Renewals {
                total: 0,
                peak: 0,
                slot: 0,
                slot_end: Instant::now(),
            }),
        }
    }

    pub fn header(&self) -> Option<rpc::ResponseHeader> {
        Some(header(self.revision.load(Relaxed)))
    }

    pub async fn range(&self, request: &rpc::RangeRequest) -> rpc::RangeResponse {
        const ONE: &[u8] = data::ONE.as_bytes();
        const MANY: &[u8] = data::MANY.as_bytes();
        const LARGE: &[u8] = data::LARGE.as_bytes();
        const PARKED: &[u8] = data::PARKED.as_bytes();
        const ALL_PARKED: &[u8] = data::ALL_PARKED.as_bytes();
        const RENEWALS: &[u8] = data::RENEWALS.as_bytes();
        const EVENTS: &[u8] = data::EVENTS.as_bytes();
        match &request.key[..] {
            ONE => self.one.clone(),
            MANY => self.many.clone(),
            LARGE => self.large.clone(),
            PARKED => {
                let _parked = Parked::new(&self.parked);
                std::future::pending().await
            }
            ALL_PARKED => {
                let enough = |count: &i64| *count >= request.limit;
                let _ = self.parked.subscribe().wait_for(enough).await;
                self.empty()
            }
            RENEWALS => self.take_renewals(),
            EVENTS => {
                self.make_events(request.limit).await;
                self.empty()
            }
            // A watch that resumes asks whether the history is still the same.
            key if request.revision > 0 => rpc::RangeResponse {
                kvs: vec![kv(
                    String::from_utf8_lossy(key).into_owned(),
                    data::SMALL,
                    request.revision,
                )],
                ..self.empty()
            },
            _ => self.empty(),
        }
    }

    fn empty(&self) -> rpc::RangeResponse {
        rpc::RangeResponse {
            header: self.header(),
            ..Default::default()
        }
    }

    /// A put is an event for who watches its key.
    pub async fn put(&self, request: rpc::PutRequest) -> rpc::PutResponse {
        let revision = self.revision.fetch_add(1, Relaxed) + 1;
        let watcher = locked(&self.watchers).get(&request.key).cloned();
        if let Some(watcher) = watcher {
            notify(&watcher, request.key, request.value, revision).await;
        }
        rpc::PutResponse {
            header: Some(header(revision)),
            prev_kv: None,
        }
    }

    /// Sends so many events, in turn to the watches that wait for them.
    async fn make_events(&self, count: i64) {
        let mut watchers: Vec<_> = locked(&self.watchers)
            .iter()
            .filter(|(key, _)| key.starts_with(data::WATCHED.as_bytes()))
            .map(|(key, watcher)| (key.clone(), watcher.clone()))
            .collect();
        watchers.sort_by(|(one, _), (other, _)| one.cmp(other));
        let value = Bytes::from(data::value(data::SMALL));
        if watchers.is_empty() {
            return;
        }
        let first = self.next_watch.fetch_add(count as usize, Relaxed);
        for number in first..first + count as usize {
            let (key, watcher) = &watchers[number % watchers.len()];
            let revision = self.revision.fetch_add(1, Relaxed) + 1;
            notify(watcher, key.clone(), value.clone(), revision).await;
        }
    }

    pub fn delete(&self) -> rpc::DeleteRangeResponse {
        rpc::DeleteRangeResponse {
            header: self.header(),
            ..Default::default()
        }
    }

    async fn replay(&self, stream: &Watching, watch_id: i64) {
        for first in (1..=self.history).step_by(BATCH as usize) {
            let revisions = first..=self.history.min(first + BATCH - 1);
            let event = |revision: i64| Event {
                kv: Some(kv(data::key(data::REPLAY, revision as usize), data::SMALL, revision)),
                ..Default::default()
            };
            let response = rpc::WatchResponse {
                header: self.header(),
                watch_id,
                events: revisions.map(event).collect(),
                ..Default::default()
            };
            if stream.send(Ok(response)).await.is_err() {
                return;
            }
        }
    }

    /// Serves the requests of one watch stream.
    pub async fn watch(&self, mut requests: Streaming<rpc::WatchRequest>, stream: Watching) {
        let mut watch_id = 0;
        while let Ok(Some(request)) = requests.message().await {
            let answer = |watch_id: i64| rpc::WatchResponse {
                header: self.header(),
                watch_id,
                ..Default::default()
            };
            match request.request_union {
                Some(RequestUnion::CreateRequest(create)) => {
                    watch_id = if create.watch_id > 0 {
                        create.watch_id
                    } else {
                        watch_id + 1
                    };
                    let created = rpc::WatchResponse {
                        created: true,
                        ..answer(watch_id)
                    };
                    let _ = stream.send(Ok(created)).await;
                    if create.key == data::REPLAY {
                        self.replay(&stream, watch_id).await;
                    } else {
                        locked(&self.watchers).insert(create.key, (stream.clone(), watch_id));
                    }
                }
                Some(RequestUnion::CancelRequest(cancel)) => {
                    let canceled = rpc::WatchResponse {
                        canceled: true,
                        ..answer(cancel.watch_id)
                    };
                    let _ = stream.send(Ok(canceled)).await;
                }
                Some(RequestUnion::ProgressRequest(_)) => {
                    let _ = stream.send(Ok(answer(-1))).await;
                }
                None => {}
            }
        }
        locked(&self.watchers).retain(|_, (other, _)| !other.same_channel(&stream));
    }

    /// Grants a lease of this id, or of the next one, and returns its id.
    pub fn grant(&self, id: i64, ttl: i64) -> i64 {
        self.ttl.store(ttl, Relaxed);
        if id == 0 {
            self.next_lease.fetch_add(1, Relaxed)
        } else {
            id
        }
    }

    /// Counts a renewal, and returns its TTL.
    pub fn renew(&self) -> i64 {
        let mut renewals = locked(&self.renewals);
        let now = Instant::now();
        if now >= renewals.slot_end {
            renewals.slot = 0;
            renewals.slot_end = now + SLOT;
        }
        renewals.slot += 1;
        renewals.total += 1;
        renewals.peak = renewals.peak.max(renewals.slot);
        self.ttl.load(Relaxed)
    }

    fn take_renewals(&self) -> rpc::RangeResponse {
        let mut renewals = locked(&self.renewals);
        let answer = rpc::RangeResponse {
            count: renewals.total,
            kvs: vec![KeyValue {
                version: renewals.peak,
                ..Default::default()
            }],
            ..self.empty()
        };
        (renewals.total, renewals.peak, renewals.slot) = (0, 0, 0);
        answer
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends the event of a put.
async fn notify((stream, watch_id): &(Watching, i64), key: Bytes, value: Bytes, revision: i64) {
    let event = Event {
        kv: Some(KeyValue {
            key,
            value,
            create_revision: 1,
            mod_revision: revision,
            version: revision,
            lease: 0,
        }),
        ..Default::default()
    };
    let response = rpc::WatchResponse {
        header: Some(header(revision)),
        watch_id: *watch_id,
        events: vec![event],
        ..Default::default()
    };
    // Who is not there any more misses nothing.
    let _ = stream.send(Ok(response)).await;
}

fn header(revision: i64) -> rpc::ResponseHeader {
    rpc::ResponseHeader {
        cluster_id: 1,
        member_id: 1,
        revision,
        raft_term: 2,
    }
}

fn kv(key: impl Into<String>, size: usize, revision: i64) -> KeyValue {
    KeyValue {
        key: key.into().into(),
        value: data::value(size).into(),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        lease: 0,
    }
}

/// Counts a call that is never answered, for as long as its client waits for it.
struct Parked<'a>(&'a watch::Sender<i64>);

impl<'a> Parked<'a> {
    fn new(count: &'a watch::Sender<i64>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
