//! The client's certificate with its key. Whether a certificate is any good is for the server to say, and servers take
//! some that rustls would not, such as X.509 version 1. What is seen to here is that the key belongs to it.
//!
//! In: a certificate chain and a key. Out: both, ready to be shown.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::{Pem, Unusable};

/// The tag of the version, which certificates of version 1 leave out.
const VERSION: u8 = 0xa0;

/// What stands between the version and the public key: serial number, algorithm, issuer, validity, subject.
const BEFORE_KEY: usize = 5;

pub(super) fn read(certificate: &Pem, key: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, Unusable> {
    let chain = certificate
        .certificates()
        .map_err(|reason| Unusable::new("cert", reason))?;
    let key = key.key().map_err(|reason| Unusable::new("key", reason))?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        let reason = "it is damaged, or no RSA, Ed25519, or ECDSA key on curve P-256 or P-384";
        Unusable::new("key", reason)
    })?;
    if let Some(own) = key.public_key() {
        belongs(&own, &chain)?;
    }
    Ok(CertifiedKey::new(chain, key))
}

/// Is the first certificate that of the public key `own`?
fn belongs(own: &[u8], chain: &[CertificateDer<'_>]) -> Result<(), Unusable> {
    if chain
        .first()
        .is_none_or(|certificate| public_key(certificate).is_none())
    {
        return Err(Unusable::new("cert", "it holds a certificate that cannot be read"));
    }
    let is_own = |certificate: &CertificateDer<'_>| public_key(certificate) == Some(own);
    match chain.iter().position(is_own) {
        Some(0) => Ok(()),
        Some(_) => {
            let reason = "the certificate of 'key' must come first in it, and then those of who has signed it";
            Err(Unusable::new("cert", reason))
        }
        None => Err(Unusable::new("key", "it is not the key of the certificate in 'cert'")),
    }
}

/// The public key in a certificate, as it is encoded there.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate)?;
    let (mut fields, _) = element(certificate)?;
    let version = usize::from(*fields.first()? == VERSION);
    for _ in 0..version + BEFORE_KEY {
        fields = element(fields)?.1;
    }
    let (_, after) = element(fields)?;
    fields.get(..fields.len() - after.len())
}

/// The content of the element of DER that `der` begins with, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_, length], rest) = der.split_first_chunk()?;
    let (length, rest) = match length {
        0..0x80 => (length.into(), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            let add = |length: usize, digit: &u8| length.checked_mul(256)?.checked_add((*digit).into());
            (digits.iter().try_fold(0, add)?, rest)
        }
    };
    rest.split_at_checked(length)
}
