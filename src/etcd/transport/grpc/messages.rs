//! The messages of one response, read from the pieces in which they come.
//!
//! In: the response of a connection, and how large a message may be. Out: packed messages, each a slice of the piece
//! that brought it where it came in one; at the end the status.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::timeout;
use tonic::Status;

use crate::etcd::cause::Cause;
use crate::etcd::transport::connection::Connection;
use crate::etcd::transport::http2::{Fields, Stream};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What precedes a message: a flag, 1 where it is compressed, and its length.
pub(crate) const HEAD: usize = 5;

/// A message in pieces gets room for its whole length at once, unless that is longer than this, and than so many times
/// what has come of it.
const TRUSTED: usize = 64 << 10;
const GROWTH: usize = 8;

/// As much of a page of plain HTTP as is read for its first line, and how long that may take behind its head: the
/// status is worth more, and a call may be in a hurry.
const PAGE: usize = 4 << 10;
const PAGE_TIME: Duration = Duration::from_millis(200);

/// The longest line of a page that is shown.
const LINE: usize = 200;

/// The body of a response whose head is gRPC's.
pub(super) struct Messages<S = Stream> {
    connection: Connection,
    stream: S,
    limit: usize,
    /// What has come and was not taken, in the piece that brought it...
    piece: Bytes,
    /// ... or joined, where a message came in several. One of the two is empty.
    joined: BytesMut,
}

impl<S: AsRef<Stream>> Messages<S> {
    /// Waits for the response to begin.
    pub(super) async fn begin(connection: Connection, stream: S, limit: usize) -> Result<Self, Cause> {
        let head = stream.as_ref().head().await;
        let head = head.map_err(|broken| connection.broken(broken))?;
        connection.answered();
        if let Some(status) = status(&head) {
            return Err(status
                .err()
                .unwrap_or_else(|| Cause::Malformed("the response has no message".to_owned())));
        }
        let code = head.status.as_deref().unwrap_or_default();
        if code != b"200" || !is_grpc(&head) {
            let code =
                StatusCode::from_bytes(code).map_err(|_| Cause::Malformed("the status is no number".to_owned()))?;
            return Err(Cause::Http(code, first_line(stream.as_ref()).await));
        }
        match head.grpc_encoding.as_deref() {
            Some(encoding) if encoding != b"identity" => {
                Err(Cause::Compressed(String::from_utf8_lossy(encoding).into_owned()))
            }
            _ => Ok(Self {
                connection,
                stream,
                limit,
                piece: Bytes::new(),
                joined: BytesMut::new(),
            }),
        }
    }

    /// What brings them.
    pub(super) fn stream(&self) -> &Stream {
        self.stream.as_ref()
    }

    /// The next message. `None`: the response has ended, though maybe in the middle of one.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// Reads what comes next, or fails with the status where the response has ended: a stream should not.
    pub(super) async fn fill(&mut self) -> Result<(), Cause> {
        if self.read().await? {
            return Ok(());
        }
        self.end().await?;
        Err(Cause::Cut("the server ended the stream".to_owned()))
    }

    /// Reads to the end, where the status stands. What comes before it is nobody's.
    pub(super) async fn end(&mut self) -> Result<(), Cause> {
        (self.piece, self.joined) = Default::default();
        while self.data().await?.is_some() {}
        let trailers = self.stream().trailers().await;
        let trailers = trailers.map_err(|broken| self.connection.broken(broken))?;
        let status = trailers.as_ref().and_then(status);
        // The connection was cut politely.
        status.unwrap_or_else(|| Err(Cause::Cut("the response ended without a status".to_owned())))
    }

