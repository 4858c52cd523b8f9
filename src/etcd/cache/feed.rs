//! What keeps a replica current: loads the range at one revision, then watches from the next on; after a compaction, or
//! where the store has gone back, it loads anew, and readers see the difference.
//!
//! In: the client. Out: loads and events for the store. The task ends with the last handle on the replica, or the client.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::file::Keeper;
use super::replica::{Shared, State};
use crate::etcd::backoff;
use crate::etcd::client::Client;
use crate::etcd::config::CallOptions;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::journal::{Level, Record};
use crate::etcd::pb::{RangeRequest, Response as _, WatchCreateRequest};
use crate::etcd::range::KeyRange;
use crate::etcd::readable::Readable;
use crate::etcd::rpc::ScanRequest;
use crate::etcd::watches::{State as Standing, Status, Watcher};

/// How long the file may take to be read.
const READING: Duration = Duration::from_secs(5);

/// How often the watch is asked how far it is, while somebody waits for a revision.
const LOOK: Duration = Duration::from_millis(100);

/// Where it does not say, the server is asked for the range: first after two looks, then after twice as long each time.
const SETTLE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Starts to keep a replica current.
pub(super) fn start(
    client: &Client,
    shared: Arc<Shared>,
    stop: CancellationToken,
    options: CallOptions,
    page: i64,
    file: Option<PathBuf>,
) {
    let feed = Feed {
        client: client.clone(),
        shared: shared.clone(),
        // It has pauses of its own, and each failure is told.
        options: CallOptions { retry: 0, ..options },
        page,
        keeper: file.map(|file| Keeper::new(file, shared.clone(), client.namespace.clone())),
    };
    let closed = client.servers().closed.clone();
    tokio::spawn(async move {
        let ending = Ending(shared.clone());
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = closed.cancelled() => ending.end(Error::closed()),
            () = feed.run() => {}
        }
        if let Some(keeper) = &feed.keeper {
            keeper.finish().await;
        }
    });
}

/// However the task ends, by a panic too, those who read hear of it.
struct Ending(Arc<Shared>);

