//! The frames of gRPC: how messages are packed, sent and read, for calls and for streams.
//!
//! In: a connection, a method, headers, messages. Out: the messages that come back, or the [`Cause`] for which none
//! did. What a server announces is not believed: memory grows with the bytes that arrive, up to a limit for each type
//! of message. Runs on the runtime.

mod messages;

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue};
use prost::Message;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::connection::{Connection, Exchange};
use super::deadline::Deadline;
use super::gate::Purpose;
use super::http2::{Body, Metadata, Stream};
use super::permit::Permit;
use crate::etcd::cause::Cause;
use crate::etcd::pb::{Request, Response};
use crate::etcd::received::Receive;
pub(crate) use messages::HEAD;
use messages::Messages;

/// The headers of gRPC, with room for those of a client.
pub(crate) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers
}

/// A request with its head. A secret one is wiped once it was sent.
pub(crate) fn pack<R: Request>(request: &R) -> Body {
    let length = request.encoded_len();
    let mut packed = Zeroizing::new(Vec::with_capacity(HEAD + length));
    put_head(&mut *packed, length);
    request.encode_raw(&mut *packed);
    Body {
        bytes: match R::IS_SECRET {
            true => Bytes::from_owner(packed),
            false => std::mem::take(&mut *packed).into(),
        },
        is_secret: R::IS_SECRET,
    }
}

fn put_head(packed: &mut impl BufMut, length: usize) {
    packed.put_u8(0);
    // No server takes a message that is longer than that.
    packed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// When the client says that it has sent all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HalfClose {
    /// With the request.
    Request,
    /// After the response. Where the method is a stream of requests, a proxy may take an early end for a withdrawal.
    Answer,
}

/// Sends metadata and a packed message to `method` and waits for the response. They are asked for when the server takes
/// them, so that a call under way does not hold them: making room and moving it about is a good part of what one costs.
pub(crate) async fn unary<'a, R: Receive>(
    connection: &Connection,
    method: &'static str,
    half_close: HalfClose,
    deadline: Deadline,
    request: impl FnOnce() -> (Metadata<'a>, Body),
) -> Result<R, Cause> {
    let message = unary_message(connection, method, half_close, deadline, R::Message::LIMIT, request);
    R::receive(message.await?)
}

/// The same, and returns the message of the response, of at most `limit` bytes, as it came.
pub(crate) async fn unary_message<'a>(
    connection: &Connection,
    method: &'static str,
    half_close: HalfClose,
    deadline: Deadline,
    limit: usize,
    request: impl FnOnce() -> (Metadata<'a>, Body),
) -> Result<Bytes, Cause> {
    let permit = connection.permit(Purpose::Call, deadline.end).await?;
    let Exchange { stream, permit } = {
        let (metadata, message) = request();
        let exchange = connection.send(permit, method, &metadata, Some(deadline))?;
        let sent = exchange.stream.send(message, half_close == HalfClose::Request);
        sent.map_err(|broken| connection.broken(broken))?;
        exchange
    };
    let mut messages = Messages::begin(connection.clone(), stream, limit).await?;
    let message = messages.next().await?;
    if let (HalfClose::Answer, Some(message)) = (half_close, &message) {
        let message = message.clone();
        tokio::spawn(finish(messages, permit));
        return Ok(message);
    }
    messages.end().await?;
    message.ok_or_else(|| Cause::Malformed("the response has no message".to_owned()))
}

/// Ends a stream that has brought what it was opened for, in good order. Nobody waits for it; its deadline bounds it.
async fn finish(mut messages: Messages, _permit: Permit) {
    // Whether the server still listens makes no difference.
    let _ = messages.stream().send(Body::default(), true);
    let _ = messages.end().await;
}

