//! What a failed attempt means: may the request have been executed, and is there a point in asking again?
//!
//! In: a connection's failure, a deadline, or the status of an answer. Out: a [`Failure`]. The decision rests on the
//! cause, not on the gRPC code alone: one broken connection shows as any of five codes. The texts are etcd's own.

use std::error::Error as StdError;
use std::time::Duration;

use tonic::Status;

use super::connection::{ConnectError, RequestError};
use super::endpoint::Endpoint;
use super::error::{Applied, Code, Error};
use super::tls;

/// A failed attempt.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What the caller gets if this was the last attempt. `applied` speaks as if the request was a write.
    pub(crate) error: Error,
    /// Is there a point in asking again?
    pub(crate) again: Again,
}

/// What may make the next attempt succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nothing.
    Never,
    /// Another server. This one will not change its mind.
    Elsewhere,
    /// A new token.
    Login,
    /// A new connection to the same server.
    Reconnect,
    /// Another server, or time.
    Later,
}

impl Again {
    /// May the same server answer yet?
    pub(crate) fn is_hopeful(self) -> bool {
        matches!(self, Self::Reconnect | Self::Later)
    }
}

impl Failure {
    fn new(endpoint: &Endpoint, code: Code, message: String, fate: Fate) -> Self {
        let mut error = Error::new(code, message);
        error.endpoint = Some(endpoint.name.clone());
        error.applied = fate.applied();
        Self {
            error,
            again: fate.again(),
        }
    }

    /// No connection: nothing was sent.
    pub(crate) fn connect(endpoint: &Endpoint, error: &ConnectError) -> Self {
        let (code, fate) = match error {
            ConnectError::Socket(_) => (Code::Unavailable, Fate::Refused),
            ConnectError::Tls(_) => (Code::Tls, Fate::Unheard),
        };
        Self::new(endpoint, code, error.to_string(), fate)
    }

    /// The login failed, so nothing of the call was sent.
    pub(crate) fn login(endpoint: &Endpoint, status: &Status) -> Self {
        let mut failure = Self::status(endpoint, status);
        failure.error.applied = Applied::No;
        failure
    }

    /// A message of a stream says that what was asked for is refused, which a new token may change.
    pub(crate) fn unauthenticated(endpoint: &Endpoint, mut error: Error) -> Self {
        error.endpoint = Some(endpoint.name.clone());
        Self {
            error,
            again: Again::Login,
        }
    }

    /// The attempt's time was over while it was still connecting.
    pub(crate) fn connect_timeout(endpoint: &Endpoint, timeout: Duration) -> Self {
        let message = format!("no connection within {} s", timeout.as_secs_f64());
        Self::new(endpoint, Code::DeadlineExceeded, message, Fate::Refused)
    }

    /// The attempt's time was over with the request under way.
    pub(crate) fn timeout(endpoint: &Endpoint, timeout: Duration) -> Self {
        let message = format!("no answer within {} s", timeout.as_secs_f64());
        Self::new(endpoint, Code::DeadlineExceeded, message, Fate::Lost)
    }

    /// The answer is an error, or the connection broke before there was one.
    pub(crate) fn status(endpoint: &Endpoint, status: &Status) -> Self {
        if let Some(problem) = sources(status).find_map(tls::problem) {
            // The server says what it thinks of the client's certificate after the handshake, in place of an answer.
            return Self::new(endpoint, Code::Tls, problem, Fate::Unheard);
        }
        if let Some(fate) = transport(status) {
            return Self::new(endpoint, Code::Unavailable, innermost(status), fate);
        }
        let (code, fate) = answered(status.code(), status.message());
        let text = match status.message() {
            "" => "the server did not say why",
            text => text,
        };
        Self::new(endpoint, code, one_line(text), fate)
    }

