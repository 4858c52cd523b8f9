//! Who may be trusted: servers whose certificate an authority has signed, or any server that responds.
//!
//! In: the authorities as the user gives them. Out: a verifier for rustls.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Pem, Unusable};

/// Servers with a certificate that `ca` has signed, or without it the system's authorities.
pub(super) fn signed_by(
    ca: Option<&Pem>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Unusable> {
    let roots = match ca {
        Some(ca) => authorities(ca),
        None => system().cloned(),
    };
    let verifier = roots.and_then(|roots| {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
        verifier.map_err(|error| error.to_string())
    });
    Ok(verifier.map_err(|reason| Unusable::new("ca", reason))?)
}

fn authorities(ca: &Pem) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for (i, certificate) in ca.certificates()?.into_iter().enumerate() {
        let added = roots.add(certificate);
        added.map_err(|_| format!("{}: its certificate {} cannot be read", ca.name(), i + 1))?;
    }
    Ok(Arc::new(roots))
}

/// The authorities that the operating system trusts, read once.
fn system() -> Result<&'static Arc<RootCertStore>, String> {
    static ROOTS: OnceCell<Arc<RootCertStore>> = OnceCell::new();
    ROOTS.get_or_try_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("it is absent, and the system trusts no certificate authority".to_owned());
        }
        Ok(Arc::new(roots))
    })
}

/// Any server that responds.
pub(super) fn anyone(provider: &CryptoProvider) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Anyone::new(provider))
}

/// What `insecure_skip_verify` asks for. That the server has the key of a certificate which nobody checks would prove
/// nothing, so its signature is not checked either: `etcd --auto-tls` signs with a curve that ring does not know.
#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl Anyone {
    fn new(provider: &CryptoProvider) -> Self {
        let mut schemes = provider.signature_verification_algorithms.supported_schemes();
        schemes.push(SignatureScheme::ECDSA_NISTP521_SHA512);
        Self(schemes)
    }
}

impl ServerCertVerifier for Anyone {
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