/// Opens a stream to `method`. A server may send its headers with its first message only.
pub(crate) async fn open<R: Receive>(
    connection: &Connection,
    method: &'static str,
    purpose: Purpose,
    end: Instant,
    metadata: &Metadata<'_>,
) -> Result<(Outgoing, Incoming<R>), Cause> {
    let permit = connection.permit(purpose, end).await?;
    let Exchange { stream, permit } = connection.send(permit, method, metadata, None)?;
    let stream = Arc::new(stream);
    let outgoing = Outgoing {
        connection: connection.clone(),
        stream: stream.clone(),
        waiting: BytesMut::new(),
    };
    Ok((outgoing, Incoming::new(connection, stream, permit)))
}

/// Sends a packed message to `method` and opens the stream of its responses.
pub(crate) async fn ask<R: Receive>(
    connection: &Connection,
    method: &'static str,
    end: Instant,
    metadata: &Metadata<'_>,
    message: Body,
) -> Result<Incoming<R>, Cause> {
    let permit = connection.permit(Purpose::Call, end).await?;
    let Exchange { stream, permit } = connection.send(permit, method, metadata, None)?;
    let sent = stream.send(message, true);
    sent.map_err(|broken| connection.broken(broken))?;
    Ok(Incoming::new(connection, Arc::new(stream), permit))
}

/// The client's half of a stream.
pub(crate) struct Outgoing {
    connection: Connection,
    stream: Arc<Stream>,
    /// What was not sent yet: messages that are ready together go out in one frame.
    waiting: BytesMut,
}

impl Outgoing {
    /// Has a message sent with the next flush.
    pub(crate) fn queue(&mut self, message: &impl Message) {
        let length = message.encoded_len();
        self.waiting.reserve(HEAD + length);
        put_head(&mut self.waiting, length);
        message.encode_raw(&mut self.waiting);
    }

    /// Is there something to flush?
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, as the server's window opens. Where that is given up, the next flush goes on.
    pub(crate) async fn flush(&mut self) -> Result<(), Cause> {
        while self.is_waiting() {
            let broken = |broken| self.connection.broken(broken);
            let window = self.stream.window().await.map_err(broken)?;
            let piece = Body {
                bytes: self.waiting.split_to(window.min(self.waiting.len())).freeze(),
                is_secret: false,
            };
            self.stream.send(piece, false).map_err(broken)?;
        }
        Ok(())
    }
}

/// The server's half of a stream.
pub(crate) struct Incoming<R> {
    state: State,
    _permit: Permit,
    message: PhantomData<fn() -> R>,
}

enum State {
    /// Kept until it is over, since a reader may give up and come again.
    Begins(BoxFuture<'static, Result<Messages<Arc<Stream>>, Cause>>),
    Goes(Messages<Arc<Stream>>),
}

impl<R: Receive> Incoming<R> {
    fn new(connection: &Connection, stream: Arc<Stream>, permit: Permit) -> Self {
        let begins = Messages::begin(connection.clone(), stream, R::Message::LIMIT);
        Self {
            state: State::Begins(begins.boxed()),
            _permit: permit,
            message: PhantomData,
        }
    }

    /// The next message of a stream that ends; none at its regular end.
    pub(crate) async fn next(&mut self) -> Result<Option<R>, Cause> {
        let messages = self.messages().await?;
        match messages.next().await? {
            Some(message) => R::receive(message).map(Some),
            None => messages.end().await.map(|()| None),
        }
    }

    /// Waits until some bytes have come that belong to this stream, or its end.
    pub(crate) async fn heard(&mut self) -> Result<(), Cause> {
        self.messages().await?.fill().await.map(drop)
    }

    /// The next message. `None`: there are some bytes more, but not enough for one.
    pub(crate) fn ready(&mut self) -> Result<Option<R>, Cause> {
        match &mut self.state {
            State::Begins(_) => Ok(None),
            State::Goes(messages) => messages.take()?.map(R::receive).transpose(),
        }
    }

    async fn messages(&mut self) -> Result<&mut Messages<Arc<Stream>>, Cause> {
        if let State::Begins(begins) = &mut self.state {
            self.state = State::Goes(begins.await?);
        }
        match &mut self.state {
            State::Goes(messages) => Ok(messages),
            State::Begins(_) => Err(Cause::Cut("the server ended the stream".to_owned())),
        }
    }
}
