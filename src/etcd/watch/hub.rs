//! The one Watch stream of a client: its task sends the requests that the state machine wants sent and feeds it the
//! server's messages.
//!
//! The task starts with the first watch, has a stream open only while there are watches, and ends with the client.

use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Watcher;
use super::inbox::Inbox;
use super::state::{Key, Watches};
use crate::etcd::cluster::Cluster;
use crate::etcd::connection::Connection;
use crate::etcd::endpoint::Endpoint;
use crate::etcd::error::Error;
use crate::etcd::failure::Failure;
use crate::etcd::pb::watch_client::WatchClient;
use crate::etcd::pb::{WatchCreateRequest, WatchRequest};
use crate::etcd::stream::{Incoming, Persistent, converse, persist, requests, unsent};
use crate::etcd::unary::MAX_MESSAGE;

/// How long a server may take to answer the request for a watch.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct Hub {
    /// Held for single steps, never across an await.
    watches: Mutex<Watches>,
    /// There is a request to send, or the last watch has gone.
    changed: Notify,
    /// Somebody waits for a new watch.
    created: Notify,
    cluster: Arc<Cluster>,
    started: Once,
}

/// What the server said to a new watch. Dropped unsent when the client closes.
pub(super) type Confirmed = oneshot::Receiver<Result<(), Failure>>;

impl Hub {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Arc<Self> {
        Arc::new(Self {
            watches: Mutex::new(Watches::new(cluster.auth.can_login())),
            changed: Notify::new(),
            created: Notify::new(),
            cluster,
            started: Once::new(),
        })
    }

    /// Asks for a watch of all events from the revision `first` on. Must be called on the runtime.
    pub(super) fn create(self: &Arc<Self>, request: WatchCreateRequest, first: i64) -> (Watcher, Confirmed) {
        let inbox = Arc::new(Inbox::default());
        let (confirm, confirmed) = oneshot::channel();
        let key = self.watches().create(request, first, inbox.clone(), confirm);
        self.changed.notify_one();
        self.created.notify_one();
        self.started.call_once(|| {
            tokio::spawn(persist(self.clone(), self.cluster.clone()));
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
        Failure::timeout(self.cluster.endpoints.route().endpoint(), limit)
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the state machine wants sent, until no watch is left or the server does not answer.
    async fn send(&self, endpoint: &Endpoint, requests: mpsc::Sender<WatchRequest>) -> Result<(), Failure> {
        // The oldest watch without an answer, and until when there must be one.
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
                    unanswered = oldest.map(|id| (id, Instant::now() + ANSWER_LIMIT));
                }
                request
            };
            if let Some(request) = request {
                let sent = requests.send_timeout(request, ANSWER_LIMIT).await;
                sent.map_err(|error| unsent(endpoint, ANSWER_LIMIT, &error))?;
                continue;
            }
            let Some((_, limit)) = unanswered else {
                self.changed.notified().await;
                continue;
            };
            let changed = timeout_at(limit, self.changed.notified()).await;
            changed.map_err(|_| endpoint.unanswered(ANSWER_LIMIT))?;
        }
    }

    /// Feeds the server's messages to the state machine.
    async fn receive(
        &self,
        endpoint: &Endpoint,
        requests: impl Stream<Item = WatchRequest> + Send + 'static,
        answered: &mut bool,
    ) -> Result<(), Failure> {
        let rpc = |c, r| async move { service(c).watch(r).await };
        let mut incoming = Incoming::open(&self.cluster, endpoint, requests, rpc).await?;
        loop {
            let message = incoming.next().await?;
            *answered = true;
            let refusal = {
                let mut watches = self.watches();
                watches.receive(message);
                watches.refusal()
            };
            if let Some(error) = refusal {
                return Err(incoming.judge(Failure::unauthenticated(endpoint, error)));
            }
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
        let (requests, outgoing) = requests();
        converse(
            self.send(endpoint, requests),
            self.receive(endpoint, outgoing, answered),
        )
        .await
    }

    async fn hurried(&self) {
        self.created.notified().await;
    }

    fn stranded(&self, failure: &Failure) {
        self.watches().stranded(failure);
    }

    fn closed(&self) {
        self.watches().end_all(&Error::closed());
    }
}

fn service(connection: Connection) -> WatchClient<Connection> {
    WatchClient::new(connection).max_decoding_message_size(MAX_MESSAGE)
}
