//! One HTTP/2 connection to one server.
//!
//! In: requests, each a head and what to send after it. Out: for each the response to wait for. The frames are h2's; it
//! is used as it is, without a client on top, because a client that must not repeat a write has to know whether a
//! request was *sent*, and because each layer costs every call. A connection has one task that moves its frames and
//! pings the server; it ends when the last clone is dropped, the socket breaks, or the server falls silent.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::dial::dial;
use super::preface::Preface;
use super::tls::{self, Tls};

/// A server closes the connection of a client that pings more often than every 5 s, or while no stream is open.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that owes answers, and from which nothing was heard for so long, gets later requests on another connection.
const DOUBT_LIMIT: Duration = Duration::from_secs(1);

/// Large enough for a 1.5 MiB value to arrive without waiting for a window update.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The headers of an answer. etcd's are a few hundred bytes.
const MAX_HEADERS: u32 = 16 << 10;

/// A cheap handle on a connection; clones share it.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Parts>);

struct Parts {
    requests: SendRequest<Bytes>,
    scheme: Scheme,
    authority: Authority,
    state: Arc<State>,
}

/// The server takes one request more.
pub(crate) struct Ready<'a> {
    connection: &'a Parts,
    requests: SendRequest<Bytes>,
}

/// What is known of a connection, beside what h2 knows.
pub(super) struct State {
    /// The server takes no more requests here, or should get none.
    retired: AtomicBool,
    /// The server has left a ping unanswered.
    silent: AtomicBool,
    /// Requests under way.
    open: AtomicUsize,
    /// There is one again.
    opened: Notify,
    began: Instant,
    /// When the server was heard from last, in milliseconds since then.
    heard: AtomicU64,
    /// Since when it has owed an answer, and when it was heard from before that. Held for the look only.
    doubted: Mutex<Option<(u64, Instant)>>,
}

impl State {
    fn new() -> Self {
        Self {
            retired: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            opened: Notify::new(),
            began: Instant::now(),
            heard: AtomicU64::new(0),
            doubted: Mutex::default(),
        }
    }

