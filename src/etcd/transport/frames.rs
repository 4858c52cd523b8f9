//! A socket that reads along which HTTP/2 frames come from the server, on their way to h2.
//!
//! In: the bytes of the socket. Out: the same bytes, and what h2 does not tell: the server's first frame, how many
//! streams it allows at once, that it goes away, and its complaint about pings. A connection counts as made when the
//! server has sent its first frame: until then nothing that matters has been sent, so whatever goes wrong is certain to
//! have changed nothing. Under TLS 1.3 that is also when a server says what it thinks of the client's certificate.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::error::ConnectError;
use super::state::State;

/// The length of a frame's head, and where its type and its flags stand.
const HEAD: usize = 9;
const TYPE: usize = 3;
const FLAGS: usize = 4;

const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

/// A type of frame that nobody knows, which everybody has to ignore.
const UNKNOWN: u8 = 0xfa;

/// In SETTINGS: an identifier of two bytes and a value of four.
const SETTING: usize = 6;
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// In GOAWAY: the last stream, then the reason.
const REASON: usize = 4;
/// ENHANCE_YOUR_CALM, in the words of gRPC. Others use the same reason for other things.
const TOO_MANY_PINGS: &[u8] = b"\0\0\0\x0btoo_many_pings";

/// As much of a payload as is looked at. Servers send less.
const NOTED: usize = 64 * SETTING;

/// The first byte of what a TLS server says to someone who does not speak TLS.
const TLS_ALERT: u8 = 21;

pub(super) struct Frames<S> {
    socket: S,
    state: Arc<State>,
    /// Told when the first frame has come, or never will. Empty from then on.
    verdict: Option<oneshot::Sender<Result<(), ConnectError>>>,
    head: [u8; HEAD],
    /// How much of the head has come.
    length: usize,
    /// How much of the payload has not come.
    left: usize,
    /// The beginning of a payload that is looked at.
    noted: Vec<u8>,
    /// The last byte that came is the type of what may be an empty DATA frame. It is handed on with the next.
    held: bool,
}

impl<S> Frames<S> {
    /// The socket, and what the server will have begun with.
    pub(super) fn new(socket: S, state: Arc<State>) -> (Self, oneshot::Receiver<Result<(), ConnectError>>) {
        let (verdict, heard) = oneshot::channel();
        let frames = Self {
            socket,
            state,
            verdict: Some(verdict),
            head: [0; HEAD],
            length: 0,
            left: 0,
            noted: Vec::new(),
            held: false,
        };
        (frames, heard)
    }

    fn tell(&mut self, verdict: Result<(), ConnectError>) {
        if let Some(told) = self.verdict.take() {
            // The one who asked may have given up.
            let _ = told.send(verdict);
        }
    }

    /// Reads what has come. May change the type of a frame.
    fn read(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = if self.length < HEAD {
                self.read_head(bytes)
            } else {
                self.read_payload(bytes)
            };
            bytes = &mut bytes[taken..];
            if self.length == HEAD && self.left == 0 {
                self.frame();
                self.length = 0;
            }
        }
    }

    fn read_head(&mut self, bytes: &mut [u8]) -> usize {
        let (start, taken) = (self.length, bytes.len().min(HEAD - self.length));
        self.head[start..start + taken].copy_from_slice(&bytes[..taken]);
        self.length += taken;
        if self.verdict.is_some() {
            self.judge();
        }
        // h2 takes a hundred empty frames in the life of a connection for an attack. They are legal and mean nothing.
        if start <= TYPE && self.length > FLAGS && self.begins_empty_data() && self.head[FLAGS] & END_STREAM == 0 {
            bytes[TYPE - start] = UNKNOWN;
        }
        if self.length == HEAD {
            self.left = self.payload();
            self.noted.clear();
        }
        taken
    }

    fn read_payload(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.left);
        if matches!(self.head[TYPE], SETTINGS | GOAWAY) {
            let noted = taken.min(NOTED - self.noted.len());
            self.noted.extend_from_slice(&bytes[..noted]);
        }
        self.left -= taken;
        taken
    }

    fn payload(&self) -> usize {
        let [high, middle, low, ..] = self.head;
        u32::from_be_bytes([0, high, middle, low]) as usize
    }

    fn begins_empty_data(&self) -> bool {
        self.payload() == 0 && self.head[TYPE] == DATA
    }

    /// A frame has come to its end.
    fn frame(&mut self) {
        match self.head[TYPE] {
            SETTINGS => {
                let setting = |entry: &[u8]| match entry {
                    [a, b, value @ ..] if u16::from_be_bytes([*a, *b]) == MAX_CONCURRENT_STREAMS => number(value),
                    _ => None,
                };
                if let Some(limit) = self.noted.chunks_exact(SETTING).filter_map(setting).next_back() {
                    self.state.gate.limit(limit as usize);
                }
                self.tell(Ok(()));
            }
            GOAWAY => {
                if self
                    .noted
                    .get(REASON..)
                    .is_some_and(|reason| reason.starts_with(TOO_MANY_PINGS))
                {
                    self.state.liveness.calm_down();
                }
                self.state.liveness.retire();
            }
            _ => {}
        }
    }

    /// Looks at what the server begins with.
    fn judge(&mut self) {
        if self.head[0] == TLS_ALERT {
            self.tell(Err(ConnectError::Tls("the server speaks TLS only".into())));
        } else if self.length == HEAD {
            let refusal = |text: &str| Err(ConnectError::Socket(text.into()));
            match self.head[TYPE] {
                // It counts with all that it says.
                SETTINGS => {}
                _ if self.head.starts_with(b"HTTP/") => self.tell(refusal("the server speaks HTTP/1, not HTTP/2")),
                _ => self.tell(refusal("the server does not speak HTTP/2")),
            }
        }
    }
}

/// The number that begins like this.
fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

impl<S: AsyncRead + Unpin> Frames<S> {
    /// Reads once. `Ready` without bytes may be the end, or nothing that can be handed on yet: see `held`.
    fn poll_once(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        if self.held {
            buffer.put_slice(&[DATA]);
            if buffer.remaining() == 0 {
                self.held = false;
                self.length += 1;
                return Poll::Ready(Ok(()));
            }
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if result.is_ready() {
            self.state.liveness.hear();
        }
        let ended = buffer.filled().len() == before;
        match &result {
            Poll::Ready(Ok(())) if ended => {
                self.tell(Err(ConnectError::Socket("the server closed the connection".into())));
            }
            Poll::Ready(Err(error)) => self.tell(Err(error.into())),
            _ => {}
        }
        if ended {
            buffer.set_filled(start);
            return result;
        }
        self.held = false;
        self.read(&mut buffer.filled_mut()[start..]);
        if self.length == FLAGS && self.begins_empty_data() {
            self.held = true;
            self.length -= 1;
            buffer.set_filled(buffer.filled().len() - 1);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        loop {
            let was_held = self.held;
            let result = self.poll_once(cx, buffer);
            let nothing = buffer.filled().len() == start && self.held && !was_held;
            if !(nothing && matches!(result, Poll::Ready(Ok(())))) {
                return result;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Frames<S> {
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

#[cfg(test)]
mod tests;
