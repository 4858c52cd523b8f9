//! The Watch service: every event of a range of keys exactly once, in order, across any fault.
//!
//! `hub` runs the one stream that all watches of a client share, `state` decides what each message of it means, `check`
//! asks the server beside it, `reason` says why a server ended a watch, and `inbox` holds what a reader has not read yet.

mod check;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod hub;
mod inbox;
mod reason;
mod state;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use hub::Hub;
use inbox::Inbox;

use super::cause::Retry;
use super::client::Client;
use super::config::CallOptions;
use super::error::{Applied, Attempts, Code, Error, Result};
use super::pb::{RangeRequest, WatchCreateRequest, WatchResponse};
use super::readable::Readable;

/// A watch. It ends when it is closed or dropped, with its client, or when the server ends it.
pub struct Watcher {
    key: state::Key,
    inbox: Arc<Inbox>,
    hub: Arc<Hub>,
}

/// A response brings events, or is a progress notification if those were asked for.
impl Readable for Watcher {
    type Item = WatchResponse;

    fn take(&self) -> Option<Result<WatchResponse>> {
        self.inbox.pop()
    }

    fn put_back(&self, response: WatchResponse) {
        self.inbox.put_back(response);
    }

    async fn ready(&self) {
        loop {
            let changed = self.inbox.changed();
            if self.inbox.is_ready() {
                return;
            }
            // All is read: a watch that was paused for its full inbox goes on.
            self.hub.resume(self.key);
            changed.await;
        }
    }
}

/// What a watch is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether its events come.
    pub state: State,
    /// All events up to this revision have been delivered; 0 once it has ended.
    pub revision: i64,
    /// For how long it has been cut off; zero where it is not.
    pub lag: Duration,
    /// Why it is cut off, as far as that is known.
    pub message: Option<String>,
}

/// Whether the events of a watch come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The server sends them.
    Ready,
    /// It is cut off, and will be resumed.
    Stale,
    /// Its reader has left so much unread that the server is to wait.
    Paused,
    /// It has ended.
    Ended,
}

impl State {
    /// The name that programs compare.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stale => "stale",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

impl Watcher {
    /// What the watch is doing: silence is told from loss. May be called from any thread.
    pub fn status(&self) -> Status {
        self.hub.status(self.key)
    }

    /// Ends the watch. What was not read is dropped. May be called from any thread, and again.
    pub fn close(&self) {
        self.inbox.end(Error::new(Code::Closed, "the watch is closed"));
        self.inbox.clear();
        self.hub.cancel(self.key);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.close();
    }
}

impl Client {
    /// Watches a key or a range of keys; answers once the server has confirmed it. `start_revision` 0 means from now
    /// on: the revision is then fixed first, so that nothing is lost or repeated even if the stream breaks before the
    /// first event. The id and the `fragment` flag of the request are the client's business and ignored.
    pub async fn watch(&self, request: WatchCreateRequest, options: &CallOptions) -> Result<Watcher> {
        if self.cluster().auth.can_login() {
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
            let (watcher, confirmed) = self.parts.watches.create(request.clone(), first);
            let failure = tokio::select! {
                () = self.cluster().closed.cancelled() => return Err(Error::closed()),
                answered = timeout(options.timeout, confirmed) => match answered {
                    Ok(Ok(Ok(()))) => return Ok(watcher),
                    Ok(Ok(Err(failure))) => failure,
                    Ok(Err(_)) => return Err(Error::closed()),
                    Err(_) => self.parts.watches.unanswered(options.timeout),
                }
            };
            attempts.note(&failure.error);
            if failure.retry == Retry::Never || failure.retry == Retry::Elsewhere || attempts.count > options.retry {
                attempts.elapsed = began.elapsed();
                return Err(Error {
                    applied: Applied::No,
                    attempts: Some(attempts.into()),
                    ..failure.error
                });
            }
            drop(watcher);
            tokio::select! {
                () = self.cluster().closed.cancelled() => return Err(Error::closed()),
                () = sleep(options.retry_sleep) => {}
            }
        }
    }

    /// Asks whether the range may be read. A watch that may not be is refused in the same words as one with an old
    /// token, which costs the stream that all watches share, and a login.
    async fn check_permission(&self, request: &WatchCreateRequest, options: &CallOptions) -> Result<()> {
        let probe = RangeRequest {
            key: request.key.clone(),
            range_end: request.range_end.clone(),
            // Whoever may read the range hears that this is in the future, before anything is read.
            revision: i64::MAX,
            ..RangeRequest::default()
        };
        match self.get(probe, options).await {
            Err(error) if error.code != Code::OutOfRange => Err(error),
            _ => Ok(()),
        }
    }

    /// The store's revision now. Asks for a key of the watched range, which whoever may watch it may also read.
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
