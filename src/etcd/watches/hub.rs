//! The one Watch stream of a client: its task sends the requests that the state machine wants sent and feeds it the
//! server's messages.
//!
//! The task starts with the first watch, has a stream open only while there are watches, and ends with the client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::batch::Batch;
use super::check;
use super::inbox::Inbox;
use super::state::{Counts, Key, Standing, Watches};
use super::status::{State, Status};
use crate::etcd::cause::Cause;
use crate::etcd::endpoint::Endpoint;
use crate::etcd::error::Error;
use crate::etcd::failure::Failure;
use crate::etcd::journal::{Level, Record};
use crate::etcd::pb::WatchCreateRequest;
use crate::etcd::servers::Servers;
use crate::etcd::stream::{Line, Persistent, Requests, Responses, persist};
use crate::etcd::transport::gate::Purpose;

const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// How often the server is asked up to which revision the watches have had their events, so that one that has seen
/// nothing for long can be resumed after a compaction; and a proxy, whether the store behind it is still the same.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// A request for that which was not answered for so long will not be.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Hub {
    /// Held for single steps, never across an await.
    watches: Mutex<Watches>,
    /// Since when some watch is cut off, and why. Held for the look only.
    cut_off: Mutex<Option<(Instant, String)>>,
    /// There is a request to send, or the last watch has gone.
    changed: Notify,
    /// Somebody waits for a new watch.
    created: Notify,
    /// A message has come, which may have left something to ask the server.
    attended: Notify,
    /// Somebody wants to know how far the watches are.
    hurried: AtomicBool,
    servers: Arc<Servers>,
    started: Once,
}

/// What the server said to a new watch. Dropped unsent when the client closes.
pub(crate) type Confirmed = oneshot::Receiver<Result<(), Failure>>;

/// A new watch: its name, and what it brings.
pub(crate) struct Created {
    pub(super) key: Key,
    pub(super) inbox: Arc<Inbox>,
}

impl Hub {
    pub(crate) fn new(servers: Arc<Servers>) -> Arc<Self> {
        let mut watches = Watches::new(servers.login.can_login());
        watches.stats = servers.stats.clone();
        Arc::new(Self {
            watches: Mutex::new(watches),
            cut_off: Mutex::default(),
            changed: Notify::new(),
            created: Notify::new(),
            attended: Notify::new(),
            hurried: AtomicBool::new(false),
            servers,
            started: Once::new(),
        })
    }

    /// Asks for a watch of all events from the revision `first` on. Must be called on the runtime.
    pub(crate) fn create(self: &Arc<Self>, request: WatchCreateRequest, first: i64) -> (Created, Confirmed) {
        let inbox = Arc::new(Inbox::default());
        let (confirm, confirmed) = oneshot::channel();
        let key = self.watches().create(request, first, inbox.clone(), confirm);
        self.changed.notify_one();
        self.created.notify_one();
        self.started.call_once(|| {
            tokio::spawn(persist(self.clone(), self.servers.clone()));
        });
        (Created { key, inbox }, confirmed)
    }

    /// Ends a watch.
    pub(super) fn cancel(&self, key: Key) {
        if self.watches().cancel(key) {
            self.changed.notify_one();
        }
    }

    /// Has the server asked soon how far the watches are.
    pub(super) fn hurry(&self) {
        self.hurried.store(true, Ordering::Relaxed);
        self.attended.notify_one();
    }

    /// Lets a watch go on that was paused.
    pub(super) fn resume(&self, key: Key) {
        if self.watches().resume(key) {
            self.changed.notify_one();
        }
    }

    /// What a watch is doing.
    pub(super) fn status(&self, key: Key) -> Status {
        let (standing, revision) = self.watches().standing(key);
        let cut_off = self.cut_off().clone();
        let state = match standing {
            Standing::Detached if cut_off.is_some() => State::Stale,
            Standing::Attached | Standing::Detached => State::Ready,
            Standing::Paused => State::Paused,
            Standing::Ended => State::Ended,
        };
        let (since, message) = match cut_off.filter(|_| state == State::Stale) {
            Some((since, message)) => (Some(since.elapsed()), Some(message)),
            None => (None, None),
        };
        Status {
            state,
            revision,
            lag: since.unwrap_or_default(),
            message,
        }
    }

