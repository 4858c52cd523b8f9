//! One connection to one server.
//!
//! In: requests, each a head and what to send after it. Out: for each the stream of its response. Beside what HTTP/2
//! knows there is what a client that must not repeat a write has to know: whether a request was *sent*, and what it
//! means that it broke. A connection has one task that moves its bytes and pings the server; it ends when the last
//! clone is dropped, the socket breaks, or the server falls silent.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::deadline::Deadline;
use super::dial::{lookup, race};
use super::dns::Dns;
use super::error::ConnectError;
use super::gate::Purpose;
use super::http2::{Broken, Constant, Line, Metadata, Shared, Stream};
use super::liveness::Pace;
use super::permit::Permit;
use super::state::State;
use super::tls::Tls;
use crate::etcd::cause::Cause;
use crate::etcd::stats::Traffic;

#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a fuzzer is to panic")]
pub(in crate::etcd) mod fuzz;

const SILENT: &str = "the server has fallen silent";

/// A cheap handle on a connection; clones share it.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Parts>);

struct Parts {
    http2: Arc<Shared>,
    peer: Option<SocketAddr>,
    state: Arc<State>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.http2.close();
    }
}

/// Where a connection leads.
pub(crate) struct Destination<'a> {
    pub(crate) address: &'a Address,
    /// It is encrypted, so.
    pub(crate) tls: Option<&'a Tls>,
    /// The name that the server's certificate must have, where that is not the host's.
    pub(crate) identity: Option<&'a str>,
    /// Who knows hosts.
    pub(crate) dns: &'a Dns,
    /// What each request says of who asks.
    pub(crate) headers: &'a HeaderMap,
}

/// A request under way.
pub(crate) struct Exchange {
    /// What follows its head, and its response.
    pub(crate) stream: Stream,
    /// Held until the response has come.
    pub(crate) permit: Permit,
}

impl Connection {
    /// Connects. Of several addresses of a host the one behind `last` is tried first, and the first that is ready to take
    /// requests wins. Bounded by the caller's deadline only. All that is under way on it ends once it is `closed`.
    pub(crate) async fn open(
        to: &Destination<'_>,
        last: Option<SocketAddr>,
        pace: &Pace,
        traffic: &Arc<Traffic>,
        closed: &CancellationToken,
    ) -> Result<Self, ConnectError> {
        let constant = Constant {
            scheme: if to.tls.is_some() { "https" } else { "http" },
            authority: to.address.authority(),
            fields: to.headers.clone(),
        };
        let state = || Arc::new(State::new(pace.clone(), traffic.clone()));
        let (http2, state, peer) = match to.address {
            Address::Tcp { host, port } => {
                let addresses = lookup(to.dns, host, *port, last).await?;
                let name = to.identity.unwrap_or(host);
                let connect = |peer: SocketAddr| {
                    let (constant, state) = (constant.clone(), state());
                    async move {
                        let socket = TcpStream::connect(peer).await?;
                        socket.set_nodelay(true)?;
                        let http2 = match to.tls {
                            None => handshake(socket, constant, &state, closed).await?,
                            Some(tls) => handshake(tls.connect(name, socket).await?, constant, &state, closed).await?,
                        };
                        Ok((http2, state, Some(peer)))
                    }
                };
                race(&addresses, connect).await?
            }
            Address::Unix(path) => {
                let state = state();
                let socket = UnixStream::connect(path).await?;
                (handshake(socket, constant, &state, closed).await?, state, None)
            }
            Address::Srv(_) => return Err(ConnectError::Socket("not looked up yet".into())),
        };
        Ok(Self(Arc::new(Parts { http2, peer, state })))
    }

    /// The address at the other end.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// Is it to take no more requests: it has ended, has been given up, or has all its streams taken for long?
    pub(crate) fn is_closed(&self) -> bool {
        self.0.state.is_closed()
    }

    /// Another takes its place, whatever is under way on it.
    pub(crate) fn replaced(&self) {
        self.0.state.tell_end("the connection takes no more requests");
    }

    /// Is the server known to be as new as it must be?
    pub(crate) fn is_verified(&self) -> bool {
        self.0.state.is_verified.load(Ordering::Relaxed)
    }

    /// It is.
    pub(crate) fn verified(&self) {
        self.0.state.is_verified.store(true, Ordering::Relaxed);
    }

    /// Has nothing come from the server for so long that it must be asked first whether it is there?
    pub(crate) fn is_dormant(&self, now: Instant) -> bool {
        self.0.state.liveness.is_dormant(now)
    }

