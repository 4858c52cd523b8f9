//! The leases that are kept and when each needs attention: a state machine without a socket, a task or a clock.
//!
//! In: answers of the server, and the present moment. Out: what to send now, when to look again, and news of each
//! lease.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::watch;

use crate::etcd::clock::Moment;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::pb::LeaseKeepAliveResponse;

/// A server that leaves a renewal unanswered for longer than this, or for a sixth of the TTL, is left for another: so
/// four can be asked before the lease is lost, or one again that has a leader by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The part of the time between two renewals by which some leases are renewed earlier than others, so that those that
/// were granted together do not all come at once.
const SPREAD: f64 = 1.0 / 3.0;

/// What is due so soon is sent along, so that thousands of leases cost a few wake-ups a second and no more.
const EARLY: Duration = Duration::from_millis(50);

/// The largest TTL that etcd grants, in seconds. More than that is no TTL.
const MAX_TTL: i64 = 9_000_000_000;

/// Lost leases that are remembered: for longer than a server keeps one that has run out, and so many of them.
const LOST_AGE: Duration = Duration::from_secs(600);
const LOST_LIMIT: usize = 1 << 17;

/// What is heard of a lease.
pub(super) enum News {
    /// A renewal was answered.
    Renewed(LeaseKeepAliveResponse),
    /// It is not kept any longer.
    Lost(Error),
}

/// What must be done at some moment.
#[derive(Default)]
pub(super) struct Due {
    /// Leases to renew now.
    pub(super) leases: Vec<i64>,
    /// When to look again; `None` without leases.
    pub(super) next: Option<Moment>,
    /// For how long the server has left a renewal unanswered, if that is too long.
    pub(super) silent: Option<Duration>,
}

#[derive(Default)]
pub(super) struct Leases {
    by_id: HashMap<i64, Lease>,
    /// The same leases by `wake`.
    schedule: BTreeSet<(Moment, i64)>,
    /// Leases that were kept and are lost, and since when. A server may have one for a moment longer.
    lost: HashMap<i64, Moment>,
    /// The same leases in the order of their loss, and some that were found again.
    lost_order: VecDeque<(Moment, i64)>,
    /// Why nothing is kept any longer.
    ended: Option<Error>,
}

struct Lease {
    ttl: Duration,
    /// When the last answered request was sent: the lease lives until `ttl` after that.
    sent: Moment,
    /// When the request was sent that has no answer yet.
    asked: Option<Moment>,
    /// When it must be looked at: to renew it, to miss an answer, or to give it up.
    wake: Moment,
    news: watch::Sender<News>,
}

impl Lease {
    fn end(&self) -> Moment {
        self.sent + self.ttl
    }
}

impl Leases {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Keeps a lease from now on, if it is not kept already. A request sent at `sent` was answered so: that is the
    /// first news.
    pub(super) fn keep(&mut self, answer: LeaseKeepAliveResponse, sent: Moment) -> watch::Receiver<News> {
        let id = answer.id;
        self.found(id);
        if let Some(reason) = &self.ended {
            return watch::channel(News::Lost(reason.clone())).1;
        }
        let lease = self.by_id.entry(id).or_insert_with(|| Lease {
            ttl: Duration::ZERO,
            sent,
            asked: None,
            wake: sent,
            news: watch::Sender::new(News::Renewed(answer)),
        });
        let news = lease.news.subscribe();
        lease.news.send_replace(News::Renewed(answer));
        self.answered(id, answer.ttl, sent);
        news
    }

    /// The server has the lease, whatever was believed of it.
    pub(super) fn found(&mut self, id: i64) {
        self.lost.remove(&id);
    }

