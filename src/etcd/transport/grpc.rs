//! The frames of gRPC: how messages are packed, sent and read, for calls and for streams.
//!
//! In: a connection, a method, headers, messages. Out: the messages that come back, or the [`Cause`] for which none
//! did. What a server announces is not believed: memory grows with the bytes that arrive, up to a limit for each type
//! of message. Runs on the runtime.

mod messages;

use std::future::poll_fn;
use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue};
use prost::{Message, encoding};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::connection::{Connection, Exchange};
use super::gate::Purpose;
use super::permit::Permit;
use crate::etcd::cause::Cause;
use crate::etcd::pb::{Request, Response, is_inflated};
use messages::{HEAD, Messages};

/// What stands before a secret: h2 copies short messages, and the first 1,024 bytes of others, to where nothing wipes
/// them. To the server this is a field that it does not know, which every decoder skips.
const SHIELD: usize = 1024;
const SHIELD_FIELD: u32 = 15;

/// The headers of gRPC, with room for those of a client.
pub(crate) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers
}

/// A request with its head.
pub(crate) fn pack<R: Request>(request: &R) -> Bytes {
    if R::IS_SECRET {
        pack_secret(request)
    } else {
        pack_plain(request)
    }
}

fn pack_plain(message: &impl Message) -> Bytes {
    let mut packed = begin(message.encoded_len());
    message.encode_raw(&mut packed);
    packed.into()
}

/// What is packed is wiped once it was sent.
fn pack_secret(message: &impl Message) -> Bytes {
    let shield = vec![0; SHIELD];
    let length = encoding::bytes::encoded_len(SHIELD_FIELD, &shield) + message.encoded_len();
    let mut packed = Zeroizing::new(begin(length));
    encoding::bytes::encode(SHIELD_FIELD, &shield, &mut *packed);
    message.encode_raw(&mut *packed);
    Bytes::from_owner(packed)
}

/// The head of a message of `length` bytes, with room for it.
fn begin(length: usize) -> Vec<u8> {
    let mut packed = Vec::with_capacity(HEAD + length);
    put_head(&mut packed, length);
    packed
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

/// Sends headers and a packed message to `method` and waits for the response. They are asked for when the server takes
/// them, so that a call under way does not hold them: making room and moving it about is a good part of what one costs.
pub(crate) async fn unary<R: Response>(
    connection: &Connection,
    method: &'static str,
    half_close: HalfClose,
    end: Instant,
    request: impl FnOnce() -> (HeaderMap, Bytes),
) -> Result<R, Cause> {
    let message = unary_message(connection, method, half_close, end, R::LIMIT, request);
    decode(message.await?)
}

/// The same, and returns the message of the response, of at most `limit` bytes, as it came.
pub(crate) async fn unary_message(
    connection: &Connection,
    method: &'static str,
    half_close: HalfClose,
    end: Instant,
    limit: usize,
    request: impl FnOnce() -> (HeaderMap, Bytes),
) -> Result<Bytes, Cause> {
    let permit = connection.permit(Purpose::Call, end).await?;
    let Exchange { response, body, permit } = {
        let (headers, message) = request();
        let mut exchange = connection.send(permit, method, headers)?;
        let sent = exchange.body.send_data(message, half_close == HalfClose::Request);
        sent.map_err(|error| connection.broken(&error, false))?;
        exchange
    };
    let mut messages = Messages::begin(connection.clone(), response, limit).await?;
    let message = messages.next().await?;
    if let (HalfClose::Answer, Some(message)) = (half_close, &message) {
        let message = message.clone();
        tokio::spawn(finish(body, messages, permit, end));
        return Ok(message);
    }
    messages.end().await?;
    message.ok_or_else(|| Cause::Malformed("the response has no message".to_owned()))
}

/// Ends a stream that has brought what it was opened for, in good order. Nobody waits for it; `end` bounds it.
async fn finish(mut body: SendStream<Bytes>, mut messages: Messages, _permit: Permit, end: Instant) {
    // Whether the server still listens makes no difference.
    let _ = body.send_data(Bytes::new(), true);
    let _ = tokio::time::timeout_at(end, messages.end()).await;
}

/// The response in a message, if it takes no more memory than one that etcd sends.
pub(crate) fn decode<R: Response>(message: Bytes) -> Result<R, Cause> {
    if is_inflated::<R>(&message) {
        return Err(Cause::TooLarge(message.len() as u64));
    }
    R::decode(message).map_err(|error| Cause::Malformed(error.to_string()))
}

/// Opens a stream to `method`. A server may send its headers with its first message only.
pub(crate) async fn open<R: Response>(
    connection: &Connection,
    method: &'static str,
    purpose: Purpose,
    end: Instant,
    headers: HeaderMap,
) -> Result<(Outgoing, Incoming<R>), Cause> {
    let permit = connection.permit(purpose, end).await?;
    let exchange = connection.send(permit, method, headers)?;
    let outgoing = Outgoing {
        connection: connection.clone(),
        body: exchange.body,
        waiting: BytesMut::new(),
    };
    let incoming = Incoming::new(connection, exchange.response, exchange.permit);
    Ok((outgoing, incoming))
}

/// Sends a packed message to `method` and opens the stream of its responses.
pub(crate) async fn ask<R: Response>(
    connection: &Connection,
    method: &'static str,
    end: Instant,
    headers: HeaderMap,
    message: Bytes,
) -> Result<Incoming<R>, Cause> {
    let permit = connection.permit(Purpose::Call, end).await?;
    let mut exchange = connection.send(permit, method, headers)?;
    let sent = exchange.body.send_data(message, true);
    sent.map_err(|error| connection.broken(&error, false))?;
    Ok(Incoming::new(connection, exchange.response, exchange.permit))
}

/// The client's half of a stream.
pub(crate) struct Outgoing {
    connection: Connection,
    body: SendStream<Bytes>,
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
            self.body.reserve_capacity(self.waiting.len());
            if self.body.capacity() == 0 {
                let opened = poll_fn(|cx| self.body.poll_capacity(cx)).await;
                let opened = opened.ok_or_else(|| Cause::Cut("the server ended the stream".to_owned()))?;
                opened.map_err(|error| self.connection.broken(&error, false))?;
            }
            let piece = self
                .waiting
                .split_to(self.body.capacity().min(self.waiting.len()))
                .freeze();
            let sent = self.body.send_data(piece, false);
            sent.map_err(|error| self.connection.broken(&error, false))?;
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
    Begins(BoxFuture<'static, Result<Messages, Cause>>),
    Goes(Messages),
}

impl<R: Response> Incoming<R> {
    fn new(connection: &Connection, response: ResponseFuture, permit: Permit) -> Self {
        let begins = Messages::begin(connection.clone(), response, R::LIMIT);
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
            Some(message) => decode(message).map(Some),
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
            State::Goes(messages) => messages.take()?.map(decode).transpose(),
        }
    }

    async fn messages(&mut self) -> Result<&mut Messages, Cause> {
        if let State::Begins(begins) = &mut self.state {
            self.state = State::Goes(begins.await?);
        }
        match &mut self.state {
            State::Goes(messages) => Ok(messages),
            State::Begins(_) => Err(Cause::Cut("the server ended the stream".to_owned())),
        }
    }
}
