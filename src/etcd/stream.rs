//! Keeps one of a client's long-lived streams alive: server after server, with a growing pause once all have failed.
//!
//! The lease keeper and the watch hub are such streams. Each has one task on the runtime, started at its first use;
//! it ends when the client is closed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status, Streaming};

use super::auth::Token;
use super::backoff;
use super::call::{CONNECT_LIMIT, REPAIRS};
use super::cluster::Cluster;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::failure::{Again, Failure};
use super::pb::Answer;

/// A stream that has lived for so long has proven that its server is fit. Others may fit as little as one that fails.
const PROVEN: Duration = Duration::from_secs(1);

/// What a long-lived stream does.
pub(crate) trait Persistent: Send + Sync + 'static {
    /// Waits until there is something to do.
    fn wanted(&self) -> impl Future<Output = ()> + Send;

    /// One stream's life on one server, until nothing is left to do or it breaks. Sets `answered` once the server
    /// has answered.
    fn session(&self, endpoint: &Endpoint, answered: &mut bool) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Completes when there is something new to do that should not wait for the end of a pause.
    fn hurried(&self) -> impl Future<Output = ()> + Send;

    /// The stream broke, and every server has been tried since the last one that answered.
    fn stranded(&self, failure: &Failure);

    /// The client was closed.
    fn closed(&self);
}

/// The task of a long-lived stream.
pub(crate) async fn persist(stream: Arc<impl Persistent>, cluster: Arc<Cluster>) {
    let _ending = Ending(&*stream, &cluster);
    cluster.closed.run_until_cancelled(serve(&*stream, &cluster)).await;
}

/// However the task ends, by a panic too, whoever waits for its stream hears of it.
struct Ending<'a, S: Persistent>(&'a S, &'a Cluster);

impl<S: Persistent> Drop for Ending<'_, S> {
    fn drop(&mut self) {
        self.1.closed.cancel();
        self.0.closed();
    }
}

async fn serve(stream: &impl Persistent, cluster: &Cluster) {
    loop {
        stream.wanted().await;
        let mut route = cluster.endpoints.route();
        let mut failures = 0;
        let mut repairs = 0;
        // The failure of a server that may yet answer.
        let mut hope = None;
        loop {
            let mut answered = false;
            let began = Instant::now();
            let Err(mut failure) = stream.session(route.endpoint(), &mut answered).await else {
                break;
            };
            if answered && began.elapsed() >= PROVEN {
                route.restart();
                failures = 0;
                repairs = 0;
            }
            if answered && failure.again == Again::Never {
                // It had been let in: whatever ended the stream need not hold for the next.
                failure.again = Again::Later;
            }
            if matches!(failure.again, Again::Login | Again::Reconnect) && repairs < REPAIRS {
                repairs += 1;
                continue;
            }
            repairs = 0;
            if failure.again.is_hopeful() {
                hope = Some(failure.clone());
            }
            if !route.advance() {
                stream.stranded(hope.as_ref().unwrap_or(&failure));
                hope = None;
                tokio::select! {
                    () = sleep(backoff::pause(failures)) => {}
                    () = stream.hurried() => {}
                }
                failures += 1;
            }
        }
    }
}

/// The way to a stream's server: what is sent at the one end is requested at the other. It holds a few messages, and
/// whoever sends more waits until the server has taken some.
pub(crate) fn requests<Q>() -> (mpsc::Sender<Q>, impl Stream<Item = Q>) {
    let (requests, mut outgoing) = mpsc::channel(64);
    (requests, stream::poll_fn(move |cx| outgoing.poll_recv(cx)))
}

/// A request that could not be sent within `limit`: the server takes no more, or the stream has ended.
pub(crate) fn unsent<Q>(endpoint: &Endpoint, limit: Duration, error: &SendTimeoutError<Q>) -> Failure {
    match error {
        SendTimeoutError::Timeout(_) => Failure::timeout(endpoint, limit),
        SendTimeoutError::Closed(_) => Failure::ended(endpoint),
    }
}

/// Runs both directions of a stream until one of them ends. `send` goes first, since there may be nothing left to open
/// a stream for.
pub(crate) async fn converse(
    send: impl Future<Output = Result<(), Failure>>,
    receive: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        ended = send => ended,
        ended = receive => ended,
    }
}

/// What a server sends on a stream that should never end.
pub(crate) struct Incoming<'a, R> {
    cluster: &'a Cluster,
    endpoint: &'a Endpoint,
    token: Token,
    messages: Streaming<R>,
}

impl<'a, R: Answer> Incoming<'a, R> {
    /// Opens a stream on `endpoint`. The server answers the first of `requests` only, so they must not wait for it, and
    /// the opening takes as long as that.
    pub(crate) async fn open<Q, A>(
        cluster: &'a Cluster,
        endpoint: &'a Endpoint,
        requests: Q,
        rpc: impl FnOnce(Connection, Request<Q>) -> A,
    ) -> Result<Self, Failure>
    where
        A: Future<Output = Result<Response<Streaming<R>>, Status>>,
    {
        let pass = cluster.enter(endpoint, CONNECT_LIMIT, None).await?;
        let request = pass.request(requests);
        let token = pass.token;
        match rpc(pass.connection, request).await {
            Ok(opened) => Ok(Self {
                cluster,
                endpoint,
                token,
                messages: opened.into_inner(),
            }),
            Err(status) => Err(cluster.auth.judge(Failure::status(endpoint, &status), &token)),
        }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<R, Failure> {
        match self.messages.message().await {
            Ok(Some(message)) => {
                let endpoints = &self.cluster.endpoints;
                endpoints.recognise(self.endpoint, message.cluster_id())?;
                Ok(message)
            }
            Ok(None) => Err(Failure::ended(self.endpoint)),
            Err(status) => Err(self.judge(Failure::status(self.endpoint, &status))),
        }
    }

    /// A message that refuses what was asked for in words of its own.
    pub(crate) fn judge(&self, failure: Failure) -> Failure {
        self.cluster.auth.judge(failure, &self.token)
    }
}