    /// How many watches are in which state, the bytes that wait to be read, and what they have seen so far.
    pub(crate) fn numbers(&self) -> ([(&'static str, usize); 3], usize, Counts) {
        let ([attached, detached, paused], waiting, counts) = self.watches().numbers();
        let stale = if self.cut_off().is_some() { detached } else { 0 };
        let states = [
            (State::Ready.name(), attached + detached - stale),
            (State::Stale.name(), stale),
            (State::Paused.name(), paused),
        ];
        (states, waiting, counts)
    }

    /// The failure of a new watch that no server has confirmed in time.
    pub(crate) fn unanswered(&self, limit: Duration) -> Failure {
        Failure::new(
            &self.servers.endpoints.route(None).endpoint().name,
            &Cause::Timeout(limit),
        )
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_off(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.cut_off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the state machine wants sent, until no watch is left or the server does not answer.
    async fn send(&self, line: &Line, mut requests: Requests, heard: &Heard) -> Result<(), Failure> {
        // The oldest watch without a response, and since when.
        let mut unanswered = None;
        loop {
            let request = {
                let mut watches = self.watches();
                let request = watches.next_request();
                if request.is_none() && watches.is_idle() {
                    return Ok(());
                }
                let oldest = watches.unanswered();
                if unanswered.map(|(id, _)| id) != oldest {
                    unanswered = oldest.map(|id| (id, Instant::now()));
                }
                request
            };
            if let Some(request) = request {
                requests.send(line, &request).await?;
                continue;
            }
            let Some((_, asked)) = unanswered else {
                self.changed.notified().await;
                continue;
            };
            // As long as bytes arrive the response may stand behind them.
            let since = || asked.max(heard.last()).max(line.last_heard(asked));
            let (limit, before) = (line.patience(), since());
            let changed = timeout_at(before + limit, self.changed.notified()).await;
            if changed.is_err() && since() == before {
                return Err(line.unanswered(limit));
            }
        }
    }

    /// Feeds the server's messages to the state machine, once it is certain that the store is still the same.
    async fn receive(
        &self,
        line: &Line,
        mut responses: Responses<Batch>,
        heard: &Heard,
        answered: &mut Option<Instant>,
    ) -> Result<(), Failure> {
        self.check_history(line).await?;
        loop {
            heard.now();
            while let Some(message) = responses.ready(line)? {
                answered.get_or_insert_with(Instant::now);
                let Batch { response, events } = &message;
                let is_progress = events.is_empty() && !response.created && !response.canceled;
                let fault = {
                    let mut watches = self.watches();
                    watches.receive(message);
                    if is_progress {
                        watches.stir();
                    }
                    watches.fault()
                };
                if let Some(fault) = fault {
                    return Err(line.refused(fault.error, fault.retry));
                }
                self.reunited();
                self.changed.notify_one();
                self.attended.notify_one();
            }
            responses.heard(line).await?;
        }
    }

    /// Notes the end of a break, once every watch is back on a server.
    fn reunited(&self) {
        let broken = self.cut_off().is_some();
        if broken && self.watches().are_attached() {
            self.resumed("the watches go on");
            self.watches().stir();
            self.servers.stats.up();
        }
    }

    /// Nothing is cut off any longer.
    fn resumed(&self, message: &str) {
        let cut_off = self.cut_off().take();
        if let Some((since, _)) = cut_off {
            let record = || Record::new("watches_resumed", message).after(since.elapsed());
            self.servers.stats.journal.tell(Level::Info, record);
        }
    }

    /// Ends the watches that resume where the store has gone back.
    async fn check_history(&self, line: &Line) -> Result<(), Failure> {
        let Some((history, key)) = self.watches().resumes() else {
            return Ok(());
        };
        if let Some(revision) = check::gone_back(line, &history, key).await? {
            self.watches().store_went_back(revision);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Asks the server beside the stream: whether a refusal was meant, how far the watches are, and whether a proxy
    /// still has the same store behind it.
    async fn attend(&self, line: &Line) -> Result<(), Failure> {
        let mut next = Instant::now() + PROGRESS_INTERVAL;
        let mut trusted = None;
        let mut asked = next;
        loop {
            while let Some(suspect) = { self.watches().suspect() } {
                let permitted = check::is_permitted(line, &suspect).await?;
                if permitted {
                    self.watches().absolve(&suspect);
                } else {
                    self.watches().convict(suspect);
                }
                self.changed.notify_one();
            }
            let is_due = timeout_at(next, self.attended.notified()).await.is_err();
            if !self.hurried.swap(false, Ordering::Relaxed) && !is_due {
                continue;
            }
            next = Instant::now() + PROGRESS_INTERVAL;
            if is_due && self.watches().are_proxied() {
                // A proxy that does not say is asked again.
                let _ = self.check_history(line).await;
            }
            if trusted.is_none() {
                let member = self.watches().member();
                // A server that does not say is asked again, and the stream is none the worse for it.
                trusted = check::knows_progress(line, member).await.ok();
            }
            if trusted == Some(true) && self.watches().ask_progress(asked.elapsed() >= PROGRESS_LIMIT) {
                asked = Instant::now();
                self.changed.notify_one();
            }
        }
    }
}

/// When bytes of a stream have come last; nothing before it is listened to. Shared by the stream's two directions.
#[derive(Default)]
struct Heard(Mutex<Option<Instant>>);

impl Heard {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn last(&self) -> Instant {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.unwrap_or_else(Instant::now)
    }
}

impl Persistent for Hub {
    async fn wanted(&self) {
        while self.watches().is_idle() {
            // What was cut off was given up since.
            self.resumed("no watch is left of those that were cut off");
            self.changed.notified().await;
        }
    }

    async fn session(&self, endpoint: &Arc<Endpoint>, answered: &mut Option<Instant>) -> Result<(), Failure> {
        if self.watches().is_idle() {
            return Ok(());
        }
        self.watches().connected();
        let (line, requests, responses) =
            Line::open(self.servers.clone(), endpoint.clone(), WATCH, Purpose::Watches).await?;
        let heard = Heard::default();
        tokio::select! {
            biased;
            // First, since there may be nothing left to have a stream for.
            ended = self.send(&line, requests, &heard) => ended,
            ended = self.receive(&line, responses, &heard, answered) => ended,
            ended = self.attend(&line) => ended,
            failure = line.removed() => Err(failure),
        }
    }

    async fn hurried(&self) {
        self.created.notified().await;
    }

    fn broke(&self, failure: &Failure) {
        self.watches().broke();
        let mut cut_off = self.cut_off();
        if cut_off.is_none() {
            let journal = &self.servers.stats.journal;
            journal.tell(Level::Warn, || Record::of("watches_cut", &failure.error));
        }
        let since = cut_off.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *cut_off = Some((since, failure.error.to_string()));
        drop(cut_off);
        self.watches().stir();
    }

    fn stranded(&self, failure: &Failure) {
        self.watches().stranded(failure);
    }

    fn closed(&self) {
        self.watches().end_all(&Error::closed());
    }
}
