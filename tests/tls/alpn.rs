//! Which protocol is spoken above TLS: HTTP/2, also where nobody says so.

use silly_etcd::etcd::{Applied, Code};

use super::server::{acceptor, client, terminate};
use super::support::unary::{answer, put};
use super::support::{Cluster, ONCE};

const ALL: &[&rustls::SupportedProtocolVersion] = rustls::ALL_VERSIONS;

#[tokio::test]
async fn a_server_that_chooses_http2_is_served() {
    let etcd = Cluster::start(1, answer).await;
    let server = terminate(acceptor(ALL, &[b"http/1.1", b"h2"]), &etcd).await;
    put(&client(server, ONCE)).await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_chooses_no_protocol_is_served() {
    let etcd = Cluster::start(1, answer).await;
    let server = terminate(acceptor(ALL, &[]), &etcd).await;
    put(&client(server, ONCE)).await.unwrap();
}

#[tokio::test]
async fn a_server_without_http2_is_told_apart() {
    let etcd = Cluster::start(1, answer).await;
    let server = terminate(acceptor(ALL, &[b"http/1.1"]), &etcd).await;
    let error = put(&client(server, ONCE)).await.unwrap_err();
    assert_eq!((error.code, error.applied), (Code::Tls, Applied::No));
    assert!(error.to_string().contains("does not speak HTTP/2 (ALPN h2)"), "{error}");
}
