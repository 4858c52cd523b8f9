//! The one Watch stream of a client: its task sends the requests that the state machine wants sent and feeds it the
//! server's messages.
//!
//! The task starts with the first watch, has a stream open only while there are watches, and ends with the client.

use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use futures_util::stream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Watcher;
use super::inbox::Inbox;
use super::state::{Key, Watches};
use crate::etcd::connection::Connection;
use crate::etcd::endpoint::{Endpoint, Endpoints};
use crate::etcd::error::Error;
use crate::etcd::failure::Failure;
use crate::etcd::pb::watch_client::WatchClient;
use crate::etcd::pb::{WatchCreateRequest, WatchRequest};
use crate::etcd::stream::{Persistent, next, open, persist};

/// How long a server may take to answer the first request of a stream.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct Hub {
    /// Held for single steps, never across an await.
    watches: Mutex<Watches>,
    /// There is a request to send, or the last watch has gone.
    changed: Notify,
    endpoints: Arc<Endpoints>,
    closed: CancellationToken,
    started: Once,
}

/// What the server said to a new watch. Dropped unsent when the client closes.
pub(super) type Confirmed = oneshot::Receiver<Result<(), Failure>>;

impl Hub {
    pub(crate) fn new(endpoints: Arc<Endpoints>, closed: CancellationToken) -> Arc<Self> {
        let (watches, changed) = (Mutex::default(), Notify::new());
        Arc::new(Self {
            watches,
            changed,
            endpoints,
            closed,
            started: Once::new(),
        })
    }

    /// Asks for a watch from `request.start_revision` on. Must be called on the runtime.
    pub(super) fn create(self: &Arc<Self>, request: WatchCreateRequest) -> (Watcher, Confirmed) {
        let inbox = Arc::new(Inbox::default());
        let (confirm, confirmed) = oneshot::channel();
        let key = self.watches().create(request, inbox.clone(), confirm);
        self.changed.notify_one();
        self.started.call_once(|| {
            let (endpoints, closed) = (self.endpoints.clone(), self.closed.clone());
            tokio::spawn(persist(self.clone(), endpoints, closed));
        });
        (
            Watcher {
                key,
                inbox,
                hub: self.clone(),
            },
            confirmed,
        )
    }

    /// Ends a watch.
    pub(super) fn cancel(&self, key: Key) {
        if self.watches().cancel(key) {
            self.changed.notify_one();
        }
    }

    /// Lets a watch go on that was paused.
    pub(super) fn resume(&self, key: Key) {
        if self.watches().resume(key) {
            self.changed.notify_one();
        }
    }

    /// The failure of a new watch that no server has confirmed in time.
    pub(super) fn unanswered(&self, limit: Duration) -> Failure {
        Failure::timeout(self.endpoints.route().endpoint(), limit)
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the state machine wants sent, until no watch is left.
    async fn send(&self, endpoint: &Endpoint, requests: mpsc::Sender<WatchRequest>) -> Result<(), Failure> {
        loop {
            let request = {
                let mut watches = self.watches();
                let request = watches.next_request();
                if request.is_none() && watches.is_idle() {
                    return Ok(());
                }
                request
            };
            match request {
                Some(request) => {
                    let sent = requests.send(request).await;
                    sent.map_err(|_| Failure::ended(endpoint))?;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Feeds the server's messages to the state machine.
    async fn receive(
        &self,
        endpoint: &Endpoint,
        mut outgoing: mpsc::Receiver<WatchRequest>,
        answered: &mut bool,
    ) -> Result<(), Failure> {
        let requests = stream::poll_fn(move |cx| outgoing.poll_recv(cx));
        let rpc = |c, r| async move { service(c).watch(r).await };
        let mut messages = open(endpoint, OPEN_LIMIT, requests, rpc).await?;
        loop {
            let message = next(endpoint, &mut messages).await?;
            *answered = true;
            self.watches().receive(message);
            self.changed.notify_one();
        }
    }
}

impl Persistent for Hub {
    async fn wanted(&self) {
        while self.watches().is_idle() {
            self.changed.notified().await;
        }
    }

    async fn session(&self, endpoint: &Endpoint, answered: &mut bool) -> Result<(), Failure> {
        self.watches().connected();
        let (requests, outgoing) = mpsc::channel(64);
        tokio::select! {
            ended = self.send(endpoint, requests) => ended,
            ended = self.receive(endpoint, outgoing, answered) => ended,
        }
    }

    fn stranded(&self, failure: &Failure) {
        self.watches().stranded(failure);
    }

    fn closed(&self) {
        self.watches().end_all(&Error::closed());
    }
}

fn service(connection: Connection) -> WatchClient<Connection> {
    // Fragments are asked for, but the server does not split what it held back before `created`.
    WatchClient::new(connection).max_decoding_message_size(usize::MAX)
}
