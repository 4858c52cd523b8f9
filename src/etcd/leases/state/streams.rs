//! The open streams and what each of them owes: for each lease the moments when requests were sent, oldest first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::Leases;
use crate::etcd::clock::Moment;
use crate::etcd::pb::LeaseKeepAliveResponse;

/// How many earlier streams stay open for their responses.
const EARLIER: usize = 4;

/// How many unanswered requests for one lease are remembered. A lease lives for three of them.
const OWED: usize = 16;

#[derive(Default)]
pub(super) struct Streams {
    /// Oldest first. The current one is the last, if there is one.
    open: BTreeMap<u64, Stream>,
    current: Option<u64>,
    /// How many there have been.
    count: u64,
}

#[derive(Default)]
struct Stream {
    asked: HashMap<i64, VecDeque<Moment>>,
    /// When the last response came.
    heard: Option<Moment>,
}

impl Streams {
    /// A new one, the current one from now on.
    pub(super) fn open(&mut self) -> u64 {
        self.count += 1;
        self.current = Some(self.count);
        self.open.insert(self.count, Stream::default());
        while self.open.len() > EARLIER + 1 {
            self.open.pop_first();
        }
        self.count
    }

    /// There is no current one any longer, though it stays open. Which leases it owes responses for.
    pub(super) fn leave(&mut self) -> Vec<i64> {
        let left = self.current.take().and_then(|stream| self.open.get(&stream));
        left.map_or_else(Vec::new, |stream| stream.asked.keys().copied().collect())
    }

    /// A stream has ended. The leases that it owed responses for, and when each was asked for last.
    pub(super) fn close(&mut self, stream: u64) -> Vec<(i64, Moment)> {
        let owed = self.asked(stream).collect();
        self.open.remove(&stream);
        self.current = self.current.filter(|current| *current != stream);
        owed
    }

    pub(super) fn current(&self) -> Option<u64> {
        self.current
    }

    pub(super) fn has_earlier(&self) -> bool {
        self.open.len() > usize::from(self.current.is_some())
    }

    /// Notes a request on the current stream. What a server leaves unanswered for ever does not count: that way an
    /// answer may be taken for an older one's, never for a newer one's.
    pub(super) fn ask(&mut self, id: i64, now: Moment) {
        if let Some(stream) = self.current.and_then(|stream| self.open.get_mut(&stream)) {
            let asked = stream.asked.entry(id).or_default();
            if asked.len() < OWED {
                asked.push_back(now);
            }
        }
    }

    /// Notes a response on a stream: when the request was sent that it answers, if there was one.
    pub(super) fn answer(&mut self, stream: u64, id: i64, now: Moment) -> Option<Moment> {
        let stream = self.open.get_mut(&stream)?;
        let asked = stream.asked.get_mut(&id)?;
        let oldest = asked.pop_front();
        if asked.is_empty() {
            stream.asked.remove(&id);
        }
        stream.heard = Some(now);
        oldest
    }

    /// The leases that a stream owes responses for, and when each was asked for last.
    pub(super) fn asked(&self, stream: u64) -> impl Iterator<Item = (i64, Moment)> {
        let asked = self.open.get(&stream).into_iter().flat_map(|stream| &stream.asked);
        asked.filter_map(|(id, asked)| Some((*id, *asked.back()?)))
    }

    /// When the current stream answered last.
    pub(super) fn heard(&self) -> Option<Moment> {
        self.current_stream()?.heard
    }

    /// The oldest and the newest request after `sent` that the current stream has not answered.
    pub(super) fn outstanding(&self, id: i64, sent: Moment) -> (Option<Moment>, Option<Moment>) {
        let asked = self.current_stream().and_then(|stream| stream.asked.get(&id));
        let mut newer = asked.into_iter().flatten().copied().filter(|asked| *asked > sent);
        let oldest = newer.next();
        (oldest, newer.next_back().or(oldest))
    }

    fn current_stream(&self) -> Option<&Stream> {
        self.open.get(&self.current?)
    }
}

/// Streams come and go.
impl Leases {
    /// A new stream, the current one from now on. Where there are too many, the oldest is given up.
    pub(in super::super) fn open(&mut self) -> u64 {
        self.streams.open()
    }

    /// The current stream owes a response for too long: what it owes is asked for on the next one, and it stays open
    /// for the responses.
    pub(in super::super) fn leave(&mut self, now: Moment) {
        for id in self.streams.leave() {
            self.ask_again(id, now);
        }
    }

    /// A stream has ended. What the current one left unanswered is due at once; what a stream left that was ended with
    /// a `refusal`, each alone, since one of them is what was refused.
    pub(in super::super) fn close(&mut self, stream: u64, refusal: bool, now: Moment) {
        let was_current = self.streams.current() == Some(stream);
        for (id, asked) in self.streams.close(stream) {
            let unanswered = self.by_id.get(&id).is_some_and(|lease| lease.sent < asked);
            if unanswered && refusal {
                self.note_delay(now.since(asked));
                self.update(id, |lease| lease.separate(now));
            } else if unanswered && was_current {
                self.ask_again(id, now);
            }
        }
    }

    /// Does an earlier stream owe a response that would still count?
    pub(in super::super) fn owes(&self, stream: u64, now: Moment) -> bool {
        self.streams.asked(stream).any(|(id, asked)| {
            let lease = self.by_id.get(&id);
            lease.is_some_and(|lease| lease.sent < asked && now < lease.end())
        })
    }

    /// Are there streams beside the current one?
    pub(in super::super) fn has_earlier(&self) -> bool {
        self.streams.has_earlier()
    }

    /// Has the current stream answered?
    pub(in super::super) fn has_answered(&self) -> bool {
        self.streams.heard().is_some()
    }

    /// A response on a stream. It is taken for the response to the oldest request for the lease there.
    pub(in super::super) fn renewed(&mut self, stream: u64, answer: LeaseKeepAliveResponse, now: Moment) {
        if let Some(asked) = self.streams.answer(stream, answer.id, now) {
            self.note_delay(now.since(asked));
            self.note_renewal(&answer);
            self.answer(answer, asked);
        }
    }

    pub(super) fn note_renewal(&mut self, answer: &LeaseKeepAliveResponse) {
        self.counts.renewals += u64::from(answer.ttl > 0);
    }

    fn ask_again(&mut self, id: i64, now: Moment) {
        self.update(id, |lease| {
            if lease.alone.is_none() {
                lease.ask_at = now;
            }
        });
    }

    pub(super) fn note_delay(&mut self, delay: Duration) {
        self.delay = delay.max(self.delay * 7 / 8);
    }
}
