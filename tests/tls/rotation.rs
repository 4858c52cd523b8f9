//! The client's files while they are being replaced: what does not fit together is an error that passes.

use std::fs;
use std::path::{Path, PathBuf};

use silly_etcd::etcd::pb::RangeRequest;
use silly_etcd::etcd::{Applied, Code, Pem};

use super::server::{PATIENT, acceptor, certificates, identified, terminate};
use super::support::unary::{answer, outcome, put};
use super::support::{Cluster, ONCE};

/// A state that the files of a certificate and its key may be read in.
type State = (&'static str, fn(&Path));

const STATES: [State; 5] = [
    ("the certificate is new, the key is not", |folder| {
        fs::copy(certificates().join("other.pem"), folder.join("cert.pem")).unwrap();
    }),
    ("the key is new, the certificate is not", |folder| {
        fs::copy(certificates().join("other.key"), folder.join("cert.key")).unwrap();
    }),
    ("the key is gone", |folder| {
        fs::remove_file(folder.join("cert.key")).unwrap()
    }),
    ("the certificate is cut off", |folder| {
        let text = fs::read_to_string(folder.join("cert.pem")).unwrap();
        fs::write(folder.join("cert.pem"), &text[..text.len() / 2]).unwrap();
    }),
    ("the key is empty", |folder| {
        fs::write(folder.join("cert.key"), "").unwrap()
    }),
];

/// A folder with a pair that belongs together.
fn settle() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rotation");
    fs::create_dir_all(&folder).unwrap();
    for kind in ["pem", "key"] {
        let made = certificates().join(format!("one.{kind}"));
        fs::copy(made, folder.join(format!("cert.{kind}"))).unwrap();
    }
    folder
}

fn path(folder: &Path, name: &str) -> Pem {
    Pem::Path(folder.join(name).to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_pair_that_does_not_fit_at_the_moment_is_read_again() {
    let etcd = Cluster::start(1, answer).await;
    let server = terminate(acceptor(rustls::ALL_VERSIONS, &[b"h2"]), &etcd).await;
    for (name, replace) in STATES {
        let folder = settle();
        let pair = (path(&folder, "cert.pem"), path(&folder, "cert.key"));
        let client = identified(server, PATIENT, Some(pair));
        replace(&folder);
        let attempt = client.get(RangeRequest::default(), &ONCE).await;
        assert_eq!(outcome(attempt), Err((Code::Unavailable, Applied::No)), "{name}");
        settle();
        assert_eq!(outcome(put(&client).await), Ok(()), "{name}");
    }
}
