//! Permission to have one request under way on a connection, held until its response has come.
//!
//! In: requests that want to be sent. Out: for each a [`Permit`], once the [`Gate`] has room for it. Used on any
//! thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::gate::{Gate, Purpose};
use super::state::State;

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
            // A caller that waits has to go elsewhere.
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
