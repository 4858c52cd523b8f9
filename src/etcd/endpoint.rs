//! One server of a client, with at most one connection, made when first needed and made anew after it broke.
//!
//! In: its address, and calls that want to be connected. Out: the connection, which they share, or why there is none.
//! Runs on the runtime.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use super::origins::Entry;
use super::pb::ResponseHeader;
use super::stats::{Stats, Traffic};
use super::transport::address::{Address, Service};
use super::transport::connection::{Connection, Destination};
use super::transport::dns::Dns;
use super::transport::error::ConnectError;
use super::transport::liveness::Pace;
use super::transport::tls::Tls;

/// A server that could not be reached so often in a row is gone, and its word about the cluster with it.
const GONE: u32 = 10;

/// How long an attempt to connect goes on. A caller may give up earlier; a slow line needs several round
/// trips of seconds.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

/// No calls are moved to a server that has failed for so long, twice as long after each further failure.
const LAPSE: Duration = Duration::from_secs(2);
const LONGEST_LAPSE: Duration = Duration::from_secs(60);

/// After so long without a failure the next one is the first.
const FORGIVEN: Duration = Duration::from_secs(300);

type Connecting = Shared<BoxFuture<'static, Result<Connection, Refusal>>>;

/// Why a server could not be reached, and until when to take that for a response.
#[derive(Clone)]
struct Refusal {
    error: ConnectError,
    until: Instant,
}

/// What all servers of a client have in common.
#[derive(Clone, Default)]
pub(crate) struct Common {
    pub(crate) tls: Option<Arc<Tls>>,
    /// What every request says of the client.
    pub(crate) headers: Arc<HeaderMap>,
    /// Ends their connections.
    pub(crate) closed: CancellationToken,
    pub(crate) stats: Arc<Stats>,
    pub(crate) dns: Arc<Dns>,
}

/// One of a client's servers, to be asked and no other.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Endpoint>);

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Server {}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.0.name)
    }
}

/// One server.
pub(crate) struct Endpoint {
    /// How messages name it.
    pub(crate) name: Arc<str>,
    pub(crate) address: Address,
    /// The name that its certificate must have, where that is not the host's.
    identity: Option<Arc<str>>,
    common: Arc<Common>,
    /// Cancelled once it is none of the client's any longer.
    removed: CancellationToken,
    /// Held for the look only, never across an await.
    slot: Mutex<Slot>,
    /// The cluster that it last responded for, and the member that it was; 0 before that.
    cluster_id: AtomicU64,
    member_id: AtomicU64,
    /// The version that it has told, if it was asked. Held for the look only.
    version: Mutex<Option<Arc<str>>>,
    /// When it failed last, and what follows. Held for the look only.
    lapse: Mutex<Lapse>,
    /// How often it may be pinged.
    pace: Pace,
    /// What went over its connections; the same for all that stand for this server.
    pub(crate) traffic: Arc<Traffic>,
    /// Has it said that it cannot stream a range? The same for all that stand for this server.
    streams_no_range: Arc<AtomicBool>,
}

/// The failures of a server.
#[derive(Default)]
struct Lapse {
    last: Option<Instant>,
    /// How many came before the last.
    count: u32,
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
    pub(super) fn new(entry: &Entry, common: &Arc<Common>) -> Self {
        Self::at(entry.address.clone(), entry.identity.clone(), common)
    }

    /// One at this address.
    pub(super) fn at(address: Address, identity: Option<Arc<str>>, common: &Arc<Common>) -> Self {
        let name = Arc::<str>::from(address.to_string());
        Self {
            name: name.clone(),
            address,
            identity,
            common: common.clone(),
            removed: CancellationToken::new(),
            slot: Mutex::default(),
            cluster_id: AtomicU64::new(0),
            member_id: AtomicU64::new(0),
            version: Mutex::default(),
            lapse: Mutex::default(),
            pace: Pace::default(),
            traffic: Arc::new(Traffic::new(name, common.stats.clone())),
            streams_no_range: Arc::default(),
        }
    }

    /// The same server, with a connection of its own.
    pub(crate) fn apart(&self, common: &Arc<Common>) -> Self {
        Self {
            traffic: self.traffic.clone(),
            streams_no_range: self.streams_no_range.clone(),
            ..Self::at(self.address.clone(), self.identity.clone(), common)
        }
    }

