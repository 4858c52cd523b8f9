//! Renews leases in the background: one task and one stream for all leases of a client.
//!
//! In: leases to keep, each with its TTL and the moment its last answered request was sent. Out: news of each lease to
//! whoever follows it, and to writes that want to use it. A lease is renewed when a third of its TTL is over, or a
//! little earlier, so that many do not come at once. Its life is counted from the send, so that the client never
//! believes in it for longer than the server does. Runs on the runtime, whatever Lua is doing.

mod leases;

use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use leases::{Leases, News};

use crate::etcd::clock::Moment;
use crate::etcd::cluster::Cluster;
use crate::etcd::endpoint::Endpoint;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::failure::Failure;
use crate::etcd::gate::Purpose;
use crate::etcd::pb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use crate::etcd::readable::Readable;
use crate::etcd::stream::{Line, Persistent, Requests, Responses, converse, persist};

/// The handle that the client holds.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    /// The task starts with the first lease.
    started: Once,
}

impl Keeper {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        let shared = Shared {
            leases: Mutex::default(),
            changed: Notify::new(),
            cluster,
        };
        Self {
            shared: Arc::new(shared),
            started: Once::new(),
        }
    }

    /// Renews the lease from now on, if it is not kept already. `sent` is when the request went out that was answered
    /// so. Must be called on the runtime.
    pub(crate) fn keep(&self, answer: LeaseKeepAliveResponse, sent: Moment) -> Renewals {
        let news = self.shared.leases().keep(answer, sent);
        self.shared.changed.notify_one();
        self.started.call_once(|| {
            tokio::spawn(persist(self.shared.clone(), self.shared.cluster.clone()));
        });
        Renewals {
            news: Mutex::new(news),
            closed: CancellationToken::new(),
        }
    }

    /// Is the lease renewed?
    pub(crate) fn keeps(&self, id: i64) -> bool {
        self.shared.leases().keeps(id)
    }

    /// The server has answered that the lease exists: what was believed of it before does not count.
    pub(crate) fn found(&self, id: i64) {
        self.shared.leases().found(id);
    }

    /// Renews the lease no longer.
    pub(crate) fn forget(&self, id: i64) {
        self.shared.leases().forget(id);
        self.shared.changed.notify_one();
    }

    /// Refuses the use of a lease that this client kept and knows to be lost.
    pub(crate) fn check(&self, id: i64) -> Result<()> {
        self.shared.leases().check(id, Moment::now())
    }
}

/// What becomes of a lease that is renewed in the background.
pub struct Renewals {
    /// Held for the look only, never across an await.
    news: Mutex<watch::Receiver<News>>,
    closed: CancellationToken,
}

/// Answers to renewals, first the one that it began with. Of those that came while nobody asked there is the newest only.
impl Readable for Renewals {
    type Item = LeaseKeepAliveResponse;

    fn take(&self) -> Option<Result<LeaseKeepAliveResponse>> {
        if self.closed.is_cancelled() {
            return Some(Err(Error::new(Code::Closed, "the stream is closed")));
        }
        let mut news = self.news();
        if let News::Lost(reason) = &*news.borrow() {
            return Some(Err(reason.clone()));
        }
        match news.has_changed() {
            Ok(false) => None,
            Ok(true) => match &*news.borrow_and_update() {
                News::Renewed(answer) => Some(Ok(*answer)),
                News::Lost(reason) => Some(Err(reason.clone())),
            },
            Err(_) => Some(Err(Error::closed())),
        }
    }

    fn put_back(&self, _: LeaseKeepAliveResponse) {
        self.news().mark_changed();
    }

    async fn ready(&self) {
        let mut news = self.news().clone();
        let changed = async {
            let lost = matches!(&*news.borrow(), News::Lost(_));
            if !lost {
                // An error means that there is nothing more to wait for.
                let _ = news.changed().await;
            }
        };
        self.closed.run_until_cancelled(changed).await;
    }
}

impl Renewals {
    /// Ends what waits for news. The lease is renewed all the same. May be called from any thread, and again.
    pub fn close(&self) {
        self.closed.cancel();
    }

    fn news(&self) -> MutexGuard<'_, watch::Receiver<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Shared {
    /// Held for single steps, never across an await.
    leases: Mutex<Leases>,
    /// A lease came or went: the times to wait for are others.
    changed: Notify,
    cluster: Arc<Cluster>,
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends renewals as they fall due, until no lease is left or the server falls silent.
    async fn send(&self, line: &Line<'_>, mut requests: Requests) -> Result<(), Failure> {
        loop {
            let due = self.leases().due(Moment::now());
            if let Some(silence) = due.silent {
                return Err(line.unanswered(silence));
            }
            for id in due.leases {
                requests.send(line, &LeaseKeepAliveRequest { id }).await?;
            }
            let Some(next) = due.next else { return Ok(()) };
            tokio::select! {
                () = sleep(next.remaining()) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Notes the server's answers.
    async fn receive(
        &self,
        line: &Line<'_>,
        mut responses: Responses<LeaseKeepAliveResponse>,
        answered: &mut bool,
    ) -> Result<(), Failure> {
        loop {
            while let Some(answer) = responses.ready(line)? {
                *answered = true;
                self.leases().renewed(answer);
                self.changed.notify_one();
            }
            responses.heard(line).await?;
        }
    }
}

impl Persistent for Shared {
    async fn wanted(&self) {
        while self.leases().is_empty() {
            self.changed.notified().await;
        }
    }

    async fn session(&self, endpoint: &Endpoint, answered: &mut bool) -> Result<(), Failure> {
        if self.leases().is_empty() {
            return Ok(());
        }
        self.leases().restart(Moment::now());
        let opened = Line::open(&self.cluster, endpoint, super::KEEP_ALIVE, Purpose::Leases).await?;
        let (line, requests, responses) = opened;
        converse(self.send(&line, requests), self.receive(&line, responses, answered)).await
    }

    async fn hurried(&self) {
        std::future::pending().await
    }

    fn broke(&self, _: &Failure) {}

    fn stranded(&self, _: &Failure) {}

    fn closed(&self) {
        self.leases().end_all(&Error::closed());
    }
}
