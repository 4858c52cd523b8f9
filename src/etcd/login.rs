//! Authentication: the token that every call but the login carries.
//!
//! In: the user's credentials, and calls that ask for a token or report that theirs was refused. Out: tokens. There is
//! one login at a time, and only when a call needs it. A server without authentication is served without a token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::HeaderValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::cause::{Cause, Retry};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::journal::{Level, Record};
use super::pb::{AuthenticateRequest, AuthenticateResponse};
use super::stats::Traffic;
use super::transport::connection::Connection;
use super::transport::deadline::Deadline;
use super::transport::grpc::{HalfClose, pack, unary};
use super::transport::http2::Metadata;

/// Who the client is.
#[derive(Clone)]
pub enum Credentials {
    /// A user with a password, exchanged for a token.
    Password {
        /// The user's name.
        user: String,
        /// Wiped when it is dropped.
        password: Zeroizing<String>,
    },
    /// A token from elsewhere, used as it is and never renewed.
    Token(Zeroizing<String>),
}

/// How long a login may take: the server spends a good part of a second on the password's hash.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);

/// A wrong password does not become right by asking often.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";

/// The server's words for having no need of a login.
const NOT_ENABLED: &str = "etcdserver: authentication is not enabled";

/// What calls carry; `None` where the server has authentication switched off.
pub(crate) type Token = Option<HeaderValue>;

type Authentication = Shared<BoxFuture<'static, Result<Token, Cause>>>;

pub(crate) struct Login {
    /// None without authentication, and once the client is closed.
    credentials: Mutex<Option<Arc<Credentials>>>,
    /// Held for the look only, never across an await.
    slot: Mutex<Option<Attempt>>,
}

/// A login, done or under way. Calls to the same server that find it under way wait for it; one that hangs there does
/// not concern calls to another.
struct Attempt {
    began: Instant,
    endpoint: Arc<str>,
    login: Authentication,
}

impl Login {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Self {
            credentials: Mutex::new(credentials.map(Arc::new)),
            slot: Mutex::new(None),
        }
    }

    /// The token, if there is one already or none is needed.
    pub(crate) fn present(&self) -> Option<Token> {
        if self.credentials().is_none() {
            return Some(None);
        }
        self.slot().as_ref()?.login.peek()?.clone().ok()
    }

    /// The token for a call to `endpoint`. Logs in, over `connection`, if there is none.
    pub(crate) async fn token(&self, endpoint: &Endpoint, connection: &Connection) -> Result<Token, Failure> {
        let Some(credentials) = self.credentials() else {
            return Ok(None);
        };
        let failure = |cause: &Cause| Failure::login(&endpoint.name, cause);
        let mut joined = true;
        let login = {
            let mut slot = self.slot();
            let usable = slot.as_ref().is_some_and(|attempt| match attempt.login.peek() {
                Some(Ok(_)) => true,
                None => attempt.endpoint == endpoint.name,
                Some(Err(cause)) => failure(cause).retry == Retry::Never && attempt.began.elapsed() < REFUSED_PAUSE,
            });
            if !usable {
                *slot = None;
            }
            let attempt = slot.get_or_insert_with(|| {
                joined = false;
                Attempt {
                    began: Instant::now(),
                    endpoint: endpoint.name.clone(),
                    login: begin(credentials, connection.clone(), endpoint.traffic.clone()),
                }
            });
            attempt.login.clone()
        };
        login.await.map_err(|cause| {
            let failure = failure(&cause);
            match cause {
                // It had been under way for long and came to its limit: that says nothing of one made now.
                Cause::Timeout(_) if joined => Failure {
                    retry: Retry::Reconnect,
                    ..failure
                },
                _ => failure,
            }
        })
    }

    /// Sees a call fail that carried `token`. If it was refused for that, the next call logs in again, unless another
    /// has done so; where no login can help, the failure is final.
    pub(crate) fn judge(&self, mut failure: Failure, token: &Token) -> Failure {
        if failure.retry == Retry::Login {
            let mut slot = self.slot();
            let current = slot.as_ref().and_then(|attempt| attempt.login.peek());
            if current.is_some_and(|login| login.as_ref().is_ok_and(|current| current == token)) {
                *slot = None;
            }
            if !self.can_login() {
                failure.retry = Retry::Never;
            }
        }
        failure
    }

    /// Is there a password to get a new token for?
    pub(crate) fn can_login(&self) -> bool {
        matches!(self.credentials().as_deref(), Some(Credentials::Password { .. }))
    }

    /// Drops the credentials, which wipes them, and the token: the client is closed.
    pub(crate) fn forget(&self) {
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.slot() = None;
    }

    fn credentials(&self) -> Option<Arc<Credentials>> {
        let credentials = self.credentials.lock();
        credentials.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A login as a task of its own, so that it comes to an end whether or not anyone waits for it; by its limit at the
/// latest.
fn begin(credentials: Arc<Credentials>, connection: Connection, traffic: Arc<Traffic>) -> Authentication {
    let ended = tokio::spawn(async move {
        let is_asked = matches!(*credentials, Credentials::Password { .. });
        let ended = login(credentials, connection).await;
        if is_asked {
            traffic.stats.logins.note(ended.is_ok());
            match &ended {
                Ok(_) => traffic.tell(Level::Info, || Record::new("login", "there is a token")),
                Err(cause) => traffic.tell(Level::Warn, || {
                    Record::of("login_failed", &Failure::login(&traffic.name, cause).error)
                }),
            }
        }
        ended
    });
    ended
        .map(|ended| ended.unwrap_or_else(|error| Err(Cause::Malformed(error.to_string()))))
        .boxed()
        .shared()
}

async fn login(credentials: Arc<Credentials>, connection: Connection) -> Result<Token, Cause> {
    let (user, password) = match &*credentials {
        Credentials::Token(token) => return sensitive(token),
        Credentials::Password { user, password } => (user, password),
    };
    // Never a token here: servers refuse a login that carries a stale one.
    let message = pack(&AuthenticateRequest {
        name: user.clone(),
        password: password.to_string(),
    });
    let deadline = Deadline::within(connection.patience(LOGIN_LIMIT));
    let answers = connection.answers();
    let request = || (Metadata::default(), message);
    let answer = unary::<AuthenticateResponse>(&connection, AUTHENTICATE, HalfClose::Request, deadline, request);
    match answer.await {
        Ok(answer) => sensitive(&answer.token),
        Err(Cause::Status(_, text)) if text == NOT_ENABLED => Ok(None),
        Err(cause) => {
            // The caller may have given up by now, and the next login is to find another connection.
            if matches!(cause, Cause::Timeout(_)) && connection.answers() == answers {
                connection.retire();
            }
            Err(cause)
        }
    }
}

/// A token as a header that no log shows.
fn sensitive(token: &str) -> Result<Token, Cause> {
    let mut value = HeaderValue::try_from(token).map_err(|_| Cause::Unsendable)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_log_and_no_table_of_headers_holds_a_token() {
        let token = sensitive("hush").unwrap().unwrap();
        assert!(token.is_sensitive());
        assert!(!format!("{token:?}").contains("hush"));
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        assert_eq!(sensitive("a\nb"), Err(Cause::Unsendable));
    }
}
