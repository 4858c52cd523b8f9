//! TLS that breaks with requests under way: whatever broke it, they may have been applied.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use silly_etcd::etcd::{Applied, Client, Code, Config, TlsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::support::clock::run;
use super::support::{Cluster, ONCE, config, listen, ports};
use super::{answer, get, outcome, put};

/// A certificate for nobody in particular, and its key.
const PEM: &[u8] = include_bytes!("server.pem");

/// Which direction has a wrong bit next.
const NEITHER: u8 = 0;
const REQUESTS: u8 = 1;
const ANSWERS: u8 = 2;

/// A way to `server` that speaks TLS.
async fn encrypted(server: SocketAddr) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(PEM).unwrap()],
            PrivateKeyDer::from_pem_slice(PEM).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let relay = move |_, socket: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            let mut server = connect(server).await;
            socket.set_nodelay(true).unwrap();
            if let Ok(mut socket) = acceptor.accept(socket).await {
                let _ = copy_bidirectional(&mut socket, &mut server).await;
            }
        }
    };
    listen(ports(1).await, relay)[0]
}

async fn connect(server: SocketAddr) -> TcpStream {
    let server = TcpStream::connect(server).await.unwrap();
    // The operating system does not know that the test's clock is fast.
    server.set_nodelay(true).unwrap();
    server
}

/// A way to `server` on which a bit of what comes next can be made wrong.
async fn garbling(server: SocketAddr, wrong: Arc<AtomicU8>) -> SocketAddr {
    let relay = move |_, client: TcpStream| {
        let wrong = wrong.clone();
        async move {
            client.set_nodelay(true).unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = connect(server).await.into_split();
            tokio::select! {
                () = pass(from_client, to_server, &wrong, REQUESTS) => {}
                () = pass(from_server, to_client, &wrong, ANSWERS) => {}
            }
        }
    };
    listen(ports(1).await, relay)[0]
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    wrong: &AtomicU8,
    direction: u8,
) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let turn = wrong.compare_exchange(direction, NEITHER, Ordering::Relaxed, Ordering::Relaxed);
        if turn.is_ok() {
            bytes[length - 1] ^= 1;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

#[test]
fn a_record_that_was_garbled_after_the_request_leaves_it_open_what_happened() {
    run(async {
        for direction in [REQUESTS, ANSWERS] {
            let etcd = Cluster::start(1, answer).await;
            let wrong = Arc::<AtomicU8>::default();
            let server = garbling(encrypted(etcd.addresses[0]).await, wrong.clone()).await;
            let client = Client::new(Config {
                tls: Some(TlsConfig {
                    insecure_skip_verify: true,
                    ..TlsConfig::default()
                }),
                ..config(&[server], ONCE)
            });
            put(&client).await.unwrap();
            wrong.store(direction, Ordering::Relaxed);
            let error = put(&client).await.unwrap_err();
            assert_eq!(
                (error.code, error.applied),
                (Code::Unavailable, Applied::Maybe),
                "{direction}: {error}"
            );
            assert_eq!(wrong.load(Ordering::Relaxed), NEITHER);
            assert_eq!(outcome(put(&client).await), Ok(()));
            wrong.store(direction, Ordering::Relaxed);
            assert_eq!(outcome(get(&client).await), Err((Code::Unavailable, Applied::No)));
        }
    });
}