    /// The answer comes from a server that is none of the client's cluster. A write has been executed there.
    pub(crate) fn foreign(endpoint: &Endpoint) -> Self {
        let message = "this server belongs to another cluster than the others".to_owned();
        Self::new(endpoint, Code::Protocol, message, Fate::Lost)
    }

    /// The client was closed. `applied` says whether the request had been sent.
    pub(crate) fn closed(applied: Applied) -> Self {
        Self {
            error: Error {
                applied,
                ..Error::closed()
            },
            again: Again::Never,
        }
    }

    /// A server ended a stream that should never end.
    pub(crate) fn ended(endpoint: &Endpoint) -> Self {
        let message = "the server ended the stream".to_owned();
        Self::new(endpoint, Code::Unavailable, message, Fate::Lost)
    }
}

/// What became of the request of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was never executed, and may be sent again.
    Refused,
    /// It never left: its connection was about to close.
    Unsent,
    /// It was not executed, for want of a valid token.
    Unauthenticated,
    /// This server and this client cannot talk. It was not executed.
    Unheard,
    /// Nobody can tell. Asking again may help.
    Lost,
    /// It was judged and not executed. Asking again gives the same answer.
    Denied,
    /// It failed for good, and may have been executed all the same.
    Failed,
}

impl Fate {
    fn applied(self) -> Applied {
        match self {
            Self::Refused | Self::Unsent | Self::Unauthenticated | Self::Unheard | Self::Denied => Applied::No,
            Self::Lost | Self::Failed => Applied::Maybe,
        }
    }

    fn again(self) -> Again {
        match self {
            Self::Refused | Self::Lost => Again::Later,
            Self::Unsent => Again::Reconnect,
            Self::Unauthenticated => Again::Login,
            Self::Unheard => Again::Elsewhere,
            Self::Denied | Self::Failed => Again::Never,
        }
    }
}

/// The errors under a status, outermost first.
fn sources(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(status.source(), |error| (*error).source())
}

/// The fate of a request whose connection failed; `None` where the status is an answer of the server.
fn transport(status: &Status) -> Option<Fate> {
    let mut fate = None;
    let mut answered = true;
    for source in sources(status) {
        match source.downcast_ref() {
            Some(RequestError::NotSent) => return Some(Fate::Unsent),
            Some(RequestError::Silent) => return Some(Fate::Lost),
            Some(RequestError::Broken(_)) => answered = false,
            None => {}
        }
        // Once the answer has begun, the request was taken, whatever the server says later.
        if let Some(error) = source.downcast_ref::<h2::Error>()
            && !answered
        {
            // A server that goes away names the last request it took; this one came after it.
            let gone = error.is_go_away() && error.is_remote();
            let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return Some(if gone || refused { Fate::Refused } else { Fate::Lost });
        }
        fate = Some(Fate::Lost);
    }
    fate
}

/// The first words for an answer beyond `MAX_MESSAGE`.
pub(crate) const TOO_LARGE: &str = "Error, decoded message length too large";

/// What is said of an answer that is plain HTTP: a proxy gave it, in place of etcd.
pub(crate) const FOREIGN: &str = "mapped from HTTP status code";

/// The first words for an answer that ends without a status: the connection was cut politely.
pub(crate) const CUT: &str = "protocol error: missing grpc-status";

/// The first words for an answer in an encoding that no call has asked for.
pub(crate) const ENCODED: &str = "Content is compressed with";

/// Does the server refuse the token: it has expired, there is none, or the store has changed under it?
pub(crate) fn refuses_token(text: &str) -> bool {
    matches!(
        text.strip_prefix("etcdserver: ").unwrap_or(text),
        // 3.5.1 has the last for the one before it.
        "invalid auth token"
            | "user name is empty"
            | "revision of auth store is old"
            | "auth: revision in header is old"
    )
}

