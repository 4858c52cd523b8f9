//! A range of keys that is always here: loaded once, kept current by a watch, read without a call.
//!
//! In: a range, what readers ask. Out: the keys as they are at one revision, and what has changed since a reader looked
//! last. The task that keeps it current is in `feed`, the replica in `store`. Two caches of one range of a client are one
//! replica. Reading locks it for the look; it may be done on any thread.

mod feed;
mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzz;
mod query;
pub(super) mod replica;
mod store;

use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::config::CallOptions;
use super::error::{Code, Error, Result};
use super::pb::{KeyValue, RangeRequest, RangeResponse, Response as _};
use super::range::KeyRange;
use super::readable::Readable;

pub use query::Query;
use replica::{Replica, Shared, State};
pub use store::Changed;
pub(super) use store::Store;

/// How long a linearizable read waits for the replica before it asks the server for the keys themselves.
const CATCH_UP: Duration = Duration::from_millis(100);

/// How long the file is waited for, at least.
const READING: Duration = Duration::from_secs(1);

/// What is to be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRequest {
    /// The first key.
    pub key: Bytes,
    /// The first key behind the range, as etcd writes it.
    pub range_end: Bytes,
    /// How long to wait for the first load; zero: not at all.
    pub wait: Duration,
    /// The most keys of a page of a load.
    pub page: i64,
    /// Where the replica is kept, so that a program can start while no server responds.
    pub file: Option<PathBuf>,
}

/// A handle on a range that is here. What it has made lives on when it is closed; the last one ends the replica.
pub struct Cache {
    replica: Arc<Replica>,
    client: Client,
    options: CallOptions,
    closed: CancellationToken,
}

/// What a look at a key finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// The value, and the number of the change that brought it here: never 0.
    Value(Bytes, u64),
    /// That of the change that was known already.
    Known,
    /// There is no such key.
    None,
    /// It cannot be told.
    Unknown,
}

/// What a cache is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheStatus {
    /// Is it kept current, or what else?
    pub state: CacheState,
    /// All changes up to this revision are in.
    pub revision: i64,
    /// How many keys there are.
    pub keys: usize,
    /// The bytes of their keys and values.
    pub bytes: usize,
    /// For how long it has not been kept current; zero where it is.
    pub lag: Duration,
    /// How often the whole range was loaded.
    pub loads: u64,
    /// Why it is not kept current, as far as that is known.
    pub message: Option<String>,
}

impl CacheStatus {
    /// That of a cache of which nothing is left.
    pub const CLOSED: Self = Self {
        state: CacheState::Closed,
        revision: 0,
        keys: 0,
        bytes: 0,
        lag: Duration::ZERO,
        loads: 0,
        message: None,
    };
}

/// Is a cache kept current?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheState {
    /// It is.
    Ready,
    /// It is not, and goes on as soon as that is possible.
    Stale,
    /// The first load has not come.
    Loading,
    /// It was closed, or its client was.
    Closed,
}

impl CacheState {
    /// The name that programs compare.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stale => "stale",
            Self::Loading => "loading",
            Self::Closed => "closed",
        }
    }
}

impl Client {
    /// Keeps a range here. Returns once it is loaded, or read from its file; fails when neither comes in time.
    pub async fn cache(&self, request: CacheRequest, options: CallOptions) -> Result<Cache> {
        let CacheRequest {
            key,
            range_end,
            wait,
            page,
            file,
        } = request;
        let range = KeyRange { key, end: range_end };
        let wait = options.deadline.map_or(wait, |deadline| {
            wait.min(deadline.saturating_duration_since(tokio::time::Instant::now()))
        });
        let options = CallOptions {
            deadline: None,
            min_revision: 0,
            ..options
        };
        let of = (self.namespace.clone(), range.clone(), file.clone());
        let replica = self.parts.replicas.find_or_make(of, || {
            let shared = Arc::new(Shared::new(range.clone(), file.is_none()));
            let stop = CancellationToken::new();
            feed::start(self, shared.clone(), stop.clone(), options.clone(), page, file.clone());
            Replica {
                shared,
                _feed: stop.drop_guard(),
            }
        });
        let cache = Cache {
            replica,
            client: self.clone(),
            options,
            closed: CancellationToken::new(),
        };
        let shared = &cache.replica.shared;
        let read = shared.until(|state| (state.is_read || state.ended.is_some()).then_some(()));
        // A disk that does not respond is as good as no file.
        let _ = timeout(wait.max(READING), read).await;
        if !wait.is_zero() {
            let loaded = shared.until(|state| match (&state.ended, &state.stale) {
                (Some(error), _) => Some(Err(error.clone())),
                // Waiting would not help.
                (None, Some((_, Some(error)))) if !state.is_here() && is_final(error) => Some(Err(error.clone())),
                _ => (state.store.loads() > 0 && state.stale.is_none()).then_some(Ok(())),
            });
            match timeout(wait, loaded).await {
                Ok(loaded) => loaded?,
                Err(_) => {
                    // What was kept in the file, or loaded and not yet watched, is better than nothing.
                    let here = shared.state().check();
                    here.map_err(|reason| reason.late("the first load did not come", wait))?;
                }
            }
        }
        Ok(cache)
    }
}

