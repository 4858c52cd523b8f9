//! One HTTP/2 connection to one server, as tonic's generated clients want it: an HTTP request goes in, a response
//! comes out.
//!
//! It is made here, with hyper, instead of by tonic's own channel, because a client that must not repeat a write has
//! to know whether a request was *sent*: connecting is a step of its own, and hyper hands an unsent request back.
//! Each connection has one task that moves its frames; it ends when the last clone is dropped or the socket breaks.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::body::Body;
use tower_service::Service;

use super::address::Address;

/// A server closes the connection of a client that pings more often than every 5 s, or while no stream is open.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Large enough for a 1.5 MiB value to arrive without waiting for a window update.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// A cheap handle on a connection; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    requests: SendRequest<Body>,
    authority: Authority,
}

/// Why no connection could be made. Nothing was sent. Cloned to every caller that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConnectError(Arc<str>);

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        let text = match error.kind() {
            // The operating system's texts carry error numbers that help nobody.
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
            io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
            io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
            io::ErrorKind::NotFound => "no such socket".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied by the operating system".to_owned(),
            _ => error.to_string(),
        };
        Self(text.into())
    }
}

impl From<hyper::Error> for ConnectError {
    fn from(error: hyper::Error) -> Self {
        Self(error.to_string().into())
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
    /// Connects to `address`. Bounded by the caller's deadline only.
    pub(crate) async fn open(address: &Address) -> Result<Self, ConnectError> {
        let authority =
            Authority::try_from(address.authority()).map_err(|error| ConnectError(error.to_string().into()))?;
        let requests = match address {
            Address::Tcp { host, port } => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                socket.set_nodelay(true)?;
                handshake(socket).await?
            }
            Address::Unix(path) => handshake(UnixStream::connect(path).await?).await?,
        };
        Ok(Self { requests, authority })
    }

    /// Has the connection ended? A request on it would come back unsent.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
}

async fn handshake<S>(socket: S) -> Result<SendRequest<Body>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
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
    Ok(requests)
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = RequestError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        let response = self.requests.try_send_request(request);
        Box::pin(async move {
            response.await.map_err(|mut error| match error.take_message() {
                Some(_) => RequestError::NotSent,
                None => RequestError::Broken(error.into_error()),
            })
        })
    }
}
