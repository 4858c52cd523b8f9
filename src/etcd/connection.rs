//! One HTTP/2 connection to one server, as tonic's generated clients want it: an HTTP request goes in, a response
//! comes out.
//!
//! It is made here, with hyper, instead of by tonic's own channel, because a client that must not repeat a write has
//! to know whether a request was *sent*: connecting is a step of its own, and hyper hands an unsent request back.
//! Each connection has one task that moves its frames; it ends when the last clone is dropped or the socket breaks.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::body::Body;
use tower_service::Service;

use super::address::Address;
use super::preface::Preface;
use super::tls::{self, Tls};

/// A server closes the connection of a client that pings more often than every 5 s, or while no stream is open.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Large enough for a 1.5 MiB value to arrive without waiting for a window update.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The largest answer that is taken. etcd's have no bound of their own, and memory is set aside as soon as a length is
/// announced.
pub(crate) const MAX_MESSAGE: usize = 1 << 30;

/// A cheap handle on a connection; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    requests: SendRequest<Body>,
    scheme: Scheme,
    authority: Authority,
    /// Set when a request came back unsent: the server takes no more on this connection.
    retired: Arc<AtomicBool>,
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

impl From<hyper::Error> for ConnectError {
    fn from(error: hyper::Error) -> Self {
        Self::Socket(error.to_string().into())
    }
}

/// Why a request on a connection got no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The connection was gone before the request left: it may be sent again on another.
    #[error("connection closed")]
    NotSent,
    /// The connection broke with the request under way.
    #[error(transparent)]
    Broken(hyper::Error),
}

impl Connection {
    /// Connects to `address`, with TLS where `tls` is given. Bounded by the caller's deadline only.
    pub(crate) async fn open(address: &Address, tls: Option<&Tls>) -> Result<Self, ConnectError> {
        let authority =
            Authority::try_from(address.authority()).map_err(|error| ConnectError::Socket(error.to_string().into()))?;
        let requests = match address {
            Address::Tcp { host, port } => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                socket.set_nodelay(true)?;
                match tls {
                    None => handshake(socket).await?,
                    Some(tls) => handshake(tls.connect(host, socket).await?).await?,
                }
            }
            Address::Unix(path) => handshake(UnixStream::connect(path).await?).await?,
        };
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Self {
            requests,
            scheme,
            authority,
            retired: Arc::default(),
        })
    }

    /// Has the connection ended? A request on it would come back unsent.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests.is_closed() || self.retired.load(Ordering::Relaxed)
    }
}

/// Begins HTTP/2 on `socket` and waits for the server to do so too.
async fn handshake<S>(socket: S) -> Result<SendRequest<Body>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (socket, heard) = Preface::new(socket);
    let (requests, frames) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(false)
        .handshake(TokioIo::new(socket))
        .await?;
    // The requests that break with it learn the reason themselves.
    tokio::spawn(async move { drop(frames.await) });
    heard
        .await
        .unwrap_or_else(|_| Err(ConnectError::Socket("the server broke the connection".into())))?;
    Ok(requests)
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Answer>;
    type Error = RequestError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        let response = self.requests.try_send_request(request);
        let retired = self.retired.clone();
        Box::pin(async move {
            match response.await {
                Ok(mut response) => {
                    response.headers_mut().remove(DETAILS);
                    Ok(response.map(Answer))
                }
                Err(error) if error.message().is_some() => {
                    retired.store(true, Ordering::Relaxed);
                    Err(RequestError::NotSent)
                }
                Err(error) => Err(RequestError::Broken(error.into_error())),
            }
        })
    }
}

/// Details of a status that etcd does not send. tonic panics when they are malformed.
const DETAILS: &str = "grpc-status-details-bin";

/// The body of a response.
pub(crate) struct Answer(Incoming);

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                trailers.remove(DETAILS);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