/// Is it the word of a server that will not change it soon?
fn is_final(error: &Error) -> bool {
    matches!(
        error.code,
        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument
    )
}

impl Cache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.replica.shared.state()
    }

    /// What it is doing.
    pub fn status(&self) -> CacheStatus {
        let state = self.state();
        let (lag, problem) = match &state.stale {
            Some((since, error)) => (since.elapsed(), error.as_ref()),
            None => (Duration::ZERO, None),
        };
        let message = problem.or(state.unfiled.as_ref()).map(ToString::to_string);
        CacheStatus {
            state: match () {
                () if self.closed.is_cancelled() || state.ended.is_some() => CacheState::Closed,
                () if !state.is_here() => CacheState::Loading,
                () if state.stale.is_some() => CacheState::Stale,
                () => CacheState::Ready,
            },
            revision: state.store.revision(),
            keys: state.store.len(),
            bytes: state.store.bytes(),
            lag,
            loads: state.store.loads(),
            message,
        }
    }

    /// The value of a key, unless it is of the change that is known already.
    pub fn peek(&self, key: &[u8], known: u64) -> Peek {
        let state = self.state();
        let is_here = !self.closed.is_cancelled() && state.ended.is_none() && state.is_here();
        match state.store.get(key) {
            _ if !is_here => Peek::Unknown,
            Some((_, change)) if change == known => Peek::Known,
            Some((kv, change)) => Peek::Value(kv.value.clone(), change),
            None if state.store.range().holds(key) => Peek::None,
            None => Peek::Unknown,
        }
    }

    /// Waits until it can be read, or never will be.
    pub(crate) async fn here(&self) {
        let here = self
            .replica
            .shared
            .until(|state| (state.is_here() || state.ended.is_some()).then_some(()));
        self.closed.run_until_cancelled(here).await;
    }

    /// The number of the last change: nothing has changed while it is the same.
    pub fn version(&self) -> u64 {
        self.state().store.change()
    }

    /// Fails where the value of a key is unknown, and says why.
    pub fn check(&self, key: Bytes) -> Result<()> {
        self.readable(&KeyRange::of_key(key))?;
        self.state().check()
    }

    /// What a server would respond that has the revision of the replica.
    pub fn get(&self, query: &Query) -> Result<RangeResponse> {
        self.readable(&query.range)?;
        let state = self.state();
        state.check()?;
        Ok(query.answer(&state.store, state.header))
    }

    /// The same once the replica has had the revision, and is kept current; none where that does not come in time. What
    /// is stale may be of another history: of a store that has gone back since.
    pub async fn get_from(&self, query: &Query, revision: i64, wait: Duration) -> Result<Option<RangeResponse>> {
        self.readable(&query.range)?;
        match self.reach(revision, wait).await? {
            true => self.get(query).map(Some),
            false => Ok(None),
        }
    }

    /// The same as it is in the cluster now: of the replica, once that has had the revision that the store has, or of the
    /// server where that does not come soon. None where neither comes in time.
    pub async fn get_linearizable(&self, query: &Query, wait: Duration) -> Result<Option<RangeResponse>> {
        self.readable(&query.range)?;
        let got = self.closed.run_until_cancelled(timeout(wait, self.ask(query)));
        match got.await {
            Some(Ok(got)) => got.map(Some),
            Some(Err(_)) => Ok(None),
            None => Err(Self::closed()),
        }
    }

    async fn ask(&self, query: &Query) -> Result<RangeResponse> {
        let (known, is_silent) = {
            let state = self.state();
            (state.store.revision(), state.is_silent)
        };
        if !is_silent {
            let probe = RangeRequest {
                key: query.range.key.clone(),
                count_only: true,
                ..RangeRequest::default()
            };
            let revision = self.client.get(probe, &self.options).await?.revision();
            // A store that is behind what was here before is another one.
            if revision >= known {
                if self.reach(revision, CATCH_UP).await? {
                    return self.get(query);
                }
                self.state().is_silent = true;
            }
        }
        self.client.get(query.request(), &self.options).await
    }

    /// Would a read that wants this revision have to wait for it?
    pub fn is_behind(&self, revision: i64) -> bool {
        revision > 0 && !self.state().has(revision)
    }

    /// Waits until the replica has had a revision and is kept current; says whether it is so.
    async fn reach(&self, revision: i64, wait: Duration) -> Result<bool> {
        let shared = &self.replica.shared;
        let reached = |state: &State| match &state.ended {
            Some(error) => Some(Err(error.clone())),
            None => state.has(revision).then_some(Ok(true)),
        };
        if let Some(reached) = reached(&shared.state()) {
            return reached;
        }
        let _waiting = Waiting::new(shared);
        tokio::select! {
            reached = timeout(wait, shared.until(reached)) => reached.unwrap_or(Ok(false)),
            () = self.closed.cancelled() => Err(Self::closed()),
        }
    }

    /// The keys of a range as they are now, in their order; what comes later does not change them.
    pub fn view(&self, range: &KeyRange) -> Result<Vec<Arc<KeyValue>>> {
        self.readable(range)?;
        let state = self.state();
        state.check()?;
        Ok(state.store.iter(range).cloned().collect())
    }

    /// Follows the changes of a range, with `initial` beginning with all that is there.
    pub fn changes(&self, range: KeyRange, initial: bool) -> Result<Changes> {
        self.readable(&range)?;
        let reader = self.state().store.follow(range, initial);
        Ok(Changes {
            replica: self.replica.clone(),
            reader,
            closed: CancellationToken::new(),
        })
    }

    /// The whole range.
    pub fn range(&self) -> KeyRange {
        self.state().store.range().clone()
    }

    /// Is it open, and the range in its own?
    fn readable(&self, range: &KeyRange) -> Result<()> {
        if self.closed.is_cancelled() {
            return Err(Self::closed());
        } else if self.state().store.range().covers(range) {
            return Ok(());
        }
        let text = "this is outside of the cache's range";
        Err(Error::new(Code::InvalidArgument, text))
    }

    /// Reads no more. May be called from any thread, and again.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// What reads fail with that is closed.
    pub fn closed() -> Error {
        Error::new(Code::Closed, "the cache is closed")
    }
}