    /// The next message, if all of it has come.
    pub(super) fn take(&mut self) -> Result<Option<Bytes>, Cause> {
        let Some(whole) = self.wanted()?.filter(|wanted| self.present().len() >= *wanted) else {
            return Ok(None);
        };
        if self.joined.is_empty() {
            return Ok(Some(self.piece.split_to(whole).slice(HEAD..)));
        }
        let message = self.joined.split_to(whole).freeze().slice(HEAD..);
        self.piece = std::mem::take(&mut self.joined).freeze();
        Ok(Some(message))
    }

    fn present(&self) -> &[u8] {
        if self.joined.is_empty() {
            &self.piece
        } else {
            &self.joined
        }
    }

    /// The length of the next message with its head, once that is there.
    fn wanted(&self) -> Result<Option<usize>, Cause> {
        let Some((head, _)) = self.present().split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [flag, length @ ..] = *head;
        if flag != 0 {
            let text = format!("a message with the flag {flag}, where nothing was asked for");
            return Err(Cause::Malformed(text));
        }
        match u32::from_be_bytes(length) as usize {
            length if length > self.limit => Err(Cause::TooLarge(length as u64)),
            length => Ok(Some(HEAD + length)),
        }
    }

    /// Reads a piece. Says whether there was one.
    async fn read(&mut self) -> Result<bool, Cause> {
        let Some(piece) = self.data().await? else {
            return Ok(false);
        };
        if self.present().is_empty() {
            self.piece = piece;
            return Ok(true);
        }
        let present = self.present().len();
        if self.joined.capacity() < present + piece.len() {
            let trusted = TRUSTED.max(GROWTH * present);
            let room = self.wanted()?.unwrap_or(0).min(trusted).max(present + piece.len());
            self.joined.reserve(room - self.joined.len());
        }
        if self.joined.is_empty() {
            self.joined.put(std::mem::take(&mut self.piece));
        }
        self.joined.put(piece);
        Ok(true)
    }

    async fn data(&self) -> Result<Option<Bytes>, Cause> {
        let piece = self.stream().data().await;
        piece.map_err(|broken| self.connection.broken(broken))
    }
}

/// The status in these fields.
fn status(fields: &Fields) -> Option<Result<(), Cause>> {
    let status = fields.grpc_status.as_deref()?;
    if status == b"0" {
        return Some(Ok(()));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in [(STATUS, Some(status)), (MESSAGE, fields.grpc_message.as_deref())] {
        // What is no header's value is no status either.
        let value = value.and_then(|value| HeaderValue::from_bytes(value).ok());
        value.map(|value| headers.insert(name, value));
    }
    let status = Status::from_header_map(&headers).unwrap_or_else(|| Status::unknown(""));
    Some(Err(Cause::Status(status.code(), status.message().to_owned())))
}

/// A response that does not say what it is passes for gRPC: its messages will show.
fn is_grpc(head: &Fields) -> bool {
    let says = |value: &Bytes| value.starts_with(b"application/grpc");
    head.content_type.as_ref().is_none_or(says)
}

/// The first line of a page that says something, without its tags.
async fn first_line(stream: &Stream) -> String {
    let mut page = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = stream.data().await {
            page.extend_from_slice(&piece[..piece.len().min(PAGE - page.len())]);
            if page.len() == PAGE {
                break;
            }
        }
    };
    // What has come until then will do.
    let _ = timeout(PAGE_TIME, read).await;
    let text = without_tags(&String::from_utf8_lossy(&page));
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.next().unwrap_or_default().chars().take(LINE).collect()
}

fn without_tags(page: &str) -> String {
    let mut inside = false;
    let text = page.chars().filter(|c| match c {
        '<' => {
            inside = true;
            false
        }
        '>' if inside => {
            inside = false;
            false
        }
        _ => !inside,
    });
    text.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_shown_without_its_tags() {
        assert_eq!(
            without_tags("<head><title>503 Service Temporarily Unavailable</title></head>"),
            "503 Service Temporarily Unavailable"
        );
        assert_eq!(without_tags("<html>"), "");
        assert_eq!(without_tags("a > b"), "a > b");
    }
}