    /// Something has come from the server.
    pub(super) fn hear(&self) {
        self.heard.store(self.age(), Ordering::Relaxed);
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    fn age(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request under way.
pub(crate) struct Exchange {
    /// Its answer.
    pub(crate) response: ResponseFuture,
    /// What follows its head.
    pub(crate) body: SendStream<Bytes>,
    /// Held until the answer has come.
    pub(crate) open: Open,
}

/// Keeps the pings going.
pub(crate) struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Self {
        if state.open.fetch_add(1, Ordering::Relaxed) == 0 {
            state.opened.notify_one();
        }
        Self(state.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why no connection could be made. Nothing was sent. Cloned to every caller that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The server could not be reached.
    #[error("{0}")]
    Socket(Arc<str>),
    /// It was reached, and it or its certificate is not to be trusted.
    #[error("{0}")]
    Tls(Arc<str>),
}

impl From<&io::Error> for ConnectError {
    fn from(error: &io::Error) -> Self {
        if let Some(problem) = tls::problem(error) {
            return Self::Tls(problem.into());
        }
        let text = match error.kind() {
            // The operating system's texts carry error numbers that help nobody.
            io::ErrorKind::BrokenPipe => "connection closed".to_owned(),
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
            io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
            io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
            io::ErrorKind::NotFound => "no such socket".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied by the operating system".to_owned(),
            _ => error.to_string(),
        };
        Self::Socket(text.into())
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl From<h2::Error> for ConnectError {
    fn from(error: h2::Error) -> Self {
        match error.get_io() {
            Some(error) => Self::from(error),
            None => Self::Socket(error.to_string().into()),
        }
    }
}

/// Why a request on a connection got no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The connection was gone before the request left: it may be sent again on another.
    #[error("connection closed")]
    NotSent,
    /// The server left a ping unanswered, with the request under way.
    #[error("the server has fallen silent")]
    Silent,
    /// The connection broke with the request under way.
    #[error("{0}")]
    Broken(#[source] h2::Error),
}

impl Connection {
    /// Connects to `address`, with TLS where `tls` is given. Bounded by the caller's deadline only.
    pub(crate) async fn open(address: &Address, tls: Option<&Tls>) -> Result<Self, ConnectError> {
        let authority =
            Authority::try_from(address.authority()).map_err(|error| ConnectError::Socket(error.to_string().into()))?;
        let state = Arc::new(State::new());
        let requests = match address {
            Address::Tcp { host, port } => {
                let socket = dial(host, *port).await?;
                socket.set_nodelay(true)?;
                match tls {
                    None => handshake(socket, &state).await?,
                    Some(tls) => handshake(tls.connect(host, socket).await?, &state).await?,
                }
            }
            Address::Unix(path) => handshake(UnixStream::connect(path).await?, &state).await?,
        };
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Self(Arc::new(Parts {
            requests,
            scheme,
            authority,
            state,
        })))
    }

    /// Has the connection ended? A request on it would come back unsent.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.state.retired.load(Ordering::Relaxed)
    }

    /// Waits for the server to take a request, if it takes no more at present.
    pub(crate) async fn ready(&self) -> Result<Ready<'_>, RequestError> {
        let connection = &*self.0;
        let requests = connection.requests.clone().ready().await;
        let requests = requests.map_err(|_| connection.unsent())?;
        Ok(Ready { connection, requests })
    }

    /// The server has owed an answer for `silence`. If nothing else has come meanwhile, and that goes on for a second,
    /// later requests go elsewhere: a connection whose other end is gone would swallow them until a ping finds out,
    /// and those are sent only while requests are under way.
    pub(crate) fn doubt(&self, silence: Duration) {
        let state = &self.0.state;
        let heard = state.heard();
        if u128::from(state.age().saturating_sub(heard)) < silence.as_millis() {
            return;
        }
        let mut doubted = state.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *doubted {
            Some((before, since)) if before == heard => since,
            _ => Instant::now() - silence,
        };
        *doubted = Some((heard, since));
        if since.elapsed() >= DOUBT_LIMIT {
            state.retired.store(true, Ordering::Relaxed);
        }
    }

    /// What it means that a request under way has failed.
    pub(crate) fn broken(&self, error: h2::Error) -> RequestError {
        if self.0.state.silent.load(Ordering::Relaxed) {
            return RequestError::Silent;
        }
        RequestError::Broken(error)
    }
}

impl Ready<'_> {
    /// Begins a request to the method `path`.
    pub(crate) fn send(mut self, path: PathAndQuery, headers: HeaderMap) -> Result<Exchange, RequestError> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.connection.uri(path);
        *request.headers_mut() = headers;
        let open = Open::new(&self.connection.state);
        let begun = self.requests.send_request(request, false);
        let (response, body) = begun.map_err(|_| self.connection.unsent())?;
        Ok(Exchange { response, body, open })
    }
}

impl Parts {
    /// The connection was gone before a request left.
    fn unsent(&self) -> RequestError {
        self.state.retired.store(true, Ordering::Relaxed);
        RequestError::NotSent
    }

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
    let (socket, heard) = Preface::new(socket, state.clone());
    let (requests, connection) = client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .enable_push(false)
        .handshake(socket)
        .await?;
    tokio::spawn(serve(connection, state.clone()));
    heard
        .await
        .unwrap_or_else(|_| Err(ConnectError::Socket("the server broke the connection".into())))?;
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
            // The requests that break with it learn the reason themselves.
            _ = connection => {}
            () = silence(pings, &state) => state.silent.store(true, Ordering::Relaxed),
        }
    }
    state.retired.store(true, Ordering::Relaxed);
}

/// Pings the server while requests are under way. Completes when it does not answer.
async fn silence(mut pings: PingPong, state: &State) {
    loop {
        while state.open.load(Ordering::Relaxed) == 0 {
            state.opened.notified().await;
        }
        sleep(PING_INTERVAL).await;
        if state.open.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let mut pong = pin!(pings.ping(Ping::opaque()));
        loop {
            let heard = state.heard();
            match timeout(PING_TIMEOUT, &mut pong).await {
                Ok(Ok(_)) => break,
                // The connection is broken, and says so itself.
                Ok(Err(_)) => return std::future::pending().await,
                // It stands behind an answer that takes its time.
                Err(_) if state.heard() != heard => {}
                Err(_) => return,
            }
        }
    }
}
