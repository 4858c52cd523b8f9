//! What a client is made from, and what each call may choose for itself.

use std::time::Duration;

use super::login::Credentials;
use super::transport::address::Address;
use super::transport::tls::TlsConfig;

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
}

/// How one call behaves when an attempt fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallOptions {
    /// The deadline of one attempt. Default: 5 s.
    pub timeout: Duration,
    /// The number of further attempts once every server was tried. Default: 5.
    pub retry: u32,
    /// The pause before each of those. Default: 1 s.
    pub retry_sleep: Duration,
    /// Repeat a write whose response was lost? It may then happen twice. Default: no.
    pub retry_unknown: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            retry: 5,
            retry_sleep: Duration::from_secs(1),
            retry_unknown: false,
        }
    }
}
