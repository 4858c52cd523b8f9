//! Certificates and keys as the user gives them: a path of a PEM file, or its content.
//!
//! In: either of them. Out: what it holds, or what is wrong with it, in words that show nothing of a key: neither of
//! the content nor of a path that may be no path.

use std::{fs, io};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// A file, or its content.
#[derive(Clone)]
pub enum Pem {
    /// The path of a PEM file.
    Path(String),
    /// PEM text. It may be a key, so it is wiped when it is dropped.
    Text(Zeroizing<String>),
}

impl Pem {
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let pem = self.read().map_err(|error| format!("{}: {error}", self.name()))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(format!(
                "{} {}",
                self.name(),
                flaw(&pem, "BEGIN CERTIFICATE", "certificate")
            )),
        }
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        let pem = self.read().map_err(|error| format!("{}: {error}", self.kind()))?;
        let flaw = |_| format!("{} {}", self.kind(), flaw(&pem, "PRIVATE KEY", "private key"));
        PrivateKeyDer::from_pem_slice(&pem).map_err(flaw)
    }

    fn read(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match self {
            Self::Path(path) => {
                let content = fs::read(path).map(Zeroizing::new);
                content.map_err(|error| unreadable(&error, is_path(path)))
            }
            Self::Text(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        }
    }

    /// How a message names what should hold certificates. It may still be a key.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Path(path) if is_path(path) => path,
            _ => self.kind(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Path(_) => "the file",
            Self::Text(_) => "the text",
        }
    }
}

/// Is this certainly no key that has lost its first line? Base64 has no dot.
fn is_path(path: &str) -> bool {
    path.contains('.')
}

/// The operating system's texts end with an error number, which helps nobody.
fn unreadable(error: &io::Error, is_path: bool) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let hint = if is_path {
        ""
    } else {
        "; as text it would begin with '-----BEGIN'"
    };
    format!("{text}{hint}")
}

/// Why nothing with the `label` could be read from `pem`.
fn flaw(pem: &[u8], label: &str, kind: &str) -> String {
    let contains = |text: &str| pem.windows(text.len()).any(|part| part == text.as_bytes());
    if pem.trim_ascii().is_empty() {
        return "is empty".to_owned();
    }
    if !contains("-----BEGIN") {
        // A SEQUENCE of more than 127 bytes.
        let der = pem.starts_with(&[0x30, 0x81]) || pem.starts_with(&[0x30, 0x82]);
        let found = if der { "DER" } else { "something else" };
        return format!("holds {found}, and PEM is wanted: `openssl` converts one to the other");
    }
    if label == "PRIVATE KEY" && contains("ENCRYPTED") {
        return "holds a key that is encrypted: write it without a pass phrase, with `openssl pkey`".to_owned();
    }
    if contains(&format!("{label}-----")) {
        return format!("holds a {kind} that is cut off or damaged: PEM has line breaks, and ends with '-----END ...'");
    }
    let known = [
        "PRIVATE KEY",
        "PUBLIC KEY",
        "CERTIFICATE REQUEST",
        "TRUSTED CERTIFICATE",
        "CERTIFICATE",
    ];
    match known.iter().find(|label| contains(&format!("{label}-----"))) {
        Some(found) => format!("holds no {kind}, but a {}", found.to_lowercase()),
        None => format!("holds no {kind}"),
    }
}
