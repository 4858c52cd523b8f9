//! What queues for a name: a lock, a candidate for leadership.
//!
//! In: a name, and the lease that the place lives under. Out: whether it is held, and why it is no longer. One task per
//! contender does it on the runtime, whatever Lua is doing: it takes a [`Place`], watches whoever is before it and its
//! own key, and gives the place up in the end. It ends when the place is lost, or given up by its user, who may have
//! forgotten it while it waited; or with the client, which leaves the key to the TTL.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzz;
pub(super) mod place;

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::backoff;
use super::client::Client;
use super::config::CallOptions;
use super::error::{Applied, Code, Error, Holder, Result};
use super::guard::Guard;
use super::holding::{Holding, Losses};
use super::journal::{Level, Record};
use super::leases::Renewals;
use super::pb::mvccpb::event::EventType;
use super::pb::watch_create_request::FilterType;
use super::pb::{Event, KeyValue, LeaseGrantRequest, Response as _, ResponseHeader, WatchCreateRequest};
use super::random;
use super::readable::Readable;
use super::session::Session;
use super::stats::Stats;
pub use place::Mode;
use place::{Entry, Place, Queue, Rival, Standing};

/// How long who holds a name is asked for, where it is only to be told.
const ASIDE: Duration = Duration::from_secs(2);

/// A name to queue for.
pub struct ContendRequest {
    /// The name.
    pub name: Bytes,
    /// What the key is to have.
    pub value: Bytes,
    /// Whom it excludes.
    pub mode: Mode,
    /// The lease that the place lives under.
    pub under: Under,
    /// A place that was taken before.
    pub resume: Option<Resume>,
    /// How long to wait in the queue; none: for as long as it takes.
    pub wait: Option<Duration>,
}

/// The lease that a place lives under.
pub enum Under {
    /// One of its own, of so many seconds.
    Own(i64),
    /// That of a session.
    Session(Arc<Session>),
}

/// A place that was taken before: what a [`Contender`] says of itself.
pub struct Resume {
    /// Its key.
    pub key: Bytes,
    /// When that was created.
    pub revision: i64,
    /// The lease that it was taken under.
    pub lease: i64,
}

/// A place in a queue that is held until it is lost or given up, or the client closed. It is given up when it is dropped,
/// unless it is [kept](Self::keep).
pub struct Contender {
    /// A handle whose writes are done only while the place is held.
    pub guarded: Client,
    /// The response to what took the place.
    pub header: Option<ResponseHeader>,
    /// Its key.
    pub key: Bytes,
    /// When that was created: the fencing number.
    pub revision: i64,
    /// The lease that it lives under.
    pub lease: i64,
    is_own: bool,
    holding: Arc<Holding>,
    state: Arc<watch::Sender<State>>,
    stop: CancellationToken,
    is_kept: AtomicBool,
}

/// What is known of a contender.
#[derive(Default)]
struct State {
    /// Its key is in the queue.
    is_queued: bool,
    /// This one is before it.
    rival: Option<Rival>,
    held: Option<Held>,
    /// Why it is not, or not any more.
    ended: Option<Error>,
    /// Nothing of it is left, or that is left to the TTL; or that could not be done.
    gone: Option<Result<()>>,
}

/// What is held.
#[derive(Clone)]
struct Held {
    header: Option<ResponseHeader>,
    key: Bytes,
    revision: i64,
    holding: Arc<Holding>,
    lease: i64,
    /// Is the lease its own?
    is_own: bool,
}

/// How a wait for a place has come to its end.
enum Settled {
    /// It is held, or never will be.
    Yes,
    /// Others are before it still.
    Behind,
    /// The call has taken too long.
    Late,
}

