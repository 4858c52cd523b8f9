//! What the users of streams want: to begin a request, to send its body, to wait for what the response brings, and to
//! give it up.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use zeroize::Zeroizing;

use super::exchange::Exchange;
use super::{Broken, OPAQUE, Session};
use crate::etcd::transport::deadline::Deadline;
use crate::etcd::transport::http2::frame::{
    BITS, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, Head as FrameHead, PING, RST_STREAM, Reason,
    WINDOW_UPDATE, write,
};
use crate::etcd::transport::http2::hpack::{Fields, Metadata};
use crate::etcd::transport::http2::output::{Body, Output};

/// So many bytes may wait for a server that takes none, where as many are of requests that were given up meanwhile.
const STALE: usize = 1 << 20;

/// What a head has beside its secrets at the most: those of a program are limited to less.
const ROOM: usize = 32 << 10;

/// What the users of streams want.
impl Session {
    /// Begins a request, whose response must have come by a deadline. None where the connection takes no more.
    pub(crate) fn open(
        &mut self,
        path: &'static str,
        metadata: &Metadata<'_>,
        deadline: Option<Deadline>,
    ) -> Option<u32> {
        let id = self.next;
        if self.ended.is_some() || self.last.is_some() || id > BITS || self.is_stuck() {
            return None;
        }
        self.next += 2;
        self.head.clear();
        let secret = metadata.secret();
        if secret > 0 {
            // It grows no more, which would leave a copy behind.
            self.head.reserve(secret + ROOM);
        }
        self.encoder.encode(path, metadata, &mut self.head);
        let exchange = Exchange::new(self.initial_window, self.head.len(), deadline);
        self.streams.insert(id, exchange);
        self.due = self.due.into_iter().chain(deadline.map(|deadline| deadline.end)).min();
        let mut kind = HEADERS;
        let mut pieces = self.head.chunks(self.largest).peekable();
        while let Some(piece) = pieces.next() {
            let head = FrameHead {
                length: piece.len(),
                kind,
                flags: if pieces.peek().is_none() { END_HEADERS } else { 0 },
                stream: id,
            };
            head.write(self.output.frames());
            match secret {
                0 => self.output.frames().extend_from_slice(piece),
                _ => self.output.body(Body {
                    bytes: Bytes::from_owner(Zeroizing::new(piece.to_vec())),
                    is_secret: true,
                }),
            }
            kind = CONTINUATION;
        }
        self.tell_writer();
        Some(id)
    }

    /// Sends a piece of a request's body, with the `last` its end, as the server's windows open. What it does not want
    /// any more is dropped: its response, which is complete, says why.
    pub(crate) fn send(&mut self, id: u32, body: Body, last: bool) -> Result<(), Broken> {
        let exchange = self.streams.get_mut(&id).ok_or_else(gone)?;
        if let Some(broken) = &exchange.broken {
            return Err(broken.clone());
        } else if exchange.is_sent {
            return Ok(());
        }
        exchange.is_last |= last;
        let window = exchange.window.min(self.window).min(self.largest as i64);
        if exchange.unsent.is_empty() && body.bytes.len() as i64 <= window {
            write_data(&mut self.output, &mut self.window, exchange, id, body);
            exchange.wake_sender();
        } else {
            exchange.unsent.push_back(body);
            self.flush(id);
        }
        self.tell_writer();
        Ok(())
    }

    /// Waits until something may be sent at once, and says how much.
    pub(crate) fn poll_window(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        let whole = self.window;
        let exchange = self.exchange(id)?;
        if let Some(broken) = &exchange.broken {
            return Poll::Ready(Err(broken.clone()));
        }
        if exchange.is_sent {
            return Poll::Ready(Ok(usize::MAX));
        }
        let window = exchange.window.min(whole);
        if exchange.unsent.is_empty() && window > 0 {
            return Poll::Ready(Ok(window as usize));
        }
        exchange.sender = Some(cx.waker().clone());
        if exchange.window > 0 {
            self.blocked.insert(id);
        }
        Poll::Pending
    }

