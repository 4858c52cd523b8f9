//! Renews leases one by one, each attempt on a stream of its own.
//!
//! A server ends the stream that a refused lease was on, and with it the renewal of all others. So those that may be
//! the refused one are asked for here until they were answered once. Each attempt is a task; it ends with its response,
//! when its time is over, or when the client is closed.

use std::sync::Arc;

use tokio::time::timeout;

use super::Shared;
use crate::etcd::backoff;
use crate::etcd::clock::Moment;
use crate::etcd::endpoint::Endpoint;
use crate::etcd::failure::Failure;
use crate::etcd::leases::stream::{Stream, is_refusal};
use crate::etcd::pb::LeaseKeepAliveResponse;

/// How many are asked for at the same time.
pub(super) const AT_ONCE: usize = 64;

impl Shared {
    /// One attempt to renew a lease alone, while the stream of the others is at `shared`.
    pub(super) async fn renew_alone(self, id: i64, shared: Arc<Endpoint>) {
        let closed = self.servers.closed.clone();
        closed.run_until_cancelled(self.attempt(id, &shared)).await;
        self.tell();
    }

    async fn attempt(&self, id: i64, shared: &Arc<Endpoint>) {
        // It is never closed.
        let _permit = self.alone.acquire().await;
        let sent = Moment::now();
        let attempt = self.leases().attempt(id, sent);
        let Some((attempt, until)) = attempt else { return };
        let outcome = timeout(
            until.remaining(),
            self.ask_alone(id, &self.servers.endpoints.behind(shared, attempt)),
        )
        .await;
        let now = Moment::now();
        match outcome {
            Ok(Ok(answer)) => self.leases().renewed_alone(answer, sent, now),
            Ok(Err(failure)) if is_refusal(&failure) => self.leases().refused(id, failure.error, now),
            Ok(Err(_)) => {
                let failures = u32::try_from(attempt).unwrap_or(u32::MAX);
                self.leases().failed(id, now + backoff::pause(failures));
            }
            Err(_) => self.leases().failed(id, now),
        }
    }

    async fn ask_alone(&self, id: i64, endpoint: &Arc<Endpoint>) -> Result<LeaseKeepAliveResponse, Failure> {
        let mut stream = Stream::new(self.servers.clone(), endpoint);
        stream.ask(id);
        loop {
            let answer = stream.next().await?;
            if answer.id == id {
                return Ok(answer);
            }
        }
    }
}
