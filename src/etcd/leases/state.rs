//! The leases that are kept and when each needs attention: a state machine without a socket, a task or a clock.
//!
//! In: responses of the server, ends of streams, and the present moment. Out: what to ask now, when to look again, and
//! news of each lease. One stream at a time is the current one, which new requests go to; earlier ones stay open as
//! long as they owe responses that still count. A lease that a stream may have been refused for is asked for alone.

mod alone;
mod due;
mod lease;
mod lost;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use lease::Lease;
use lost::Lost;
use streams::Streams;

use crate::etcd::clock::Moment;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::journal::{Level, Record};
use crate::etcd::pb::LeaseKeepAliveResponse;
use crate::etcd::stats::Stats;

/// Why a lease is lost.
const UNANSWERED: &str = "no renewal was answered within its TTL";
const GONE: &str = "the server does not have the lease any longer";
const REVOKED: &str = "the lease was revoked";

/// What is heard of a lease.
pub(super) enum News {
    /// A renewal was answered.
    Renewed(LeaseKeepAliveResponse),
    /// It is not kept any longer.
    Lost(Error),
}

#[derive(Default)]
pub(super) struct Leases {
    by_id: HashMap<i64, Lease>,
    /// The same leases by the moment when each must be looked at.
    schedule: BTreeSet<(Moment, i64)>,
    streams: Streams,
    lost: Lost,
    /// How long answers take: the last one, or a slow one not long ago.
    delay: Duration,
    /// Why nothing is kept any longer.
    ended: Option<Error>,
    counts: Counts,
    stats: Arc<Stats>,
}

/// What has become of the leases so far.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    /// Answered renewals.
    pub(crate) renewals: u64,
    /// Lost leases by the reason. All reasons are there, since Prometheus sees no rise in a series that begins with 1.
    pub(crate) lost: BTreeMap<&'static str, u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            renewals: 0,
            lost: ["gone", "refused", "unanswered"].map(|reason| (reason, 0)).into(),
        }
    }
}

impl Leases {
    /// No leases. Losses are told in the journal of `stats`.
    pub(super) fn new(stats: Arc<Stats>) -> Self {
        Self {
            stats,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many there are, how long the one lives that ends first, and what has become of others.
    pub(super) fn numbers(&self, now: Moment) -> (usize, Option<Duration>, Counts) {
        let ends = self.by_id.values().map(|lease| lease.end().since(now));
        (self.by_id.len(), ends.min(), self.counts.clone())
    }

    /// Keeps a lease from now on, if it is not kept already. A request sent at `sent` was answered so: that is the
    /// first news.
    pub(super) fn keep(&mut self, answer: LeaseKeepAliveResponse, sent: Moment) -> watch::Receiver<News> {
        if let Some(reason) = &self.ended {
            return watch::channel(News::Lost(reason.clone())).1;
        }
        let lease = self.by_id.entry(answer.id).or_insert_with(|| {
            let lease = Lease::new(answer, sent);
            self.schedule.insert((lease.wake(), answer.id));
            lease
        });
        let news = lease.news.subscribe();
        self.answer(answer, sent);
        news
    }

    /// What becomes of a lease that is renewed.
    pub(super) fn follow(&self, id: i64) -> Option<watch::Receiver<News>> {
        self.by_id.get(&id).map(|lease| lease.news.subscribe())
    }

    /// Is it renewed?
    pub(super) fn keeps(&self, id: i64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The server had the lease when it answered a request of `sent`, whatever was believed of it before.
    pub(super) fn found(&mut self, id: i64, sent: Moment) {
        self.lost.found(id, sent);
    }

    /// The lease is kept no longer, for its revocation.
    pub(super) fn forget(&mut self, id: i64) {
        if let Some(lease) = self.remove(id) {
            let revoked = Error::new(Code::LeaseExpired, REVOKED);
            lease.news.send_replace(News::Lost(revoked));
        }
    }

    /// A response to a request that was sent at `sent`. A TTL of 0 means that the lease is gone. A response to an older
    /// request than one that was answered is news, and decides nothing.
    pub(super) fn answer(&mut self, answer: LeaseKeepAliveResponse, sent: Moment) {
        let id = answer.id;
        if answer.ttl > 0 {
            self.found(id, sent);
        }
        let Some(lease) = self.by_id.get(&id) else { return };
        let decides = lease.sent <= sent;
        if answer.ttl > 0 {
            lease.news.send_replace(News::Renewed(answer));
            if decides {
                self.extend(id, answer.ttl, sent);
            }
        } else if decides {
            self.lose(id, sent, sent, GONE);
        }
    }

    /// Refuses a lease that was kept and is lost, or whose life is over at `now` though nobody has looked.
    pub(super) fn check(&mut self, id: i64, now: Moment) -> Result<()> {
        if let Some(lease) = self.by_id.get(&id)
            && lease.end() <= now
        {
            self.lose(id, now, lease.sent, UNANSWERED);
        }
        self.lost.check(id, now)
    }

    /// Nothing is kept any longer.
    pub(super) fn end_all(&mut self, reason: &Error) {
        self.ended = Some(reason.clone());
        self.schedule.clear();
        self.streams = Streams::default();
        for (_, lease) in self.by_id.drain() {
            lease.news.send_replace(News::Lost(reason.clone()));
        }
    }

    /// The lease lives on, as the answer to a request of `sent` says.
    fn extend(&mut self, id: i64, ttl: i64, sent: Moment) {
        let (oldest, newest) = self.streams.outstanding(id, sent);
        let (current, delay) = (self.streams.current(), self.delay);
        self.update(id, |lease| {
            lease.extend(ttl, sent);
            lease.ask_at = newest.unwrap_or(sent) + lease.interval(id);
            if let Some(oldest) = oldest {
                lease.asked_on = current;
                lease.wait(oldest, delay);
            }
        });
    }

    /// The lease is lost, as was seen at `now`. What was sent before `known` proves nothing else.
    fn lose(&mut self, id: i64, now: Moment, known: Moment, reason: &str) {
        let Some(mut lease) = self.remove(id) else { return };
        let refusal = lease.alone.take().and_then(|alone| alone.refusal);
        let refusal = refusal.filter(|_| reason == UNANSWERED);
        self.lost.insert(id, now, known, refusal.as_ref());
        let why = match reason {
            _ if refusal.is_some() => "refused",
            UNANSWERED => "unanswered",
            _ => "gone",
        };
        *self.counts.lost.entry(why).or_default() += 1;
        let reason = refusal.unwrap_or_else(|| Error::new(Code::LeaseExpired, reason));
        self.stats.journal.tell(Level::Error, || Record {
            message: format!("lease {id}: {}", reason.message),
            ..Record::of("lease_lost", &reason)
        });
        lease.news.send_replace(News::Lost(reason));
    }

    fn remove(&mut self, id: i64) -> Option<Lease> {
        let lease = self.by_id.remove(&id)?;
        self.schedule.remove(&(lease.wake(), id));
        Some(lease)
    }

    /// Changes a lease and its place in the schedule.
    fn update(&mut self, id: i64, change: impl FnOnce(&mut Lease)) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            self.schedule.remove(&(lease.wake(), id));
            change(lease);
            self.schedule.insert((lease.wake(), id));
        }
    }
}
