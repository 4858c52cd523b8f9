//! Streams whose answers come after a fixed time, for as long as a test likes.

use super::*;

/// How long a stream takes to answer; `None` where it never does.
type Delay = fn(stream: u64) -> Option<Duration>;

pub(super) struct Line {
    pub(super) leases: Leases,
    pub(super) now: Moment,
    /// The current stream.
    pub(super) stream: u64,
    delay: Delay,
    /// Answers under way, by the moment when they come.
    coming: Vec<(Moment, u64, i64, i64)>,
    /// The streams that were asked for something.
    pub(super) asked: BTreeSet<u64>,
}

impl Line {
    /// A lease with each of these TTLs, which is its id as well.
    pub(super) fn new(ttls: &[i64], delay: Delay) -> Self {
        let (mut leases, now) = (Leases::default(), Moment::now());
        for ttl in ttls {
            leases.keep(answer(*ttl, *ttl), now);
        }
        let stream = leases.open();
        Self {
            leases,
            now,
            stream,
            delay,
            coming: Vec::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Lets `seconds` pass, or the last lease end.
    pub(super) fn run(&mut self, seconds: u64) {
        let end = at(self.now, seconds);
        loop {
            let due = self.leases.due(self.now);
            for id in due.shared {
                self.asked.insert(self.stream);
                if let Some(delay) = (self.delay)(self.stream) {
                    self.coming.push((self.now + delay, self.stream, id, id));
                }
            }
            assert!(due.alone.is_empty());
            if due.silent.is_some() {
                self.leases.leave(self.now);
                self.stream = self.leases.open();
                assert!(self.stream < 1000, "too many streams");
                continue;
            }
            self.coming.sort();
            let first = self.coming.first().map(|coming| coming.0);
            let Some(next) = due.next.map(|next| first.map_or(next, |first| first.min(next))) else {
                return;
            };
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            while let Some(&(when, stream, id, ttl)) = self.coming.first()
                && when <= self.now
            {
                self.coming.remove(0);
                self.leases.renewed(stream, answer(id, ttl), self.now);
            }
        }
    }
}
