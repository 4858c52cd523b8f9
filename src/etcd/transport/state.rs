//! What is known of a connection, beside what HTTP/2 knows. Shared by its task, its handles and the permits of its
//! requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gate::Gate;
use super::liveness::{Liveness, Pace};
use crate::etcd::journal::{Level, Record};
use crate::etcd::stats::Traffic;

/// The state of a connection.
pub(super) struct State {
    pub(super) liveness: Liveness,
    pub(super) gate: Gate,
    /// The server has told its version, and it will do.
    pub(super) is_verified: AtomicBool,
    /// It was told that it has ended, or that others take its place.
    is_told: AtomicBool,
    /// Of all connections to the server.
    pub(super) traffic: Arc<Traffic>,
}

impl State {
    /// That of a connection to a server that wants to be pinged at this pace.
    pub(super) fn new(pace: Pace, traffic: Arc<Traffic>) -> Self {
        Self {
            liveness: Liveness::new(pace),
            gate: Gate::new(),
            is_verified: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            traffic,
        }
    }

    /// Tells that the connection has ended, or is left, once.
    pub(super) fn tell_end(&self, reason: &str) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            self.traffic.tell(Level::Warn, || Record::new("disconnected", reason));
        }
    }

    /// Is the connection to take no more requests: it has ended, has been given up, or has all its streams taken for
    /// long?
    pub(super) fn is_closed(&self) -> bool {
        self.liveness.is_retired() || self.gate.is_taken()
    }
}
