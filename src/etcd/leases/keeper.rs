//! Renews leases in the background: one task and one stream for all leases of a client.
//!
//! In: leases to keep, each with its TTL and the moment its last answered request was sent. Out: news of each lease to
//! those who follow it, and to writes that want to use it. A lease is renewed when a third of its TTL is over, or a
//! little earlier, so that many do not come at once. Its life is counted from the send, so that the client never
//! believes in it for longer than the server does. Where a response takes too long, another server is asked beside the
//! one that owes it, whose stream stays open. Runs on the runtime, whatever Lua is doing.

mod alone;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use super::renewals::Renewals;
use super::state::{Counts, Leases};
use super::stream::{Stream, is_refusal};

use crate::etcd::cause::Cause;
use crate::etcd::clock::Moment;
use crate::etcd::endpoint::Endpoint;
use crate::etcd::error::{Error, Result};
use crate::etcd::failure::Failure;
use crate::etcd::pb::LeaseKeepAliveResponse;
use crate::etcd::servers::Servers;
use crate::etcd::stream::{Persistent, persist};

/// The handle that the client holds.
pub(crate) struct Keeper {
    shared: Shared,
    /// The task starts with the first lease.
    started: Once,
}

impl Keeper {
    pub(crate) fn new(servers: Arc<Servers>) -> Self {
        let shared = Shared {
            leases: Arc::new(Mutex::new(Leases::new(servers.stats.clone()))),
            changed: watch::Sender::default(),
            alone: Arc::new(Semaphore::new(alone::AT_ONCE)),
            servers,
        };
        Self {
            shared,
            started: Once::new(),
        }
    }

    /// Renews the lease from now on, if it is not kept already. `sent` is when the request went out that was answered
    /// so. Must be called on the runtime.
    pub(crate) fn keep(&self, answer: LeaseKeepAliveResponse, sent: Moment) -> Renewals {
        let news = self.shared.leases().keep(answer, sent);
        self.shared.tell();
        self.started.call_once(|| {
            tokio::spawn(persist(Arc::new(self.shared.clone()), self.shared.servers.clone()));
        });
        Renewals::new(news)
    }

    /// What becomes of a lease that is renewed.
    pub(crate) fn follow(&self, id: i64) -> Option<Renewals> {
        self.shared.leases().follow(id).map(Renewals::new)
    }

    /// Is the lease renewed?
    pub(crate) fn keeps(&self, id: i64) -> bool {
        self.shared.leases().keeps(id)
    }

    /// How many are renewed, how long the one lives that ends first, and what has become of others.
    pub(crate) fn numbers(&self) -> (usize, Option<Duration>, Counts) {
        self.shared.leases().numbers(Moment::now())
    }

    /// Is any lease renewed?
    pub(crate) fn is_busy(&self) -> bool {
        !self.shared.leases().is_empty()
    }

    /// The server had the lease when it answered a request of `sent`: what was believed of it before does not count.
    pub(crate) fn found(&self, id: i64, sent: Moment) {
        self.shared.leases().found(id, sent);
    }

    /// A renewal that a caller asked for at `sent` was answered.
    pub(crate) fn answer(&self, answer: LeaseKeepAliveResponse, sent: Moment) {
        self.shared.leases().answer(answer, sent);
        self.shared.tell();
    }

    /// Renews the lease no longer.
    pub(crate) fn forget(&self, id: i64) {
        self.shared.leases().forget(id);
        self.shared.tell();
    }

    /// Refuses the use of a lease that this client kept and knows to be lost. 0 is no lease.
    pub(crate) fn check(&self, id: i64) -> Result<()> {
        match id {
            0 => Ok(()),
            _ => self.shared.leases().check(id, Moment::now()),
        }
    }
}

/// What the tasks of the keeper have in common.
#[derive(Clone)]
struct Shared {
    /// Held for single steps, never across an await.
    leases: Arc<Mutex<Leases>>,
    /// A lease or a stream came or went: there are other things to do.
    changed: watch::Sender<()>,
    /// Held by each renewal of one lease alone.
    alone: Arc<Semaphore>,
    servers: Arc<Servers>,
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the tasks look again.
    fn tell(&self) {
        self.changed.send_replace(());
    }

