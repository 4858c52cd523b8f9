//! The replica of a range, which all caches of that range share: what it holds, and what is wrong with it.
//!
//! In: what the task that keeps it current has learned. Out: the same, to readers, under a lock that is held for the look
//! only. A client knows its replicas by their ranges. The last cache of a range ends its replica.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::DropGuard;

use super::store::Store;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::namespace::Namespace;
use crate::etcd::pb::ResponseHeader;
use crate::etcd::range::KeyRange;

/// The replicas of a client, by their ranges and files.
#[derive(Default)]
pub(crate) struct Replicas(Mutex<HashMap<Kept, Weak<Replica>>>);

/// What a replica is of, and the file that it is kept in.
pub(super) type Kept = (Namespace, KeyRange, Option<PathBuf>);

/// A replica that is kept current while somebody holds it.
pub(super) struct Replica {
    pub(super) shared: Arc<Shared>,
    pub(super) _feed: DropGuard,
}

/// What the task and the readers share.
pub(super) struct Shared {
    /// Held for the look only, never across an await.
    pub(super) state: Mutex<State>,
    /// Something has changed: what is here, or what is wrong with it.
    pub(super) changed: Notify,
    /// Somebody waits for a revision.
    pub(super) wanted: Notify,
}

pub(super) struct State {
    pub(super) store: Store,
    /// Of the last response.
    pub(super) header: ResponseHeader,
    /// Its file was read, if it has one.
    pub(super) is_read: bool,
    /// Since when it is not kept current, and why.
    pub(super) stale: Option<(Instant, Option<Error>)>,
    /// Why its file could not be read or written.
    pub(super) unfiled: Option<Error>,
    /// Nothing will change any more.
    pub(super) ended: Option<Error>,
    /// How many wait for a revision.
    pub(super) waiting: usize,
    /// The watch did not say how far it is when that was wanted last.
    pub(super) is_silent: bool,
}

impl Shared {
    pub(super) fn new(range: KeyRange, is_read: bool) -> Self {
        Self {
            state: Mutex::new(State {
                store: Store::new(range),
                header: ResponseHeader::default(),
                is_read,
                stale: Some((Instant::now(), None)),
                unfiled: None,
                ended: None,
                waiting: 0,
                is_silent: false,
            }),
            changed: Notify::new(),
            wanted: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what there is, and tells everybody.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    /// Waits until `is` holds of the state.
    pub(super) async fn until<T>(&self, mut is: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = is(&self.state()) {
                return found;
            }
            changed.await;
        }
    }
}

impl State {
    pub(super) fn is_here(&self) -> bool {
        self.store.revision() > 0
    }

    /// Is it kept current, and has it had this revision?
    pub(super) fn has(&self, revision: i64) -> bool {
        self.stale.is_none() && self.store.revision() >= revision
    }

    /// Fails where nothing can be read, and says why.
    pub(super) fn check(&self) -> Result<()> {
        match (&self.ended, &self.stale) {
            (Some(error), _) => Err(error.clone()),
            _ if self.is_here() => Ok(()),
            (None, Some((_, Some(error)))) => Err(error.clone()),
            _ => Err(Error::new(Code::Unavailable, "the first load has not come yet")),
        }
    }
}

impl Replicas {
    /// Looks at each replica that is kept.
    pub(crate) fn each(&self, mut look: impl FnMut(&Namespace, &Store, Option<Duration>)) {
        let replicas: Vec<_> = {
            let replicas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let live =
                |((namespace, ..), replica): (&Kept, &Weak<Replica>)| Some((namespace.clone(), replica.upgrade()?));
            replicas.iter().filter_map(live).collect()
        };
        for (namespace, replica) in replicas {
            let state = replica.shared.state();
            let lag = state.stale.as_ref().map(|(since, _)| since.elapsed());
            look(&namespace, &state.store, lag);
        }
    }

    pub(super) fn find_or_make(&self, of: Kept, make: impl FnOnce() -> Replica) -> Arc<Replica> {
        let mut replicas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        replicas.retain(|_, replica| replica.strong_count() > 0);
        if let Some(replica) = replicas.get(&of).and_then(Weak::upgrade) {
            return replica;
        }
        let replica = Arc::new(make());
        replicas.insert(of, Arc::downgrade(&replica));
        replica
    }
}
