//! The life of one unary call: which server, which deadline, whether to try again.
//!
//! In: a message, what kind of call it is, and the generated client's method. Out: the answer, or the error of the
//! last attempt. Runs on the runtime; it ends by itself, since every attempt has a deadline and their number a limit.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::client::Client;
use super::config::CallOptions;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::error::{Applied, Error, Result};
use super::failure::Failure;

/// What a repetition of a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reads the cluster's agreed state: it may be repeated.
    Read,
    /// It reads what one member has, and wants an answer even from one without a leader.
    SerializableRead,
    /// It writes what a repetition writes no second time.
    Idempotent,
    /// It writes: at most once.
    Write,
}

impl Kind {
    /// May this call go out again after `failure`?
    fn repeats(self, failure: &Failure, options: &CallOptions) -> bool {
        let safe = self != Self::Write || options.retry_unknown || failure.error.applied == Applied::No;
        failure.passing && safe
    }

    /// A request that refuses, at once, to wait on a member without a leader.
    fn request<Q>(self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        if self != Self::SerializableRead {
            require_leader(&mut request);
        }
        request
    }

    fn error(self, failure: Failure) -> Error {
        let mut error = failure.error;
        if matches!(self, Self::Read | Self::SerializableRead) {
            error.applied = Applied::No;
        }
        error
    }
}

/// Asks the member to refuse the request, or to end the stream, when it knows no leader.
pub(crate) fn require_leader<Q>(request: &mut Request<Q>) {
    request
        .metadata_mut()
        .insert("hasleader", MetadataValue::from_static("true"));
}

impl Client {
    /// Calls `rpc` with `message` until it answers, fails for good, or has been tried often enough.
    pub(crate) async fn call<Q, R, F, A>(&self, kind: Kind, options: &CallOptions, message: Q, rpc: F) -> Result<R>
    where
        Q: Clone,
        F: Fn(Connection, Request<Q>) -> A,
        A: Future<Output = Result<Response<R>, Status>>,
    {
        let mut route = self.parts.endpoints.route();
        let mut retries = 0;
        loop {
            let send = |connection| rpc(connection, kind.request(message.clone()));
            let failure = match self.attempt(route.endpoint(), options.timeout, send).await {
                Ok(answer) => {
                    route.keep();
                    return Ok(answer.into_inner());
                }
                Err(failure) => failure,
            };
            if !kind.repeats(&failure, options) {
                return Err(kind.error(failure));
            }
            if route.advance() {
                continue;
            }
            if retries == options.retry {
                return Err(kind.error(failure));
            }
            retries += 1;
            tokio::select! {
                () = self.parts.closed.cancelled() => return Err(Error::closed()),
                () = sleep(options.retry_sleep) => {}
            }
        }
    }

    /// One attempt at one server: connects where there is no connection, then lets `send` use it.
    async fn attempt<R, F, A>(&self, endpoint: &Endpoint, timeout: Duration, send: F) -> Result<R, Failure>
    where
        F: FnOnce(Connection) -> A,
        A: Future<Output = Result<R, Status>>,
    {
        let deadline = Instant::now() + timeout;
        let connection = tokio::select! {
            biased;
            () = self.parts.closed.cancelled() => return Err(Failure::closed(Applied::No)),
            connected = timeout_at(deadline, endpoint.connect()) => match connected {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => return Err(Failure::connect(endpoint, &error)),
                Err(_) => return Err(Failure::connect_timeout(endpoint, timeout)),
            }
        };
        tokio::select! {
            () = self.parts.closed.cancelled() => Err(Failure::closed(Applied::Maybe)),
            answered = timeout_at(deadline, send(connection)) => match answered {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(status)) => Err(Failure::status(endpoint, &status)),
                Err(_) => Err(Failure::timeout(endpoint, timeout)),
            }
        }
    }
}