    /// Sends renewals as they fall due and notes the responses, until no lease is left, or another server must be asked
    /// beside this one, which has owed a response for as long as it says.
    async fn converse(
        &self,
        number: u64,
        stream: &mut Stream,
        answered: &mut Option<Instant>,
    ) -> Result<Option<Duration>, Failure> {
        let mut changed = self.changed.subscribe();
        let endpoint = stream.endpoint.clone();
        let mut removed = pin!(endpoint.removed());
        loop {
            let due = self.leases().due(Moment::now());
            for id in due.alone {
                tokio::spawn(self.clone().renew_alone(id, stream.endpoint.clone()));
            }
            for id in due.shared {
                stream.ask(id);
            }
            if due.lost {
                // A stream that was left owes less.
                self.tell();
            }
            let (None, Some(next)) = (due.silent, due.next) else {
                return Ok(due.silent);
            };
            tokio::select! {
                // What has come already decides before the end of a lease does.
                biased;
                answer = stream.next() => {
                    self.renewed(number, answer?);
                    if answered.is_none() && self.leases().has_answered() {
                        *answered = Some(Instant::now());
                    }
                }
                _ = changed.changed() => {}
                () = sleep(next.remaining()) => {}
                () = &mut removed => return Err(Failure::new(&endpoint.name, &Cause::Removed)),
            }
        }
    }

    /// Waits for the responses that an earlier stream owes. A task of its own; it ends when they have come or count no
    /// longer, and when the client is closed.
    async fn linger(self, number: u64, mut stream: Stream) {
        let mut changed = self.changed.subscribe();
        let owed = async {
            while self.leases().owes(number, Moment::now()) {
                tokio::select! {
                    biased;
                    answer = stream.next() => match answer {
                        Ok(answer) => self.renewed(number, answer),
                        Err(failure) => return self.close(number, is_refusal(&failure)),
                    },
                    _ = changed.changed() => {}
                }
            }
            self.close(number, false);
        };
        self.servers.closed.run_until_cancelled(owed).await;
    }

    /// Notes a response.
    fn renewed(&self, stream: u64, answer: LeaseKeepAliveResponse) {
        self.servers.stats.up();
        let mut leases = self.leases();
        leases.renewed(stream, answer, Moment::now());
        if leases.has_earlier() {
            self.tell();
        }
    }

    /// Notes the end of a stream.
    fn close(&self, stream: u64, refusal: bool) {
        self.leases().close(stream, refusal, Moment::now());
        self.tell();
    }
}

impl Persistent for Shared {
    async fn wanted(&self) {
        let mut changed = self.changed.subscribe();
        while self.leases().is_empty() && changed.changed().await.is_ok() {}
    }

    async fn session(&self, endpoint: &Arc<Endpoint>, answered: &mut Option<Instant>) -> Result<(), Failure> {
        let mut stream = Stream::new(self.servers.clone(), endpoint);
        let number = self.leases().open();
        // The oldest may have been given up for it.
        self.tell();
        let ended = self.converse(number, &mut stream, answered).await;
        match ended {
            Ok(Some(silence)) => {
                self.leases().leave(Moment::now());
                let failure = stream.unanswered(silence);
                tokio::spawn(self.clone().linger(number, stream));
                Err(failure)
            }
            Ok(None) => {
                self.close(number, false);
                Ok(())
            }
            Err(failure) => {
                self.close(number, is_refusal(&failure));
                Err(failure)
            }
        }
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use crate::etcd::{Client, Config};

    #[test]
    fn a_write_without_a_lease_does_not_wait_for_the_keeper() {
        let client = Client::new(Config::new(vec!["127.0.0.1:1".parse().unwrap()]));
        let (checked, outcome) = mpsc::channel();
        let keeper = &client.parts.keeper;
        let busy = keeper.shared.leases();
        let writer = client.clone();
        thread::spawn(move || checked.send(writer.parts.keeper.check(0)));
        let outcome = outcome.recv_timeout(std::time::Duration::from_secs(10));
        drop(busy);
        assert_eq!(outcome, Ok(Ok(())));
    }
}
