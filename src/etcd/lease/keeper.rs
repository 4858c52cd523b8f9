//! Renews leases in the background: one task and one stream for all leases of a client.
//!
//! In: leases to keep, each with its TTL and the moment its last answered request was sent. A lease is renewed when
//! a third of its TTL is over. Its life is counted from the send, so that the client never believes in a lease for
//! longer than the server does. Runs on the runtime, whatever Lua is doing.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use futures_util::stream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::service;
use crate::etcd::endpoint::{Endpoint, Endpoints};
use crate::etcd::failure::Failure;
use crate::etcd::pb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use crate::etcd::stream::{Persistent, next, open, persist};

/// A server that leaves a renewal unanswered for longer than this, or for a third of the TTL, is left for another.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest TTL that etcd grants, in seconds. More than that is no TTL.
const MAX_TTL: i64 = 9_000_000_000;

/// The handle that the client holds.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    endpoints: Arc<Endpoints>,
    closed: CancellationToken,
    /// The task starts with the first lease.
    started: Once,
}

impl Keeper {
    pub(crate) fn new(endpoints: Arc<Endpoints>, closed: CancellationToken) -> Self {
        Self {
            shared: Arc::default(),
            endpoints,
            closed,
            started: Once::new(),
        }
    }

    /// Renews the lease from now on. `sent` is when the request went out that was answered with `ttl` seconds. Must
    /// be called on the runtime.
    pub(crate) fn keep(&self, id: i64, ttl: i64, sent: Instant) {
        self.shared.leases().answered(id, seconds(ttl), sent);
        self.shared.changed.notify_one();
        self.started.call_once(|| {
            let (endpoints, closed) = (self.endpoints.clone(), self.closed.clone());
            tokio::spawn(persist(self.shared.clone(), endpoints, closed));
        });
    }

    /// Renews the lease no longer.
    pub(crate) fn forget(&self, id: i64) {
        self.shared.leases().remove(id);
        self.shared.changed.notify_one();
    }
}

