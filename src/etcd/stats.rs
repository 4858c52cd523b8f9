//! What a client counts as it works: calls, connections, logins, locks, registrations.
//!
//! In: a word from where something happens, on any thread: an addition or two, without a lock. Out: the numbers, to
//! `metrics`. What can be looked at when it is asked for, such as how many leases there are, is not counted here.

use std::array;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Code, Error};
use super::journal::{Journal, Level, Record};

/// The bounds of the buckets of a histogram, in seconds. What takes longer is in one more.
pub(crate) const BOUNDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// More than there are methods.
pub(crate) const METHODS: usize = 64;

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are, of what begins and ends.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    pub(crate) begun: Counter,
    pub(crate) ended: Counter,
}

impl Gauge {
    /// Read on another thread, an end may be seen before its beginning.
    pub(crate) fn get(&self) -> u64 {
        let ended = self.ended.get();
        self.begun.get().saturating_sub(ended)
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BOUNDS.len() + 1],
    nanos: Counter,
}

/// A histogram as it is at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread {
    /// How many took no longer than each of the [bounds](Self::bounds), and at last how many there are.
    pub counts: Vec<u64>,
    /// The seconds of all together.
    pub sum: f64,
}

impl Spread {
    /// The bounds of the buckets, in seconds.
    pub fn bounds() -> &'static [f64] {
        &BOUNDS
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.last().copied().unwrap_or(0)
    }
}

impl Histogram {
    pub(crate) fn note(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BOUNDS.len())].one();
        self.nanos.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn get(&self) -> Spread {
        let mut all = 0;
        let counts = self.buckets.iter().map(|bucket| {
            all += bucket.get();
            all
        });
        Spread {
            counts: counts.collect(),
            sum: Duration::from_nanos(self.nanos.get()).as_secs_f64(),
        }
    }
}

/// Failures by their codes.
#[derive(Debug)]
pub(crate) struct ByCode([Counter; Code::ALL.len()]);

impl Default for ByCode {
    fn default() -> Self {
        Self(array::from_fn(|_| Counter::default()))
    }
}

impl ByCode {
    pub(crate) fn one(&self, code: Code) {
        self.0[code as usize].one();
    }

    /// Those of which there are some.
    pub(crate) fn get(&self) -> impl Iterator<Item = (Code, u64)> {
        let counts = Code::ALL.iter().map(|code| (*code, self.0[*code as usize].get()));
        counts.filter(|(_, count)| *count > 0)
    }
}

/// What went well and what did not.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) ok: Counter,
    pub(crate) failed: Counter,
}

impl Outcomes {
    pub(crate) fn note(&self, is_ok: bool) {
        if is_ok { &self.ok } else { &self.failed }.one();
    }
}

/// What a client counts.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) journal: Journal,
    /// A call that takes so long is told of.
    slow: Option<Duration>,
    /// No server has responded lately.
    is_down: AtomicBool,
    calls: Calls,
    pub(crate) logins: Outcomes,
    /// Of locks and leaderships.
    pub(crate) locks: Gauge,
    pub(crate) lock_wait: Histogram,
    pub(crate) locks_lost: ByCode,
    pub(crate) registrations: Gauge,
    pub(crate) registrations_lost: Counter,
}

/// What went over the connections to one server.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// How messages name it.
    pub(crate) name: Arc<str>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) connections: Outcomes,
    /// In bytes, below TLS: of HTTP/2.
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
}

impl Traffic {
    pub(crate) fn new(name: Arc<str>, stats: Arc<Stats>) -> Self {
        Self {
            name,
            stats,
            ..Self::default()
        }
    }

    /// Tells of something that concerns this server.
    pub(crate) fn tell(&self, level: Level, record: impl FnOnce() -> Record) {
        self.stats.journal.tell(level, || record().at(&self.name));
    }
}

/// A method of etcd's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Method {
    /// What Lua calls it.
    pub(crate) name: &'static str,
    /// Its path on the wire.
    pub(crate) path: &'static str,
}

/// Calls by their methods, in the order in which those were called first: what is called most is mostly there early.
#[derive(Debug)]
struct Calls([OnceLock<Box<Call>>; METHODS]);

impl Default for Calls {
    fn default() -> Self {
        Self(array::from_fn(|_| OnceLock::new()))
    }
}

/// The calls of one method.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) method: Method,
    begun: Counter,
    ok: Counter,
    /// How long those took that have ended.
    pub(crate) seconds: Histogram,
    failed: ByCode,
    /// Nobody waited for them any longer.
    given_up: Counter,
    /// Further attempts of a call: after a pause, at another server, with a new token, on a new connection.
    pub(crate) retry: Counter,
    pub(crate) failover: Counter,
    pub(crate) login: Counter,
    pub(crate) reconnect: Counter,
    /// Writes of which it is not known whether they have happened.
    pub(crate) unknown: Counter,
}

