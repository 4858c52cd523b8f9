//! TLS: who may be trusted, and who this client is.
//!
//! In: certificates and keys as paths or PEM text. Out: an encrypted socket, or in words what went wrong. Files are
//! read again for each connection, so that a renewed certificate is used from the next one on; what cannot be used at
//! that moment is a failure that passes. Verification is on unless `insecure_skip_verify` says otherwise.

mod encrypted;
mod identity;
mod pem;
mod problem;
mod trust;

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use encrypted::Encrypted;
pub use pem::Pem;
pub(crate) use problem::problem;

/// What the user says about TLS.
#[derive(Clone, Default)]
pub struct TlsConfig {
    /// The authorities to trust instead of the system's.
    pub ca: Option<Pem>,
    /// The client's certificate chain and its key: both or none.
    pub identity: Option<(Pem, Pem)>,
    /// The name to look for in the server's certificate instead of the endpoint's host.
    pub server_name: Option<String>,
    /// Trust any server that responds. The connection is then encrypted and nothing else.
    pub insecure_skip_verify: bool,
}

/// A part of a [`TlsConfig`] cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("'{field}' of 'tls' cannot be used: {reason}")]
pub struct Unusable {
    /// Its name in Lua.
    pub field: &'static str,
    /// What is wrong with it, without anything that may be secret.
    pub reason: String,
}

impl Unusable {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { field, reason }
    }
}

/// The TLS side of a client's connections.
pub(crate) struct Tls(TlsConfig);

impl Tls {
    pub(crate) fn new(config: TlsConfig) -> Self {
        Self(config)
    }

    /// Shakes hands with a server that must be called so, if the user says nothing else.
    pub(crate) async fn connect(&self, name: &str, socket: TcpStream) -> io::Result<Encrypted> {
        // Files are read, which may take a while, and the one thread of the runtime has leases to renew.
        let config = self.0.clone();
        let config = tokio::task::spawn_blocking(move || config.client_config()).await?;
        let config = config.map_err(io::Error::other)?;
        let name = self.0.server_name.as_deref().unwrap_or(name);
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        connected.map(Encrypted).map_err(problem::passing)
    }
}

impl TlsConfig {
    /// Are the files there, and is everything what it should be?
    pub fn check(&self) -> Result<(), Unusable> {
        if let Some(name) = &self.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            let reason = "it must be a host name or an IP address, without scheme and port";
            return Err(Unusable::new("servername", reason));
        }
        self.client_config().map(drop)
    }

    fn client_config(&self) -> Result<ClientConfig, Unusable> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = match self.insecure_skip_verify {
            true => trust::anyone(&provider),
            false => trust::signed_by(self.ca.as_ref(), &provider)?,
        };
        let identity = self.resolver(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Unusable::new("ca", error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(identity),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// The client's certificate, which is shown as it is: what to think of it is the server's affair.
    fn resolver(&self, provider: &CryptoProvider) -> Result<Option<Arc<dyn ResolvesClientCert>>, Unusable> {
        let Some((certificate, key)) = &self.identity else {
            return Ok(None);
        };
        let identity = identity::read(certificate, key, provider)?;
        Ok(Some(Arc::new(SingleCertAndKey::from(identity))))
    }
}
