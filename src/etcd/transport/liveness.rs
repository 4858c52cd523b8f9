//! Whether the other end of a connection is still there.
//!
//! In: what is heard from the server, and what it leaves unanswered. Out: the word that a connection is to take no more
//! requests, and the pings that find out. Shared by a connection's task and its users, on any thread.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::gate::Gate;
use super::http2::Shared;

/// A server closes the connection of a client that pings more often than every 5 s, or while no stream is open.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// How long a server may take to answer a ping, if its line is not known to be slower.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for the ping before the first request after a long silence, which waits for it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server that owes responses, and from which nothing was heard for so long: later requests take another connection.
pub(crate) const DOUBT_LIMIT: Duration = Duration::from_secs(1);

/// So many round trips are waited for on a line where that is longer than a limit.
const ROUND_TRIPS: u32 = 4;

/// What was measured may have stood behind a large response.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

/// How often a server wants to be pinged at the most. It outlives the connections to that server, for one that has
/// complained will complain again.
#[derive(Debug, Clone)]
pub(crate) struct Pace(Arc<AtomicU64>);

impl Default for Pace {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(millis(PING_INTERVAL))))
    }
}

impl Pace {
    /// The time between two pings.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// gRPC's rule for a server that says it is pinged too often.
    fn slow_down(&self) {
        let doubled = self.interval().saturating_mul(2).min(LONGEST_INTERVAL);
        self.0.store(millis(doubled), Ordering::Relaxed);
    }
}

pub(super) struct Liveness {
    /// The server takes no more requests here, or should get none.
    retired: AtomicBool,
    /// The server has left a ping unanswered.
    silent: AtomicBool,
    began: Instant,
    /// When the server was heard from last, in milliseconds since then.
    heard: AtomicU64,
    /// How many responses have begun.
    answers: AtomicU64,
    /// The round trip as it was measured last, in microseconds.
    round_trip: AtomicU64,
    pace: Pace,
    /// Somebody wants to know whether the server is there, and hears of it.
    probed: Notify,
    noise: Notify,
    /// When they asked first since it was heard from last, in milliseconds like that.
    asked: AtomicU64,
    /// Since when a response has been owed, and when the server was heard from before that. Held for the look only.
    doubted: Mutex<Option<(u64, Instant)>>,
}

impl Liveness {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            retired: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            began: Instant::now(),
            heard: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            round_trip: AtomicU64::new(0),
            pace,
            probed: Notify::new(),
            noise: Notify::new(),
            asked: AtomicU64::new(0),
            doubted: Mutex::default(),
        }
    }

    /// Something has come from the server.
    pub(super) fn hear(&self) {
        let before = self.heard.load(Ordering::Relaxed);
        self.heard.store(millis(self.began.elapsed()), Ordering::Relaxed);
        if self.asked.load(Ordering::Relaxed) > before {
            self.noise.notify_waiters();
        }
    }

    /// For how long nothing has come.
    fn quiet(&self, now: Instant) -> Duration {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        now.saturating_duration_since(self.began).saturating_sub(heard)
    }

    /// When something came last.
    pub(super) fn last_heard(&self) -> Instant {
        self.began + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }

    /// The server has complained about pings.
    pub(super) fn calm_down(&self) {
        self.pace.slow_down();
    }

    /// A response has begun.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// How many responses have begun.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// No more requests are to be sent here.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.noise.notify_waiters();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Waits until no more requests are to be sent here.
    pub(super) async fn retired(&self) {
        loop {
            let noise = self.noise.notified();
            if self.is_retired() {
                return;
            }
            noise.await;
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// `limit`, or some round trips where the line is slower than that.
    pub(super) fn patience(&self, limit: Duration) -> Duration {
        limit.max(self.round_trip().saturating_mul(ROUND_TRIPS).min(LONGEST_PATIENCE))
    }

    /// How long a round trip takes.
    pub(super) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip.load(Ordering::Relaxed))
    }

    /// A round trip took so long. One that was quick does not make a slow line a quick one at once.
    pub(super) fn measured(&self, round_trip: Duration) {
        let before = self.round_trip.load(Ordering::Relaxed);
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.round_trip.store(micros.max(before / 2), Ordering::Relaxed);
    }

    /// The server has left a request unanswered for `silence`. If nothing at all has come meanwhile, and that goes on
    /// for a second, later requests go elsewhere: a connection whose other end is gone would swallow them until a ping
    /// finds out, and those are sent only while requests are under way.
    pub(super) fn doubt(&self, silence: Duration) {
        let heard = self.heard.load(Ordering::Relaxed);
        if self.quiet(Instant::now()) < silence {
            return;
        }
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *doubted {
            Some((before, since)) if before == heard => since,
            _ => Instant::now() - silence,
        };
        *doubted = Some((heard, since));
        if since.elapsed() >= self.patience(DOUBT_LIMIT) {
            self.retire();
        }
    }

    /// Has nothing come for so long that a proxy or NAT in between may have forgotten the connection?
    pub(super) fn is_dormant(&self, now: Instant) -> bool {
        self.quiet(now) >= self.pace.interval()
    }

    /// Asks the server whether it is there, and retires the connection where it does not say so soon after it was asked
    /// first: the caller may have had no time to wait.
    pub(super) async fn probe(&self) {
        let before = self.heard.load(Ordering::Relaxed);
        if self.asked.load(Ordering::Relaxed) <= before {
            self.asked.store(millis(self.began.elapsed()), Ordering::Relaxed);
        }
        let asked = self.began + Duration::from_millis(self.asked.load(Ordering::Relaxed));
        let heard = async {
            loop {
                let noise = self.noise.notified();
                if self.heard.load(Ordering::Relaxed) != before || self.is_retired() {
                    return;
                }
                noise.await;
            }
        };
        self.probed.notify_one();
        let end = asked + self.patience(PROBE_TIMEOUT);
        if timeout_at(end, heard).await.is_err() {
            self.retire();
        }
    }

    /// Pings the server while requests are under way, and when it is asked to. Completes when there is no response.
    pub(super) async fn ping(&self, http2: &Shared, gate: &Gate) {
        loop {
            tokio::select! {
                () = self.busy(gate) => {}
                () = self.probed.notified() => {
                    if !self.is_dormant(Instant::now()) {
                        continue;
                    }
                }
            }
            let sent = Instant::now();
            let mut pong = pin!(http2.ping());
            loop {
                let heard = self.heard.load(Ordering::Relaxed);
                match timeout(self.patience(PING_TIMEOUT), &mut pong).await {
                    Ok(()) => break,
                    // It stands behind a response that takes its time.
                    Err(_) if self.heard.load(Ordering::Relaxed) != heard => {}
                    Err(_) => return self.silent.store(true, Ordering::Relaxed),
                }
            }
            self.measured(sent.elapsed());
        }
    }

    /// Completes when requests have been under way for the time between two pings.
    async fn busy(&self, gate: &Gate) {
        loop {
            gate.in_use().await;
            sleep(self.pace.interval()).await;
            if gate.is_in_use() {
                return;
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