    /// Is it renewed?
    pub(super) fn keeps(&self, id: i64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The lease is kept no longer, for its revocation.
    pub(super) fn forget(&mut self, id: i64) {
        if let Some(lease) = self.remove(id) {
            lease
                .news
                .send_replace(News::Lost(Error::new(Code::LeaseExpired, "the lease was revoked")));
        }
    }

    /// An answer of the stream. A TTL of 0 means that the lease is gone.
    pub(super) fn renewed(&mut self, answer: LeaseKeepAliveResponse) {
        let Some(asked) = self.by_id.get(&answer.id).and_then(|lease| lease.asked) else {
            return;
        };
        if answer.ttl > 0 {
            self.answered(answer.id, answer.ttl, asked);
            if let Some(lease) = self.by_id.get(&answer.id) {
                lease.news.send_replace(News::Renewed(answer));
            }
        } else {
            self.lose(answer.id, asked, "the server does not have the lease any longer");
        }
    }

    /// A new stream: what the old one left unanswered is due at once.
    pub(super) fn restart(&mut self, now: Moment) {
        let unanswered = self.by_id.iter().filter(|(_, lease)| lease.asked.is_some());
        for id in unanswered.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.reschedule(id, None, now);
        }
    }

    /// What must be done at `now`. Leases whose life is over are given up.
    pub(super) fn due(&mut self, now: Moment) -> Due {
        let mut due = Due::default();
        while let Some(&(wake, id)) = self.schedule.first() {
            let lease = &self.by_id[&id];
            let soon = if lease.asked.is_some() { now } else { now + EARLY };
            if wake > soon {
                due.next = Some(wake);
                break;
            }
            if lease.end() <= now {
                self.lose(id, now, "no renewal was answered within its TTL");
            } else if lease.asked.is_some() {
                due.silent = Some(patience(lease.ttl));
                break;
            } else {
                let wake = lease.end().min(now + patience(lease.ttl));
                self.reschedule(id, Some(now), wake);
                due.leases.push(id);
            }
        }
        due
    }

    /// Refuses a lease that was kept and is lost, or whose life is over at `now` though nobody has looked.
    pub(super) fn check(&mut self, id: i64, now: Moment) -> Result<()> {
        if self.by_id.get(&id).is_some_and(|lease| lease.end() <= now) {
            self.lose(id, now, "no renewal was answered within its TTL");
        }
        match self.lost.get(&id) {
            None => Ok(()),
            Some(_) => Err(Error::new(Code::LeaseExpired, format!("lease {id} is lost"))),
        }
    }

    /// Nothing is kept any longer.
    pub(super) fn end_all(&mut self, reason: &Error) {
        self.ended = Some(reason.clone());
        self.schedule.clear();
        for (_, lease) in self.by_id.drain() {
            lease.news.send_replace(News::Lost(reason.clone()));
        }
    }

    fn answered(&mut self, id: i64, ttl: i64, sent: Moment) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.ttl = Duration::from_secs(ttl.clamp(0, MAX_TTL).unsigned_abs());
            lease.sent = sent;
            let third = lease.ttl / 3;
            let wake = sent + third.mul_f64(1.0 - SPREAD * fraction(id));
            self.reschedule(id, None, wake);
        }
    }

    fn lose(&mut self, id: i64, now: Moment, reason: &str) {
        let Some(lease) = self.remove(id) else { return };
        self.lost.insert(id, now);
        self.lost_order.push_back((now, id));
        while let Some(&(since, id)) = self.lost_order.front()
            && (since + LOST_AGE <= now || self.lost_order.len() > LOST_LIMIT)
        {
            self.lost_order.pop_front();
            if self.lost.get(&id) == Some(&since) {
                self.lost.remove(&id);
            }
        }
        lease
            .news
            .send_replace(News::Lost(Error::new(Code::LeaseExpired, reason)));
    }

    fn remove(&mut self, id: i64) -> Option<Lease> {
        let lease = self.by_id.remove(&id)?;
        self.schedule.remove(&(lease.wake, id));
        Some(lease)
    }

    fn reschedule(&mut self, id: i64, asked: Option<Moment>, wake: Moment) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            self.schedule.remove(&(lease.wake, id));
            lease.asked = asked;
            lease.wake = wake;
            self.schedule.insert((wake, id));
        }
    }
}

/// How long a server may take to answer a renewal.
fn patience(ttl: Duration) -> Duration {
    PATIENCE.min(ttl / 6)
}

