//! The servers of a client, each with at most one connection, made when first needed and made anew after it broke.
//!
//! In: the configured addresses. Out: for each call a [`Route`], the order in which to try them. Runs on the runtime.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::HeaderMap;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff;
use super::cause::Cause;
use super::failure::Failure;
use super::journal::{Level, Record};
use super::random;
use super::stats::{Stats, Traffic};
use super::transport::address::Address;
use super::transport::liveness::Pace;
use super::transport::tls::Tls;
use super::transport::{connection::Connection, error::ConnectError};

/// A server that could not be reached so often in a row is gone, and its word about the cluster with it.
const GONE: u32 = 10;

/// How long an attempt to connect goes on. A caller may give up earlier; a slow line needs several round
/// trips of seconds.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

type Connecting = Shared<BoxFuture<'static, Result<Connection, Refusal>>>;

/// Why a server could not be reached, and until when to take that for a response.
#[derive(Clone)]
struct Refusal {
    error: ConnectError,
    until: Instant,
}

/// One server.
pub(crate) struct Endpoint {
    /// How messages name it.
    pub(crate) name: Arc<str>,
    address: Address,
    tls: Option<Arc<Tls>>,
    /// What every request says of the client.
    identity: Arc<HeaderMap>,
    /// Ends its connections.
    closed: CancellationToken,
    /// Held for the look only, never across an await.
    slot: Mutex<Slot>,
    /// The cluster that it last answered for; 0 before that.
    cluster_id: AtomicU64,
    /// How often it may be pinged.
    pace: Pace,
    /// What went over its connections; the same for all that stand for this server.
    pub(crate) traffic: Arc<Traffic>,
    /// Has it said that it cannot stream a range? The same for all that stand for this server.
    streams_no_range: Arc<AtomicBool>,
}

#[derive(Default)]
struct Slot {
    /// The connection, made or in the making. Callers that find it in the making wait for the same attempt.
    connecting: Option<Connecting>,
    /// How often in a row it could not be made.
    failures: u32,
    /// Of the host's addresses the one that the last connection went to.
    last: Option<SocketAddr>,
    /// The client is closed: no connection is held any longer.
    closed: bool,
}

impl Endpoint {
    fn new(
        address: Address,
        tls: Option<Arc<Tls>>,
        identity: Arc<HeaderMap>,
        closed: CancellationToken,
        stats: Arc<Stats>,
    ) -> Self {
        let name = Arc::<str>::from(address.to_string());
        Self {
            name: name.clone(),
            address,
            tls,
            identity,
            closed,
            slot: Mutex::default(),
            cluster_id: AtomicU64::new(0),
            pace: Pace::default(),
            traffic: Arc::new(Traffic::new(name, stats)),
            streams_no_range: Arc::default(),
        }
    }

    /// The same server, with a connection of its own, which ends once that is `closed`.
    pub(crate) fn apart(&self, closed: &CancellationToken) -> Self {
        let (address, tls, identity) = (self.address.clone(), self.tls.clone(), self.identity.clone());
        Self {
            traffic: self.traffic.clone(),
            streams_no_range: self.streams_no_range.clone(),
            ..Self::new(address, tls, identity, closed.clone(), self.traffic.stats.clone())
        }
    }

    /// May it be asked to stream a range?
    pub(crate) fn may_stream_ranges(&self) -> bool {
        !self.streams_no_range.load(Ordering::Relaxed)
    }

    /// It knows no such method, and is not asked for it again.
    pub(crate) fn streams_no_range(&self) {
        self.streams_no_range.store(true, Ordering::Relaxed);
    }

    /// The connection to this server, if there is one that lives.
    pub(crate) fn connection(&self) -> Option<Connection> {
        let slot = self.slot();
        let connection = slot.connecting.as_ref()?.peek()?.as_ref().ok()?;
        (!connection.is_closed()).then(|| connection.clone())
    }

    /// The connection to this server, if there is one that lives and need not be asked first.
    pub(crate) fn connected(&self, now: Instant) -> Option<Connection> {
        self.connection().filter(|connection| !connection.is_dormant(now))
    }

    /// The connection to this server, made now if there is none that lives. A server that has just refused is not
    /// asked again at once, however many calls want it: a caller with `patience` until then waits, others are told.
    pub(crate) async fn connect(&self, patience: Option<Instant>) -> Result<Connection, ConnectError> {
        loop {
            let known = self.slot().look();
            let (connecting, joined) = match known {
                Known::Open(connecting) => (connecting, true),
                Known::Refused(refusal) if patience.is_none_or(|end| end <= refusal.until) => return Err(refusal.error),
                Known::Refused(refusal) => {
                    sleep_until(refusal.until).await;
                    continue;
                }
                Known::Nothing => (self.begin(), false),
            };
            match connecting.await {
                Ok(connection) if connection.wake_up().await => return Ok(connection),
                // It has closed just now.
                Ok(_) => {}
                // It had been under way for long and came to its limit: that says nothing of an attempt made now.
                Err(refusal) if joined && refusal.until <= Instant::now() => {}
                Err(refusal) => return Err(refusal.error),
            }
        }
    }

