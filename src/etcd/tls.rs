//! TLS: who may be trusted, who this client is, and in words what went wrong.
//!
//! In: certificates and keys as paths or PEM text. Out: an encrypted socket. Files are read again for each connection,
//! so that a renewed certificate is used from the next one on. Verification is on unless `insecure_skip_verify` says
//! otherwise.

use std::error::Error as StdError;
use std::fs;
use std::io;
use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

/// What the user says about TLS.
#[derive(Clone, Default)]
pub struct TlsConfig {
    /// The authorities to trust instead of the system's.
    pub ca: Option<Pem>,
    /// The client's certificate chain and its key: both or none.
    pub identity: Option<(Pem, Pem)>,
    /// The name to look for in the server's certificate instead of the endpoint's host.
    pub server_name: Option<String>,
    /// Trust whoever answers. The connection is then encrypted and nothing else.
    pub insecure_skip_verify: bool,
}

/// A file, or its content.
#[derive(Clone)]
pub enum Pem {
    /// The path of a PEM file.
    Path(String),
    /// PEM text. It may be a key, so it is wiped when it is dropped.
    Text(Zeroizing<String>),
}

impl Pem {
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match self {
            Self::Path(path) => fs::read(path)
                .map(Zeroizing::new)
                .map_err(|error| format!("{}: {error}", self.name())),
            Self::Text(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        }
    }

    /// How a message names it.
    fn name(&self) -> &str {
        match self {
            // A key without its first line is not a path, and must not be shown.
            Self::Path(path) if path.len() > 255 || path.contains('\n') => "what is no path and no PEM text",
            Self::Path(path) => path,
            Self::Text(_) => "the PEM text",
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let pem = self.read()?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(format!("{} holds no certificate", self.name())),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|_| format!("{} holds no private key", self.name()))
    }
}

/// The TLS side of a client's connections.
pub(crate) struct Tls(TlsConfig);

impl Tls {
    pub(crate) fn new(config: TlsConfig) -> Self {
        Self(config)
    }

    /// Shakes hands with the server at `host`.
    pub(crate) async fn connect(&self, host: &str, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let refuse = |reason: String| io::Error::other(Refused(reason));
        // Files are read, which may take a while, and the one thread of the runtime has leases to renew.
        let config = self.0.clone();
        let config = tokio::task::spawn_blocking(move || config.client_config()).await;
        let config = config.unwrap_or_else(|error| Err(error.to_string())).map_err(refuse)?;
        let name = self.0.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| refuse(format!("'{name}' is no server name")))?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => refuse("the server broke off the TLS handshake".to_owned()),
            _ => error,
        })
    }
}

impl TlsConfig {
    /// Are the files there, and what they should be?
    pub fn check(&self) -> Result<(), String> {
        self.client_config().map(drop)
    }

    fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if self.insecure_skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(TrustAnyone::new(&provider)))
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(self.roots()?, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|error| error.to_string())?)
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificate.certificates()?, key.key()?)
                .map_err(|error| format!("certificate and key do not fit: {error}"))?,
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        let Some(ca) = &self.ca else { return system_roots() };
        let mut roots = RootCertStore::empty();
        for certificate in ca.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| format!("{}: {error}", ca.name()))?;
        }
        Ok(Arc::new(roots))
    }
}

/// The authorities that the operating system trusts, read once.
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceCell<Arc<RootCertStore>> = OnceCell::new();
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("the system trusts no certificate authority".to_owned());
        }
        Ok(Arc::new(roots))
    };
    ROOTS.get_or_try_init(load).cloned()
}

/// TLS cannot be used, for a reason that rustls has no error for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// What is wrong, in words, if `error` comes from TLS.
pub(crate) fn problem(error: &(dyn StdError + 'static)) -> Option<String> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let error = inner.map_or(error, |inner| inner as &(dyn StdError + 'static));
    if let Some(Refused(reason)) = error.downcast_ref() {
        return Some(reason.clone());
    }
    let text = match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(reason) => certificate_problem(reason),
        rustls::Error::AlertReceived(alert) => alert_problem(*alert),
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        other => other.to_string(),
    };
    Some(text)
}

fn certificate_problem(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => "the server's certificate is signed by an unknown authority".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name".to_owned()
        }
        CertificateError::Revoked => "the server's certificate was revoked".to_owned(),
        other => format!("the server's certificate is invalid: {other}"),
    }
}

fn alert_problem(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "the server wants a client certificate".to_owned(),
        AlertDescription::UnknownCA => "the server does not know who signed the client's certificate".to_owned(),
        AlertDescription::CertificateExpired => "the client's certificate has expired".to_owned(),
        // What older servers answer to a certificate that is missing or wrong.
        AlertDescription::BadCertificate => "the server refuses the client's certificate, or wants one".to_owned(),
        AlertDescription::HandshakeFailure => {
            "the server has no algorithm in common with this client; a certificate on curve P-521 cannot be verified"
                .to_owned()
        }
        other => format!("the server refuses the connection: {other:?}"),
    }
}

/// What `insecure_skip_verify` asks for. That the server has the key of a certificate which nobody checks would prove
/// nothing, so its signature is not checked either: `etcd --auto-tls` signs with a curve that ring does not know.
#[derive(Debug)]
struct TrustAnyone(Vec<SignatureScheme>);

impl TrustAnyone {
    fn new(provider: &CryptoProvider) -> Self {
        let mut schemes = provider.signature_verification_algorithms.supported_schemes();
        schemes.push(SignatureScheme::ECDSA_NISTP521_SHA512);
        Self(schemes)
    }
}

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
