//! One request and its one answer, in the frames of gRPC.
//!
//! In: a method, headers, a packed message. Out: the answer, or the status that the server or the connection's failure
//! gave it. Most calls are like this, and need nothing of what streams need.

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use http::header::{CONTENT_TYPE, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use prost::Message;
use prost::encoding;
use tonic::Status;
use zeroize::Zeroizing;

use super::connection::Connection;
use super::failure::{CUT, ENCODED, FOREIGN, TOO_LARGE};

/// The largest answer that is taken. etcd's have no bound of their own.
pub(crate) const MAX_MESSAGE: usize = 1 << 30;

/// Details of a status that etcd does not send. tonic panics when they are malformed.
pub(crate) const DETAILS: &str = "grpc-status-details-bin";

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// What precedes a message: a flag, 1 where it is compressed, and its length.
const HEAD: usize = 5;

/// An answer in pieces gets room for its whole length at once, unless that is longer than this.
const TRUSTED: usize = 4 << 20;

/// What stands before a secret: h2 copies short messages, and the first 1,024 bytes of others, to where nothing wipes
/// them. To the server this is a field that it does not know, which every decoder skips.
const SHIELD: usize = 1024;
const SHIELD_FIELD: u32 = 15;

/// The headers of every request.
pub(crate) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers
}

/// A message with its head.
pub(crate) fn pack(message: &impl Message) -> Bytes {
    let mut packed = begin(message.encoded_len());
    message.encode_raw(&mut packed);
    packed.into()
}

/// The same for a message that holds a secret: it is wiped once it was sent.
pub(crate) fn pack_secret(message: &impl Message) -> Bytes {
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
    packed.put_u8(0);
    // No server takes a message that is longer than that.
    packed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    packed
}

/// Sends headers and a packed message to `method` and waits for the answer. They are asked for when the server takes
/// them, so that a call under way does not hold them: making room and moving it about is a good part of what one costs.
pub(crate) async fn unary<R: Message + Default>(
    connection: &Connection,
    method: &'static str,
    request: impl FnOnce() -> (HeaderMap, Bytes),
) -> Result<R, Status> {
    let broken = |error| failed(connection.broken(error));
    let ready = connection.ready().await.map_err(failed)?;
    let (response, _open) = {
        let (headers, message) = request();
        let mut exchange = ready.send(PathAndQuery::from_static(method), headers).map_err(failed)?;
        exchange.body.send_data(message, true).map_err(broken)?;
        (exchange.response, exchange.open)
    };
    let mut stream = accept(response.await.map_err(broken)?)?;
    let message = receive(&mut stream).await?;
    let mut trailers = stream.trailers().await.map_err(failed)?.unwrap_or_default();
    match (status(&mut trailers), message) {
        (None, _) => Err(Status::unavailable(CUT)),
        (Some(Ok(())), Some(message)) => R::decode(message).map_err(|error| Status::internal(error.to_string())),
        (Some(Ok(())), None) => Err(empty()),
        (Some(Err(status)), _) => Err(status),
    }
}

/// The body of an answer whose head promises one.
fn accept(response: Response<RecvStream>) -> Result<RecvStream, Status> {
    let (mut head, stream) = response.into_parts();
    if let Some(status) = status(&mut head.headers) {
        return Err(status.err().unwrap_or_else(empty));
    }
    if head.status != StatusCode::OK {
        return Err(Status::unavailable(format!("{FOREIGN} {}", head.status)));
    }
    match head.headers.get(ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Status::unimplemented(format!("{ENCODED} {encoding:?}"))),
        _ => Ok(stream),
    }
}

/// Reads to the end. `None`: there was no message, or not all of it.
async fn receive(stream: &mut RecvStream) -> Result<Option<Bytes>, Status> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut wanted = None;
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(failed)?;
        stream.flow_control().release_capacity(piece.len()).map_err(failed)?;
        let present = first.len() + joined.len();
        if wanted.is_some_and(|wanted| present >= wanted) {
            // What follows the message is nobody's.
            continue;
        }
        if present == 0 {
            first = piece;
        } else {
            if joined.is_empty() {
                joined.reserve(wanted.unwrap_or(0).min(TRUSTED).max(present + piece.len()));
                joined.put(std::mem::take(&mut first));
            }
            joined.put(piece);
        }
        if wanted.is_none() {
            let begun = if joined.is_empty() { &first[..] } else { &joined[..] };
            wanted = length(begun)?.map(|length| HEAD + length);
        }
    }
    let whole = if joined.is_empty() { first } else { joined.freeze() };
    Ok(wanted
        .filter(|wanted| whole.len() >= *wanted)
        .map(|wanted| whole.slice(HEAD..wanted)))
}

/// The length of the message that begins like this, once its head is there.
fn length(begun: &[u8]) -> Result<Option<usize>, Status> {
    let Some((head, _)) = begun.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [flag, length @ ..] = *head;
    if flag != 0 {
        return Err(Status::internal(format!(
            "a message with the flag {flag}, where nothing was asked for"
        )));
    }
    match u32::from_be_bytes(length) as usize {
        length if length > MAX_MESSAGE => Err(Status::out_of_range(format!("{TOO_LARGE}: {length} bytes"))),
        length => Ok(Some(length)),
    }
}

/// The status in these headers.
fn status(headers: &mut HeaderMap) -> Option<Result<(), Status>> {
    if headers.get(STATUS)? == "0" {
        return Some(Ok(()));
    }
    headers.remove(DETAILS);
    Status::from_header_map(headers).map(Err)
}

/// The status of an answer without a message.
fn empty() -> Status {
    Status::internal("the answer has no message")
}

/// The status of a request whose connection failed; the cause goes with it.
fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Status {
    Status::from_error(Box::new(error))
}
