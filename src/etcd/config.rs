//! What a client is made from, and what each call may choose for itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::endpoint::{Endpoint, Server};
use super::journal::Level;
use super::login::Credentials;
use super::transport::address::Address;
use super::transport::tls::TlsConfig;
use super::version::Version;

/// The configuration of a client.
#[derive(Clone)]
pub struct Config {
    /// The servers, at least one.
    pub endpoints: Vec<Address>,
    /// Encrypts the connections to all of them.
    pub tls: Option<TlsConfig>,
    /// Who the client is, where the servers ask.
    pub credentials: Option<Credentials>,
    /// How calls behave that do not say otherwise.
    pub options: CallOptions,
    /// How long a whole call may take that does not say otherwise. Default: as long as its attempts and pauses do.
    pub deadline: Option<Duration>,
    /// What the program calls itself towards the servers.
    pub name: Option<String>,
    /// The oldest version that a server may have. Default: any.
    pub min_version: Option<Version>,
    /// The bytes that a request may have. Default: [`MAX_REQUEST`].
    pub max_request: usize,
    /// Which server is asked first.
    pub balance: Balance,
    /// How often the cluster is asked for its members. Default: never.
    pub sync: Option<Duration>,
    /// Who is asked for names. Default: those whom the system names.
    pub nameservers: Vec<SocketAddr>,
    /// What matters less is not told to those who read records.
    pub level: Level,
    /// How long a call may take that is not told of. Default: as long as it likes.
    pub slow: Option<Duration>,
    /// What all its keys have in front, and Lua does not see. Default: nothing.
    pub namespace: Bytes,
}

/// Which server is asked first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// The one that has responded last.
    #[default]
    Sticky,
    /// The leader: a write elsewhere goes there by a detour.
    Leader,
    /// The one that responds in the shortest time.
    Nearest,
    /// As `Sticky`; reads that any member may answer go round.
    Spread,
}

impl Balance {
    /// Their names in Lua.
    pub const NAMES: [(&str, Self); 4] = [
        ("sticky", Self::Sticky),
        ("leader", Self::Leader),
        ("nearest", Self::Nearest),
        ("spread", Self::Spread),
    ];
}

impl Config {
    /// Servers without encryption and login, and nothing else said.
    pub fn new(endpoints: Vec<Address>) -> Self {
        Self {
            endpoints,
            tls: None,
            credentials: None,
            options: CallOptions::DEFAULT,
            deadline: None,
            name: None,
            min_version: None,
            max_request: MAX_REQUEST,
            balance: Balance::default(),
            sync: None,
            nameservers: Vec::new(),
            level: Level::default(),
            slow: None,
            namespace: Bytes::new(),
        }
    }
}

/// The longest request, where nothing else is said. etcd's own limit is 1.5 MiB, unless it is started with another.
pub const MAX_REQUEST: usize = 2 << 20;

/// How one call behaves when an attempt fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOptions {
    /// The deadline of one attempt. Default: 5 s.
    pub timeout: Duration,
    /// The number of further attempts once every server was tried. Default: 5.
    pub retry: u32,
    /// The pause before each of those. Default: 1 s.
    pub retry_sleep: Duration,
    /// Repeat a write whose response was lost? It may then happen twice. Default: no.
    pub retry_unknown: bool,
    /// When the whole call ends, with its attempts, pauses and logins. Default: when they do.
    pub deadline: Option<Instant>,
    /// Ask no other than this server. Default: whichever serves.
    pub endpoint: Option<Server>,
    /// The store that responds must have had this revision. For reads of keys; 0 where it does not matter.
    pub min_revision: i64,
    /// Goes along with each request: for proxies, and for tracing.
    pub headers: Option<Arc<HeaderMap>>,
}

impl CallOptions {
    /// Those of a call that says nothing.
    pub const DEFAULT: Self = Self {
        timeout: Duration::from_secs(5),
        retry: 5,
        retry_sleep: Duration::from_secs(1),
        retry_unknown: false,
        deadline: None,
        endpoint: None,
        min_revision: 0,
        headers: None,
    };

    /// The one server that is to be asked, if there is one.
    pub(crate) fn only(&self) -> Option<&Arc<Endpoint>> {
        self.endpoint.as_ref().map(|Server(endpoint)| endpoint)
    }

    /// The same for a call of this server.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self {
            endpoint: Some(server.clone()),
            ..self.clone()
        }
    }

    /// The same for one attempt at this server.
    pub(crate) fn once_at(&self, server: &Server) -> Self {
        Self {
            retry: 0,
            ..self.at(server)
        }
    }

    /// The same, by which nothing is sent twice that may have been done: what compares something could fail for what the
    /// first has written.
    pub(crate) fn at_most_once(&self) -> Self {
        Self {
            retry_unknown: false,
            ..self.clone()
        }
    }
}

impl Default for CallOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}
