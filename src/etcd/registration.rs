//! An entry that is there until it is closed: a key under a lease, put again whenever either is lost.
//!
//! In: a key, a value, a TTL. Out: whether it is there now. One task per entry does it on the runtime, whatever Lua is
//! doing: it grants a lease, which the client renews, puts the key, and watches it. A key that is somebody else's is not
//! fought for: the task waits until it goes. It ends when the entry is closed, and revokes the lease then; or with the
//! client, which leaves the lease to its TTL.

use std::convert::Infallible;
use std::future::pending;
use std::mem::replace;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backoff;
use super::client::Client;
use super::config::CallOptions;
use super::error::{Applied, Code, Error, Result};
use super::journal::{Level, Record};
use super::leases::Renewals;
use super::pb::mvccpb::event::EventType;
use super::pb::{Event, LeaseGrantRequest, ResponseHeader, WatchCreateRequest};
use super::random;
use super::readable::Readable;
use super::rpc::{Change, Swap};
use super::session::FAREWELL;
use super::stats::Stats;
use super::watches::Watcher;

/// After the loss of its lease an entry waits for as long at most, at random: many may have lost theirs together.
const SPREAD: Duration = Duration::from_millis(400);

/// A key that is deleted again within this time is put again with pauses.
const CALM: Duration = Duration::from_secs(1);

/// How many leases an entry remembers as its own.
const LEASES: usize = 16;

/// An entry to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRequest {
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// The TTL of its lease, in seconds.
    pub ttl: i64,
    /// Take the key at first though it is there.
    pub replace: bool,
    /// How long to wait until it is there; zero: not at all.
    pub wait: Duration,
}

/// An entry that is kept. It goes when it is closed or dropped.
pub struct Registration {
    client: Client,
    key: Bytes,
    state: Arc<watch::Sender<State>>,
    stop: DropGuard,
}

/// Is an entry there?
#[derive(Debug, Clone, PartialEq)]
pub struct RegistrationStatus {
    /// It is, as far as is known.
    pub registered: bool,
    /// The key is somebody else's.
    pub taken: bool,
    /// Since when that is so.
    pub since: SystemTime,
    /// How often it was lost.
    pub losses: u64,
    /// The lease that it lives under; 0 before the first.
    pub lease: i64,
    /// Why it is not there, as far as that is known.
    pub message: Option<String>,
}

struct State {
    status: RegistrationStatus,
    /// Of the response to the last put.
    header: Option<ResponseHeader>,
    /// What the key is to have, and how often that was changed.
    value: Bytes,
    wanted: u64,
    /// What was put last, and how often it had been changed by then.
    good: Bytes,
    put: u64,
    /// Which changes were refused last, and why.
    refused: Option<(RangeInclusive<u64>, Error)>,
    /// Why it is not there.
    problem: Option<Error>,
    /// It is kept no longer.
    is_ended: bool,
    /// And its lease is revoked, or left to its TTL.
    is_gone: bool,
}

impl Client {
    /// Keeps an entry. Returns once it is there; fails when that does not come in time, and where it cannot be.
    pub async fn register(&self, request: RegisterRequest, options: CallOptions) -> Result<Registration> {
        let RegisterRequest {
            key,
            value,
            ttl,
            replace,
            wait,
        } = request;
        self.servers().allows(size(&key, &value))?;
        let began = Instant::now();
        let until = began + wait;
        let until = options.deadline.map_or(until, |deadline| until.min(deadline));
        let (state, stop) = (
            Arc::new(watch::Sender::new(State::new(value))),
            CancellationToken::new(),
        );
        let task = Task {
            client: self.clone(),
            state: state.clone(),
            key: key.clone(),
            ttl,
            replace,
            options: CallOptions {
                deadline: None,
                retry: 0,
                ..options
            },
            leases: Vec::new(),
            known: 0,
            tried: 0,
        };
        tokio::spawn(task.run(stop.clone()));
        let registration = Registration {
            client: self.clone(),
            key,
            state,
            stop: stop.drop_guard(),
        };
        if !wait.is_zero() {
            let mut seen = registration.state.subscribe();
            let settled = seen.wait_for(|state| state.status.registered || state.is_ended || state.is_hopeless());
            // Whoever changes it is `registration`'s.
            let in_time = timeout_at(until, settled).await.is_ok_and(|settled| settled.is_ok());
            registration.state.borrow().outcome(in_time, began.elapsed())?;
        }
        Ok(registration)
    }
}

impl State {
    fn new(value: Bytes) -> Self {
        Self {
            status: RegistrationStatus {
                registered: false,
                taken: false,
                since: SystemTime::now(),
                losses: 0,
                lease: 0,
                message: None,
            },
            header: None,
            value,
            wanted: 1,
            good: Bytes::new(),
            put: 0,
            refused: None,
            problem: None,
            is_ended: false,
            is_gone: false,
        }
    }