impl Client {
    /// Queues for a name. Returns once the place is held; fails when that does not come in time, and leaves the queue.
    pub async fn contend(&self, request: ContendRequest, options: CallOptions) -> Result<Contender> {
        self.servers()
            .allows(3 * request.name.len() + request.value.len() + 256)?;
        let began = Instant::now();
        let queue = Queue::new(&request.name, request.mode);
        if let Some(Resume { key, revision, lease }) = &request.resume
            && (*revision <= 0 || *lease == 0 || request.mode != Mode::Exclusive || !queue.has(key))
        {
            let text = "what is to be resumed is no place in the queue of this name";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let wait = request.wait;
        // Who does not wait leaves no trace where somebody holds it.
        if wait == Some(Duration::ZERO)
            && request.resume.is_none()
            && let Some(holder) = self.first(&queue, |key| queue.excludes(key), &options).await?.1
        {
            return Err(locked(holder.into(), Duration::ZERO));
        }
        let deadline = options.deadline;
        let options = CallOptions {
            deadline: None,
            // Whatever is repeated is repeated by the place, which knows of it.
            ..options.at_most_once()
        };
        let state = Arc::new(watch::Sender::new(State::default()));
        let stop = CancellationToken::new();
        let task = Task {
            client: self.clone(),
            state: state.clone(),
            queue: queue.clone(),
            options: options.clone(),
            began,
        };
        tokio::spawn(task.run(request, stop.clone()));
        // Until it is held it is given up when its caller has gone.
        let stop = stop.drop_guard();
        let settled = settled(&state, wait, deadline).await;
        let (held, rival) = {
            let state = state.borrow();
            if let Some(error) = &state.ended {
                return Err(error.clone());
            }
            (state.held.clone(), state.rival.clone())
        };
        let waited = began.elapsed();
        match (settled, held) {
            (Settled::Yes, Some(held)) => {
                held.holding.check()?;
                Ok(Contender::new(self, held, state, stop.disarm()))
            }
            (Settled::Behind, _) => {
                drop(stop);
                // Who is before it need not be who holds it.
                let until = deadline.map_or(Instant::now() + ASIDE, |deadline| deadline.min(Instant::now() + ASIDE));
                let first = timeout_at(until, self.first(&queue, |key| queue.excludes(key), &options)).await;
                let first = first.ok().and_then(Result::ok).and_then(|(_, first)| first);
                // Its own key may be there still.
                let holder = first.filter(|kv| rival.as_ref().is_some_and(|rival| kv.create_revision <= rival.created));
                Err(match holder.map(Holder::from).or(rival.map(Holder::from)) {
                    Some(holder) => locked(holder, waited),
                    None => Error::new(Code::Locked, "it was not given up in time"),
                })
            }
            (_, _) => {
                let reason = match rival {
                    Some(rival) => locked(rival.into(), waited).message,
                    None => "no server has said who is before".to_owned(),
                };
                Err(Error::new(Code::DeadlineExceeded, reason).late("not held", waited))
            }
        }
    }

    /// The first of those keys in a queue that are places, with its value, if there is one.
    pub(super) async fn first(
        &self,
        queue: &Queue,
        is_place: impl Fn(&[u8]) -> Result<bool>,
        options: &CallOptions,
    ) -> Result<(Option<ResponseHeader>, Option<KeyValue>)> {
        let mut all = false;
        loop {
            let response = self.get(queue.oldest(all), options).await?;
            for kv in response.kvs {
                if is_place(&kv.key)? {
                    return Ok((response.header, Some(kv)));
                }
            }
            if !response.more {
                return Ok((response.header, None));
            }
            all = true;
        }
    }
}

impl From<KeyValue> for Holder {
    fn from(kv: KeyValue) -> Self {
        Self {
            key: kv.key,
            revision: kv.create_revision,
        }
    }
}

impl From<Rival> for Holder {
    fn from(rival: Rival) -> Self {
        Self {
            key: rival.key,
            revision: rival.created,
        }
    }
}

/// Somebody else holds it.
fn locked(holder: Holder, waited: Duration) -> Error {
    let key = String::from_utf8_lossy(&holder.key).into_owned();
    let waited = match waited.is_zero() {
        true => String::new(),
        false => format!(" (waited {:.1} s)", waited.as_secs_f64()),
    };
    let text = format!("held by {key} since revision {}{waited}", holder.revision);
    Error {
        holder: Some(Box::new(holder)),
        ..Error::new(Code::Locked, text)
    }
}

/// Waits until a place is held, or never will be; behind others for as long as `wait`.
async fn settled(state: &watch::Sender<State>, wait: Option<Duration>, deadline: Option<Instant>) -> Settled {
    let is_settled = |state: &State| state.held.is_some() || state.ended.is_some();
    let settling = async {
        let mut seen = state.subscribe();
        // Errors would say that the sender is gone, which is borrowed here.
        let _ = seen.wait_for(|state| is_settled(state) || state.is_queued).await;
        let settled = seen.wait_for(is_settled);
        match wait {
            Some(wait) => match timeout(wait, settled).await {
                Ok(_) => Settled::Yes,
                Err(_) => Settled::Behind,
            },
            None => {
                let _ = settled.await;
                Settled::Yes
            }
        }
    };
    match deadline {
        Some(deadline) => timeout_at(deadline, settling).await.unwrap_or(Settled::Late),
        None => settling.await,
    }
}

impl Contender {
    fn new(client: &Client, held: Held, state: Arc<watch::Sender<State>>, stop: CancellationToken) -> Self {
        let Held {
            header,
            key,
            revision,
            lease,
            is_own,
            holding,
        } = held;
        Self {
            guarded: client.guarded(Guard {
                key: key.clone(),
                revision,
                lease,
                holding: holding.clone(),
            }),
            header,
            key,
            revision,
            lease,
            is_own,
            holding,
            state,
            stop,
            is_kept: AtomicBool::new(false),
        }
    }