    /// Begins to connect, unless somebody else has meanwhile.
    fn begin(&self) -> Connecting {
        let mut slot = self.slot();
        match slot.look() {
            Known::Open(connecting) => connecting,
            Known::Refused(_) | Known::Nothing => {
                let connecting = self.open(slot.failures, slot.last);
                if !slot.closed {
                    slot.connecting = Some(connecting.clone());
                }
                connecting
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, failures: u32, last: Option<SocketAddr>) -> Connecting {
        let (address, tls, pace) = (self.address.clone(), self.tls.clone(), self.pace.clone());
        let (identity, closed, traffic) = (self.identity.clone(), self.closed.clone(), self.traffic.clone());
        let opening = async move {
            let opening = Connection::open(&address, tls.as_deref(), last, &pace, &traffic, &identity, &closed);
            let began = Instant::now();
            let opened = match timeout(ATTEMPT_LIMIT, opening).await {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) => Err(Refusal {
                    error,
                    until: Instant::now() + backoff::pause(failures),
                }),
                // That took its time already.
                Err(_) => Err(Refusal::now("no connection was made")),
            };
            traffic.connections.note(opened.is_ok());
            match &opened {
                Ok(_) => traffic.tell(Level::Info, || {
                    Record::new("connected", "there is a connection").after(began.elapsed())
                }),
                Err(refusal) => traffic.tell(Level::Warn, || refusal.record(&traffic.name)),
            }
            opened
        };
        // A task of its own, so that it comes to an end whether or not anyone waits for it; by its limit at the latest.
        let opening =
            tokio::spawn(opening).map(|ended| ended.unwrap_or_else(|_| Err(Refusal::now("a bug in this library"))));
        opening.boxed().shared()
    }
}

/// What is known of a connection.
enum Known {
    /// It lives, or is in the making.
    Open(Connecting),
    /// It could not be made a moment ago.
    Refused(Refusal),
    /// There is none, or it has ended, or could not be made a while ago.
    Nothing,
}

impl Slot {
    fn look(&mut self) -> Known {
        let Some(connecting) = &self.connecting else {
            return Known::Nothing;
        };
        match connecting.peek() {
            Some(Ok(connection)) => {
                self.failures = 0;
                if !connection.is_closed() {
                    return Known::Open(connecting.clone());
                }
                self.last = connection.peer();
            }
            Some(Err(refusal)) if refusal.until > Instant::now() => return Known::Refused(refusal.clone()),
            Some(Err(_)) => self.failures = self.failures.saturating_add(1),
            None => return Known::Open(connecting.clone()),
        }
        self.connecting = None;
        Known::Nothing
    }

    /// Has the server been out of reach for long?
    fn is_gone(&mut self) -> bool {
        self.look();
        self.failures >= GONE
    }
}

impl Refusal {
    fn record(&self, endpoint: &Arc<str>) -> Record {
        let failure = Failure::new(endpoint, &Cause::Unreachable(self.error.clone()));
        Record::of("unreachable", &failure.error)
    }

    /// One that need not be believed for long.
    fn now(text: &str) -> Self {
        Self {
            error: ConnectError::Socket(text.into()),
            until: Instant::now(),
        }
    }
}

/// All servers of a client. The one that answered last is asked first.
pub(crate) struct Endpoints {
    list: Vec<Arc<Endpoint>>,
    current: AtomicUsize,
    /// The cluster that they belong to; 0 before the first response.
    cluster_id: AtomicU64,
}

impl Endpoints {
    /// `addresses` is not empty. The first call of each client goes to a random one, so that many clients spread.
    pub(crate) fn new(
        addresses: Vec<Address>,
        tls: Option<Arc<Tls>>,
        identity: &Arc<HeaderMap>,
        closed: &CancellationToken,
        stats: &Arc<Stats>,
    ) -> Self {
        let endpoint = |address| {
            let (tls, identity) = (tls.clone(), identity.clone());
            Arc::new(Endpoint::new(address, tls, identity, closed.clone(), stats.clone()))
        };
        let current = AtomicUsize::new(random::below(addresses.len()));
        Self {
            list: addresses.into_iter().map(endpoint).collect(),
            current,
            cluster_id: AtomicU64::new(0),
        }
    }

