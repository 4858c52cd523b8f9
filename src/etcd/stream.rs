//! Keeps one of a client's long-lived streams alive: server after server, with a growing pause once all have failed.
//!
//! The lease keeper and the watch hub are such streams. Each has one task on the runtime, started at its first use;
//! it ends when the client is closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::call::require_leader;
use super::connection::Connection;
use super::endpoint::{Endpoint, Endpoints};
use super::failure::Failure;

/// What a long-lived stream does.
pub(crate) trait Persistent: Send + Sync + 'static {
    /// Waits until there is something to do.
    fn wanted(&self) -> impl Future<Output = ()> + Send;

    /// One stream's life on one server, until nothing is left to do or it breaks. Sets `answered` once the server
    /// has answered.
    fn session(&self, endpoint: &Endpoint, answered: &mut bool) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The stream broke, and every server has been tried since the last one that answered.
    fn stranded(&self, failure: &Failure);

    /// The client was closed.
    fn closed(&self);
}

/// The task of a long-lived stream.
pub(crate) async fn persist(stream: Arc<impl Persistent>, endpoints: Arc<Endpoints>, closed: CancellationToken) {
    closed.run_until_cancelled(serve(&*stream, &endpoints)).await;
    stream.closed();
}

async fn serve(stream: &impl Persistent, endpoints: &Endpoints) {
    loop {
        stream.wanted().await;
        let mut route = endpoints.route();
        let mut backoff = Backoff::new();
        loop {
            let mut answered = false;
            let Err(failure) = stream.session(route.endpoint(), &mut answered).await else {
                break;
            };
            if answered {
                route.restart();
                backoff = Backoff::new();
            }
            if !route.advance() {
                stream.stranded(&failure);
                sleep(backoff.next()).await;
            }
        }
    }
}

/// Opens a stream on `endpoint`. The server answers the first request only, so `requests` must not wait for it.
pub(crate) async fn open<Q, R, A>(
    endpoint: &Endpoint,
    limit: Duration,
    requests: Q,
    rpc: impl FnOnce(Connection, Request<Q>) -> A,
) -> Result<Streaming<R>, Failure>
where
    A: Future<Output = Result<Response<Streaming<R>>, Status>>,
{
    let opening = async {
        let connection = endpoint
            .connect()
            .await
            .map_err(|error| Failure::connect(endpoint, &error))?;
        let mut request = Request::new(requests);
        require_leader(&mut request);
        rpc(connection, request)
            .await
            .map_err(|status| Failure::status(endpoint, &status))
    };
    match timeout(limit, opening).await {
        Ok(opened) => Ok(opened?.into_inner()),
        Err(_) => Err(Failure::timeout(endpoint, limit)),
    }
}

/// The next message of a stream that should never end.
pub(crate) async fn next<R>(endpoint: &Endpoint, stream: &mut Streaming<R>) -> Result<R, Failure> {
    match stream.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Failure::ended(endpoint)),
        Err(status) => Err(Failure::status(endpoint, &status)),
    }
}

/// The pauses between two attempts to open a stream: 25 ms, doubled up to 2 s, each shortened at random by up to
/// half so that the clients of a restarted server do not come all at once.
struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(25);
    const LAST: Duration = Duration::from_secs(2);

    fn new() -> Self {
        Self(Self::FIRST)
    }

    fn next(&mut self) -> Duration {
        let pause = self.0.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.0 = (self.0 * 2).min(Self::LAST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_seconds() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= Backoff::FIRST);
        assert!(pauses[19] >= Backoff::LAST / 2 && pauses[19] <= Backoff::LAST);
    }
}
