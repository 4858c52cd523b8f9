//! A failed attempt: the error that the caller gets if it was the last, and what may make another succeed.
//!
//! In: the name of the endpoint that was asked and the [`Cause`]. Out: a [`Failure`].

use std::sync::Arc;

use super::cause::{Cause, Retry};
use super::error::{Applied, Error};

/// A failed attempt.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What the caller gets if this was the last attempt. `applied` speaks as if the request was a write.
    pub(crate) error: Error,
    /// What may help.
    pub(crate) retry: Retry,
    /// Does it speak against this member alone?
    pub(crate) member: bool,
    /// Is it the server's own word, a status?
    pub(crate) status: bool,
    /// Was there no server?
    pub(crate) unreached: bool,
    /// Had the connection brought responses before? Then to begin again at once is no circle.
    pub(crate) progress: bool,
}

impl Failure {
    /// The request brought no response from `endpoint`.
    pub(crate) fn new(endpoint: &Arc<str>, cause: &Cause) -> Self {
        let verdict = cause.verdict();
        let mut error = Error::new(verdict.code, cause.message());
        error.endpoint = Some(endpoint.clone());
        error.applied = verdict.applied;
        error.from_server = matches!(cause, Cause::Status(_, text) if !text.is_empty());
        Self {
            error,
            retry: verdict.retry,
            member: verdict.member,
            status: matches!(cause, Cause::Status(..)),
            unreached: cause.is_unreached(),
            progress: false,
        }
    }

    /// The login failed, so nothing of the call was sent.
    pub(crate) fn login(endpoint: &Arc<str>, cause: &Cause) -> Self {
        let mut failure = Self::new(endpoint, cause);
        failure.error.applied = Applied::No;
        failure
    }

    /// A message of a stream says that what was asked for is refused, and `retry` what may help.
    pub(crate) fn refused(endpoint: &Arc<str>, error: Error, retry: Retry) -> Self {
        let endpoint = Some(endpoint.clone());
        Self {
            error: Error { endpoint, ..error },
            retry,
            member: false,
            status: true,
            unreached: false,
            progress: true,
        }
    }

    /// The client was closed. `applied` says whether the request had been sent.
    pub(crate) fn closed(applied: Applied) -> Self {
        Self::last(Error {
            applied,
            ..Error::closed()
        })
    }

    /// Nothing can help.
    pub(crate) fn last(error: Error) -> Self {
        Self {
            error,
            retry: Retry::Never,
            member: false,
            status: false,
            unreached: false,
            progress: false,
        }
    }
}
