//! A server that speaks TLS, with certificates that `openssl` makes for the run, and a client of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use silly_etcd::etcd::{CallOptions, Client, Config, Pem, TlsConfig};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::support::{Cluster, ONCE, config, listen, ports};

/// Tries until it succeeds.
pub(crate) const PATIENT: CallOptions = CallOptions {
    retry: u32::MAX,
    retry_sleep: Duration::from_millis(10),
    ..ONCE
};

/// A folder with `NAME.pem` and `NAME.key`, each signed by itself, for the names `one`, `other` and `leaf`, of which the
/// last is no authority.
pub(crate) fn certificates() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificates");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, authority) in [("one", "TRUE"), ("other", "TRUE"), ("leaf", "FALSE")] {
            let made = Command::new("openssl")
                .current_dir(&folder)
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                    "-days",
                    "2",
                ])
                .args(["-subj", "/CN=one", "-addext", "subjectAltName=IP:127.0.0.1"])
                .args(["-addext", &format!("basicConstraints=critical,CA:{authority}")])
                .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
                .output();
            assert!(made.unwrap().status.success());
        }
        folder
    })
}

/// The servers' side of TLS.
pub(crate) fn acceptor(versions: &[&'static SupportedProtocolVersion], protocols: &[&[u8]]) -> TlsAcceptor {
    acceptor_of("one", versions, protocols)
}

/// The same with this certificate.
pub(crate) fn acceptor_of(
    certificate: &str,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> TlsAcceptor {
    let file = |kind| certificates().join(format!("{certificate}.{kind}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(file("pem")).unwrap()],
            PrivateKeyDer::from_pem_file(file("key")).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Has `acceptor` take off TLS in front of `etcd`, as a proxy does.
pub(crate) async fn terminate(acceptor: TlsAcceptor, etcd: &Cluster) -> SocketAddr {
    let behind = etcd.addresses[0];
    let serve = move |_, socket: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            // A client may break off.
            let Ok(mut socket) = acceptor.accept(socket).await else {
                return;
            };
            let mut behind = TcpStream::connect(behind).await.unwrap();
            let _ = copy_bidirectional(&mut socket, &mut behind).await;
        }
    };
    listen(ports(1).await, serve)[0]
}

/// A client that encrypts, and trusts whoever answers.
pub(crate) fn client(server: SocketAddr, options: CallOptions) -> Client {
    identified(server, options, None)
}

/// The same with a certificate and its key.
pub(crate) fn identified(server: SocketAddr, options: CallOptions, identity: Option<(Pem, Pem)>) -> Client {
    let tls = TlsConfig {
        insecure_skip_verify: true,
        identity,
        ..TlsConfig::default()
    };
    Client::new(Config {
        tls: Some(tls),
        ..config(&[server], options)
    })
}
