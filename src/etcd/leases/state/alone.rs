//! Leases that are asked for alone: one of them may be what a server refused, or it has got no response among others.

use super::Leases;
use super::lease::{Alone, Lease};
use crate::etcd::clock::Moment;
use crate::etcd::error::Error;
use crate::etcd::pb::LeaseKeepAliveResponse;

impl Leases {
    /// Begins to ask for a lease alone at `now`. Which attempt that is, from 1, and when its response must have come.
    pub(in super::super) fn attempt(&mut self, id: i64, now: Moment) -> Option<(usize, Moment)> {
        let delay = self.delay;
        let lease = self.by_id.get_mut(&id)?;
        let alone = lease.alone.as_mut()?;
        alone.attempts += 1;
        let (attempt, since) = (alone.attempts, alone.since);
        Some((attempt, lease.patient_until(now, since, delay).min(lease.end())))
    }

    /// The request of `sent` was answered.
    pub(in super::super) fn renewed_alone(&mut self, answer: LeaseKeepAliveResponse, sent: Moment, now: Moment) {
        self.note_delay(now.since(sent));
        self.note_renewal(&answer);
        self.answer(answer, sent);
    }

    /// The lease was refused, and is asked for again at a slow pace.
    pub(in super::super) fn refused(&mut self, id: i64, refusal: Error, now: Moment) {
        self.note_failed(
            id,
            |alone| alone.refusal = Some(refusal),
            |lease| now + lease.slow_pace(),
        );
    }

    /// Nothing came of it; a next attempt may be made at `next`.
    pub(in super::super) fn failed(&mut self, id: i64, next: Moment) {
        self.note_failed(id, |_| {}, |_| next);
    }

    fn note_failed(&mut self, id: i64, note: impl FnOnce(&mut Alone), next: impl FnOnce(&Lease) -> Moment) {
        self.update(id, |lease| {
            if let Some(alone) = &mut lease.alone {
                note(alone);
                lease.ask_at = next(lease);
            }
        });
    }
}