/// Somebody waits for a revision, as long as this lives.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.state().waiting += 1;
        shared.wanted.notify_one();
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

/// What changes in a cache, as one reader sees it. Ends when it is closed or dropped, or the client is closed.
pub struct Changes {
    replica: Arc<Replica>,
    reader: u64,
    closed: CancellationToken,
}

impl Readable for Changes {
    type Item = Changed;

    fn take(&self) -> Option<Result<Changed>> {
        if self.closed.is_cancelled() {
            return Some(Err(Error::new(Code::Closed, "the changes are closed")));
        }
        let mut state = self.replica.shared.state();
        let changed = state.store.changed(self.reader);
        changed.map(Ok).or_else(|| state.ended.clone().map(Err))
    }

    fn put_back(&self, changed: Changed) {
        self.replica.shared.state().store.unread(self.reader, changed);
    }

    async fn ready(&self) {
        let is_ready = |state: &State| state.ended.is_some() || state.store.has_changed(self.reader);
        let ready = self.replica.shared.until(|state| is_ready(state).then_some(()));
        self.closed.run_until_cancelled(ready).await;
    }
}

impl Changes {
    /// Reads no more. May be called from any thread, and again.
    pub fn close(&self) {
        self.closed.cancel();
        self.replica.shared.state().store.leave(self.reader);
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.close();
    }
}
