//! How many requests may be under way on a connection: as many streams as the server allows at once.
//!
//! In: the server's limit, and the streams that begin and end. Out: whether there is room for one more. Beyond the
//! limit a server refuses requests. Used on any thread.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One request and its response.
    Call,
    /// All watches of a client.
    Watches,
    /// The renewal of leases.
    Leases,
}

pub(super) struct Gate {
    limit: AtomicUsize,
    /// The streams that there are, of each purpose.
    calls: AtomicUsize,
    watches: AtomicUsize,
    leases: AtomicUsize,
    /// There is one again.
    pub(super) opened: Notify,
    /// How many wait for a stream to end.
    pub(super) waiting: AtomicUsize,
    pub(super) freed: Notify,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            limit: AtomicUsize::new(usize::MAX),
            calls: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            leases: AtomicUsize::new(0),
            opened: Notify::new(),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        }
    }

    /// The server allows so many streams at once from now on.
    pub(super) fn limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    pub(super) fn count(&self, purpose: Purpose) -> &AtomicUsize {
        match purpose {
            Purpose::Call => &self.calls,
            Purpose::Watches => &self.watches,
            Purpose::Leases => &self.leases,
        }
    }

    /// The streams that last.
    fn lasting(&self) -> usize {
        self.watches.load(Ordering::Relaxed) + self.leases.load(Ordering::Relaxed)
    }

    fn open(&self) -> usize {
        self.calls.load(Ordering::Relaxed) + self.lasting()
    }

    /// Are requests under way?
    pub(super) fn is_in_use(&self) -> bool {
        self.open() > 0
    }

    /// Waits until requests are under way.
    pub(super) async fn in_use(&self) {
        while !self.is_in_use() {
            self.opened.notified().await;
        }
    }

    /// Do streams that last leave no room for anything else?
    pub(super) fn is_taken(&self) -> bool {
        let lasting = self.lasting();
        lasting > 0 && lasting >= self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn has_room(&self) -> bool {
        self.open() < self.limit.load(Ordering::Relaxed)
    }

    /// What holds the streams, for a caller that waits.
    pub(super) fn describe(&self) -> String {
        let limit = self.limit.load(Ordering::Relaxed);
        let held: Vec<_> = [
            ("calls", &self.calls),
            ("watches", &self.watches),
            ("leases", &self.leases),
        ]
        .into_iter()
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} for {name}"))
        .collect();
        let streams = if limit == 1 { "stream" } else { "streams" };
        let held = if held.is_empty() {
            "none in use".to_owned()
        } else {
            held.join(", ")
        };
        format!("the server allows {limit} {streams} at once on a connection: {held}")
    }
}
