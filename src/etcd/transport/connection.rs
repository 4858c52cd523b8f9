//! One HTTP/2 connection to one server.
//!
//! In: requests, each a head and what to send after it. Out: for each the response to wait for. The frames are h2's; it
//! is used as it is, without a client on top, because a client that must not repeat a write has to know whether a
//! request was *sent*, and because each layer costs every call. A connection has one task that moves its frames and
//! pings the server; it ends when the last clone is dropped, the socket breaks, or the server falls silent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::dial::{lookup, race};
use super::error::{ConnectError, problem};
use super::frames::Frames;
use super::gate::{Gate, Purpose};
use super::liveness::{Liveness, Pace};
use super::permit::Permit;
use super::state::State;
use super::tls::Tls;
use crate::etcd::cause::Cause;

/// Large enough for a 1.5 MiB value to arrive without waiting for a window update.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The headers of a response. etcd's are a few hundred bytes.
const MAX_HEADERS: u32 = 16 << 10;

/// What h2 allows small frames to cost before it closes the connection, 256 bytes less their size each: a window full
/// of the smallest events is legal, and takes less memory than that.
const SMALL_FRAMES: usize = 64 << 20;

/// A cheap handle on a connection; clones share it.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Parts>);

struct Parts {
    requests: SendRequest<Bytes>,
    scheme: Scheme,
    authority: Authority,
    peer: Option<SocketAddr>,
    state: Arc<State>,
}

/// A request under way.
pub(crate) struct Exchange {
    /// Its response.
    pub(crate) response: ResponseFuture,
    /// What follows its head.
    pub(crate) body: SendStream<Bytes>,
    /// Held until the response has come.
    pub(crate) permit: Permit,
}

impl Connection {
    /// Connects to `address`, with TLS where `tls` is given. Of several addresses of a host the one behind `last` is
    /// tried first, and the first that is ready to take requests wins. Bounded by the caller's deadline only.
    pub(crate) async fn open(
        address: &Address,
        tls: Option<&Tls>,
        last: Option<SocketAddr>,
        pace: &Pace,
    ) -> Result<Self, ConnectError> {
        let authority =
            Authority::try_from(address.authority()).map_err(|error| ConnectError::Socket(error.to_string().into()))?;
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let state = || {
            Arc::new(State {
                liveness: Liveness::new(pace.clone()),
                gate: Gate::new(),
                is_verified: AtomicBool::new(false),
            })
        };
        let (requests, state, peer) = match address {
            Address::Tcp { host, port } => {
                let addresses = lookup(host, *port, last).await?;
                let connect = |peer: SocketAddr| {
                    let state = state();
                    async move {
                        let socket = TcpStream::connect(peer).await?;
                        socket.set_nodelay(true)?;
                        let requests = match tls {
                            None => handshake(socket, &state).await?,
                            Some(tls) => handshake(tls.connect(host, socket).await?, &state).await?,
                        };
                        Ok((requests, state, Some(peer)))
                    }
                };
                race(&addresses, connect).await?
            }
            Address::Unix(path) => {
                let state = state();
                (handshake(UnixStream::connect(path).await?, &state).await?, state, None)
            }
        };
        Ok(Self(Arc::new(Parts {
            requests,
            scheme,
            authority,
            peer,
            state,
        })))
    }

    /// The address at the other end.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// Is it to take no more requests: it has ended, has been given up, or has all its streams taken for long?
    pub(crate) fn is_closed(&self) -> bool {
        self.0.state.is_closed()
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

    /// Begins a request to the method `path`.
    pub(crate) fn send(&self, permit: Permit, path: &'static str, headers: HeaderMap) -> Result<Exchange, Cause> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.0.uri(PathAndQuery::from_static(path));
        *request.headers_mut() = headers;
        match self.0.requests.clone().send_request(request, false) {
            Ok((response, body)) => Ok(Exchange { response, body, permit }),
            Err(_) => {
                self.retire();
                Err(Cause::NotSent)
            }
        }
    }

    /// What it means that a request under way has failed. Once its response has begun, it was taken, whatever the
    /// server says later.
    pub(crate) fn broken(&self, error: &h2::Error, begun: bool) -> Cause {
        if self.0.state.liveness.is_silent() {
            return Cause::Cut("the server has fallen silent".to_owned());
        }
        // A server that goes away names the last request that it took; this one came after it.
        let gone = error.is_go_away() && error.is_remote();
        if !begun && (gone || error.reason() == Some(Reason::REFUSED_STREAM)) {
            self.retire();
            return Cause::Refused;
        }
        Cause::Cut(error.get_io().map_or_else(|| error.to_string(), problem))
    }
}

impl Parts {
    fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        // It has all its parts.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// Begins HTTP/2 on `socket` and waits for the server to do so too.
async fn handshake<S>(socket: S, state: &Arc<State>) -> Result<SendRequest<Bytes>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (socket, heard) = Frames::new(socket, state.clone());
    let begun = Instant::now();
    let (requests, connection) = client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .enable_push(false)
        // h2 counts late frames of requests that were given up, to protect servers from their clients. A client that
        // closes its own connection for them harms only itself.
        .max_local_error_reset_streams(None)
        .data_frame_budget(SMALL_FRAMES)
        .handshake(socket)
        .await?;
    tokio::spawn(serve(connection, state.clone()));
    heard
        .await
        .unwrap_or_else(|_| Err(ConnectError::Socket("the server broke the connection".into())))?;
    state.liveness.measured(begun.elapsed());
    Ok(requests)
}

/// The task of a connection.
async fn serve<S>(mut connection: client::Connection<S>, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // It is there once.
    if let Some(pings) = connection.ping_pong() {
        tokio::select! {
            // After a pause of the process there may be something to read, which a timer must not forestall.
            biased;
            // The requests that break with it learn the reason themselves.
            _ = connection => {}
            () = state.liveness.ping(pings, &state.gate) => {}
        }
    }
    state.liveness.retire();
}