    /// Waits for the head of the response.
    pub(crate) fn poll_head(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<Fields, Broken>> {
        let exchange = self.exchange(id)?;
        match exchange.head.take() {
            Some(head) => Poll::Ready(Ok(head)),
            None => exchange.wait(cx).map(|broken| Err(broken.unwrap_or_else(gone))),
        }
    }

    /// Waits for the next piece of the response's body; none where it has come to its end.
    pub(crate) fn poll_data(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<Option<BytesMut>, Broken>> {
        let exchange = self.exchange(id)?;
        if exchange.piece.is_empty() {
            return exchange.wait(cx).map(|broken| broken.map_or(Ok(None), Err));
        }
        let next = exchange.pieces.pop_front().unwrap_or_default();
        let piece = std::mem::replace(&mut exchange.piece, next);
        if exchange.is_open()
            && let Some(more) = exchange.room.give_back(piece.len())
        {
            self.write(WINDOW_UPDATE, 0, id, &more.to_be_bytes());
        }
        self.give_back(piece.len());
        Poll::Ready(Ok(Some(piece)))
    }

    /// Waits for the end of the response, and returns the trailers where there are some.
    pub(crate) fn poll_trailers(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<Option<Fields>, Broken>> {
        let exchange = self.exchange(id)?;
        match exchange.trailers.take() {
            Some(trailers) => Poll::Ready(Ok(Some(trailers))),
            None => exchange.wait(cx).map(|broken| broken.map_or(Ok(None), Err)),
        }
    }

    /// Nobody waits for this stream any longer.
    pub(crate) fn forget(&mut self, id: u32) {
        let Some(exchange) = self.streams.remove(&id) else {
            return;
        };
        let unread = exchange.unread().map(BytesMut::len).sum();
        if exchange.broken.is_none() && !(exchange.is_complete && exchange.is_sent) {
            self.write_reset(id, Reason::CANCEL);
            self.late = self.late.saturating_add(u32::from(!exchange.is_complete));
        }
        self.stale += exchange.written + HEAD;
        self.blocked.remove(&id);
        self.give_back(unread);
        if self.is_over() {
            self.tell_writer();
        }
    }

    /// Nobody will open another stream. The connection ends with the last that there is.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
        self.tell_writer();
    }

    /// Asks the server for a sign of life, unless it was asked. Returns how often it has given one.
    pub(crate) fn ping(&mut self) -> u64 {
        if !std::mem::replace(&mut self.is_pinged, true) {
            self.write(PING, 0, 0, &OPAQUE);
        }
        self.pongs
    }

    /// How often the server has answered a ping.
    pub(crate) fn pongs(&self) -> u64 {
        self.pongs
    }

    /// Does the server take nothing any more? Then what is given up would pile up.
    pub(super) fn is_stuck(&self) -> bool {
        self.stale > STALE && self.output.remaining() > STALE
    }

    pub(super) fn exchange(&mut self, id: u32) -> Result<&mut Exchange, Broken> {
        self.streams.get_mut(&id).ok_or_else(gone)
    }

    /// So much of what came was read, or never will be.
    pub(super) fn give_back(&mut self, bytes: usize) {
        if let Some(more) = self.room.give_back(bytes) {
            self.write(WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
    }

    pub(super) fn write_reset(&mut self, id: u32, reason: Reason) {
        self.write(RST_STREAM, 0, id, &reason.0.to_be_bytes());
    }

    /// Writes a frame, if anything goes still.
    pub(super) fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        if self.ended.is_none() {
            write(self.output.frames(), kind, flags, stream, payload);
            self.tell_writer();
        }
    }

    /// Writes what a stream has to send, as far as the windows allow.
    pub(super) fn flush(&mut self, id: u32) {
        let Some(exchange) = self.streams.get_mut(&id) else {
            return;
        };
        while let Some(body) = exchange.unsent.front_mut() {
            let room = exchange.window.min(self.window).clamp(0, self.largest as i64) as usize;
            let length = body.bytes.len().min(room);
            if length == 0 && !body.bytes.is_empty() {
                if exchange.window > 0 {
                    self.blocked.insert(id);
                }
                return;
            }
            let piece = Body {
                bytes: body.bytes.split_to(length),
                is_secret: body.is_secret,
            };
            if body.bytes.is_empty() {
                exchange.unsent.pop_front();
            }
            write_data(&mut self.output, &mut self.window, exchange, id, piece);
        }
        exchange.wake_sender();
    }

    /// The window of the connection has opened, maybe.
    pub(super) fn flush_blocked(&mut self) {
        while self.window > 0
            && let Some(id) = self.blocked.pop_first()
        {
            self.flush(id);
        }
    }
}

/// Writes a frame of DATA, for which there is room. It is the last where nothing is left to be sent.
fn write_data(output: &mut Output, window: &mut i64, exchange: &mut Exchange, id: u32, body: Body) {
    let length = body.bytes.len();
    exchange.is_sent = exchange.is_last && exchange.unsent.is_empty();
    exchange.window -= length as i64;
    exchange.written += length;
    *window -= length as i64;
    let head = FrameHead {
        length,
        kind: DATA,
        flags: if exchange.is_sent { END_STREAM } else { 0 },
        stream: id,
    };
    head.write(output.frames());
    output.body(body);
}

/// What nobody sees: whoever has a stream has not forgotten it.
fn gone() -> Broken {
    Broken::Cut("the stream is gone".into())
}
