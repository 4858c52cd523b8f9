//! What every call and stream of a client needs: the servers, the way in, and the word that the client is closed.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::auth::{Auth, Token};
use super::connection::Connection;
use super::endpoint::{Endpoint, Endpoints};
use super::failure::Failure;

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
    /// Connects to a server and logs in, as far as that is not done already. Nothing of the call is sent.
    /// With `patience` it waits where the server has just refused, if it may be asked again before that is over.
    pub(crate) async fn enter(&self, endpoint: &Endpoint, patience: Option<Instant>) -> Result<Pass, Failure> {
        let connection = endpoint
            .connect(patience)
            .await
            .map_err(|error| Failure::connect(endpoint, &error))?;
        let token = self.auth.token(endpoint, &connection).await?;
        Ok(Pass { connection, token })
    }
}

impl Pass {
    /// A request that carries the token and, where `leader` is asked for, is refused or ended at once by a member that
    /// knows no leader.
    pub(crate) fn request<Q>(&self, message: Q, leader: bool) -> Request<Q> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(token) = &self.token {
            metadata.insert("token", token.clone());
        }
        if leader {
            metadata.insert("hasleader", MetadataValue::from_static("true"));
        }
        request
    }
}
