//! What every call and stream of a client needs: the servers, the way in, and the word that the client is closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::background::Background;
use super::cause::Cause;
use super::config::{Balance, Config};
use super::endpoint::{Common, Endpoint};
use super::endpoints::{Endpoints, Route};
use super::error::{Applied, Code};
use super::failure::Failure;
use super::login::{Login, Token};
use super::origins::Origins;
use super::pb::{Request, Response, StatusRequest, StatusResponse};
use super::received::Receive;
use super::stats::Stats;
use super::transport::connection::Connection;
use super::transport::deadline::Deadline;
use super::transport::dns::Dns;
use super::transport::error::ConnectError;
use super::transport::grpc::{HalfClose, headers, pack, unary};
use super::transport::http2::Metadata;
use super::transport::tls::Tls;
use super::version::Version;

/// The methods that are called beside the program's calls.
pub(crate) const STATUS: &str = "/etcdserverpb.Maintenance/Status";
pub(crate) const RANGE: &str = "/etcdserverpb.KV/Range";

/// How long a server may take to respond to what is asked beside the program's calls.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Before this version every user may call Status; some later ones keep it for root.
const KEEPS_STATUS: Version = Version::new(3, 4, 42);

const TOKEN: &str = "token";
const HAS_LEADER: &str = "hasleader";

static YES: HeaderValue = HeaderValue::from_static("true");

const API_VERSION: HeaderName = HeaderName::from_static("client-api-version");

/// The release of etcd whose API this client speaks. Servers count requests by it.
const API: &str = "3.7";

/// Shared by the client and its long-lived streams.
#[derive(Clone)]
pub(crate) struct Servers {
    pub(crate) endpoints: Arc<Endpoints>,
    /// Where they come from. Held for the look only.
    origins: Arc<Mutex<Origins>>,
    /// Held by who asks for the members.
    pub(crate) syncing: Arc<Turn<()>>,
    /// How often the members are asked for.
    pub(crate) sync: Option<Duration>,
    pub(crate) balance: Balance,
    /// The task that looks after all that.
    pub(crate) upkeep: Arc<Background>,
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
    /// Those of a client that is made so, with what its requests say.
    pub(crate) fn new(config: &mut Config, headers: HeaderMap) -> Self {
        let closed = CancellationToken::new();
        let stats = Arc::new(Stats::new(config.level, config.slow));
        let origins = Origins::new(std::mem::take(&mut config.endpoints));
        let common = Common {
            tls: config.tls.take().map(|tls| Arc::new(Tls::new(tls))),
            headers: Arc::new(headers),
            closed: closed.clone(),
            stats: stats.clone(),
            dns: Arc::new(Dns::new(std::mem::take(&mut config.nameservers))),
        };
        Self {
            endpoints: Arc::new(Endpoints::new(origins.entries(), common)),
            origins: Arc::new(Mutex::new(origins)),
            syncing: Arc::default(),
            sync: config.sync,
            balance: config.balance,
            upkeep: Arc::default(),
            login: Arc::new(Login::new(config.credentials.take())),
            stats,
            max_request: config.max_request,
            min_version: config.min_version,
            closed,
        }
    }

    /// Where the endpoints come from.
    pub(crate) fn origins(&self) -> MutexGuard<'_, Origins> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is there anything to look after?
    pub(crate) fn needs_upkeep(&self) -> bool {
        self.balance != Balance::Sticky || self.sync.is_some() || self.origins().has_services()
    }

    /// Has the servers looked up that a route is to lead to, if that is still to be done and no other is known, and waits
    /// for it. What fails is told to who connects.
    pub(crate) async fn resolve(&self, route: &mut Route<'_>) {
        if route.is_unresolved() {
            if self.endpoints.are_unresolved() {
                self.upkeep.look().await;
            }
            route.pass_unresolved();
        }
    }

    /// The same servers, with connections of their own: what brings much keeps nobody else waiting. The connections end
    /// when this is dropped, its calls with its `closed` as well.
    pub(crate) fn apart(&self) -> Self {
        let closed = self.closed.child_token();
        Self {
            endpoints: Arc::new(self.endpoints.apart(&closed)),
            closed,
            ..self.clone()
        }
    }

    /// A server that the client is connected to and logged in at, if it is both.
    pub(crate) fn ready(&self, endpoint: &Endpoint, now: Instant) -> Option<Authorized> {
        let token = self.login.present()?;
        if self.upkeep.is_missing() {
            return None;
        }
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
        match self.needs_upkeep() {
            true => self.upkeep.run(),
            false => self.upkeep.rest(),
        }
        if let Some(service) = endpoint.service() {
            let reason = ConnectError::Socket(self.origins().reason(service));
            return Err(Failure::new(&endpoint.name, &Cause::Unreachable(reason)));
        }
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
        let answer = authorized.ask::<StatusResponse>(STATUS, false, &StatusRequest {}).await;
        let answer = answer.inspect(|status| {
            // One of another cluster is told by the call's own response.
            if self.endpoints.recognise(endpoint, &status.head()).is_ok() {
                self.endpoints.learn(status);
            }
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
    /// The response of the server to one request beside the program's calls. Where a `leader` is asked for, a member that
    /// knows none refuses.
    pub(crate) async fn ask<R: Response>(
        &self,
        method: &'static str,
        leader: bool,
        request: &impl Request,
    ) -> Result<R, Cause> {
        let deadline = Deadline::within(self.connection.patience(ASK_LIMIT));
        let message = || (self.metadata(leader, None), pack(request));
        unary(&self.connection, method, HalfClose::Request, deadline, message).await
    }

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
