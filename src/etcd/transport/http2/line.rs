//! Moves bytes between a session and its socket, in batches: all that was read at once, all that is to be written at
//! once.
//!
//! In: a socket. Out: the session behind it, shared by the users of its streams. Runs on the runtime, as one task for
//! each connection, which ends when the socket breaks, the server breaks the rules, or nobody has a stream any more.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::answers::Answers;
use super::frame::{GOAWAY, HEAD, Head, SETTINGS};
use super::hpack::Constant;
use super::output::Output;
use super::session::{Broken, Session};
use crate::etcd::transport::error::{ConnectError, problem};
use crate::etcd::transport::state::State;

/// The room for what is read at once: more where the last time filled it.
const READ: usize = 16 << 10;
pub(super) const READ_AT_MOST: usize = 64 << 10;

/// The first byte of what a TLS server says to someone who does not speak TLS.
const TLS_ALERT: u8 = 21;

const CLOSED: &str = "the server closed the connection";
const ORPHANED: &str = "the runtime that served the connection has broken";

/// A session, on any thread.
pub(crate) struct Shared {
    /// Held for a look or a batch, never across an await.
    session: Mutex<Session>,
    /// The server has answered a ping.
    pong: Notify,
    /// What the connection's task runs on.
    runtime: runtime::Id,
}

impl Shared {
    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session, for a new stream. A runtime that broke may keep the connection's task for ever, and nobody would
    /// hear what becomes of a stream then.
    pub(super) fn session_served(&self) -> MutexGuard<'_, Session> {
        let mut session = self.session();
        if self.runtime != Handle::current().id() {
            session.end(ORPHANED);
        }
        session
    }

    /// Nobody will open another stream. The connection ends with the last that there is.
    pub(crate) fn close(&self) {
        self.session().close();
    }

    /// Breaks off all that is under way.
    pub(crate) fn leave(&self) {
        self.session().leave();
    }

    /// Asks the server for a sign of life, and waits for it.
    pub(crate) async fn ping(&self) {
        let before = self.session().ping();
        loop {
            let pong = self.pong.notified();
            if self.session().pongs() > before {
                return;
            }
            pong.await;
        }
    }
}

/// A connection's end of the socket.
pub(crate) struct Line<S> {
    socket: S,
    state: Arc<State>,
    shared: Arc<Shared>,
    /// What came and was not read: the beginning of a frame.
    input: BytesMut,
    room: usize,
    /// What is being written.
    output: Output,
    /// When those are written that the server is owed.
    answers: Answers,
    /// One timer for the deadlines of all streams, and when it is set for.
    alarm: Pin<Box<Sleep>>,
    set: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Begins HTTP/2 on `socket`, and waits until the server has done so too. Requests say what is `constant`.
    pub(crate) async fn begin(socket: S, constant: Constant, state: &Arc<State>) -> Result<Self, ConnectError> {
        let shared = Shared {
            session: Mutex::new(Session::new(constant, state.clone())),
            pong: Notify::new(),
            runtime: Handle::current().id(),
        };
        let mut line = Self {
            socket,
            state: state.clone(),
            shared: Arc::new(shared),
            input: BytesMut::new(),
            room: READ,
            output: Output::default(),
            answers: Answers::default(),
            alarm: Box::pin(sleep(Duration::ZERO)),
            set: None,
        };
        poll_fn(|cx| line.poll_begin(cx)).await?;
        Ok(line)
    }

    /// What the users of the connection share.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        loop {
            // The reason why it fails may lie in what the server has sent.
            let unwritten = match self.poll_write(cx) {
                Poll::Ready(Err(error)) => Some(error),
                _ => None,
            };
            match (self.poll_read(cx), unwritten) {
                (Poll::Ready(Ok(0)), Some(error)) => return Poll::Ready(Err((&error).into())),
                (Poll::Ready(Ok(0)), None) => return Poll::Ready(Err(refusal(CLOSED))),
                (Poll::Ready(Err(error)), _) => return Poll::Ready(Err((&error).into())),
                (Poll::Ready(Ok(_)), _) => {}
                (Poll::Pending, _) => return Poll::Pending,
            }
            if let Some(refusal) = judge(&self.input) {
                return Poll::Ready(Err(refusal));
            }
            let mut session = self.shared.session();
            session.receive(&mut self.input);
            if let Some(Broken::Cut(reason)) = session.ended() {
                return Poll::Ready(Err(refusal(reason)));
            } else if session.has_begun() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Serves the streams until the end. Returns why it came, if the client did not want it.
    pub(crate) async fn serve(mut self) -> Option<String> {
        let reason = match poll_fn(|cx| self.poll_serve(cx)).await {
            Ok(()) => {
                let mut session = self.shared.session();
                let reason = session.reason();
                session.leave();
                reason
            }
            Err(reason) => {
                self.shared.session().end(&reason);
                Some(reason)
            }
        };
        // A server that does not take the last word will see the end.
        poll_fn(|cx| {
            let last = self.poll_write(cx);
            Poll::Ready(last.is_ready() && Pin::new(&mut self.socket).poll_shutdown(cx).is_ready())
        })
        .await;
        reason
    }