/// The code and fate of a request that the server answered with an error.
fn answered(code: tonic::Code, message: &str) -> (Code, Fate) {
    use tonic::Code as C;
    let text = message.strip_prefix("etcdserver: ").unwrap_or(message);
    let code_name = match text {
        "mvcc: required revision has been compacted" => Code::Compacted,
        _ if message.starts_with(CUT) || message.contains(FOREIGN) => Code::Unavailable,
        _ if message.starts_with(TOO_LARGE) => Code::ResourceExhausted,
        _ if message.starts_with(ENCODED) => Code::Protocol,
        _ => code.into(),
    };
    let fate = match (code, text) {
        // Judged before it was proposed.
        _ if refuses_token(text) => Fate::Unauthenticated,
        // Refused before it was proposed; another member may do better.
        (_, "no leader" | "too many requests" | "rpc not supported for learner") => Fate::Refused,
        // The server applies the write first and finds the space exceeded then.
        (_, "mvcc: database space exceeded") => Fate::Failed,
        _ if message.starts_with(CUT) || message.contains(FOREIGN) => Fate::Lost,
        _ if message.starts_with(TOO_LARGE) || message.starts_with(ENCODED) => Fate::Failed,
        // Without a quorum the server gives the proposal up and has no code for it.
        (C::Unknown, "context deadline exceeded") => Fate::Lost,
        (C::Unavailable | C::DeadlineExceeded | C::Cancelled | C::Aborted | C::Internal, _) => Fate::Lost,
        (C::Unknown | C::DataLoss | C::Ok, _) => Fate::Failed,
        _ => Fate::Denied,
    };
    (code_name, fate)
}

/// The cause at the bottom, in its own words.
fn innermost(status: &Status) -> String {
    let text = sources(status)
        .last()
        .map_or_else(|| status.message().to_owned(), ToString::to_string);
    one_line(&text)
}

/// A server's text as one line of at most 4 KiB.
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
mod tests {
    use super::*;

    #[test]
    fn what_the_server_judged_is_denied() {
        for (code, text) in [
            (tonic::Code::InvalidArgument, "etcdserver: key is not provided"),
            (tonic::Code::NotFound, "etcdserver: requested lease not found"),
            (tonic::Code::FailedPrecondition, "etcdserver: lease already exists"),
            (tonic::Code::PermissionDenied, "etcdserver: permission denied"),
            (
                tonic::Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
        ] {
            assert_eq!(answered(code, text), (code.into(), Fate::Denied), "{text}");
        }
    }

    #[test]
    fn what_never_reached_the_log_is_refused() {
        for (code, text) in [
            (tonic::Code::Unavailable, "etcdserver: no leader"),
            (tonic::Code::ResourceExhausted, "etcdserver: too many requests"),
            (
                tonic::Code::FailedPrecondition,
                "etcdserver: rpc not supported for learner",
            ),
        ] {
            assert_eq!(answered(code, text).1, Fate::Refused, "{text}");
        }
    }

    #[test]
    fn what_may_still_be_applied_is_never_called_refused() {
        for (code, text) in [
            (tonic::Code::Unavailable, "etcdserver: request timed out"),
            (tonic::Code::Unavailable, "etcdserver: leader changed"),
            (tonic::Code::Unavailable, "etcdserver: server stopped"),
            (tonic::Code::Unknown, "context deadline exceeded"),
            (tonic::Code::Unknown, "anything"),
            (
                tonic::Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            ),
            (tonic::Code::DataLoss, "etcdserver: corrupt cluster"),
        ] {
            assert_eq!(answered(code, text).1.applied(), Applied::Maybe, "{text}");
        }
    }

    #[test]
    fn a_compacted_revision_has_a_code_of_its_own() {
        let text = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(answered(tonic::Code::OutOfRange, text), (Code::Compacted, Fate::Denied));
    }

    #[test]
    fn a_message_is_one_short_line() {
        assert_eq!(one_line("a\nb\0c"), "a b c");
        assert_eq!(one_line(&"ü".repeat(4000)).len(), 4096);
    }
}