    /// Asks the server whether it is there, if nothing has come for long. Says no where that ends the connection.
    pub(crate) async fn wake_up(&self) -> bool {
        if !self.is_dormant(Instant::now()) {
            return true;
        }
        self.0.state.liveness.probe().await;
        !self.is_closed()
    }

    /// The round trip as it was measured last.
    pub(crate) fn round_trip(&self) -> Duration {
        self.0.state.liveness.round_trip()
    }

    /// When something came last, on any of its streams.
    pub(crate) fn last_heard(&self) -> Instant {
        self.0.state.liveness.last_heard()
    }

    /// Later requests are to go elsewhere. What is under way goes on.
    pub(crate) fn retire(&self) {
        self.0.state.liveness.retire();
    }

    /// `limit`, or some round trips where the line is slower than that.
    pub(crate) fn patience(&self, limit: Duration) -> Duration {
        self.0.state.liveness.patience(limit)
    }

    /// The server has left a request unanswered for `silence`, which speaks against the connection.
    pub(crate) fn doubt(&self, silence: Duration) {
        self.0.state.liveness.doubt(silence);
    }

    /// How many responses have begun on it.
    pub(crate) fn answers(&self) -> u64 {
        self.0.state.liveness.answers()
    }

    /// A response has begun.
    pub(crate) fn answered(&self) {
        self.0.state.liveness.answered();
    }

    /// Waits, until `end` at the latest, for the server to allow one more stream.
    pub(crate) async fn permit(&self, purpose: Purpose, end: Instant) -> Result<Permit, Cause> {
        match Permit::at_once(&self.0.state, purpose) {
            Some(permit) => Ok(permit),
            None => Box::pin(self.queue(purpose, end)).await,
        }
    }

    async fn queue(&self, purpose: Purpose, end: Instant) -> Result<Permit, Cause> {
        let limit = end.saturating_duration_since(Instant::now());
        let queued = |_| Cause::Queued(self.0.state.gate.describe(), limit);
        let permit = timeout_at(end, Permit::wait(&self.0.state, purpose));
        permit.await.map_err(queued)?.ok_or(Cause::NotSent)
    }

    /// Begins a request to the method `path`, whose response must have come by a `deadline`.
    pub(crate) fn send(
        &self,
        permit: Permit,
        path: &'static str,
        metadata: &Metadata<'_>,
        deadline: Option<Deadline>,
    ) -> Result<Exchange, Cause> {
        match Stream::open(&self.0.http2, path, metadata, deadline) {
            Some(stream) => Ok(Exchange { stream, permit }),
            None => {
                self.retire();
                Err(Cause::NotSent)
            }
        }
    }

    /// What it means that a request under way has failed.
    pub(crate) fn broken(&self, broken: Broken) -> Cause {
        match broken {
            Broken::Late(limit) => Cause::Timeout(limit),
            _ if self.0.state.liveness.is_silent() => Cause::Cut(SILENT.to_owned()),
            Broken::Refused => {
                self.retire();
                Cause::Refused
            }
            Broken::Cut(reason) => Cause::Cut(reason.to_string()),
        }
    }
}

/// Begins HTTP/2 on `socket` and waits for the server to do so too: until then nothing that matters has been sent, so
/// whatever goes wrong is certain to have changed nothing. Under TLS 1.3 that is also when a server says what it thinks
/// of the client's certificate.
async fn handshake<S>(
    socket: S,
    constant: Constant,
    state: &Arc<State>,
    closed: &CancellationToken,
) -> Result<Arc<Shared>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = Instant::now();
    let line = Line::begin(socket, constant, state).await?;
    state.liveness.measured(begun.elapsed());
    let shared = line.shared();
    tokio::spawn(serve(line, state.clone(), closed.clone()));
    Ok(shared)
}

/// The task of a connection.
async fn serve<S>(line: Line<S>, state: Arc<State>, closed: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shared = line.shared();
    let close = async {
        closed.cancelled().await;
        // The line writes the last word.
        shared.leave();
        pending().await
    };
    let reason = tokio::select! {
        // After a pause of the process there may be something to read, which a timer must not forestall.
        biased;
        // The requests that break with it learn the reason themselves.
        reason = line.serve() => reason,
        () = close => None,
        () = state.liveness.ping(&shared, &state.gate) => Some(SILENT.to_owned()),
    };
    state.liveness.retire();
    if let Some(reason) = reason.filter(|_| !closed.is_cancelled()) {
        state.tell_end(&reason);
    }
}