impl Ending {
    fn end(&self, error: Error) {
        self.0.change(|state| {
            state.stale.get_or_insert((Instant::now(), None));
            state.ended.get_or_insert(error);
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(Error::new(Code::Internal, "what keeps the cache current has ended"));
    }
}

struct Feed {
    client: Client,
    shared: Arc<Shared>,
    options: CallOptions,
    page: i64,
    keeper: Option<Keeper>,
}

impl Feed {
    async fn run(&self) {
        let Some(keeper) = &self.keeper else {
            return self.serve().await;
        };
        keeper.read(READING).await;
        tokio::select! {
            () = self.serve() => {}
            _ = keeper.run() => {}
        }
    }

    /// Keeps the replica current, whatever happens.
    async fn serve(&self) {
        let mut failures = 0;
        loop {
            let Err(error) = self.follow(&mut failures).await;
            let pause = match error.code {
                // The range is there, only not from where it was wanted.
                Code::Compacted if failures == 0 => Duration::ZERO,
                _ => backoff::after(&error, failures),
            };
            failures += 1;
            self.tell(Level::Warn, || Record::of("cache_stale", &error));
            self.stale(Some(error));
            sleep(pause).await;
        }
    }

    /// Loads the range and watches it, until that is no longer possible.
    async fn follow(&self, failures: &mut u32) -> Result<Infallible> {
        let revision = self.load().await?;
        let range = self.range();
        let request = WatchCreateRequest {
            key: range.key,
            range_end: range.end,
            start_revision: revision + 1,
            ..WatchCreateRequest::default()
        };
        let watcher = self.client.watch(request, &self.options).await?;
        *failures = 0;
        self.shared.change(|state| state.stale = None);
        self.attend(&watcher).await
    }

    fn range(&self) -> KeyRange {
        self.shared.state().store.range().clone()
    }

    /// Loads the range; returns the revision at which it was read.
    async fn load(&self) -> Result<i64> {
        let began = Instant::now();
        let request = ScanRequest {
            range: self.range().request(),
            page: self.page,
        };
        let scan = self.client.scan(request, &self.options).await?;
        let mut kvs = Vec::with_capacity(usize::try_from(scan.count).unwrap_or(0).min(1 << 20));
        loop {
            let mut page = scan.read().await?;
            kvs.append(&mut page.kvs);
            if !page.more {
                break;
            }
        }
        self.shared.change(|state| {
            state.store.load(scan.revision, kvs);
            state.header = scan.header.unwrap_or_default();
        });
        self.keep();
        self.tell(Level::Info, || {
            let text = format!("{} keys at revision {}", self.shared.state().store.len(), scan.revision);
            Record::new("cache_loaded", text).after(began.elapsed())
        });
        Ok(scan.revision)
    }

    fn tell(&self, level: Level, record: impl FnOnce() -> Record) {
        let journal = &self.client.servers().stats.journal;
        journal.tell(level, || record().about(&self.range().key));
    }

    /// Takes what the watch brings, until it ends.
    async fn attend(&self, watcher: &Watcher) -> Result<Infallible> {
        let mut settle = SETTLE.0;
        let mut waiting_since = None;
        let mut hurried = None::<Instant>;
        loop {
            // Read before what waits is taken: then all up to there is in.
            let status = watcher.status();
            let before = self.shared.state().store.revision();
            let mut changed = false;
            while let Some(response) = watcher.take() {
                let response = response?;
                let last = response.events.iter().filter_map(|event| event.kv.as_ref());
                let revision = last.map(|kv| kv.mod_revision).max().unwrap_or(0);
                let mut state = self.shared.state();
                state.header = response.header.unwrap_or(state.header);
                state.store.apply(revision, response.events);
                changed = true;
            }
            self.look(&status, before, changed);
            if changed {
                self.keep();
            }
            let mut waiting = self.shared.state().waiting > 0;
            tokio::select! {
                () = watcher.stirred() => {}
                () = self.shared.wanted.notified() => waiting = true,
                () = sleep(LOOK), if waiting => {}
            }
            if !waiting {
                (waiting_since, settle) = (None, SETTLE.0);
                continue;
            }
            if hurried.is_none_or(|hurried| hurried.elapsed() >= LOOK) {
                watcher.hurry();
                hurried = Some(Instant::now());
            }
            if waiting_since.get_or_insert_with(Instant::now).elapsed() >= settle && status.state == Standing::Ready {
                // In time, since what the watch brings waits meanwhile.
                let _ = timeout(SETTLE.0, self.settle()).await;
                (waiting_since, settle) = (None, SETTLE.1.min(settle * 2));
            }
        }
    }

    /// Asks whether the range is as it is here. Then all up to the revision of the response is in, though the watch has
    /// not said so.
    async fn settle(&self) {
        let (range, revision, keys) = {
            let store = &self.shared.state().store;
            (store.range().clone(), store.revision(), store.len())
        };
        let request = RangeRequest {
            min_mod_revision: revision + 1,
            limit: 1,
            keys_only: true,
            ..range.request()
        };
        // Whatever is wrong, the watch will say it.
        let Ok(response) = self.client.get(request, &self.options).await else {
            return;
        };
        // No key was put since that is still there, and none has gone. One that came and went again has left no trace.
        if response.kvs.is_empty() && usize::try_from(response.count) == Ok(keys) {
            self.shared.change(|state| {
                if state.store.revision() == revision {
                    state.store.apply(response.revision(), Vec::new());
                }
            });
        }
    }

    /// Notes how far the watch is, and whether it is cut off.
    fn look(&self, status: &Status, before: i64, changed: bool) {
        let is_cut = status.state == Standing::Stale;
        let mut state = self.shared.state();
        let State {
            store,
            stale,
            is_silent,
            ..
        } = &mut *state;
        let is_news = changed || is_cut != stale.is_some() || status.revision > store.revision();
        *is_silent &= status.revision <= before;
        store.apply(status.revision, Vec::new());
        match is_cut {
            true => {
                let since = Instant::now().checked_sub(status.lag).unwrap_or_else(Instant::now);
                let message = status.message.clone().unwrap_or_default();
                *stale = Some((since, Some(Error::new(Code::Unavailable, message))));
            }
            false => *stale = None,
        }
        drop(state);
        if is_news {
            self.shared.changed.notify_waiters();
        }
    }

    fn stale(&self, error: Option<Error>) {
        self.shared.change(|state| {
            let since = state.stale.as_ref().map_or_else(Instant::now, |(since, _)| *since);
            state.stale = Some((since, error));
        });
    }

    fn keep(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.changed();
        }
    }
}
