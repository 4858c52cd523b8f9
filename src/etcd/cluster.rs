//! What every call and stream of a client needs: the servers, the way in, and the word that the client is closed.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request};

use super::auth::{Auth, Token};
use super::connection::Connection;
use super::endpoint::{Endpoint, Endpoints};
use super::failure::Failure;
use super::unary::headers;

const TOKEN: HeaderName = HeaderName::from_static("token");
const HAS_LEADER: HeaderName = HeaderName::from_static("hasleader");

/// Shared by the client and its long-lived streams.
pub(crate) struct Cluster {
    pub(crate) endpoints: Endpoints,
    pub(crate) auth: Auth,
    /// Cancelled once, by `Client::close` or with the last handle. Ends every call, stream and task of the client.
    pub(crate) closed: CancellationToken,
}

/// A connection, and the token to use on it.
pub(crate) struct Pass {
    pub(crate) connection: Connection,
    pub(crate) token: Token,
}

impl Cluster {
    /// The pass to a server that a client is connected to and logged in at.
    pub(crate) fn entered(&self, endpoint: &Endpoint) -> Option<Pass> {
        let token = self.auth.present()?;
        let connection = endpoint.connected()?;
        Some(Pass { connection, token })
    }

    /// Connects to a server, within `limit`, and logs in, as far as that is not done already. Nothing of the call is
    /// sent. With `patience` it waits where the server has just refused, if it may be asked again before that is over.
    pub(crate) async fn enter(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
        patience: Option<Instant>,
    ) -> Result<Pass, Failure> {
        let connection = timeout(limit, endpoint.connect(patience))
            .await
            .map_err(|_| Failure::connect_timeout(endpoint, limit))?
            .map_err(|error| Failure::connect(endpoint, &error))?;
        let token = self.auth.token(endpoint, &connection).await?;
        Ok(Pass { connection, token })
    }
}

impl Pass {
    /// The headers of a request: the token and, where a `leader` is asked for, the wish to be refused at once by a
    /// member that knows none.
    pub(crate) fn headers(&self, leader: bool) -> HeaderMap {
        let mut headers = headers();
        if let Some(token) = &self.token {
            headers.insert(TOKEN, token.clone());
        }
        if leader {
            headers.insert(HAS_LEADER, HeaderValue::from_static("true"));
        }
        headers
    }

    /// A request of a stream, which a member that knows no leader ends at once.
    pub(crate) fn request<Q>(&self, message: Q) -> Request<Q> {
        let metadata = MetadataMap::from_headers(self.headers(true));
        Request::from_parts(metadata, Extensions::default(), message)
    }
}
