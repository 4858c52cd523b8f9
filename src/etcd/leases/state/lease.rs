//! One lease that is kept: how long it lives, when it is asked for again, and how long its response is waited for.

use std::time::Duration;

use tokio::sync::watch;

use super::News;
use crate::etcd::clock::Moment;
use crate::etcd::error::Error;
use crate::etcd::pb::LeaseKeepAliveResponse;

/// A server may leave a renewal unanswered for so long, or for a sixth of the TTL, until another is asked beside it: so
/// three are asked before the lease is lost. Where answers are known to take long, one is waited for longer; and each
/// next one for as long as all before it, so that a long TTL does not make many streams.
const PATIENCE: Duration = Duration::from_secs(2);

/// A refused lease is asked for no more often than this.
const SLOW_PACE: Duration = Duration::from_secs(1);

/// The part of the time between two renewals by which some leases are renewed earlier than others, so that those that
/// were granted together do not all come at once.
const SPREAD: f64 = 1.0 / 3.0;

/// The largest TTL that etcd grants, in seconds. More than that is no TTL.
const MAX_TTL: i64 = 9_000_000_000;

pub(super) struct Lease {
    ttl: Duration,
    /// When the last answered request was sent: the lease lives until `ttl` after that.
    pub(super) sent: Moment,
    /// When it is asked for again.
    pub(super) ask_at: Moment,
    /// Since when a response is waited for.
    waiting: Option<Moment>,
    /// The stream that was asked last since then.
    pub(super) asked_on: Option<u64>,
    /// Until when the current stream is given time for it.
    pub(super) patience: Option<Moment>,
    /// It is asked for on streams of its own.
    pub(super) alone: Option<Alone>,
    pub(super) news: watch::Sender<News>,
}

/// What is known of a lease that is asked for alone.
pub(super) struct Alone {
    pub(super) since: Moment,
    pub(super) attempts: usize,
    /// What the server said last, if it refused to renew it.
    pub(super) refusal: Option<Error>,
}

impl Alone {
    pub(super) fn new(since: Moment) -> Self {
        Self {
            since,
            attempts: 0,
            refusal: None,
        }
    }
}

impl Lease {
    pub(super) fn new(answer: LeaseKeepAliveResponse, sent: Moment) -> Self {
        Self {
            ttl: Duration::ZERO,
            sent,
            ask_at: sent,
            waiting: None,
            asked_on: None,
            patience: None,
            alone: None,
            news: watch::Sender::new(News::Renewed(answer)),
        }
    }

    pub(super) fn end(&self) -> Moment {
        self.sent + self.ttl
    }

    /// When it must be looked at: to ask for it, to miss a response, or to give it up.
    pub(super) fn wake(&self) -> Moment {
        let next = self.ask_at.min(self.end());
        self.patience.map_or(next, |patience| patience.min(next))
    }

    /// The time between two requests.
    pub(super) fn interval(&self, id: i64) -> Duration {
        (self.ttl / 3).mul_f64(1.0 - SPREAD * fraction(id))
    }

    /// How long a stream may be silent.
    pub(super) fn pause(&self) -> Duration {
        PATIENCE.min(self.ttl / 6)
    }

    /// The time between two requests for a lease that was refused.
    pub(super) fn slow_pace(&self) -> Duration {
        SLOW_PACE.max(self.ttl / 6)
    }

    /// Until then it may stand behind others.
    pub(super) fn last_chance(&self) -> Moment {
        self.sent + self.ttl * 2 / 3
    }

    /// A response to a request of `sent` has come.
    pub(super) fn extend(&mut self, ttl: i64, sent: Moment) {
        self.ttl = Duration::from_secs(ttl.clamp(0, MAX_TTL).unsigned_abs());
        self.sent = sent;
        self.waiting = None;
        self.asked_on = None;
        self.patience = None;
        self.alone = None;
    }

    /// It is asked for on a stream that did not owe a response for it. Responses are known to take `delay`.
    pub(super) fn wait(&mut self, now: Moment, delay: Duration) {
        let since = *self.waiting.get_or_insert(now);
        self.patience = Some(self.patient_until(now, since, delay));
    }

    /// Until when the answer to a request of `now` is waited for, after others `since` then.
    pub(super) fn patient_until(&self, now: Moment, since: Moment, delay: Duration) -> Moment {
        let usual = (delay * 3 / 2).min(self.ttl * 2 / 3).max(self.pause());
        now + usual.max(now.since(since))
    }

    /// From now on it is asked for alone.
    pub(super) fn separate(&mut self, now: Moment) {
        if self.alone.is_none() {
            self.alone = Some(Alone::new(now));
            self.ask_at = now;
            self.patience = None;
        }
    }
}

/// A number from 0 to 1. Ids are random, and so are their upper bits; a small id of the user's own choice gives 0.
fn fraction(id: i64) -> f64 {
    f64::from((id >> 31) as u32) / f64::from(u32::MAX)
}
