//! What must be done at some moment: which leases to ask for, and whether to give the current stream more time.

use std::time::Duration;

use super::{Leases, UNANSWERED};
use crate::etcd::clock::Moment;

/// What is due so soon is sent along, so that thousands of leases cost a few wake-ups a second and no more.
const EARLY: Duration = Duration::from_millis(50);

/// What must be done at some moment.
#[derive(Debug, Default)]
pub(in super::super) struct Due {
    /// Leases to renew on the current stream.
    pub(in super::super) shared: Vec<i64>,
    /// Leases to renew each on a stream of its own.
    pub(in super::super) alone: Vec<i64>,
    /// A lease was given up.
    pub(in super::super) lost: bool,
    /// When to look again; `None` without leases.
    pub(in super::super) next: Option<Moment>,
    /// For how long the current stream has owed a response, if another must be asked beside it.
    pub(in super::super) silent: Option<Duration>,
}

impl Leases {
    /// What must be done at `now`, with a current stream. Leases whose life is over are given up.
    pub(in super::super) fn due(&mut self, now: Moment) -> Due {
        let mut due = Due::default();
        while let Some(&(wake, id)) = self.schedule.first() {
            let Some(lease) = self.by_id.get(&id) else { break };
            let soon = if lease.alone.is_some() { now } else { now + EARLY };
            let asks = lease.ask_at <= soon;
            if wake > now && !asks {
                due.next = Some(wake);
                break;
            }
            if lease.end() <= now {
                self.lose(id, now, lease.sent, UNANSWERED);
                due.lost = true;
            } else if !asks {
                due.silent = self.unanswered(id, now);
                if due.silent.is_some() {
                    break;
                }
            } else if lease.alone.is_some() {
                due.alone.push(id);
                // The one who asks says when to ask again.
                self.update(id, |lease| lease.ask_at = lease.end());
            } else {
                due.shared.push(id);
                self.ask(id, now);
            }
        }
        due
    }

    /// Asks for a lease on the current stream.
    fn ask(&mut self, id: i64, now: Moment) {
        let Some(stream) = self.streams.current() else { return };
        self.streams.ask(id, now);
        let delay = self.delay;
        self.update(id, |lease| {
            lease.ask_at = now + lease.interval(id);
            // Asked for once more on the same stream, it is waited for no longer.
            if lease.asked_on != Some(stream) {
                lease.asked_on = Some(stream);
                lease.wait(now, delay);
            }
        });
    }

    /// The current stream has left a lease unanswered for as long as that may take. Where it must be left, for how long
    /// it has owed a response.
    fn unanswered(&mut self, id: i64, now: Moment) -> Option<Duration> {
        let heard = self.streams.heard();
        let lease = self.by_id.get(&id)?;
        let still = heard.map(|heard| heard + lease.pause()).filter(|end| *end > now);
        let Some(still) = still else {
            let (oldest, _) = self.streams.outstanding(id, lease.sent);
            let owed = oldest.max(heard).unwrap_or(lease.sent);
            return Some(now.since(owed));
        };
        // Its answers keep coming, so this one may only stand behind others; but a lease does not die waiting for them.
        let last = lease.last_chance();
        self.update(id, |lease| {
            if now < last {
                lease.patience = Some(still.min(last));
            } else {
                lease.separate(now);
            }
        });
        None
    }
}
