//! Whose certificate is trusted where DNS says who serves.

use std::net::SocketAddr;

use rustls::version::TLS13;
use silly_etcd::etcd::{Client, Code, Config, Pem, TlsConfig};

use super::server::{acceptor_of, certificates, terminate};
use super::support::dns::{NameServer, Zone};
use super::support::unary::{answer, get};
use super::support::{Cluster, ONCE};

/// A client of whatever server DNS has for `_etcd-client-ssl._tcp.example.test`: one at 127.0.0.1, outside of the domain,
/// and with a certificate for that address alone.
async fn client(dns: &NameServer, etcd: SocketAddr, server_name: Option<&str>) -> Client {
    let there = Zone::Served(60, vec![(1, 1, "127.0.0.1", etcd.port())]);
    dns.set("_etcd-client-ssl._tcp.example.test", there);
    Client::new(Config {
        options: ONCE,
        nameservers: vec![dns.address],
        tls: Some(TlsConfig {
            ca: Some(Pem::Path(
                certificates().join("leaf.pem").to_string_lossy().into_owned(),
            )),
            server_name: server_name.map(str::to_owned),
            ..TlsConfig::default()
        }),
        ..Config::new(vec!["srv://example.test".parse().unwrap()])
    })
}

#[tokio::test]
async fn a_host_outside_of_the_domain_is_not_trusted_by_its_own_name() {
    let etcd = Cluster::start(1, answer).await;
    let server = terminate(acceptor_of("leaf", &[&TLS13], &[b"h2"]), &etcd).await;
    let dns = NameServer::start().await;
    let error = get(&client(&dns, server, None).await).await.unwrap_err();
    assert_eq!(error.code, Code::Tls, "{error}");
    assert!(error.message.contains("example.test"), "{error}");
    assert!(etcd.seen().is_empty());
    get(&client(&dns, server, Some("127.0.0.1")).await).await.unwrap();
}