/// A number from 0 to 1. Ids are random, and so are their upper bits; a small id of the user's own choice gives 0.
fn fraction(id: i64) -> f64 {
    f64::from((id >> 31) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: i64 = 9;

    fn at(start: Moment, seconds: u64) -> Moment {
        start + Duration::from_secs(seconds)
    }

    fn answer(id: i64, ttl: i64) -> LeaseKeepAliveResponse {
        LeaseKeepAliveResponse { id, ttl, header: None }
    }

    fn kept(id: i64) -> (Leases, Moment) {
        let (mut leases, start) = (Leases::default(), Moment::now());
        leases.keep(answer(id, TTL), start);
        (leases, start)
    }

    #[test]
    fn l1_a_lease_is_renewed_after_a_third_of_its_ttl() {
        let (mut leases, start) = kept(7);
        assert_eq!(leases.due(at(start, 2)).next, Some(at(start, 3)));
        assert_eq!(leases.due(at(start, 3)).leases, [7]);
        leases.renewed(answer(7, TTL));
        assert_eq!(leases.due(at(start, 4)).next, Some(at(start, 6)));
    }

    #[test]
    fn leases_that_were_granted_together_are_renewed_one_after_another() {
        let (mut leases, start) = (Leases::default(), Moment::now());
        for n in 0..90 {
            leases.keep(answer(n * (i64::MAX / 90), TTL), start);
        }
        let mut renewed = Vec::new();
        for tenth in 20..=30 {
            renewed.push(leases.due(start + Duration::from_millis(100 * tenth)).leases.len());
        }
        assert_eq!(renewed.iter().sum::<usize>(), 90);
        assert!(renewed.iter().all(|count| *count <= 10), "{renewed:?}");
    }

    #[test]
    fn l2_its_life_is_counted_from_the_send() {
        let (mut leases, start) = kept(7);
        assert_eq!(leases.due(at(start, 8)).leases, [7]);
        leases.renewed(answer(7, TTL));
        assert!(leases.check(7, at(start, 16)).is_ok());
        assert!(leases.check(7, at(start, 17)).is_err());
    }

    #[test]
    fn l1_a_silent_server_is_noticed_before_the_lease_is_lost() {
        let (mut leases, start) = kept(7);
        leases.due(at(start, 3));
        assert!(leases.due(at(start, 4)).silent.is_none());
        assert_eq!(leases.due(at(start, 5)).silent, Some(Duration::from_millis(1500)));
        leases.restart(at(start, 5));
        assert_eq!(leases.due(at(start, 5)).leases, [7]);
    }

    #[test]
    fn l1_four_servers_are_asked_before_a_lease_is_lost() {
        let (mut leases, start) = kept(7);
        let (mut asked, mut now) = (0, at(start, 3));
        while !leases.is_empty() {
            let due = leases.due(now);
            asked += due.leases.len();
            match due.next {
                _ if due.silent.is_some() => leases.restart(now),
                Some(next) => now = next,
                None => {}
            }
        }
        assert_eq!((asked, now), (4, at(start, 9)));
    }

    #[test]
    fn l2_a_lease_ends_with_its_ttl_or_at_the_servers_word() {
        let (mut leases, start) = kept(7);
        leases.due(at(start, 9));
        assert!(leases.is_empty());

        leases.keep(answer(8, TTL), start);
        leases.due(at(start, 3));
        leases.renewed(answer(8, 0));
        assert!(leases.is_empty() && leases.schedule.is_empty());
    }

    #[test]
    fn a_lost_lease_stays_lost_until_it_is_granted_again() {
        let (mut leases, start) = kept(7);
        let news = leases.keep(answer(7, TTL), start);
        leases.due(at(start, 9));
        assert!(matches!(&*news.borrow(), News::Lost(reason) if reason.code == Code::LeaseExpired));
        assert_eq!(leases.check(7, at(start, 9)).unwrap_err().code, Code::LeaseExpired);
        leases.keep(answer(7, TTL), at(start, 10));
        assert!(leases.check(7, at(start, 10)).is_ok());
    }

    #[test]
    fn an_answer_that_nobody_asked_for_changes_nothing() {
        let (mut leases, start) = kept(7);
        leases.renewed(answer(1, 5));
        leases.renewed(answer(7, 1_000_000));
        assert_eq!(leases.by_id[&7].end(), at(start, 9));
    }
}
