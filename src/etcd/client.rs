//! The client: the servers, the options, and the two long-lived streams that its leases and watches share.
//!
//! Making one opens nothing and needs no runtime; everything else runs on it. A clone is a handle on the same client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::cache::replica::Replicas;
use super::config::{CallOptions, Config};
use super::endpoint::{Endpoint, Server};
use super::error::{Code, Error, Result};
use super::guard::Guard;
use super::journal::Records;
use super::leases::Keeper;
use super::namespace::Namespace;
use super::once::Once;
use super::origins::Source;
use super::servers::{Servers, identity};
use super::session::Session;
use super::transport::address::Address;
use super::upkeep;
use super::watches::Hub;

/// A handle on an etcd cluster, or on what lies under a prefix there.
#[derive(Clone)]
pub struct Client {
    pub(super) parts: Arc<Parts>,
    /// What its keys have in front.
    pub(super) namespace: Namespace,
    /// What must be held for its writes.
    pub(super) guard: Option<Arc<Guard>>,
    /// What tells whether its writes have happened.
    pub(super) once: Option<Arc<Once>>,
}

/// What a client knows of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatus {
    /// How messages name it.
    pub endpoint: Arc<str>,
    /// Is there a connection?
    pub connected: bool,
    /// How often in a row it could not be reached.
    pub failures: u32,
    /// The round trip of the connection, as it was measured last.
    pub rtt: Option<Duration>,
    /// The member that responded there last; 0 before that.
    pub member_id: u64,
    /// The version that this has told, if it was asked.
    pub version: Option<Arc<str>>,
    /// Was this the leader, when a member was asked last?
    pub leader: bool,
    /// Is it the one that is asked first?
    pub current: bool,
    /// Where its address is from.
    pub source: Source,
}

/// What all handles share.
pub(super) struct Parts {
    servers: Arc<Servers>,
    options: CallOptions,
    deadline: Option<Duration>,
    is_encrypted: bool,
    pub(super) keeper: Keeper,
    pub(super) watches: Arc<Hub>,
    pub(super) replicas: Replicas,
}

impl Client {
    /// A client of the cluster that `config` names.
    pub fn new(mut config: Config) -> Self {
        let headers = config.options.headers.take();
        let is_encrypted = config.tls.is_some();
        let headers = identity(config.name.as_deref(), headers.as_deref());
        let servers = Arc::new(Servers::new(&mut config, headers));
        let looked_after = Arc::downgrade(&servers);
        servers.upkeep.starts_by(move || {
            let servers = looked_after.upgrade();
            async move {
                if let Some(servers) = servers {
                    upkeep::run(servers).await;
                }
            }
            .boxed()
        });
        let (keeper, watches) = (Keeper::new(servers.clone()), Hub::new(servers.clone()));
        Self {
            parts: Arc::new(Parts {
                servers,
                options: config.options,
                deadline: config.deadline,
                is_encrypted,
                keeper,
                watches,
                replicas: Replicas::default(),
            }),
            namespace: Namespace::new(config.namespace),
            guard: None,
            once: None,
        }
    }

    /// How a call behaves that begins now and does not say otherwise.
    pub fn options(&self) -> CallOptions {
        let mut options = self.parts.options.clone();
        options.deadline = self.parts.deadline.map(|limit| Instant::now() + limit);
        options
    }

    /// Replaces the servers by those at these addresses, of which there is at least one. Those that stay keep their
    /// connections. Calls under way on others go on; watches and renewals move at once.
    pub fn set_endpoints(&self, addresses: Vec<Address>) -> Result<()> {
        self.servers().configure(addresses)
    }

    /// Asks the cluster for its members and uses the addresses that they give, before those of the program, where they
    /// lead to this cluster. Those that the program gives stay in the list.
    pub async fn sync(&self, options: &CallOptions) -> Result<()> {
        self.servers().sync(options).await
    }

    /// What is known of each server, in their order. Asks none of them.
    pub fn endpoints(&self) -> Vec<ServerStatus> {
        let servers = self.servers();
        let list = servers.endpoints.list();
        let status = |(place, endpoint): (usize, &Arc<Endpoint>)| {
            let connection = endpoint.connection();
            let member_id = endpoint.member_id();
            ServerStatus {
                endpoint: endpoint.name.clone(),
                connected: connection.is_some(),
                failures: endpoint.failures(),
                rtt: connection.map(|connection| connection.round_trip()),
                member_id,
                version: endpoint.version(),
                leader: member_id != 0 && servers.endpoints.leader() == member_id,
                current: Arc::ptr_eq(endpoint, list.current()),
                source: list.source(place),
            }
        };
        list.all().iter().enumerate().map(status).collect()
    }

    /// The server at an address, for [`CallOptions::endpoint`].
    pub fn endpoint(&self, address: &Address) -> Option<Server> {
        self.servers().endpoints.find(address).map(Server)
    }

    /// A handle on the same client whose keys all lie under a prefix in this one's.
    #[must_use]
    pub fn namespace(&self, prefix: &[u8]) -> Self {
        Self {
            namespace: self.namespace.inner(prefix),
            ..self.clone()
        }
    }

    /// A handle on the same client whose writes are done only while something is held.
    pub(super) fn guarded(&self, guard: Guard) -> Self {
        Self {
            guard: Some(Arc::new(guard)),
            ..self.clone()
        }
    }

    /// A handle on the same client of whose writes it is known whether they have happened; of a session that was made
    /// with a marker.
    pub fn once(&self, session: &Session) -> Result<Self> {
        let without = || Error::new(Code::InvalidArgument, "must be a session that was made with a 'marker'");
        let once = session.once.clone().ok_or_else(without)?;
        Ok(Self {
            once: Some(once),
            ..self.clone()
        })
    }

    /// A handle on the same client, of whose writes it need not be known whether they have happened.
    pub(super) fn deciding_nothing(&self) -> Self {
        Self {
            once: None,
            ..self.clone()
        }
    }

    /// A handle on the same client that writes whatever is held.
    pub(super) fn unguarded(&self) -> Self {
        Self {
            guard: None,
            ..self.clone()
        }
    }

    /// Are its connections encrypted?
    pub fn is_encrypted(&self) -> bool {
        self.parts.is_encrypted
    }

    /// What reads what happens to it, from now on.
    pub fn records(&self) -> Records {
        self.servers().stats.journal.read(&self.servers().closed)
    }

    /// Ends everything that is under way; later calls fail with [`Code::Closed`](super::Code::Closed). Leases live on
    /// until their TTL is over. May be called from any thread, and again.
    pub fn close(&self) {
        self.servers().closed.cancel();
        self.servers().endpoints.disconnect();
        self.servers().login.forget();
    }

    /// Has the client been closed?
    pub fn is_closed(&self) -> bool {
        self.servers().closed.is_cancelled()
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.parts.servers
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.servers.closed.cancel();
    }
}

/// The endpoints, and nothing that could be a secret.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.servers().endpoints)
    }
}
