//! Keeps one of a client's long-lived streams alive: server after server, with a growing pause once all have failed.
//!
//! The lease keeper and the watch hub are such streams. Each has one task on the runtime, started at its first use;
//! it ends when the client is closed.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::time::{Instant, sleep, timeout};

use super::backoff;
use super::call::{CONNECT_LIMIT, REPAIRS};
use super::cause::{Cause, Retry};
use super::endpoint::Endpoint;
use super::error::Error;
use super::failure::Failure;
use super::pb::Request;
use super::received::Receive;
use super::servers::{Authorized, Servers};
use super::transport::deadline::Deadline;
use super::transport::gate::Purpose;
use super::transport::grpc::{self, HalfClose, open, pack, unary};

/// A stream that has lived for so long after its first response has proven that its server is fit. Others may fit as
/// little as one that fails.
const PROVEN: Duration = Duration::from_millis(100);

/// How long a server may leave what was sent without a response, if its line is not known to be slower.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The same for a call beside the stream. Without a quorum a server gives a read up after 7 s.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// How long a response may stand behind those of other requests.
const BEHIND_LIMIT: Duration = Duration::from_secs(30);

/// What a long-lived stream does.
pub(crate) trait Persistent: Send + Sync + 'static {
    /// Waits until there is something to do.
    fn wanted(&self) -> impl Future<Output = ()> + Send;

    /// One stream's life on one server, until nothing is left to do or it breaks. Notes in `answered` when the
    /// server has answered first.
    fn session(
        &self,
        endpoint: &Arc<Endpoint>,
        answered: &mut Option<Instant>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Completes when there is something new to do that should not wait for the end of a pause.
    fn hurried(&self) -> impl Future<Output = ()> + Send;

    /// The stream broke.
    fn broke(&self, failure: &Failure);

    /// The stream broke, and every server has been tried since the last one that answered.
    fn stranded(&self, failure: &Failure);

    /// The client was closed.
    fn closed(&self);
}

/// The task of a long-lived stream.
pub(crate) async fn persist(stream: Arc<impl Persistent>, servers: Arc<Servers>) {
    let _ending = Ending(&*stream, &servers);
    servers.closed.run_until_cancelled(serve(&*stream, &servers)).await;
}

/// However the task ends, by a panic too, those who wait for its stream hear of it.
struct Ending<'a, S: Persistent>(&'a S, &'a Servers);

impl<S: Persistent> Drop for Ending<'_, S> {
    fn drop(&mut self) {
        self.1.closed.cancel();
        self.0.closed();
    }
}

async fn serve(stream: &impl Persistent, servers: &Servers) {
    loop {
        stream.wanted().await;
        let mut route = servers.endpoints.route(None);
        let mut failures = 0;
        let mut repairs = 0;
        // The failure of a server that may yet answer.
        let mut hope = None;
        // Has there been no server at all, of those that were asked since one responded, or all were?
        let mut unreached = true;
        loop {
            route.refresh();
            servers.resolve(&mut route).await;
            let mut answered = None;
            let Err(mut failure) = stream.session(route.endpoint(), &mut answered).await else {
                break;
            };
            stream.broke(&failure);
            unreached &= failure.unreached;
            if answered.is_some_and(|first: Instant| first.elapsed() >= PROVEN) {
                route.restart();
                failures = 0;
                repairs = 0;
            }
            if answered.is_some() && failure.retry == Retry::Never {
                // It had been let in: whatever ended the stream need not hold for the next.
                failure.retry = Retry::Later;
            }
            if matches!(failure.retry, Retry::Login | Retry::Reconnect) && repairs < REPAIRS {
                repairs += 1;
                continue;
            }
            repairs = 0;
            if failure.retry.is_hopeful() {
                hope = Some(failure.clone());
            }
            if !route.advance() {
                if unreached {
                    servers.stats.down(&failure.error);
                }
                unreached = true;
                stream.stranded(hope.as_ref().unwrap_or(&failure));
                hope = None;
                tokio::select! {
                    () = sleep(backoff::pause(failures)) => {}
                    () = stream.hurried() => {}
                    () = servers.endpoints.replaced() => {}
                }
                failures += 1;
            }
        }
    }
}

/// One stream on one server.
pub(crate) struct Line {
    servers: Arc<Servers>,
    endpoint: Arc<Endpoint>,
    authorized: Authorized,
}

