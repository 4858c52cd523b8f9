//! What every call and stream of a client needs: the servers, the way in, and the word that the client is closed.

use std::sync::Arc;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::cause::Cause;
use super::endpoint::Endpoint;
use super::endpoints::Endpoints;
use super::error::{Applied, Code};
use super::failure::Failure;
use super::login::{Login, Token};
use super::pb::{StatusRequest, StatusResponse};
use super::stats::Stats;
use super::transport::connection::Connection;
use super::transport::deadline::Deadline;
use super::transport::grpc::{HalfClose, headers, pack, unary};
use super::transport::http2::Metadata;
use super::version::Version;

const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// How long a server may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(2);

/// Before this version every user may call Status; some later ones keep it for root.
const KEEPS_STATUS: Version = Version::new(3, 4, 42);

const TOKEN: &str = "token";
const HAS_LEADER: &str = "hasleader";

static YES: HeaderValue = HeaderValue::from_static("true");

const API_VERSION: HeaderName = HeaderName::from_static("client-api-version");

/// The release of etcd whose API this client speaks. Servers count requests by it.
const API: &str = "3.7";

/// Shared by the client and its long-lived streams.
pub(crate) struct Servers {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) login: Arc<Login>,
    pub(crate) stats: Arc<Stats>,
    /// The oldest version that a server may have.
    pub(crate) min_version: Option<Version>,
    /// The bytes that a request may have.
    pub(crate) max_request: usize,
    /// Cancelled once, by `Client::close` or with the last handle. Ends every call, stream and task of the client.
    pub(crate) closed: CancellationToken,
}

/// A connection, and the token to use on it.
#[derive(Clone)]
pub(crate) struct Authorized {
    pub(crate) connection: Connection,
    pub(crate) token: Token,
}

/// What every request of a client says: those of gRPC, who is asking, and what the program adds. `name` is what it
/// calls itself.
pub(crate) fn identity(name: Option<&str>, added: Option<&HeaderMap>) -> HeaderMap {
    let library = concat!("silly-etcd/", env!("CARGO_PKG_VERSION"));
    let agent = name.map_or_else(|| library.to_owned(), |name| format!("{name} {library}"));
    let mut headers = headers();
    // A name that no header can hold is left out.
    let agent = HeaderValue::try_from(agent).unwrap_or_else(|_| HeaderValue::from_static(library));
    headers.insert(USER_AGENT, agent);
    headers.insert(API_VERSION, HeaderValue::from_static(API));
    for (name, value) in added.into_iter().flatten() {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

impl Servers {
    /// The same servers, with connections of their own: what brings much keeps nobody else waiting. The connections end
    /// when this is dropped, its calls with its `closed` as well.
    pub(crate) fn apart(&self) -> Self {
        let closed = self.closed.child_token();
        Self {
            endpoints: Arc::new(self.endpoints.apart(&closed)),
            login: self.login.clone(),
            stats: self.stats.clone(),
            min_version: self.min_version,
            max_request: self.max_request,
            closed,
        }
    }

    /// A server that the client is connected to and logged in at, if it is both.
    pub(crate) fn ready(&self, endpoint: &Endpoint, now: Instant) -> Option<Authorized> {
        let token = self.login.present()?;
        let connection = endpoint.connected(now)?;
        let is_good = self.min_version.is_none() || connection.is_verified();
        is_good.then_some(Authorized { connection, token })
    }

    /// Connects to a server, within `limit`, and logs in, as far as that is not done already. Nothing of the call is
    /// sent. With `patience` it waits where the server has just refused, if it may be asked again before that is over.
    pub(crate) async fn connect_and_login(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
        patience: Option<Instant>,
    ) -> Result<Authorized, Failure> {
        let connection = timeout(limit, endpoint.connect(patience))
            .await
            .map_err(|_| Failure::new(&endpoint.name, &Cause::ConnectTimeout(limit)))?
            .map_err(|error| Failure::new(&endpoint.name, &Cause::Unreachable(error)))?;
        let token = self.login.token(endpoint, &connection).await.inspect_err(|failure| {
            if !self.endpoints.are_several() {
                leave(&connection, failure);
            }
        })?;
        let authorized = Authorized { connection, token };
        if let Some(wanted) = self.min_version
            && !authorized.connection.is_verified()
        {
            self.verify(endpoint, &authorized, wanted).await?;
        }
        Ok(authorized)
    }

    /// Asks a server for its version, which must not be older than that. Nothing of the call was sent before.
    async fn verify(&self, endpoint: &Endpoint, authorized: &Authorized, wanted: Version) -> Result<(), Failure> {
        let connection = &authorized.connection;
        let deadline = Deadline::within(connection.patience(VERSION_LIMIT));
        let request = || (authorized.metadata(false, None), pack(&StatusRequest {}));
        let answer = unary::<StatusResponse>(connection, STATUS, HalfClose::Request, deadline, request);
        let answer = answer.await.inspect(|status| {
            endpoint.responded(&status.header.unwrap_or_default());
            self.endpoints.learn(status);
        });
        let cause = match answer {
            Ok(status) => match status.version.parse() {
                Ok(version) if version >= wanted => {
                    connection.verified();
                    return Ok(());
                }
                version => Cause::TooOld(version.ok(), wanted),
            },
            // The server's own word, which says at least that.
            Err(cause @ Cause::Status(..)) if cause.verdict().code == Code::PermissionDenied => {
                if wanted <= KEEPS_STATUS {
                    connection.verified();
                    return Ok(());
                }
                Cause::TooOld(None, wanted)
            }
            Err(cause) => cause,
        };
        let mut failure = self.judge(endpoint, authorized, &cause, false);
        failure.error.applied = Applied::No;
        Err(failure)
    }

    /// The failure of a request that was made on `authorized` and brought no response: what it says of the token and of
    /// the connection. `alone` says whether no other server is left to be asked.
    pub(crate) fn judge(&self, endpoint: &Endpoint, authorized: &Authorized, cause: &Cause, alone: bool) -> Failure {
        let mut failure = Failure::new(&endpoint.name, cause);
        failure.progress = authorized.connection.answers() > 0;
        if alone {
            leave(&authorized.connection, &failure);
        }
        self.login.judge(failure, &authorized.token)
    }
}

/// One address may stand for several members, and the next connection lead to another.
fn leave(connection: &Connection, failure: &Failure) {
    if failure.member {
        connection.retire();
    }
}

impl Authorized {
    /// What a request says beside who asks: the token and, where a `leader` is asked for, the wish to be refused at once
    /// by a member that knows none; and `more` of its own.
    pub(crate) fn metadata<'a>(&'a self, leader: bool, more: Option<&'a HeaderMap>) -> Metadata<'a> {
        Metadata {
            fields: [
                self.token.as_ref().map(|token| (TOKEN, token)),
                leader.then_some((HAS_LEADER, &YES)),
            ],
            more,
        }
    }
}
