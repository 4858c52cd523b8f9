//! Why no connection could be made, or one broke, in words for people.

use std::io;
use std::sync::Arc;

use super::tls;

/// Why no connection could be made. Nothing was sent. Cloned to every caller that waited for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The server could not be reached.
    #[error("{0}")]
    Socket(Arc<str>),
    /// It was reached, and it or its certificate is not to be trusted.
    #[error("{0}")]
    Tls(Arc<str>),
}

impl From<&io::Error> for ConnectError {
    fn from(error: &io::Error) -> Self {
        if let Some(problem) = tls::problem(error) {
            return Self::Tls(problem.into());
        }
        Self::Socket(socket_problem(error).into())
    }
}

/// What is wrong with a socket. The operating system's texts carry error numbers that help nobody.
fn socket_problem(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::BrokenPipe => "connection closed",
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::NotFound => "no such socket",
        io::ErrorKind::PermissionDenied => "permission denied by the operating system",
        _ => return error.to_string(),
    };
    text.to_owned()
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

/// Why a connection broke.
pub(super) fn problem(error: &io::Error) -> String {
    tls::problem(error).unwrap_or_else(|| socket_problem(error))
}
