//! How many requests may be under way on a connection: as many streams as the server allows at once.
//!
//! In: the server's limit, and requests that want to be sent. Out: for each a [`Permit`], held until its answer has
//! come. Beyond the limit h2 would queue requests without bound and without a word, as if they were sent. Used on any
//! thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::connection::State;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One request and its answer.
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
    opened: Notify,
    /// How many wait for a stream to end.
    waiting: AtomicUsize,
    freed: Notify,
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

    fn count(&self, purpose: Purpose) -> &AtomicUsize {
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

    fn has_room(&self) -> bool {
        self.open() < self.limit.load(Ordering::Relaxed)
    }

    /// What holds the streams, for whoever waits.
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

/// Permission to have one request under way.
pub(crate) struct Permit {
    state: Arc<State>,
    purpose: Purpose,
}

impl Permit {
    /// A permit, where the server allows one more stream and nobody waits for it.
    pub(super) fn at_once(state: &Arc<State>, purpose: Purpose) -> Option<Self> {
        let gate = &state.gate;
        let free = gate.waiting.load(Ordering::Relaxed) == 0 && gate.has_room();
        free.then(|| Self::new(state, purpose))
    }

    /// Waits until the server allows one more stream. `None`: it will not, or not soon, and another connection has to
    /// do.
    pub(super) async fn wait(state: &Arc<State>, purpose: Purpose) -> Option<Self> {
        let gate = &state.gate;
        let _waiting = Waiting::new(gate);
        loop {
            let freed = gate.freed.notified();
            if state.is_closed() {
                return None;
            }
            if gate.has_room() {
                return Some(Self::new(state, purpose));
            }
            tokio::select! {
                () = freed => {}
                () = state.liveness.retired() => {}
            }
        }
    }

    fn new(state: &Arc<State>, purpose: Purpose) -> Self {
        let gate = &state.gate;
        let used = gate.is_in_use();
        gate.count(purpose).fetch_add(1, Ordering::Relaxed);
        if !used {
            gate.opened.notify_one();
        }
        if gate.is_taken() {
            // Whoever waits has to go elsewhere.
            gate.freed.notify_waiters();
        }
        Self {
            state: state.clone(),
            purpose,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let gate = &self.state.gate;
        gate.count(self.purpose).fetch_sub(1, Ordering::Relaxed);
        if gate.waiting.load(Ordering::Relaxed) > 0 {
            gate.freed.notify_one();
        }
    }
}

/// Counted for as long as it waits, also where it gives up.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        // It may have been told of a stream that it does not use.
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
