//! Why a server ended a watch, as an error.
//!
//! In: its last message, whose reason is an error of Go put into words. Out: that error, with a code for programs.

use crate::etcd::cause::{one_line, words};
use crate::etcd::error::{Applied, Code, Error};
use crate::etcd::pb::WatchResponse;

/// Why the server ended a watch.
pub(super) fn canceled(message: &WatchResponse) -> Error {
    if message.compact_revision != 0 {
        let text = format!(
            "required revision has been compacted, the first that is left is {}",
            message.compact_revision
        );
        let mut error = Error::new(Code::Compacted, text);
        error.compact_revision = Some(message.compact_revision);
        return error;
    }
    let (code, text) = match message.cancel_reason.strip_prefix("rpc error: code = ") {
        Some(rest) => match rest.split_once(" desc = ") {
            Some((code, text)) => (
                go_code(code).or_else(|| plain_code(text)).unwrap_or(Code::Unknown),
                text,
            ),
            None => (Code::Unknown, rest),
        },
        None if message.cancel_reason.is_empty() => (Code::Cancelled, "cancelled by the server"),
        None => {
            let text = message.cancel_reason.as_str();
            (plain_code(text).unwrap_or(Code::Cancelled), text)
        }
    };
    Error {
        applied: Applied::No,
        from_server: !message.cancel_reason.is_empty(),
        ..Error::new(code, one_line(text))
    }
}

/// The code of a reason that stands there without one, if its words are etcd's.
fn plain_code(text: &str) -> Option<Code> {
    match text {
        "etcdserver: mvcc: required revision has been compacted" => Some(Code::Compacted),
        _ => words::code(text).map(Code::from),
    }
}

/// The code that gRPC for Go spells like this, if it says anything.
fn go_code(name: &str) -> Option<Code> {
    Some(match name {
        "Canceled" => Code::Cancelled,
        "InvalidArgument" => Code::InvalidArgument,
        "DeadlineExceeded" => Code::DeadlineExceeded,
        "NotFound" => Code::NotFound,
        "PermissionDenied" => Code::PermissionDenied,
        "ResourceExhausted" => Code::ResourceExhausted,
        "FailedPrecondition" => Code::FailedPrecondition,
        "OutOfRange" => Code::OutOfRange,
        "Internal" => Code::Internal,
        "Unavailable" => Code::Unavailable,
        "Unauthenticated" => Code::Unauthenticated,
        _ => return None,
    })
}