impl Line {
    /// Opens a stream to `method` on `endpoint`. A member that knows no leader ends it at once.
    pub(crate) async fn open<R: Receive>(
        servers: Arc<Servers>,
        endpoint: Arc<Endpoint>,
        method: &'static str,
        purpose: Purpose,
    ) -> Result<(Self, Requests, Responses<R>), Failure> {
        let authorized = tokio::select! {
            authorized = servers.connect_and_login(&endpoint, CONNECT_LIMIT, None) => authorized?,
            () = endpoint.removed() => return Err(Failure::new(&endpoint.name, &Cause::Removed)),
        };
        let connection = authorized.connection.clone();
        let line = Self {
            servers,
            endpoint,
            authorized,
        };
        let end = Instant::now() + connection.patience(ANSWER_LIMIT);
        let opened = open(&connection, method, purpose, end, &line.authorized.metadata(true, None)).await;
        let (requests, responses) = opened.map_err(|cause| line.failed(&cause))?;
        Ok((line, Requests(requests), Responses(responses)))
    }

    /// When something came last on the connection: what is waited for may stand behind it, though not for ever.
    pub(crate) fn last_heard(&self, asked: Instant) -> Instant {
        self.authorized.connection.last_heard().min(asked + BEHIND_LIMIT)
    }

    /// How long the server may leave what was sent without a response.
    pub(crate) fn patience(&self) -> Duration {
        self.authorized.connection.patience(ANSWER_LIMIT)
    }

    /// One call on the same connection, with the same token; on another where this one takes no more requests, or none
    /// beside the streams that last.
    pub(crate) async fn call<R: Receive>(&self, method: &'static str, request: &impl Request) -> Result<R, Failure> {
        let authorized = if self.authorized.connection.is_closed() {
            let ready = self.servers.connect_and_login(&self.endpoint, CONNECT_LIMIT, None);
            ready.await?
        } else {
            self.authorized.clone()
        };
        let connection = &authorized.connection;
        let deadline = Deadline::within(connection.patience(CALL_LIMIT));
        let message = || (authorized.metadata(true, None), pack(request));
        let answer = unary::<R>(connection, method, HalfClose::Request, deadline, message);
        answer.await.map_err(|cause| {
            if let Cause::Timeout(silence) = cause {
                connection.doubt(silence);
            }
            self.failed_on(&authorized, &cause)
        })
    }

    /// The failure of a stream on which a message refuses what was asked for, or breaks the rules.
    pub(crate) fn refused(&self, error: Error, retry: Retry) -> Failure {
        let failure = Failure::refused(&self.endpoint.name, error, retry);
        self.servers.login.judge(failure, &self.authorized.token)
    }

    /// The failure of the stream.
    pub(crate) fn failed(&self, cause: &Cause) -> Failure {
        self.failed_on(&self.authorized, cause)
    }

    fn failed_on(&self, authorized: &Authorized, cause: &Cause) -> Failure {
        let alone = !self.servers.endpoints.are_several();
        self.servers.judge(&self.endpoint, authorized, cause, alone)
    }

    /// Waits until the server is none of the client's any longer. Then that is the failure of the stream.
    pub(crate) async fn removed(&self) -> Failure {
        self.endpoint.removed().await;
        self.failed(&Cause::Removed)
    }

    /// The failure of a stream on which what was sent has had no response for `silence`.
    pub(crate) fn unanswered(&self, silence: Duration) -> Failure {
        self.authorized.connection.doubt(silence);
        self.failed(&Cause::Timeout(silence))
    }
}

/// What a client sends on a stream.
pub(crate) struct Requests(grpc::Outgoing);

impl Requests {
    /// Sends a message, for which the server's window must open in time.
    pub(crate) async fn send(&mut self, line: &Line, message: &impl Message) -> Result<(), Failure> {
        self.queue(message);
        let limit = line.patience();
        match timeout(limit, self.flush(line)).await {
            Ok(sent) => sent,
            Err(_) => Err(line.unanswered(limit)),
        }
    }

    /// Has a message sent with the next flush.
    pub(crate) fn queue(&mut self, message: &impl Message) {
        self.0.queue(message);
    }

    /// Is there something to flush?
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.is_waiting()
    }

    /// Sends what waits, as the server's window opens. Where that is given up, the next flush goes on.
    pub(crate) async fn flush(&mut self, line: &Line) -> Result<(), Failure> {
        self.0.flush().await.map_err(|cause| line.failed(&cause))
    }
}

/// What a server sends on a stream that should never end.
pub(crate) struct Responses<R>(grpc::Incoming<R>);

impl<R: Receive> Responses<R> {
    /// Waits until bytes have come that belong to this stream.
    pub(crate) async fn heard(&mut self, line: &Line) -> Result<(), Failure> {
        self.0.heard().await.map_err(|cause| line.failed(&cause))
    }

    /// The next message, if all of it has come.
    pub(crate) fn ready(&mut self, line: &Line) -> Result<Option<R>, Failure> {
        let message = self.0.ready().map_err(|cause| line.failed(&cause))?;
        if let Some(message) = &message {
            let endpoints = &line.servers.endpoints;
            endpoints.recognise(&line.endpoint, &message.head())?;
        }
        Ok(message)
    }
}
