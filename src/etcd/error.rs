//! What a call answers when it fails: a code for programs, one line for a person, and whether a write may have
//! happened all the same.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// The result of every call of this client.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Branch on `code`, show the whole to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The class of the failure.
    pub code: Code,
    /// The cause in words: the server's own text where it spoke, one line always.
    pub message: String,
    /// May the write have happened? Always [`Applied::No`] for a read.
    pub applied: Applied,
    /// The endpoint that was asked, if one was.
    pub endpoint: Option<Arc<str>>,
    /// The first revision that is still there, with [`Code::Compacted`] of a watch.
    pub compact_revision: Option<i64>,
    /// Is `message` the server's own text?
    pub from_server: bool,
    /// What was tried, where a call was.
    pub attempts: Option<Box<Attempts>>,
    /// Who is before the caller, with [`Code::Locked`].
    pub holder: Option<Box<Holder>>,
    /// What is known of a write whose response was lost, with [`Applied::Yes`].
    pub done: Option<Done>,
}

/// A write that has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// When.
    pub revision: i64,
    /// Did its comparisons hold?
    pub succeeded: bool,
}

/// Who holds what the caller has waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its key.
    pub key: Bytes,
    /// When that was created.
    pub revision: i64,
}

/// What a call has tried before it failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attempts {
    /// How many attempts there were.
    pub count: u32,
    /// How long they took, with the pauses between them.
    pub elapsed: Duration,
    /// The last failure of each endpoint that was asked, in words.
    pub causes: Vec<(Arc<str>, String)>,
}

impl Attempts {
    /// Notes a failed attempt.
    pub(crate) fn note(&mut self, error: &Error) {
        self.count += 1;
        let Some(endpoint) = &error.endpoint else { return };
        let message = error.message.clone();
        match self.causes.iter_mut().find(|(known, _)| known == endpoint) {
            Some((_, last)) => *last = message,
            None => self.causes.push((endpoint.clone(), message)),
        }
    }
}

impl Error {
    /// A failure that certainly changed nothing and belongs to no endpoint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            applied: Applied::No,
            endpoint: None,
            compact_revision: None,
            from_server: false,
            attempts: None,
            holder: None,
            done: None,
        }
    }

    /// That something, such as `not registered`, did not come about within a time, for this reason.
    pub(crate) fn late(self, what: &str, within: Duration) -> Self {
        // What a deadline has left has digits that nobody wants to know.
        let within = Duration::from_millis(within.as_millis().try_into().unwrap_or(u64::MAX));
        Self {
            message: format!("{what} within {within:?}: {}", self.message),
            from_server: false,
            ..self
        }
    }

    /// The error of every call on a closed client.
    pub fn closed() -> Self {
        Self::new(Code::Closed, "the client is closed")
    }
}

/// `<code>: <message> (<endpoint>)`, and after several attempts their number.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)?;
        if let Some(endpoint) = &self.endpoint {
            write!(f, " ({endpoint})")?;
        }
        match &self.attempts {
            Some(attempts) if attempts.count > 1 => write!(f, ", after {} attempts", attempts.count),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// May a failed write have happened?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It certainly did not happen: it may be sent again.
    No,
    /// It certainly did happen, and only what was responded is lost.
    Yes,
    /// It left this process and no response came back: repeating it could undo somebody else's write.
    Maybe,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident $name:literal)*) => {
        /// The class of a failure: the gRPC status codes, and the few that gRPC has no word for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// All of them, each at its own place.
            pub(crate) const ALL: &[Self] = &[$(Self::$code),*];

            /// The name that programs compare: lower case, words joined by underscores.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }
        }
    };
}

codes! {
    /// The server gave the call up.
    Cancelled "cancelled"
    /// The server failed in a way that it has no code for.
    Unknown "unknown"
    /// The request is wrong: judged here, or by the server.
    InvalidArgument "invalid_argument"
    /// No response within the attempt's deadline.
    DeadlineExceeded "deadline_exceeded"
    /// What was named does not exist, a lease mostly.
    NotFound "not_found"
    /// What was to be created exists.
    AlreadyExists "already_exists"
    /// The user may not do this.
    PermissionDenied "permission_denied"
    /// A limit of the server: space, size, number of requests.
    ResourceExhausted "resource_exhausted"
    /// The server's state forbids it.
    FailedPrecondition "failed_precondition"
    /// The server broke the call off.
    Aborted "aborted"
    /// A revision or a number outside of what exists.
    OutOfRange "out_of_range"
    /// The server is too old for this call.
    Unimplemented "unimplemented"
    /// The server or the connection broke its own rules.
    Internal "internal"
    /// No server could be reached, or the one that was cannot serve now.
    Unavailable "unavailable"
    /// The server's data is damaged.
    DataLoss "data_loss"
    /// The token is missing or worn out.
    Unauthenticated "unauthenticated"
    /// The client, the watch or the stream was closed.
    Closed "closed"
    /// The revision asked for is no longer there.
    Compacted "compacted"
    /// The lease is gone.
    LeaseExpired "lease_expired"
    /// The TLS handshake failed.
    Tls "tls"
    /// The server's response makes no sense.
    Protocol "protocol"
    /// A file of this machine could not be written.
    Io "io"
    /// Somebody else holds it, for all the time that was waited.
    Locked "locked"
    /// It was held and is not any more: its key is gone.
    Lost "lost"
}

impl From<tonic::Code> for Code {
    fn from(code: tonic::Code) -> Self {
        match code {
            // A status that says OK where an error was due is a broken server.
            tonic::Code::Ok => Self::Protocol,
            tonic::Code::Cancelled => Self::Cancelled,
            tonic::Code::Unknown => Self::Unknown,
            tonic::Code::InvalidArgument => Self::InvalidArgument,
            tonic::Code::DeadlineExceeded => Self::DeadlineExceeded,
            tonic::Code::NotFound => Self::NotFound,
            tonic::Code::AlreadyExists => Self::AlreadyExists,
            tonic::Code::PermissionDenied => Self::PermissionDenied,
            tonic::Code::ResourceExhausted => Self::ResourceExhausted,
            tonic::Code::FailedPrecondition => Self::FailedPrecondition,
            tonic::Code::Aborted => Self::Aborted,
            tonic::Code::OutOfRange => Self::OutOfRange,
            tonic::Code::Unimplemented => Self::Unimplemented,
            tonic::Code::Internal => Self::Internal,
            tonic::Code::Unavailable => Self::Unavailable,
            tonic::Code::DataLoss => Self::DataLoss,
            tonic::Code::Unauthenticated => Self::Unauthenticated,
        }
    }
}
