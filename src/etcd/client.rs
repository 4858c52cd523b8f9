//! The client: the servers, the options, and the two long-lived streams that its leases and watches share.
//!
//! Making one opens nothing and needs no runtime; everything else runs on it. A clone is a handle on the same client.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::config::{CallOptions, Config};
use super::endpoint::Endpoints;
use super::lease::Keeper;
use super::watch::Hub;

/// A handle on an etcd cluster.
#[derive(Clone)]
pub struct Client {
    pub(super) parts: Arc<Parts>,
}

/// What all handles share.
pub(super) struct Parts {
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) options: CallOptions,
    pub(super) keeper: Keeper,
    pub(super) watches: Arc<Hub>,
    /// Cancelled once, by [`Client::close`] or with the last handle. Ends every call, stream and task of the client.
    pub(super) closed: CancellationToken,
}

impl Client {
    /// A client of the cluster that `config` names.
    pub fn new(config: Config) -> Self {
        let endpoints = Arc::new(Endpoints::new(config.endpoints));
        let closed = CancellationToken::new();
        let keeper = Keeper::new(endpoints.clone(), closed.clone());
        let watches = Hub::new(endpoints.clone(), closed.clone());
        let options = config.options;
        Self {
            parts: Arc::new(Parts {
                endpoints,
                options,
                keeper,
                watches,
                closed,
            }),
        }
    }

    /// How calls behave that do not say otherwise.
    pub fn options(&self) -> CallOptions {
        self.parts.options
    }

    /// Ends everything that is under way; later calls answer [`Code::Closed`](super::Code::Closed). Leases live on
    /// until their TTL is over. May be called from any thread, and again.
    pub fn close(&self) {
        self.parts.closed.cancel();
    }

    /// Has the client been closed?
    pub fn is_closed(&self) -> bool {
        self.parts.closed.is_cancelled()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

/// The endpoints, and nothing that could be a secret.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.parts.endpoints)
    }
}