    /// Is it held, as far as can be known without asking? Never longer than the server's lease.
    pub fn is_held(&self) -> bool {
        self.holding.check().is_ok()
    }

    /// Why it is not held, if it is not.
    pub fn loss(&self) -> Option<Error> {
        self.holding.check().err()
    }

    /// It is held from now on though this is dropped.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// What tells its end.
    pub fn losses(&self) -> Losses {
        self.holding.losses()
    }

    /// Gives it up in the background. May be called from any thread, and again.
    pub fn close(&self) {
        // What is written from now on is refused at once.
        self.holding.end(released());
        self.stop.cancel();
        if self.is_own {
            self.guarded.parts.keeper.forget(self.lease);
        }
    }

    /// Waits until nothing of it is left, or what is left is left to its TTL; fails where it could not be given up.
    pub async fn gone(&self) -> Result<()> {
        let mut seen = self.state.subscribe();
        // An error would say that there is nobody who could tell.
        let gone = seen.wait_for(|state| state.gone.is_some()).await;
        gone.ok().and_then(|state| state.gone.clone()).unwrap_or(Ok(()))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if !self.is_kept.load(Ordering::Relaxed) {
            self.close();
        }
    }
}

/// Why it is not held after its user has given it up.
fn released() -> Error {
    Error::new(Code::Closed, "it was given up")
}

/// What takes a place, and keeps it.
struct Task {
    client: Client,
    state: Arc<watch::Sender<State>>,
    queue: Queue,
    options: CallOptions,
    began: Instant,
}

/// The lease of a place.
enum Tenure {
    Own {
        lease: i64,
        ttl: Duration,
        renewals: Renewals,
    },
    Session(Arc<Session>),
}

impl Tenure {
    fn lease(&self) -> i64 {
        match self {
            Self::Own { lease, .. } => *lease,
            Self::Session(session) => session.id,
        }
    }

    fn ttl(&self) -> Duration {
        match self {
            Self::Own { ttl, .. } => *ttl,
            Self::Session(session) => seconds(session.ttl),
        }
    }

    /// What a place on it is held on.
    fn under(&self) -> Option<Arc<Holding>> {
        match self {
            Self::Own { .. } => None,
            Self::Session(session) => Some(session.holding.clone()),
        }
    }