    /// Would waiting not help?
    fn is_hopeless(&self) -> bool {
        let code = self.problem.as_ref().map(|error| error.code);
        matches!(code, Some(Code::PermissionDenied | Code::Unauthenticated))
            || self.problem.as_ref().is_some_and(refuses)
    }

    /// A server, or the client itself, will never take what is wanted: what was there before stays.
    fn refuse(&mut self, number: u64, error: &Error) {
        if number == self.wanted && self.put > 0 && self.put < number {
            self.refused = Some((self.put + 1..=number, error.clone()));
            self.value = self.good.clone();
            self.put = number;
        }
    }

    /// Is it there after the first wait, or why not?
    fn outcome(&self, in_time: bool, waited: Duration) -> Result<()> {
        if self.status.registered {
            return Ok(());
        } else if self.is_ended {
            return Err(self.problem.clone().unwrap_or_else(Error::closed));
        } else if self.status.taken {
            return Err(Error::new(Code::AlreadyExists, TAKEN));
        }
        let late = || Error {
            applied: Applied::Maybe,
            ..Error::new(Code::Unavailable, "no server has responded yet")
        };
        let error = self.problem.clone().unwrap_or_else(late);
        match in_time {
            true => Err(error),
            false => Err(error.late("not registered", waited)),
        }
    }

    /// Notes whether the entry is there.
    fn stand(&mut self, registered: bool, taken: bool) {
        let status = &mut self.status;
        if (status.registered, status.taken) != (registered, taken) {
            status.since = SystemTime::now();
            status.losses += u64::from(replace(&mut status.registered, registered));
            status.taken = taken;
        }
    }
}

const TAKEN: &str = "the key is somebody else's";

/// Will no server ever take it?
fn refuses(error: &Error) -> bool {
    let is_own = error.code == Code::ResourceExhausted && !error.from_server;
    is_own || matches!(error.code, Code::InvalidArgument | Code::OutOfRange)
}

/// About what a put takes, which names the key three times.
fn size(key: &[u8], value: &[u8]) -> usize {
    3 * key.len() + value.len() + 256
}

impl Registration {
    /// Is it there?
    pub fn status(&self) -> RegistrationStatus {
        self.state.borrow().status.clone()
    }

    /// Is it there for certain: has its lease been renewed in time?
    pub fn is_held(&self) -> bool {
        let status = self.status();
        let keeper = &self.client.parts.keeper;
        status.registered && keeper.keeps(status.lease) && keeper.check(status.lease).is_ok()
    }

    /// What it is to have.
    pub fn value(&self) -> Bytes {
        self.state.borrow().value.clone()
    }

    /// Of the response to the last put.
    pub fn header(&self) -> Option<ResponseHeader> {
        self.state.borrow().header
    }

    /// Gives it another value. Returns once that is there. Where that does not come in time it is wanted all the same,
    /// and will be put; where it is refused, what was there before stays.
    pub async fn update(&self, value: Bytes, wait: Duration) -> Result<Option<ResponseHeader>> {
        self.client.servers().allows(size(&self.key, &value))?;
        let mut number = 0;
        self.state.send_modify(|state| {
            state.wanted += 1;
            state.value = value;
            number = state.wanted;
        });
        let mut seen = self.state.subscribe();
        let settled = seen.wait_for(|state| state.put >= number || state.is_ended);
        // Whether in time or not, the state says what has come of it.
        let _ = timeout(wait, settled).await;
        let state = self.state.borrow();
        match &state.refused {
            Some((refused, error)) if refused.contains(&number) => return Err(error.clone()),
            _ if state.put >= number => return Ok(state.header),
            _ if wait.is_zero() && !state.is_ended => return Ok(None),
            _ => {}
        }
        let error = match &state.problem {
            _ if state.is_ended => closed(),
            Some(error) => error.clone(),
            None => Error::new(Code::DeadlineExceeded, "the update was not applied in time"),
        };
        Err(Error {
            applied: Applied::Maybe,
            ..error
        })
    }

    /// What follows whether it is there.
    pub fn statuses(&self) -> Statuses {
        Statuses {
            seen: Mutex::new(self.status()),
            state: self.state.subscribe(),
            closed: CancellationToken::new(),
        }
    }

    /// Ends it; its lease is revoked in the background. May be called from any thread, and again.
    pub fn close(&self) {
        self.stop.token().cancel();
    }

    /// Waits until it is gone, or left to the TTL of its lease.
    pub async fn gone(&self) {
        // An error would say that there is nobody who could tell.
        let _ = self.state.subscribe().wait_for(|state| state.is_gone).await;
    }
}

fn closed() -> Error {
    Error::new(Code::Closed, "the registration is closed")
}

