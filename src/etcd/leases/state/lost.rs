//! The leases that were kept and are lost, so that nothing is written under them. A server may have one for a moment
//! longer. They are remembered for a while, and so many of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::etcd::clock::Moment;
use crate::etcd::error::{Code, Error, Result};

/// For longer than a server keeps a lease that has run out.
const AGE: Duration = Duration::from_secs(600);

/// How many are remembered.
const LIMIT: usize = 1 << 17;

#[derive(Default)]
pub(super) struct Lost {
    by_id: HashMap<i64, Loss>,
    /// The same leases in the order of their loss, and some that were found again.
    order: VecDeque<(Moment, i64)>,
}

struct Loss {
    at: Moment,
    /// Answers to requests that were sent before this do not show that it lives.
    known: Moment,
    /// Why the server would not renew it.
    refusal: Option<Box<Error>>,
}

impl Lost {
    /// A lease is lost at `at`. Answers to requests that were sent before `known` do not show that it lives.
    pub(super) fn insert(&mut self, id: i64, at: Moment, known: Moment, refusal: Option<&Error>) {
        let refusal = refusal.cloned().map(Box::new);
        self.by_id.insert(id, Loss { at, known, refusal });
        self.order.push_back((at, id));
        while let Some(&(since, id)) = self.order.front()
            && (since + AGE <= at || self.order.len() > LIMIT)
        {
            self.order.pop_front();
            if self.by_id.get(&id).is_some_and(|loss| loss.at == since) {
                self.by_id.remove(&id);
            }
        }
    }

    /// The server had the lease when it answered a request of `sent`.
    pub(super) fn found(&mut self, id: i64, sent: Moment) {
        if self.by_id.get(&id).is_some_and(|loss| loss.known <= sent) {
            self.by_id.remove(&id);
        }
    }

    /// Refuses a lease that is lost.
    pub(super) fn check(&self, id: i64, now: Moment) -> Result<()> {
        match self.by_id.get(&id) {
            Some(loss) if now < loss.at + AGE => Err(loss.error(id)),
            _ => Ok(()),
        }
    }
}

impl Loss {
    fn error(&self, id: i64) -> Error {
        match &self.refusal {
            None => Error::new(Code::LeaseExpired, format!("lease {id} is lost")),
            Some(refusal) => Error::new(refusal.code, format!("lease {id} is lost: {}", refusal.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lost_lease_is_refused_for_ten_minutes_and_no_longer() {
        let (mut lost, start) = (Lost::default(), Moment::now());
        lost.insert(7, start, start, None);
        assert_eq!(
            lost.check(7, start + (AGE - SECOND)).unwrap_err().code,
            Code::LeaseExpired
        );
        assert!(lost.check(7, start + AGE).is_ok());
    }

    #[test]
    fn what_is_too_old_takes_no_memory_after_the_next_loss() {
        let (mut lost, start) = (Lost::default(), Moment::now());
        for id in 0..1000 {
            lost.insert(id, start, start, None);
        }
        lost.insert(1000, start + (AGE - SECOND), start, None);
        assert_eq!((lost.by_id.len(), lost.order.len()), (1001, 1001));
        lost.insert(1001, start + AGE, start, None);
        assert_eq!((lost.by_id.len(), lost.order.len()), (2, 2));
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let (mut lost, start) = (Lost::default(), Moment::now());
        for id in 0..LIMIT as i64 {
            lost.insert(id, start, start, None);
        }
        assert!(lost.check(0, start).is_err());
        lost.insert(-1, start, start, None);
        assert!(lost.check(0, start).is_ok());
        assert!(
            [1, LIMIT as i64 - 1, -1]
                .iter()
                .all(|id| lost.check(*id, start).is_err())
        );
        assert_eq!((lost.by_id.len(), lost.order.len()), (LIMIT, LIMIT));
    }

    #[test]
    fn a_lease_that_is_lost_and_found_again_and_again_takes_no_more_memory() {
        let (mut lost, start) = (Lost::default(), Moment::now());
        for _ in 0..=LIMIT {
            lost.insert(7, start, start, None);
            lost.found(7, start);
        }
        assert!(lost.by_id.is_empty() && lost.order.len() <= LIMIT);
    }

    #[test]
    fn an_answer_from_before_the_loss_does_not_undo_it() {
        let (mut lost, start) = (Lost::default(), Moment::now());
        lost.insert(7, start + SECOND, start + SECOND, None);
        lost.found(7, start);
        assert!(lost.check(7, start + SECOND).is_err());
        lost.found(7, start + SECOND);
        assert!(lost.check(7, start + SECOND).is_ok());
    }

    #[test]
    fn a_lease_that_was_found_and_lost_again_is_forgotten_by_its_second_loss() {
        let (mut lost, start) = (Lost::default(), Moment::now());
        lost.insert(7, start, start, None);
        lost.insert(7, start + SECOND, start, None);
        lost.insert(8, start + AGE, start, None);
        assert!(lost.check(7, start + AGE).is_err());
        lost.insert(9, start + AGE + SECOND, start, None);
        assert!(lost.check(7, start + AGE).is_ok());
    }
}
