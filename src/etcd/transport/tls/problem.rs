//! What went wrong with TLS, in words that say what to do about it.
//!
//! In: the error of a socket. Out: the peer's verdict, or ours about it, which the next attempt would only repeat; or
//! an error that passes: the server broke off, or had a problem of its own, as when its files are being renewed.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerMisbehaved};
use webpki::Error as Flaw;

/// What a handshake's error means for a caller that waits for the connection.
pub(super) fn passing(error: io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "the server closed the connection during the TLS handshake: does it speak TLS?",
        _ if matches!(cause(&error), Some(Error::AlertReceived(alert)) if has_failed(*alert)) => {
            "the server failed in the TLS handshake"
        }
        _ => return error,
    };
    io::Error::other(text)
}

/// Does the alert speak of the server itself?
fn has_failed(alert: AlertDescription) -> bool {
    matches!(alert, AlertDescription::InternalError | AlertDescription::UserCanceled)
}

/// The verdict, if `error` is one of TLS and does not pass.
pub(crate) fn problem(error: &(dyn StdError + 'static)) -> Option<String> {
    match cause(error)? {
        Error::AlertReceived(alert) if has_failed(*alert) => None,
        error => Some(verdict(error)),
    }
}

fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner
        .map_or(error, |inner| inner as &(dyn StdError + 'static))
        .downcast_ref()
}

fn verdict(error: &Error) -> String {
    let text = match error {
        Error::InvalidCertificate(reason) => return certificate(reason),
        Error::AlertReceived(alert) => return refusal(*alert),
        Error::InvalidMessage(_) => "the server does not speak TLS",
        Error::NoCertificatesPresented => "the server showed no certificate",
        Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => NO_HTTP2,
        Error::PeerIncompatible(reason) => {
            return format!(
                "the server and this client have no kind of TLS in common ({reason:?}); TLS 1.2 is the least"
            );
        }
        Error::PeerMisbehaved(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the server breaks the rules of TLS"
        }
        Error::DecryptError | Error::PeerSentOversizedRecord => "what the server sent was damaged on its way",
        other => return format!("TLS failed: {other}"),
    };
    text.to_owned()
}

const NO_HTTP2: &str = "the server does not speak HTTP/2 (ALPN h2): whatever answers there is no etcd";

const EXPIRED: &str = "the server's certificate has expired: renew it, unless this machine's clock is wrong";
const NOT_VALID_YET: &str = "the server's certificate is not valid yet: is a clock wrong?";
const OTHER_PURPOSE: &str = "the server's certificate is not for servers: its extendedKeyUsage lacks serverAuth";
const OTHER_NAME: &str = "the server's certificate is for another name";
const UNSUPPORTED: &str = "the server's certificate is signed with an algorithm that cannot be verified here: \
                           make one with RSA of 2048 bits, ECDSA on P-256 or P-384, or Ed25519, and SHA-256";

fn certificate(reason: &CertificateError) -> String {
    let text = match reason {
        CertificateError::UnknownIssuer => {
            "the server's certificate is signed by an unknown authority: 'ca' must hold the certificate of that"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => EXPIRED,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => NOT_VALID_YET,
        CertificateError::NotValidForName => OTHER_NAME,
        CertificateError::NotValidForNameContext { expected, presented } => {
            return other_name(&expected.to_str(), presented);
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => OTHER_PURPOSE,
        CertificateError::Revoked => "the server's certificate was revoked",
        CertificateError::BadEncoding => "the server's certificate is malformed",
        CertificateError::BadSignature => {
            "the server's certificate does not fit its authority: the one in 'ca' has the same name and another key"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => UNSUPPORTED,
        CertificateError::UnhandledCriticalExtension => {
            "the server's certificate has a critical extension that is not known here"
        }
        CertificateError::Other(OtherError(error)) => return flaw(error.downcast_ref(), reason),
        other => return unverifiable(other),
    };
    text.to_owned()
}

/// What rustls has no variant for.
fn flaw(flaw: Option<&Flaw>, reason: &CertificateError) -> String {
    let text = match flaw {
        Some(Flaw::CaUsedAsEndEntity) => {
            "the server's certificate is an authority's (CA:TRUE): give the server one of its own, signed by that"
        }
        Some(Flaw::EndEntityUsedAsCa) => {
            "the server's certificate is signed with one that is no authority's (CA:FALSE): sign it with one that is"
        }
        Some(Flaw::UnsupportedCertVersion) => {
            "the server's certificate is not of X.509 version 3: make one that is, with a subjectAltName"
        }
        Some(Flaw::PathLenConstraintViolated | Flaw::MaximumPathDepthExceeded) => {
            "the server's certificate has more authorities above it than those allow (pathlen)"
        }
        Some(Flaw::NameConstraintViolation) => {
            "the server's certificate has a name that its authority may not sign for (name constraints)"
        }
        Some(Flaw::InvalidSerialNumber) => {
            "the server's certificate has a serial number that is not allowed: it is positive, of 20 bytes at most"
        }
        Some(Flaw::UnsupportedCriticalExtension) => {
            return certificate(&CertificateError::UnhandledCriticalExtension);
        }
        Some(other) => return unverifiable(other),
        None => return unverifiable(reason),
    };
    text.to_owned()
}

fn unverifiable(reason: &impl std::fmt::Debug) -> String {
    format!("the server's certificate cannot be verified ({reason:?})")
}

/// The names come from a certificate that nobody has verified.
fn other_name(expected: &str, presented: &[String]) -> String {
    const SHOWN: usize = 3;
    if presented.is_empty() {
        return format!("{OTHER_NAME}: it has none at all, for only a subjectAltName counts");
    }
    // `DnsName("example.com")`, `IpAddress(127.0.0.1)`
    let bare = |name: &String| {
        let name = name.split_once('(').map_or(name.as_str(), |(_, name)| name);
        name.trim_matches(['"', ')']).escape_debug().to_string()
    };
    let more = if presented.len() > SHOWN { ", ..." } else { "" };
    let names: Vec<_> = presented.iter().take(SHOWN).map(bare).collect();
    format!(
        "{OTHER_NAME}: {}{more}, and not {expected}, which 'servername' may change",
        names.join(", ")
    )
}

fn refusal(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::CertificateRequired => "the server wants a client certificate: give 'cert' and 'key'",
        AlertDescription::UnknownCA => "the server does not know who signed the client's certificate",
        AlertDescription::CertificateExpired => "the client's certificate has expired: renew it",
        AlertDescription::CertificateRevoked => "the client's certificate was revoked",
        AlertDescription::UnsupportedCertificate => {
            "the server refuses the client's certificate: is it for clients (extendedKeyUsage clientAuth)?"
        }
        // What older servers answer to a certificate that is missing or wrong.
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            "the server refuses the client's certificate, or wants one"
        }
        AlertDescription::HandshakeFailure => {
            "the server wants a client certificate, or has no algorithm in common with this client: \
             a certificate on curve P-521 cannot be verified"
        }
        AlertDescription::ProtocolVersion => "the server speaks neither TLS 1.2 nor TLS 1.3",
        AlertDescription::NoApplicationProtocol => NO_HTTP2,
        AlertDescription::UnrecognisedName => "the server does not know the name that it was called: set 'servername'",
        other => return format!("the server refuses the connection: {other:?}"),
    };
    text.to_owned()
}