impl Statuses {
    /// Reads no more.
    pub fn close(&self) {
        self.closed.cancel();
    }
}

/// The status of an entry, at each change; of those that nobody has read the newest only.
pub struct Statuses {
    /// Held for the look only.
    seen: Mutex<RegistrationStatus>,
    state: watch::Receiver<State>,
    closed: CancellationToken,
}

impl Readable for Statuses {
    type Item = RegistrationStatus;

    fn take(&self) -> Option<Result<RegistrationStatus>> {
        let state = self.state.borrow();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen != state.status {
            *seen = state.status.clone();
            return Some(Ok(seen.clone()));
        }
        (state.is_ended || self.closed.is_cancelled()).then(|| Err(closed()))
    }

    fn put_back(&self, status: RegistrationStatus) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // As none ever is.
        *seen = RegistrationStatus {
            losses: u64::MAX,
            ..status
        };
    }

    async fn ready(&self) {
        let is_news = |state: &State| {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            *seen != state.status || state.is_ended
        };
        // An error would say that nothing will change any more.
        let _ = self
            .closed
            .run_until_cancelled(self.state.clone().wait_for(is_news))
            .await;
    }
}

/// What keeps an entry.
struct Task {
    client: Client,
    state: Arc<watch::Sender<State>>,
    key: Bytes,
    ttl: i64,
    /// Take the key though it is somebody else's: until that was done.
    replace: bool,
    options: CallOptions,
    /// Those that were granted to it: a key under one of them is its own.
    leases: Vec<i64>,
    /// The last revision of the key that was its own.
    known: i64,
    /// Which change was tried last.
    tried: u64,
}

/// However the task ends, by a panic too, those who wait for it hear of it.
struct Ending {
    state: Arc<watch::Sender<State>>,
    stats: Arc<Stats>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.stats.registrations.ended.one();
        self.state.send_modify(|state| {
            state.is_ended = true;
            state.status.registered = false;
            state.is_gone = true;
        });
    }
}

/// A lease that is renewed.
struct Lease {
    id: i64,
    renewals: Renewals,
}

