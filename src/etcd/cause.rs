//! What happened to a request that brought no response, and what follows from that.
//!
//! In: what the connection, the framing of gRPC, or the server says. Out: the table [`Cause::verdict`]: the code for
//! programs, whether a write may have been applied, and what may help. `docs/failures.md` shows the same table to
//! people. Some texts of etcd's are compared: it has one code for several causes, and none for some.

pub(super) mod words;

use std::time::Duration;

use http::StatusCode;
use tonic::Code as Grpc;

use super::error::{Applied, Code};
use super::transport::error::ConnectError;
use super::version::Version;

/// A server that takes no connection for so long is not there.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// Why a request brought no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No connection could be made.
    Unreachable(ConnectError),
    /// No connection was made in time.
    ConnectTimeout(Duration),
    /// The connection took no more requests. This one was not sent.
    NotSent,
    /// The request waited all the time for one of the streams that the server allows at once, and was not sent.
    Queued(String, Duration),
    /// The peer says that it has not processed the request: REFUSED_STREAM, or GOAWAY before it.
    Refused,
    /// The connection or the stream broke with the request under way.
    Cut(String),
    /// No response came in time.
    Timeout(Duration),
    /// A proxy responded with plain HTTP: the status and the first line of the page.
    Http(StatusCode, String),
    /// The response is a message of so many bytes, more than is accepted.
    TooLarge(u64),
    /// The response is compressed, which nobody has asked for.
    Compressed(String),
    /// The response breaks the rules of gRPC or protobuf.
    Malformed(String),
    /// The response comes from a server of another cluster.
    Foreign,
    /// The server is none of the client's any longer.
    Removed,
    /// The server has this version, and must have that; none where it does not tell its own.
    TooOld(Option<Version>, Version),
    /// The server responded with an error.
    Status(Grpc, String),
    /// The token is no text that a header can carry.
    Unsendable,
}

/// What may make another attempt succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Nothing.
    Never,
    /// Another server. This one will not change its mind.
    Elsewhere,
    /// A new token, at once.
    Login,
    /// A new connection to the same server, at once.
    Reconnect,
    /// Another server, or time.
    Later,
}

impl Retry {
    /// May the same server respond yet?
    pub(crate) fn is_hopeful(self) -> bool {
        matches!(self, Self::Reconnect | Self::Later)
    }
}

/// What follows from a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The class of the error.
    pub(crate) code: Code,
    /// May the request have been applied, if it was a write?
    pub(crate) applied: Applied,
    /// What may help.
    pub(crate) retry: Retry,
    /// Does it speak against this member alone? Where one address stands for several members, the next connection may
    /// lead to another.
    pub(crate) member: bool,
}

impl Verdict {
    const fn new(code: Code, applied: Applied, retry: Retry) -> Self {
        Self {
            code,
            applied,
            retry,
            member: false,
        }
    }

    const fn of_member(self) -> Self {
        Self { member: true, ..self }
    }
}

impl Cause {
    /// Was there no server, as far as one can tell in time?
    pub(crate) fn is_unreached(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::ConnectTimeout(limit) => *limit >= LONG_ENOUGH,
            _ => false,
        }
    }

    /// The table.
    pub(crate) fn verdict(&self) -> Verdict {
        use Applied::{Maybe, No};
        use Retry::{Elsewhere, Later, Never, Reconnect};
        match self {
            Self::Unreachable(ConnectError::Socket(_)) => Verdict::new(Code::Unavailable, No, Later),
            Self::Unreachable(ConnectError::Tls(_)) => Verdict::new(Code::Tls, No, Elsewhere),
            Self::ConnectTimeout(_) | Self::Queued(..) => Verdict::new(Code::DeadlineExceeded, No, Later),
            Self::NotSent | Self::Refused => Verdict::new(Code::Unavailable, No, Reconnect),
            Self::Cut(_) => Verdict::new(Code::Unavailable, Maybe, Later),
            Self::Timeout(_) => Verdict::new(Code::DeadlineExceeded, Maybe, Later).of_member(),
            Self::Http(status, _) => http(*status),
            Self::TooLarge(_) => Verdict::new(Code::ResourceExhausted, Maybe, Never),
            Self::Compressed(_) => Verdict::new(Code::Protocol, Maybe, Never),
            Self::Malformed(_) => Verdict::new(Code::Internal, Maybe, Later),
            Self::Foreign => Verdict::new(Code::Protocol, Maybe, Later),
            Self::Removed => Verdict::new(Code::Unavailable, Maybe, Elsewhere),
            Self::TooOld(..) => Verdict::new(Code::FailedPrecondition, No, Elsewhere),
            Self::Status(code, text) => status(*code, text),
            Self::Unsendable => Verdict::new(Code::Unauthenticated, No, Never),
        }
    }

    /// The cause in words.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Unreachable(error) => error.to_string(),
            Self::ConnectTimeout(limit) => format!("no connection within {} s", seconds(*limit)),
            Self::NotSent => "connection closed".to_owned(),
            Self::Queued(reason, limit) => format!("not sent within {} s: {reason}", seconds(*limit)),
            Self::Refused => "the server refused the request before it processed it".to_owned(),
            Self::Cut(reason) | Self::Malformed(reason) => one_line(reason),
            Self::Timeout(limit) => format!("no response within {} s", seconds(*limit)),
            Self::Http(status, line) if line.is_empty() => format!("plain HTTP in place of gRPC: {status}"),
            Self::Http(status, line) => one_line(&format!("plain HTTP in place of gRPC: {status}: {line}")),
            Self::TooLarge(length) => format!("a response of {length} bytes is larger than accepted"),
            Self::Compressed(encoding) => one_line(&format!(
                "the response is compressed with {encoding}, which nobody asked for"
            )),
            Self::TooOld(Some(version), wanted) => {
                format!("the server is etcd {version}, older than the {wanted} of 'min_version'")
            }
            Self::TooOld(None, wanted) => {
                format!("the server does not tell this user its version, which 'min_version' wants to be {wanted}")
            }
            Self::Removed => "the endpoint was removed from those of the client".to_owned(),
            Self::Foreign => "this server belongs to another cluster than the others".to_owned(),
            Self::Status(_, text) if text.is_empty() => "the server did not say why".to_owned(),
            Self::Status(_, text) => one_line(text),
            Self::Unsendable => "the token is no header value".to_owned(),
        }
    }
}

