//! The life of one unary call: which server, which deadline, whether to try again.
//!
//! In: a message, what kind of call it is, and the method of the service. Out: the answer, or the error of the last
//! attempt. Runs on the runtime; it ends by itself, since every attempt has a deadline and their number a limit.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryFutureExt;
use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::Client;
use super::clock::Moment;
use super::cluster::Pass;
use super::config::CallOptions;
use super::endpoint::Route;
use super::error::{Applied, Error, Result};
use super::failure::{Again, Failure};
use super::pb::Answer;
use super::unary::{pack, unary};

/// How often a call may go out again at once to the same server: a token can wear out between two attempts, and a
/// connection can close, hardly more often.
pub(crate) const REPAIRS: u32 = 3;

/// How long a server may take to be reached where there are others, or by a stream that keeps trying.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

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
    /// Is it known to do no harm when the call goes out again after `failure`?
    fn repeats(self, failure: &Failure, options: &CallOptions) -> bool {
        self != Self::Write || options.retry_unknown || failure.error.applied == Applied::No
    }

    /// The error of a call of which all attempts together `applied`.
    fn error(self, error: Error, applied: Applied) -> Error {
        let reads = matches!(self, Self::Read | Self::SerializableRead);
        Error {
            applied: if reads { Applied::No } else { applied },
            ..error
        }
    }
}

impl Client {
    /// Calls `method` with `message` until it answers, fails for good, or has been tried often enough.
    pub(crate) fn call<R: Answer>(
        &self,
        kind: Kind,
        method: &'static str,
        message: impl Message,
        options: &CallOptions,
    ) -> impl Future<Output = Result<R>> {
        self.timed(kind, method, message, options).map_ok(|(_, answer)| answer)
    }

    /// The same. With the answer comes the moment when the request for it was sent.
    pub(crate) fn timed<R: Answer>(
        &self,
        kind: Kind,
        method: &'static str,
        message: impl Message,
        options: &CallOptions,
    ) -> impl Future<Output = Result<(Moment, R)>> {
        // Now, since a future has room for all that it was given as long as it lives.
        let message = pack(&message);
        async move {
            let mut route = self.cluster().endpoints.route();
            let (mut retries, mut repairs) = (0, 0);
            // What one attempt may have done, the refusal of another does not undo.
            let mut applied = Applied::No;
            // Is there a server that may yet answer?
            let mut hope = false;
            loop {
                let attempt = self.attempt(&route, kind, method, &message, options);
                let failure = match attempt.await {
                    Ok(answer) => {
                        route.keep();
                        return Ok(answer);
                    }
                    Err(failure) => failure,
                };
                if failure.error.applied == Applied::Maybe {
                    applied = Applied::Maybe;
                }
                match failure.again {
                    // A server that says no has answered, too.
                    Again::Never => route.keep(),
                    // Also if this call ends here, for a write is not repeated.
                    Again::Elsewhere | Again::Later => route.leave(),
                    Again::Login | Again::Reconnect => {}
                }
                if !kind.repeats(&failure, options) {
                    return Err(kind.error(failure.error, applied));
                }
                hope |= failure.again.is_hopeful();
                match failure.again {
                    Again::Login | Again::Reconnect if repairs < REPAIRS => {
                        repairs += 1;
                        continue;
                    }
                    Again::Elsewhere | Again::Reconnect | Again::Later if route.advance() => continue,
                    Again::Elsewhere | Again::Reconnect | Again::Later if hope && retries < options.retry => {
                        retries += 1
                    }
                    _ => return Err(kind.error(failure.error, applied)),
                }
                tokio::select! {
                    () = self.cluster().closed.cancelled() => return Err(kind.error(Error::closed(), applied)),
                    () = sleep(options.retry_sleep) => {}
                }
            }
        }
    }

    /// One attempt at one server: connects and logs in where that is needed, then sends the request.
    async fn attempt<R: Answer>(
        &self,
        route: &Route<'_>,
        kind: Kind,
        method: &'static str,
        message: &Bytes,
        options: &CallOptions,
    ) -> Result<(Moment, R), Failure> {
        let (cluster, endpoint) = (self.cluster(), route.endpoint());
        let end = Instant::now() + options.timeout;
        let pass = match cluster.entered(endpoint) {
            Some(pass) => pass,
            // Boxed, since it happens once and would make every call larger.
            None => Box::pin(self.enter(route, options)).await?,
        };
        let request = || (pass.headers(kind != Kind::SerializableRead), message.clone());
        let sent = Moment::now();
        let answered = timeout_at(end, unary(&pass.connection, method, request));
        tokio::select! {
            biased;
            () = cluster.closed.cancelled() => Err(Failure::closed(Applied::Maybe)),
            answered = answered => match answered {
                Ok(Ok(answer)) => {
                    let answer: R = answer;
                    cluster.endpoints.recognise(endpoint, answer.cluster_id())?;
                    Ok((sent, answer))
                }
                Ok(Err(status)) => Err(cluster.auth.judge(Failure::status(endpoint, &status), &pass.token)),
                Err(_) => Err(endpoint.unanswered(options.timeout)),
            }
        }
    }

    /// Connects and logs in.
    async fn enter(&self, route: &Route<'_>, options: &CallOptions) -> Result<Pass, Failure> {
        let (cluster, endpoint) = (self.cluster(), route.endpoint());
        let limit = if cluster.endpoints.are_several() {
            options.timeout.min(CONNECT_LIMIT)
        } else {
            options.timeout
        };
        let start = Instant::now();
        // Nobody waits for a server that has just refused while there are others, or for longer than a pause lasts.
        let patience = route.is_exhausted().then_some(start + limit.min(options.retry_sleep));
        tokio::select! {
            biased;
            () = cluster.closed.cancelled() => Err(Failure::closed(Applied::No)),
            entered = timeout_at(start + options.timeout, cluster.enter(endpoint, limit, patience)) => {
                entered.unwrap_or_else(|_| Err(Failure::connect_timeout(endpoint, options.timeout)))
            }
        }
    }
}