/// What has become of a put.
enum Put {
    /// The key is there since this revision.
    Done(i64),
    /// It is somebody else's, and was at this revision.
    Taken(i64),
}

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        let state = self.state.clone();
        let client = self.client.clone();
        let stats = client.servers().stats.clone();
        stats.registrations.begun.one();
        let _ending = Ending {
            state: state.clone(),
            stats,
        };
        let mut lease = None;
        // What is under way when the client is closed says itself what may have come of it.
        let closed = stop.run_until_cancelled(self.serve(&mut lease)).await;
        state.send_modify(|state| {
            state.is_ended = true;
            state.status.registered = false;
            state.problem = closed;
        });
        if let Some(Lease { id, .. }) = lease {
            client.end_lease(id, FAREWELL).await;
        }
    }

    /// Keeps the entry there, whatever happens, until the client is closed.
    async fn serve(&mut self, lease: &mut Option<Lease>) -> Error {
        let mut failures = 0;
        loop {
            let Err(error) = self.hold(lease, &mut failures).await;
            if error.code == Code::Closed {
                return error;
            }
            let is_lost = matches!(error.code, Code::LeaseExpired | Code::NotFound);
            if is_lost {
                *lease = None;
            }
            if refuses(&error) {
                self.state.send_modify(|state| state.refuse(self.tried, &error));
            }
            let pause = match error.code {
                _ if is_lost && failures == 0 => SPREAD.mul_f64(random::fraction()),
                _ => backoff::after(&error, failures),
            };
            failures += 1;
            self.fail(error, is_lost);
            let lost = async {
                match lease {
                    Some(Lease { renewals, .. }) => renewals.lost().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.client.servers().closed.cancelled() => return Error::closed(),
                error = lost => {
                    *lease = None;
                    self.fail(error, true);
                }
            }
        }
    }

    /// While the lease is renewed the key is there, though it cannot be watched.
    fn fail(&self, error: Error, is_lost: bool) {
        self.state.send_modify(|state| {
            if is_lost {
                self.stand_as(state, false, state.status.taken, Some(&error));
            }
            state.status.message = Some(error.to_string());
            state.problem = Some(error);
        });
    }

    /// Puts the key and watches it, until the lease is lost or a server fails.
    async fn hold(&mut self, lease: &mut Option<Lease>, failures: &mut u32) -> Result<Infallible> {
        let lease = match lease {
            Some(lease) => lease,
            None => lease.insert(self.grant().await?),
        };
        let mut watcher = None;
        let mut hurried = 0;
        loop {
            let began = Instant::now();
            let revision = match self.put(lease.id).await? {
                Put::Done(revision) => revision,
                Put::Taken(revision) => {
                    self.stand(false, true, Some(Error::new(Code::AlreadyExists, TAKEN)));
                    revision
                }
            };
            let watcher = match &mut watcher {
                Some(watcher) => watcher,
                none => none.insert(self.watch(revision + 1).await?),
            };
            *failures = 0;
            let is_gone = self.attend(lease, watcher).await?;
            hurried = match is_gone {
                true if began.elapsed() < CALM => hurried + 1,
                _ => 0,
            };
            // Who deletes it again and again is not fought either.
            if hurried > 1 {
                sleep(backoff::pause(hurried)).await;
            }
        }
    }

    /// Notes whether the entry is there, and tells of it where that is news.
    fn stand_as(&self, state: &mut State, registered: bool, taken: bool, problem: Option<&Error>) {
        let stats = &self.client.servers().stats;
        let was_registered = state.status.registered;
        state.stand(registered, taken);
        let record = |event, text: &str| {
            let record = problem.map_or_else(|| Record::new(event, text), |error| Record::of(event, error));
            record.about(&self.key)
        };
        match (was_registered, registered) {
            (true, false) => {
                stats.registrations_lost.one();
                let lost = || record("registration_lost", "the key is gone");
                stats.journal.tell(Level::Warn, lost);
            }
            (false, true) => {
                let back = || record("registered", "the key is there");
                stats.journal.tell(Level::Info, back);
            }
            _ => {}
        }
    }

    async fn grant(&mut self) -> Result<Lease> {
        let request = LeaseGrantRequest { ttl: self.ttl, id: 0 };
        let granted = self.client.grant(request, true, &self.options).await?;
        let renewals = self.client.renewals(granted.id)?;
        if self.leases.len() == LEASES {
            self.leases.remove(0);
        }
        self.leases.push(granted.id);
        self.state.send_modify(|state| state.status.lease = granted.id);
        Ok(Lease {
            id: granted.id,
            renewals,
        })
    }

    /// Puts the key, if it is not there or is its own.
    async fn put(&mut self, lease: i64) -> Result<Put> {
        let (value, number) = {
            let state = self.state.borrow();
            (state.value.clone(), state.wanted)
        };
        self.tried = number;
        loop {
            let swap = Swap {
                key: self.key.clone(),
                mod_revision: self.known,
                change: Change::Put {
                    value: value.clone(),
                    lease,
                    ignore_lease: false,
                },
            };
            let swapped = self.client.swap(swap, &self.options).await?;
            let revision = swapped.header.map_or(0, |header| header.revision);
            if swapped.succeeded {
                (self.known, self.replace) = (revision, false);
                self.state.send_modify(|state| {
                    (state.put, state.header, state.good) = (number, swapped.header, value.clone());
                });
                self.stand(true, false, None);
                return Ok(Put::Done(revision));
            }
            match swapped.kv {
                None => self.known = 0,
                Some(kv) if self.replace || self.leases.contains(&kv.lease) => self.known = kv.mod_revision,
                Some(_) => return Ok(Put::Taken(revision)),
            }
        }
    }

    async fn watch(&self, revision: i64) -> Result<Watcher> {
        let request = WatchCreateRequest {
            key: self.key.clone(),
            start_revision: revision,
            ..WatchCreateRequest::default()
        };
        self.client.watch(request, &self.options).await
    }

    /// Returns when the key is to be put again, and whether it has gone; fails when the lease is lost, or the watch.
    async fn attend(&mut self, lease: &Lease, watcher: &Watcher) -> Result<bool> {
        let mut wanted = self.state.subscribe();
        loop {
            let response = tokio::select! {
                response = watcher.read() => response?,
                error = lease.renewals.lost() => return Err(error),
                _ = wanted.wait_for(|state| state.wanted > state.put && state.status.registered) => {
                    return Ok(false);
                }
            };
            let Some(event) = response.events.last() else { continue };
            if self.has_gone(event) {
                self.stand(false, false, None);
                return Ok(true);
            }
        }
    }

    /// Has the key been deleted? Where it has become somebody else's, that is noted.
    fn has_gone(&mut self, event: &Event) -> bool {
        let is_put = event.r#type() == EventType::Put;
        let Some(kv) = &event.kv else { return false };
        if kv.mod_revision <= self.known {
            return false;
        } else if is_put && self.leases.contains(&kv.lease) {
            self.known = kv.mod_revision;
        } else if is_put {
            self.stand(false, true, Some(Error::new(Code::AlreadyExists, TAKEN)));
        }
        !is_put
    }

    fn stand(&self, registered: bool, taken: bool, problem: Option<Error>) {
        self.state.send_modify(|state| {
            self.stand_as(state, registered, taken, problem.as_ref());
            state.status.message = problem.as_ref().map(ToString::to_string);
            state.problem = problem;
        });
    }
}