impl Call {
    fn new(method: Method) -> Box<Self> {
        Box::new(Self {
            method,
            ..Self::default()
        })
    }

    /// How many have begun, each with a first attempt.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// How many are under way.
    pub(crate) fn inflight(&self) -> u64 {
        let ended = self.seconds.get().count() + self.given_up.get();
        self.begun().saturating_sub(ended)
    }

    /// How many have ended well.
    pub(crate) fn succeeded(&self) -> u64 {
        self.ok.get()
    }

    /// How many have ended otherwise.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let given_up = Some(("given_up", self.given_up.get())).filter(|(_, count)| *count > 0);
        self.failed
            .get()
            .map(|(code, count)| (code.name(), count))
            .chain(given_up)
    }
}

impl Stats {
    /// Of a client that tells what matters so much, and of calls that take so long.
    pub(crate) fn new(level: Level, slow: Option<Duration>) -> Self {
        Self {
            journal: Journal::new(level),
            slow,
            ..Self::default()
        }
    }

    /// A call of a method begins now.
    pub(crate) fn call(&self, method: Method, began: Instant) -> Running<'_> {
        let call = self.calls.of(method);
        call.begun.one();
        Running {
            call,
            began,
            has_ended: false,
        }
    }

    /// A call has taken so long. `about` says more of it, where that was too long.
    pub(crate) fn took(&self, took: Duration, about: impl FnOnce() -> Record) {
        if self.slow.is_some_and(|slow| took >= slow) {
            self.journal.tell(Level::Warn, || about().after(took));
        }
    }

    /// No server responds.
    pub(crate) fn down(&self, error: &Error) {
        if !self.is_down.swap(true, Ordering::Relaxed) {
            self.journal.tell(Level::Error, || Record {
                endpoint: None,
                ..Record::of("down", error)
            });
        }
    }

    /// One has responded.
    pub(crate) fn up(&self) {
        if self.is_down.load(Ordering::Relaxed) && self.is_down.swap(false, Ordering::Relaxed) {
            self.journal
                .tell(Level::Info, || Record::new("up", "a server serves again"));
        }
    }

    /// The methods that were called.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.0.iter().map_while(|call| call.get().map(Box::as_ref))
    }
}

impl Calls {
    fn of(&self, method: Method) -> &Call {
        let mut last = None;
        for place in &self.0 {
            let call = place.get_or_init(|| Call::new(method));
            if call.method.name == method.name {
                return call;
            }
            last = Some(call);
        }
        // There are fewer methods than places.
        last.map_or_else(|| unreachable!(), Box::as_ref)
    }
}

/// A call under way. Dropped before it has ended, it was given up.
pub(crate) struct Running<'a> {
    call: &'a Call,
    began: Instant,
    has_ended: bool,
}

impl Running<'_> {
    /// Returns how long it took.
    pub(crate) fn succeed(mut self) -> Duration {
        self.call.ok.one();
        self.end()
    }

    /// The same.
    pub(crate) fn fail(mut self, error: &Error) -> Duration {
        self.call.failed.one(error.code);
        self.end()
    }

    fn end(&mut self) -> Duration {
        self.has_ended = true;
        let took = self.began.elapsed();
        self.call.seconds.note(took);
        took
    }
}

/// The numbers of its method.
impl std::ops::Deref for Running<'_> {
    type Target = Call;

    fn deref(&self) -> &Call {
        self.call
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.call.given_up.one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: Method = Method {
        name: "put",
        path: "/put",
    };
    const GET: Method = Method {
        name: "get",
        path: "/get",
    };

    #[test]
    fn each_call_ends_once() {
        let stats = Stats::default();
        let now = Instant::now();
        stats.call(PUT, now).succeed();
        stats.call(GET, now).fail(&Error::closed());
        let running = stats.call(PUT, now);
        let calls: Vec<_> = stats.calls().collect();
        let names: Vec<_> = calls.iter().map(|call| call.method.name).collect();
        assert_eq!(names, ["put", "get"]);
        assert_eq!((calls[0].begun(), calls[0].inflight(), calls[0].succeeded()), (2, 1, 1));
        assert_eq!(calls[1].failed().collect::<Vec<_>>(), [("closed", 1)]);
        assert_eq!((calls[1].succeeded(), calls[1].seconds.get().count()), (0, 1));
        drop(running);
        assert_eq!((calls[0].inflight(), calls[0].succeeded()), (0, 1));
        assert_eq!(calls[0].failed().collect::<Vec<_>>(), [("given_up", 1)]);
    }

    #[test]
    fn a_histogram_counts_what_took_no_longer_than_its_bounds() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 10_000, 60_000] {
            histogram.note(Duration::from_millis(millis));
        }
        let spread = histogram.get();
        assert_eq!(spread.counts[..2], [2, 3]);
        assert_eq!(spread.counts[BOUNDS.len() - 1..], [4, 5]);
        assert_eq!((spread.count(), spread.sum), (5, 70.003));
    }
}