#[derive(Default)]
struct Shared {
    /// Held for single steps, never across an await.
    leases: Mutex<Leases>,
    /// A lease came or went: the times to wait for are others.
    changed: Notify,
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends renewals as they fall due, until no lease is left or the server falls silent.
    async fn send(&self, endpoint: &Endpoint, requests: mpsc::Sender<LeaseKeepAliveRequest>) -> Result<(), Failure> {
        loop {
            let due = self.leases().due(Instant::now());
            if due.silent {
                return Err(Failure::timeout(endpoint, PATIENCE));
            }
            for id in due.leases {
                if requests.send(LeaseKeepAliveRequest { id }).await.is_err() {
                    return Err(Failure::ended(endpoint));
                }
            }
            let Some(next) = due.next else { return Ok(()) };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Notes the server's answers.
    async fn receive(
        &self,
        endpoint: &Endpoint,
        mut outgoing: mpsc::Receiver<LeaseKeepAliveRequest>,
        answered: &mut bool,
    ) -> Result<(), Failure> {
        let requests = stream::poll_fn(move |cx| outgoing.poll_recv(cx));
        let rpc = |c, r| async move { service(c).lease_keep_alive(r).await };
        let mut answers = open(endpoint, PATIENCE, requests, rpc).await?;
        loop {
            let answer: LeaseKeepAliveResponse = next(endpoint, &mut answers).await?;
            *answered = true;
            self.leases().renewed(&answer);
            self.changed.notify_one();
        }
    }
}

impl Persistent for Shared {
    async fn wanted(&self) {
        while self.leases().is_empty() {
            self.changed.notified().await;
        }
    }

    async fn session(&self, endpoint: &Endpoint, answered: &mut bool) -> Result<(), Failure> {
        self.leases().restart(Instant::now());
        let (requests, outgoing) = mpsc::channel(64);
        tokio::select! {
            ended = self.send(endpoint, requests) => ended,
            ended = self.receive(endpoint, outgoing, answered) => ended,
        }
    }

    fn stranded(&self, _: &Failure) {}

    fn closed(&self) {
        *self.leases() = Leases::default();
    }
}

/// The leases and when each needs attention. A step at a time, without a clock or a socket of its own.
#[derive(Default)]
struct Leases {
    by_id: HashMap<i64, Lease>,
    /// The same leases by `wake`.
    schedule: BTreeSet<(Instant, i64)>,
}

struct Lease {
    ttl: Duration,
    /// When the last answered request was sent: the lease lives until `ttl` after that.
    sent: Instant,
    /// When the request was sent that has no answer yet.
    asked: Option<Instant>,
    /// When it must be looked at: to renew it, to miss an answer, or to give it up.
    wake: Instant,
}

/// What must be done at some moment.
#[derive(Default)]
struct Due {
    /// Leases to renew now.
    leases: Vec<i64>,
    /// When to look again; `None` without leases.
    next: Option<Instant>,
    /// Has the server left a renewal unanswered for too long?
    silent: bool,
}

impl Leases {
    fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// A request sent at `sent` was answered: the lease lives for `ttl` from then.
    fn answered(&mut self, id: i64, ttl: Duration, sent: Instant) {
        self.remove(id);
        let lease = Lease {
            ttl,
            sent,
            asked: None,
            wake: sent + ttl / 3,
        };
        self.schedule.insert((lease.wake, id));
        self.by_id.insert(id, lease);
    }

    fn remove(&mut self, id: i64) {
        if let Some(lease) = self.by_id.remove(&id) {
            self.schedule.remove(&(lease.wake, id));
        }
    }

    /// An answer of the stream. A TTL of 0 means that the lease is gone.
    fn renewed(&mut self, answer: &LeaseKeepAliveResponse) {
        let Some(asked) = self.by_id.get(&answer.id).and_then(|lease| lease.asked) else {
            return;
        };
        if answer.ttl > 0 {
            self.answered(answer.id, seconds(answer.ttl), asked);
        } else {
            self.remove(answer.id);
        }
    }

    /// A new stream: what the old one left unanswered is due at once.
    fn restart(&mut self, now: Instant) {
        let unanswered: Vec<_> = self
            .by_id
            .iter()
            .filter(|(_, lease)| lease.asked.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in unanswered {
            self.reschedule(id, None, now);
        }
    }

    /// What must be done at `now`. Leases whose life is over are given up.
    fn due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        while let Some(&(wake, id)) = self.schedule.first() {
            if wake > now {
                due.next = Some(wake);
                break;
            }
            let lease = &self.by_id[&id];
            let end = lease.sent + lease.ttl;
            if end <= now {
                self.remove(id);
            } else if lease.asked.is_some() {
                due.silent = true;
                due.next = Some(now);
                break;
            } else {
                let wake = end.min(now + PATIENCE.min(lease.ttl / 3));
                self.reschedule(id, Some(now), wake);
                due.leases.push(id);
            }
        }
        due
    }

    fn reschedule(&mut self, id: i64, asked: Option<Instant>, wake: Instant) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            self.schedule.remove(&(lease.wake, id));
            lease.asked = asked;
            lease.wake = wake;
            self.schedule.insert((wake, id));
        }
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.clamp(0, MAX_TTL).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(9);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn answer(id: i64, ttl: i64) -> LeaseKeepAliveResponse {
        LeaseKeepAliveResponse { id, ttl, header: None }
    }

    #[test]
    fn a_lease_is_renewed_after_a_third_of_its_ttl() {
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.answered(7, TTL, start);
        assert_eq!(leases.due(at(start, 2)).next, Some(at(start, 3)));
        assert_eq!(leases.due(at(start, 3)).leases, [7]);
        leases.renewed(&answer(7, 9));
        assert_eq!(leases.due(at(start, 4)).next, Some(at(start, 6)));
    }

    #[test]
    fn its_life_is_counted_from_the_send() {
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.answered(7, TTL, start);
        assert_eq!(leases.due(at(start, 3)).leases, [7]);
        leases.restart(at(start, 8));
        leases.due(at(start, 8));
        leases.renewed(&answer(7, 9));
        assert_eq!(leases.by_id[&7].sent, at(start, 8));
    }

    #[test]
    fn a_silent_server_is_noticed_before_the_lease_is_lost() {
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.answered(7, TTL, start);
        leases.due(at(start, 3));
        assert!(!leases.due(at(start, 4)).silent);
        assert!(leases.due(at(start, 5)).silent);
        leases.restart(at(start, 5));
        assert_eq!(leases.due(at(start, 5)).leases, [7]);
    }

    #[test]
    fn a_lease_ends_with_its_ttl_or_at_the_servers_word() {
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.answered(7, TTL, start);
        leases.due(at(start, 9));
        assert!(leases.is_empty());

        leases.answered(8, TTL, start);
        leases.due(at(start, 3));
        leases.renewed(&answer(8, 0));
        assert!(leases.is_empty() && leases.schedule.is_empty());
    }

    #[test]
    fn an_answer_that_nobody_asked_for_changes_nothing() {
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.renewed(&answer(1, 5));
        leases.answered(7, TTL, start);
        leases.renewed(&answer(7, 1_000_000));
        assert_eq!(leases.by_id[&7].ttl, TTL);
    }
}