    /// Waits until it is lost.
    async fn lost(&self) -> Error {
        match self {
            Self::Own { renewals, .. } => renewals.lost().await,
            Self::Session(session) => session.holding.ended().await,
        }
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(1).unsigned_abs())
}

/// However the task ends, by a panic too, those who wait for it hear of it.
struct Ending {
    state: Arc<watch::Sender<State>>,
    stats: Arc<Stats>,
}

impl Ending {
    fn end(&self, error: Error) {
        self.state.send_modify(|state| {
            if let (None, Some(held)) = (&state.ended, &state.held) {
                self.stats.locks.ended.one();
                if error.code != Code::Closed {
                    self.stats.locks_lost.one(error.code);
                    let lost = || Record::of("lock_lost", &error).about(&held.key);
                    self.stats.journal.tell(Level::Error, lost);
                }
            }
            state.ended.get_or_insert(error);
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(Error::new(Code::Internal, "a bug in this library"));
        self.state.send_modify(|state| {
            state.gone.get_or_insert(Ok(()));
        });
    }
}

impl Task {
    async fn run(self, request: ContendRequest, stop: CancellationToken) {
        let ending = Ending {
            state: self.state.clone(),
            stats: self.client.servers().stats.clone(),
        };
        // Though nobody waits for it any more: a lease that was granted must be known to be ended.
        let (mut place, tenure) = match self.begin(request).await {
            Ok(begun) => begun,
            Err(error) => return ending.end(error),
        };
        let holding = Holding::new(self.client.clone(), tenure.lease(), tenure.under());
        let error = tokio::select! {
            biased;
            () = stop.cancelled() => released(),
            () = self.client.servers().closed.cancelled() => Error::closed(),
            error = tenure.lost() => error,
            error = holding.ended() => error,
            error = self.serve(&mut place, &tenure, &holding) => error,
        };
        holding.end(error.clone());
        ending.end(error);
        let state = self.state.clone();
        let gone = self.leave(place, tenure).await;
        state.send_modify(|state| state.gone = Some(gone));
    }

    /// Sees to a lease, and to a place that is not in the queue yet.
    async fn begin(&self, request: ContendRequest) -> Result<(Place, Tenure)> {
        let ContendRequest {
            value, under, resume, ..
        } = request;
        let (tenure, own) = match under {
            Under::Own(ttl) => {
                let request = LeaseGrantRequest { ttl, id: 0 };
                let granted = self.client.grant(request, true, &self.options).await?;
                let tenure = Tenure::Own {
                    lease: granted.id,
                    ttl: seconds(granted.ttl),
                    renewals: self.client.renewals(granted.id)?,
                };
                (tenure, format!("{:x}", granted.id))
            }
            Under::Session(session) => {
                session.holding.check()?;
                let own = format!("{:x}-{:016x}", session.id, random::unique("a key")?);
                (Tenure::Session(session), own)
            }
        };
        let (key, entry) = match resume {
            Some(Resume { lease, .. }) if lease == tenure.lease() => {
                let text = "a place is resumed on another lease, so that its former life can do nothing";
                return Err(Error::new(Code::InvalidArgument, text));
            }
            Some(Resume { key, revision, lease }) => (key, Entry::Resumed { revision, lease }),
            None => (self.queue.key(&own), Entry::New),
        };
        let place = Place::new(self.queue.clone(), key, value, tenure.lease(), entry);
        Ok((place, tenure))
    }

    /// Takes the place, waits until it is the first, and keeps it. Returns why it is lost, or was not taken.
    async fn serve(&self, place: &mut Place, tenure: &Tenure, holding: &Arc<Holding>) -> Error {
        let mut header = None;
        let mut failures = 0;
        let (mut own, mut rival) = (News::none(), News::none());
        loop {
            while let Some(question) = place.question() {
                place.sent();
                match self.client.txn(question, &self.options).await {
                    Ok(response) => {
                        header = response.header;
                        place.answered(response);
                        failures = 0;
                    }
                    Err(error) => {
                        if error.applied == Applied::No {
                            place.refused();
                        }
                        let is_over = match place.standing() {
                            // As often as any call is tried.
                            Standing::Outside => error.applied == Applied::No || failures >= self.options.retry,
                            Standing::Queued(_) => is_final(&error),
                            _ => false,
                        };
                        if is_over {
                            return error;
                        }
                        sleep(backoff::after(&error, failures)).await;
                        failures += 1;
                    }
                }
            }
            match place.standing().clone() {
                Standing::Lost(error) => return error,
                Standing::First => self.hold(place, tenure, header, holding),
                Standing::Queued(Some(before)) => {
                    self.state.send_modify(|state| state.rival = Some(before.clone()));
                    rival.follow(&before.key, || self.rival_news(before.clone()));
                }
                Standing::Outside | Standing::Queued(None) => {}
            }
            // Last: who does not wait looks then.
            self.state
                .send_if_modified(|state| !std::mem::replace(&mut state.is_queued, true));
            own.follow(place.key(), || self.own_news(place));
            // What a watch has missed is asked for all the same.
            let again = tenure.ttl().mul_f64(0.8 + 0.4 * random::fraction());
            tokio::select! {
                () = own.come() => {}
                () = rival.come() => {}
                () = sleep(again) => {}
            }
            place.due();
        }
    }

    fn hold(&self, place: &Place, tenure: &Tenure, header: Option<ResponseHeader>, holding: &Arc<Holding>) {
        self.state.send_if_modified(|state| {
            let is_new = state.held.is_none();
            if is_new {
                let stats = &self.client.servers().stats;
                stats.locks.begun.one();
                stats.lock_wait.note(self.began.elapsed());
            }
            state.held.get_or_insert_with(|| Held {
                header,
                key: place.key().clone(),
                revision: place.created(),
                lease: place.lease(),
                is_own: matches!(tenure, Tenure::Own { .. }),
                holding: holding.clone(),
            });
            is_new
        });
    }

    /// That who is before has gone.
    fn rival_news(&self, rival: Rival) -> impl Future<Output = ()> + Send + use<> {
        let request = WatchCreateRequest {
            key: rival.key,
            start_revision: rival.seen,
            filters: vec![FilterType::Noput.into()],
            ..WatchCreateRequest::default()
        };
        news(self.client.clone(), self.options.clone(), request, |_| true)
    }

    /// That the own key has gone, or was taken off its lease.
    fn own_news(&self, place: &Place) -> impl Future<Output = ()> + Send + use<> {
        let (created, lease) = (place.created(), place.lease());
        let request = WatchCreateRequest {
            key: place.key().clone(),
            start_revision: place.known(),
            ..WatchCreateRequest::default()
        };
        news(self.client.clone(), self.options.clone(), request, move |event| {
            let is_delete = event.r#type() == EventType::Delete;
            let kv = event.kv.as_ref();
            kv.is_some_and(|kv| kv.mod_revision > created && (is_delete || kv.lease != lease))
        })
    }

    /// Gives the place up. What of it may come true later is taken back then. Fails where that is not allowed.
    async fn leave(self, place: Place, tenure: Tenure) -> Result<()> {
        if self.client.is_closed() {
            let applied = Applied::Maybe;
            return Err(Error {
                applied,
                ..Error::closed()
            });
        }
        match tenure {
            Tenure::Own { lease, ttl, .. } => {
                self.client.parts.keeper.forget(lease);
                // Its key may be off its lease; and whatever comes late finds no lease.
                let leaving = async { tokio::join!(self.left(&place), self.client.end_lease(lease, ttl)).0 };
                // After that the server has ended the lease.
                timeout(ttl, leaving).await.map_or(Ok(()), |left| left.map(drop))
            }
            // Its lease, and so the key, is another process's now; or ends, and the key with it.
            Tenure::Session(session) if session.holding.check().is_err() => {
                if !session.is_orphaned() {
                    session.gone().await;
                }
                Ok(())
            }
            Tenure::Session(session) => {
                tokio::select! {
                    left = self.left(&place) => {
                        let revision = left?;
                        if place.is_unclear() {
                            tokio::spawn(self.await_late(place, session, revision));
                        }
                    }
                    _ = session.holding.ended() => {}
                }
                Ok(())
            }
        }
    }

    /// Deletes the key, however often that must be tried. Returns the revision since when it is not there.
    async fn left(&self, place: &Place) -> Result<i64> {
        let mut failures = 0;
        loop {
            let options = self.client.options();
            match self.client.txn(place.leave(), &options).await {
                Ok(response) => return Ok(response.revision()),
                Err(error) if error.code == Code::Closed || is_final(&error) => {
                    let applied = Applied::Maybe;
                    return Err(Error { applied, ..error });
                }
                Err(error) => sleep(backoff::after(&error, failures)).await,
            }
            failures += 1;
        }
    }

    /// An attempt to enter may be on its way still: as long as the session lives, a key that appears is deleted. A task
    /// of its own, which ends with the session or the client.
    async fn await_late(self, place: Place, session: Arc<Session>, mut revision: i64) {
        // It must not keep the session.
        let holding = session.holding.clone();
        drop(session);
        let waiting = async {
            loop {
                let request = WatchCreateRequest {
                    key: place.key().clone(),
                    start_revision: revision,
                    filters: vec![FilterType::Nodelete.into()],
                    ..WatchCreateRequest::default()
                };
                news(self.client.clone(), self.options.clone(), request, |_| true).await;
                match self.left(&place).await {
                    Ok(left) => revision = left + 1,
                    Err(_) => return,
                }
            }
        };
        tokio::select! {
            () = waiting => {}
            _ = holding.ended() => {}
        }
    }
}

/// Would asking again not help?
fn is_final(error: &Error) -> bool {
    matches!(
        error.code,
        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument | Code::FailedPrecondition
    )
}

/// Returns when an event comes of which something follows, or may have been missed.
async fn news(
    client: Client,
    options: CallOptions,
    request: WatchCreateRequest,
    tells: impl Fn(&Event) -> bool + Send,
) {
    let watched = async {
        let watcher = client.watch(request, &options).await?;
        loop {
            if watcher.read().await?.events.iter().any(&tells) {
                return Ok::<(), Error>(());
            }
        }
    };
    if let Err(error) = watched.await {
        sleep(backoff::after(&error, WATCH_FAILED)).await;
    }
}

/// The pause after a watch that has ended is that of so many failures: half a second at the most.
const WATCH_FAILED: u32 = 4;

/// News of one key that are waited for.
struct News {
    key: Bytes,
    coming: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl News {
    fn none() -> Self {
        Self {
            key: Bytes::new(),
            coming: None,
        }
    }

    /// Waits for those of this key from now on, unless it does already.
    fn follow<F: Future<Output = ()> + Send + 'static>(&mut self, key: &Bytes, news: impl FnOnce() -> F) {
        if self.coming.is_none() || self.key != key {
            self.key = key.clone();
            self.coming = Some(Box::pin(news()));
        }
    }

    /// Waits until they have come; they are waited for no longer then.
    async fn come(&mut self) {
        match &mut self.coming {
            Some(coming) => coming.await,
            None => pending().await,
        }
        self.coming = None;
    }
}
