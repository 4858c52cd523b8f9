//! Who leads: the first in the queue for a name.
//!
//! In: a name. Out: the key of the leader, once or whenever it changes. Observing is a cache of the queue: it tells that
//! nobody leads, names nobody who does not, and goes on through any fault.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::cache::{Cache, CacheRequest, Changes, Query};
use super::client::Client;
use super::config::CallOptions;
use super::contender::Mode;
use super::contender::place::Queue;
use super::error::{Code, Result};
use super::pb::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};
use super::readable::Readable;

/// The most keys of a page, when the queue is loaded.
const PAGE: i64 = 1000;

/// Who leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Led {
    /// The response's; of an observer with the revision at which that is known.
    pub header: Option<ResponseHeader>,
    /// The leader's key; none where nobody leads.
    pub kv: Option<KeyValue>,
}

/// What follows who leads.
pub struct Observer {
    cache: Cache,
    changes: Changes,
    queue: Queue,
    /// What was told last. Held for the look only.
    told: Mutex<Told>,
}

#[derive(PartialEq)]
enum Told {
    Nothing,
    Leader(Option<KeyValue>),
}

impl Client {
    /// Who leads under a name, or holds the lock of that name.
    pub async fn leader(&self, name: Bytes, options: &CallOptions) -> Result<Led> {
        let queue = Queue::new(&name, Mode::Exclusive);
        let (header, kv) = self.first(&queue, |key| Ok(queue.has(key)), options).await?;
        Ok(Led { header, kv })
    }

    /// Follows who leads under a name. Returns once that is known; fails where it is not within `wait`.
    pub async fn observe(&self, name: Bytes, wait: Duration, options: CallOptions) -> Result<Observer> {
        let queue = Queue::new(&name, Mode::Exclusive);
        let (key, range_end) = queue.range();
        let request = CacheRequest {
            key,
            range_end,
            wait,
            page: PAGE,
            file: None,
        };
        let cache = self.cache(request, options).await?;
        let changes = cache.changes(cache.range(), false)?;
        let told = Mutex::new(Told::Nothing);
        Ok(Observer {
            cache,
            changes,
            queue,
            told,
        })
    }
}

impl Observer {
    /// The leader as far as is known, and the revision at which that is so.
    pub fn now(&self) -> Result<Led> {
        let (key, range_end) = self.queue.range();
        let query = Query::new(RangeRequest {
            key,
            range_end,
            ..RangeRequest::default()
        });
        let RangeResponse { header, kvs, .. } = self.cache.get(&query)?;
        let queued = kvs.into_iter().filter(|kv| self.queue.has(&kv.key));
        let kv = queued.min_by_key(|kv| kv.create_revision);
        Ok(Led { header, kv })
    }

    /// Follows no longer. May be called from any thread, and again.
    pub fn close(&self) {
        self.changes.close();
        self.cache.close();
    }
}

impl Readable for Observer {
    type Item = Led;

    fn take(&self) -> Option<Result<Led>> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Changes that came together, or concern others alone, are told as one, or not at all.
        while let Some(changed) = self.changes.take() {
            if let Err(error) = changed {
                return Some(Err(error));
            }
        }
        let led = match self.now() {
            Ok(led) => led,
            Err(error) if error.code == Code::Closed => return Some(Err(error)),
            // It is not known yet.
            Err(_) => return None,
        };
        let now = Told::Leader(led.kv.clone());
        (*told != now).then(|| {
            *told = now;
            Ok(led)
        })
    }

    fn put_back(&self, _: Led) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Told::Nothing;
    }

    async fn ready(&self) {
        if *self.told.lock().unwrap_or_else(PoisonError::into_inner) == Told::Nothing {
            self.cache.here().await;
        } else {
            self.changes.ready().await;
        }
    }
}
