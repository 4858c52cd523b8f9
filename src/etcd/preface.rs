//! A socket that waits for the server's first word, and notes when the last one came.
//!
//! A connection counts as made when the server has sent its first HTTP/2 frame: until then nothing that matters has
//! been sent, so whatever goes wrong is certain to have changed nothing. Under TLS 1.3 that is also when a server says
//! what it thinks of the client's certificate.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::connection::{ConnectError, State};

/// The length of an HTTP/2 frame's head, where its type stands, and the type that a server begins with.
const HEAD: usize = 9;
const TYPE: usize = 3;
const SETTINGS: u8 = 4;

/// The first byte of what a TLS server says to someone who does not speak TLS.
const TLS_ALERT: u8 = 21;

/// Passes everything on, and tells once what the server began with.
pub(super) struct Preface<S> {
    socket: S,
    /// Hears of whatever comes.
    state: Arc<State>,
    /// Told when the first frame's head has come, or never will. Empty from then on.
    verdict: Option<oneshot::Sender<Result<(), ConnectError>>>,
    head: [u8; HEAD],
    length: usize,
}

impl<S> Preface<S> {
    /// The socket, and what the server will have begun with.
    pub(super) fn new(socket: S, state: Arc<State>) -> (Self, oneshot::Receiver<Result<(), ConnectError>>) {
        let (verdict, heard) = oneshot::channel();
        (
            Self {
                socket,
                state,
                verdict: Some(verdict),
                head: [0; HEAD],
                length: 0,
            },
            heard,
        )
    }

    fn tell(&mut self, verdict: Result<(), ConnectError>) {
        if let Some(told) = self.verdict.take() {
            // Whoever asked may have given up.
            let _ = told.send(verdict);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.tell(Err(ConnectError::Socket("the server closed the connection".into())));
        }
        let missing = bytes.len().min(HEAD - self.length);
        self.head[self.length..self.length + missing].copy_from_slice(&bytes[..missing]);
        self.length += missing;
        if self.head[0] == TLS_ALERT {
            self.tell(Err(ConnectError::Tls("the server speaks TLS only".into())));
        } else if self.length == HEAD {
            let speaks = self.head[TYPE] == SETTINGS;
            let refusal = || ConnectError::Socket("the server does not speak HTTP/2".into());
            self.tell(if speaks { Ok(()) } else { Err(refusal()) });
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Preface<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if result.is_ready() {
            self.state.hear();
        }
        if self.verdict.is_some() {
            match &result {
                Poll::Ready(Ok(())) => self.read(&buffer.filled()[before..]),
                Poll::Ready(Err(error)) => self.tell(Err(error.into())),
                Poll::Pending => {}
            }
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Preface<S> {
    /// A write has failed. The reason may lie in what the server has sent and nobody has read yet.
    fn written<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let (Poll::Ready(Err(error)), true) = (&result, self.verdict.is_some()) {
            let mut scratch = [0; HEAD];
            match Pin::new(&mut self.socket).poll_read(cx, &mut ReadBuf::new(&mut scratch)) {
                Poll::Ready(Err(reason)) => self.tell(Err((&reason).into())),
                Poll::Ready(Ok(())) => self.tell(Err(error.into())),
                // The socket is broken, so a read will soon tell how.
                Poll::Pending => return Poll::Pending,
            }
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Preface<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.socket).poll_flush(cx);
        self.written(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