    /// It is none of the client's any longer. What is under way on its connection goes on, but for what would do so
    /// for ever.
    pub(super) fn remove(&self) {
        self.disconnect();
        self.removed.cancel();
    }

    /// Waits until it is none of the client's any longer.
    pub(crate) async fn removed(&self) {
        self.removed.cancelled().await;
    }

    /// Lets go of its connection, for good. That ends with the last call on it.
    pub(super) fn disconnect(&self) {
        *self.slot() = Slot {
            closed: true,
            ..Slot::default()
        };
    }

    /// It has responded, with this header.
    pub(super) fn responded(&self, header: &ResponseHeader) {
        self.cluster_id.store(header.cluster_id, Ordering::Relaxed);
        self.member_id.store(header.member_id, Ordering::Relaxed);
    }

    /// The cluster that it last responded for; 0 before that.
    pub(super) fn cluster_id(&self) -> u64 {
        self.cluster_id.load(Ordering::Relaxed)
    }

    /// The member that it was when it last responded; 0 before that.
    pub(crate) fn member_id(&self) -> u64 {
        self.member_id.load(Ordering::Relaxed)
    }

    /// A request has failed there, such that others should begin elsewhere.
    pub(super) fn lapsed(&self) {
        self.lapse().add(Instant::now());
    }

    /// Has it failed so lately, or so often, that calls should not be moved there?
    pub(crate) fn is_suspect(&self) -> bool {
        self.lapse().lasts(Instant::now())
    }

    fn lapse(&self) -> MutexGuard<'_, Lapse> {
        self.lapse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is it the same server as another, with connections of its own?
    pub(super) fn stands_for(&self, other: &Self) -> bool {
        self.address == other.address && self.identity == other.identity
    }

    /// It has told its version.
    pub(super) fn is_of(&self, version: &str) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version.into());
    }

    /// The version that it has told, if it was asked.
    pub(crate) fn version(&self) -> Option<Arc<str>> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has it been out of reach for long?
    pub(super) fn is_gone(&self) -> bool {
        self.slot().is_gone()
    }

    /// Makes it one that could not be reached so often in a row.
    #[cfg(test)]
    pub(super) fn fail(&self, failures: u32) {
        self.slot().failures = failures;
    }

    /// How often in a row it could not be reached.
    pub(crate) fn failures(&self) -> u32 {
        self.slot().failures()
    }

    /// The service that is to be looked up before there is a server.
    pub(crate) fn service(&self) -> Option<&Service> {
        match &self.address {
            Address::Srv(service) => Some(service),
            Address::Tcp { .. } | Address::Unix(_) => None,
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
        let (address, identity, common) = (self.address.clone(), self.identity.clone(), self.common.clone());
        let (pace, traffic) = (self.pace.clone(), self.traffic.clone());
        let opening = async move {
            let destination = Destination {
                address: &address,
                tls: common.tls.as_deref(),
                identity: identity.as_deref(),
                dns: &common.dns,
                headers: &common.headers,
            };
            let opening = Connection::open(&destination, last, &pace, &traffic, &common.closed);
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

impl Lapse {
    /// A failure. Those that come while the last one lasts are the same one.
    fn add(&mut self, now: Instant) {
        let since = self.last.map(|last| now.saturating_duration_since(last));
        match since {
            Some(_) if self.lasts(now) => {}
            Some(since) if since <= FORGIVEN => self.count = self.count.saturating_add(1),
            _ => self.count = 0,
        }
        self.last = Some(now);
    }

    fn lasts(&self, now: Instant) -> bool {
        let pause = LAPSE.saturating_mul(1 << self.count.min(16)).min(LONGEST_LAPSE);
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) < pause)
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
                connection.replaced();
            }
            Some(Err(refusal)) if refusal.until > Instant::now() => return Known::Refused(refusal.clone()),
            Some(Err(_)) => self.failures = self.failures.saturating_add(1),
            None => return Known::Open(connecting.clone()),
        }
        self.connecting = None;
        Known::Nothing
    }

    /// How often in a row it could not be reached.
    fn failures(&mut self) -> u32 {
        self.look();
        let refused = self.connecting.as_ref().and_then(|connecting| connecting.peek());
        self.failures + u32::from(matches!(refused, Some(Err(_))))
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

#[cfg(test)]
mod tests;