    /// Ready when nobody has a stream any more, or the connection has ended as that text says.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.poll_alarm(cx);
        loop {
            // What the server has said before counts, also where it takes nothing more.
            let unwritten = match self.poll_write(cx) {
                Poll::Ready(Err(error)) => Some(problem(&error)),
                _ => None,
            };
            {
                let session = self.shared.session();
                if session.is_over() {
                    return Poll::Ready(Ok(()));
                } else if session.is_flooded() && unwritten.is_none() {
                    return Poll::Pending;
                }
            }
            match (self.poll_read(cx), unwritten) {
                (Poll::Ready(Ok(0)), unwritten) => {
                    return Poll::Ready(Err(unwritten.unwrap_or_else(|| CLOSED.to_owned())));
                }
                (Poll::Ready(Ok(_)), _) => {}
                (Poll::Ready(Err(error)), _) => return Poll::Ready(Err(problem(&error))),
                (Poll::Pending, Some(unwritten)) => return Poll::Ready(Err(unwritten)),
                (Poll::Pending, None) => return Poll::Pending,
            }
            let mut session = self.shared.session();
            let pongs = session.pongs();
            session.receive(&mut self.input);
            if session.pongs() > pongs {
                self.shared.pong.notify_waiters();
            }
        }
    }

    /// Breaks the streams off whose deadlines are over.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) {
        loop {
            let due = self.shared.session().due();
            if let Some(due) = due.filter(|due| self.set.is_none_or(|set| *due < set)) {
                self.set = Some(due);
                self.alarm.as_mut().reset(due);
            }
            if self.set.is_none() || self.alarm.as_mut().poll(cx).is_pending() {
                return;
            }
            self.set = None;
            self.shared.session().expire(Instant::now());
        }
    }

    /// Writes what there is to be written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.output.has_remaining() {
                let mut session = self.shared.session();
                let alone = session.only_answers();
                if alone && session.are_few() && self.answers.wait(cx) {
                    return Poll::Pending;
                }
                session.take_output(&mut self.output, cx.waker());
                drop(session);
                if !self.output.has_remaining() {
                    return Pin::new(&mut self.socket).poll_flush(cx);
                }
                self.answers.written(alone);
            }
            while self.output.has_remaining() {
                let written = ready!(poll_write_buf(Pin::new(&mut self.socket), cx, &mut self.output))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.state.traffic.sent.add(written as u64);
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(self.room);
        let read = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.input));
        self.state.liveness.hear();
        if let Ok(read) = read {
            self.state.traffic.received.add(read as u64);
            let is_filled = read >= self.room;
            self.room = if is_filled {
                (self.room * 2).min(READ_AT_MOST)
            } else {
                READ
            };
        }
        Poll::Ready(read)
    }
}

/// However it ends, by a panic too, those who wait hear of it.
impl<S> Drop for Line<S> {
    fn drop(&mut self) {
        let mut session = self.shared.session();
        session.end(CLOSED);
        // Nobody writes it any more, and some of it may be secret.
        session.output = Output::default();
    }
}

/// Why what a server begins with is no HTTP/2.
fn judge(input: &[u8]) -> Option<ConnectError> {
    if input.first() == Some(&TLS_ALERT) {
        return Some(ConnectError::Tls("the server speaks TLS only".into()));
    }
    let head = Head::read(input)?;
    const { assert!(HEAD > b"HTTP/".len()) };
    match head.kind {
        SETTINGS | GOAWAY => None,
        _ if input.starts_with(b"HTTP/") => Some(refusal("the server speaks HTTP/1, not HTTP/2")),
        _ => Some(refusal("the server does not speak HTTP/2")),
    }
}

fn refusal(text: &str) -> ConnectError {
    ConnectError::Socket(text.into())
}
