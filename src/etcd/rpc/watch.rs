//! The Watch service: what the user of one watch calls. The stream below is the work of the
//! [`Hub`](crate::etcd::watches::Hub).

use bytes::Bytes;
use prost::Message;
use tokio::time::{Instant, timeout_at};

use crate::etcd::backoff;
use crate::etcd::call::deadline_of;
use crate::etcd::cause::Retry;
use crate::etcd::client::Client;
use crate::etcd::config::CallOptions;
use crate::etcd::error::{Applied, Attempts, Code, Error, Result};
use crate::etcd::pb::{RangeRequest, WatchCreateRequest};
use crate::etcd::watches::Watcher;

impl Client {
    /// Watches a key or a range of keys; returns once the server has confirmed it. `start_revision` 0 means from now
    /// on: the revision is then fixed first, so that nothing is lost or repeated even if the stream breaks before the
    /// first event. The id and the `fragment` flag of the request are the client's business and ignored.
    pub async fn watch(&self, request: WatchCreateRequest, options: &CallOptions) -> Result<Watcher> {
        if request.key.is_empty() && !self.namespace.is_whole() {
            // The server would take it for the first key that there is.
            let text = "the key must not be empty in a namespace";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let mut whole = request.clone();
        self.namespace.enter(&mut whole);
        self.servers().allows(whole.encoded_len())?;
        if self.servers().login.can_login() {
            self.check_permission(&request, options).await?;
        }
        let began = Instant::now();
        let mut attempts = Attempts::default();
        loop {
            let first = match request.start_revision {
                // Each time, since the store may have been put back meanwhile.
                0 => self.revision(&request.key, options).await?.saturating_add(1),
                revision => revision,
            };
            let hub = &self.parts.watches;
            let (created, confirmed) = hub.create(whole.clone(), first);
            let watcher = Watcher::new(hub.clone(), created, self.namespace.clone());
            let deadline = deadline_of(options);
            let failure = tokio::select! {
                () = self.servers().closed.cancelled() => return Err(Error::closed()),
                answered = timeout_at(deadline.end, confirmed) => match answered {
                    Ok(Ok(Ok(()))) => return Ok(watcher),
                    Ok(Ok(Err(failure))) => failure,
                    Ok(Err(_)) => return Err(Error::closed()),
                    Err(_) => hub.unanswered(deadline.length()),
                }
            };
            attempts.note(&failure.error);
            drop(watcher);
            let is_final = matches!(failure.retry, Retry::Never | Retry::Elsewhere) || attempts.count > options.retry;
            let again = if is_final {
                Err(failure.error)
            } else {
                let pause = backoff::at_least(options.retry_sleep);
                self.servers().pause(pause, options, failure.error).await
            };
            if let Err(error) = again {
                attempts.elapsed = began.elapsed();
                return Err(Error {
                    applied: Applied::No,
                    attempts: Some(attempts.into()),
                    ..error
                });
            }
        }
    }

    /// Asks whether the range may be read. A watch that may not be is refused in the same words as one with an old
    /// token, which costs the stream that all watches share, and a login.
    async fn check_permission(&self, request: &WatchCreateRequest, options: &CallOptions) -> Result<()> {
        let probe = RangeRequest {
            key: request.key.clone(),
            range_end: request.range_end.clone(),
            // A user who may read the range hears that this is in the future, before anything is read.
            revision: i64::MAX,
            ..RangeRequest::default()
        };
        match self.get(probe, options).await {
            Err(error) if error.code != Code::OutOfRange => Err(error),
            _ => Ok(()),
        }
    }

    /// The store's revision now. Asks for a key of the watched range, which a user who may watch it may also read.
    async fn revision(&self, key: &Bytes, options: &CallOptions) -> Result<i64> {
        let request = RangeRequest {
            key: key.clone(),
            count_only: true,
            ..RangeRequest::default()
        };
        let answer = self.get(request, options).await?;
        let header = answer
            .header
            .ok_or_else(|| Error::new(Code::Protocol, "the server's answer carries no revision"))?;
        Ok(header.revision)
    }
}