/// In seconds, as a person wants to read them.
fn seconds(duration: Duration) -> f64 {
    let places = if duration < Duration::from_millis(1) { 1e6 } else { 1e3 };
    (duration.as_secs_f64() * places).round() / places
}

/// gRPC's mapping of plain HTTP to codes. What a proxy turns away by its own rules has not reached a server.
fn http(status: StatusCode) -> Verdict {
    use Applied::{Maybe, No};
    use Retry::{Elsewhere, Later};
    match status.as_u16() {
        401 => Verdict::new(Code::Unauthenticated, No, Elsewhere),
        403 => Verdict::new(Code::PermissionDenied, No, Elsewhere),
        404 => Verdict::new(Code::Unimplemented, Maybe, Elsewhere),
        413 => Verdict::new(Code::Unknown, No, Elsewhere),
        429 => Verdict::new(Code::Unavailable, No, Later),
        400 => Verdict::new(Code::Internal, Maybe, Elsewhere),
        // It chooses a server for each request, so that another connection to it is no better.
        502..=504 => Verdict::new(Code::Unavailable, Maybe, Later),
        500..=599 => Verdict::new(Code::Unknown, Maybe, Later),
        _ => Verdict::new(Code::Unknown, Maybe, Elsewhere),
    }
}

/// Does the server refuse the token in these words: it has expired, there is none, or the store has changed under it?
pub(crate) fn refuses_token(text: &str) -> bool {
    matches!(
        own_words(text),
        // 3.5.1 has the last for the one before it.
        "invalid auth token" | "user name is empty" | "revision of auth store is old" | "revision in header is old"
    )
}

/// The verdict on an error of the server.
fn status(code: Grpc, text: &str) -> Verdict {
    use Applied::{Maybe, No};
    use Retry::{Later, Login, Never};
    let code = match code {
        Grpc::Unknown => words::code(text).unwrap_or(code),
        _ => code,
    };
    let name = match own_words(text) {
        "mvcc: required revision has been compacted" => Code::Compacted,
        _ => code.into(),
    };
    match (code, own_words(text)) {
        // Judged before it was proposed.
        _ if refuses_token(text) => Verdict::new(name, No, Login),
        // Refused before it was proposed or, of the last, appended; another member may do better.
        (_, "no leader" | "rpc not supported for learner" | "raft proposal dropped") => {
            Verdict::new(name, No, Later).of_member()
        }
        (_, "too many requests") => Verdict::new(name, No, Later),
        // The server applies the write first and finds the space exceeded then.
        (_, "mvcc: database space exceeded") => Verdict::new(name, Maybe, Never),
        (Grpc::Unavailable, _) => Verdict::new(name, Maybe, Later).of_member(),
        // It is also what errors have that the server has no code for: no quorum, a member that stops, what another
        // member responded to a forwarded request.
        (Grpc::Unknown | Grpc::DeadlineExceeded | Grpc::Cancelled | Grpc::Aborted | Grpc::Internal, _) => {
            Verdict::new(name, Maybe, Later)
        }
        (Grpc::DataLoss | Grpc::Ok, _) => Verdict::new(name, Maybe, Never),
        _ => Verdict::new(name, No, Never),
    }
}

/// Without what says which part of etcd speaks.
fn own_words(text: &str) -> &str {
    let text = text.strip_prefix("etcdserver: ").unwrap_or(text);
    text.strip_prefix("auth: ").unwrap_or(text)
}

/// A text of others as one line of at most 4 KiB.
pub(crate) fn one_line(text: &str) -> String {
    const LIMIT: usize = 4096;
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line = String::with_capacity(text.len().min(LIMIT));
    for c in clean {
        if line.len() + c.len_utf8() > LIMIT {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests;