    /// The same servers, the same one first, with connections of their own.
    pub(crate) fn apart(&self, closed: &CancellationToken) -> Self {
        let apart = |endpoint: &Arc<Endpoint>| Arc::new(endpoint.apart(closed));
        Self {
            list: self.list.iter().map(apart).collect(),
            current: AtomicUsize::new(self.current.load(Ordering::Relaxed)),
            cluster_id: AtomicU64::new(self.cluster_id.load(Ordering::Relaxed)),
        }
    }

    /// Lets go of all connections, for good. Each ends with the last call on it.
    pub(crate) fn disconnect(&self) {
        for endpoint in &self.list {
            *endpoint.slot() = Slot {
                closed: true,
                ..Slot::default()
            };
        }
    }

    /// Is there more than one?
    pub(crate) fn are_several(&self) -> bool {
        self.list.len() > 1
    }

    /// Sees `endpoint` answer for the cluster `cluster_id`. A server of another cluster than the others is in the list
    /// by mistake, and what it says is not good data; a cluster that was replaced as a whole is the new one.
    pub(crate) fn recognise(&self, endpoint: &Endpoint, cluster_id: u64) -> Result<(), Failure> {
        endpoint.cluster_id.store(cluster_id, Ordering::Relaxed);
        if cluster_id == 0 || cluster_id == self.cluster_id.load(Ordering::Relaxed) {
            return Ok(());
        }
        let agrees = |other: &Arc<Endpoint>| {
            [0, cluster_id].contains(&other.cluster_id.load(Ordering::Relaxed)) || other.slot().is_gone()
        };
        if !self.list.iter().all(agrees) {
            return Err(Failure::new(&endpoint.name, &Cause::Foreign));
        }
        self.cluster_id.store(cluster_id, Ordering::Relaxed);
        Ok(())
    }

    /// The order in which one call tries the servers: all of them, or `only` the one at this place.
    pub(crate) fn route(&self, only: Option<usize>) -> Route<'_> {
        let count = self.list.len();
        let first = only.unwrap_or_else(|| self.current.load(Ordering::Relaxed));
        Route {
            endpoints: self,
            at: first % count,
            untried: if only.is_some() { 0 } else { count - 1 },
            stays: only.is_some(),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Endpoint>] {
        &self.list
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// The place of the server at this address.
    pub(crate) fn find(&self, address: &Address) -> Option<usize> {
        self.list.iter().position(|endpoint| endpoint.address == *address)
    }

    /// How messages name the server at this place.
    pub(crate) fn name(&self, place: usize) -> Arc<str> {
        self.list[place].name.clone()
    }

    /// Later calls do not start with the server at this place, if there is another.
    pub(crate) fn avoid(&self, place: usize) {
        let next = (place + 1) % self.list.len();
        // Whoever has found a better one is right.
        let _ = self
            .current
            .compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, endpoint) in self.list.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", endpoint.name)?;
        }
        Ok(())
    }
}

/// One call's way through the servers.
pub(crate) struct Route<'a> {
    endpoints: &'a Endpoints,
    at: usize,
    untried: usize,
    /// It goes to one server, and says nothing of where others should.
    stays: bool,
}

impl<'a> Route<'a> {
    /// The server to ask now.
    pub(crate) fn endpoint(&self) -> &'a Arc<Endpoint> {
        &self.endpoints.list[self.at]
    }

    /// The server answered: later calls start with it.
    pub(crate) fn keep(&self) {
        if !self.stays {
            self.endpoints.current.store(self.at, Ordering::Relaxed);
        }
    }

    /// The server failed: later calls start with the next one, unless one of them has found a better by now.
    pub(crate) fn leave(&self) {
        if !self.stays {
            self.endpoints.avoid(self.at);
        }
    }

    /// Counts all other servers as untried again.
    pub(crate) fn restart(&mut self) {
        self.untried = self.endpoints.list.len() - 1;
    }

    /// Does it lead to one server only?
    pub(crate) fn is_single(&self) -> bool {
        self.stays || self.endpoints.list.len() == 1
    }

    /// Have all servers been asked?
    pub(crate) fn is_exhausted(&self) -> bool {
        self.untried == 0
    }

    /// Goes on to the next server. Says whether this call has not asked it yet.
    pub(crate) fn advance(&mut self) -> bool {
        if self.stays {
            return false;
        }
        self.at = (self.at + 1) % self.endpoints.list.len();
        let untried = self.untried > 0;
        self.untried = self.untried.saturating_sub(1);
        untried
    }
}

#[cfg(test)]
mod tests;
