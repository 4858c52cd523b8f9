//! Services that DNS knows.

use std::time::Duration;

use silly_etcd::etcd::pb::{RangeRequest, RangeResponse, ResponseHeader};
use silly_etcd::etcd::{CallOptions, Client, Code, Config, TlsConfig};
use tokio::time::sleep;

use super::support::clock::{run, until};
use super::support::dns::{NameServer, Zone};
use super::support::unary::get;
use super::support::{Cluster, ONCE, address, ports};
use super::{asked, failed_writes, known, start, until_asked, until_known};

const PLAIN: &str = "_etcd-client._tcp.example.test";
const SSL: &str = "_etcd-client-ssl._tcp.example.test";

fn config(dns: &NameServer, options: CallOptions) -> Config {
    Config {
        options,
        nameservers: vec![dns.address],
        ..Config::new(vec!["srv://example.test".parse().unwrap()])
    }
}

/// A server with its priority.
fn target(etcd: &Cluster, place: usize, priority: u16) -> (u16, u16, &'static str, u16) {
    let host = ["a.example.test", "b.example.test", "c.example.test"][place];
    (priority, 1, host, etcd.addresses[place].port())
}

fn shown(etcd: &Cluster, place: usize) -> (String, &'static str) {
    let (_, _, host, port) = target(etcd, place, 0);
    (format!("{host}:{port}"), "srv")
}

#[test]
fn a_service_is_looked_up_with_the_first_call() {
    run(async {
        let (etcd, _) = start(2).await;
        let dns = NameServer::start().await;
        dns.set(
            PLAIN,
            Zone::Served(60, vec![target(&etcd, 0, 20), target(&etcd, 1, 10)]),
        );
        let client = Client::new(config(&dns, ONCE));
        assert_eq!(client.to_string(), "srv://example.test");
        assert!(dns.asked().is_empty());
        assert_eq!(asked(&client).await, 1);
        assert_eq!(known(&client), [shown(&etcd, 1), shown(&etcd, 0)]);
        assert_eq!(dns.asked(), [PLAIN]);
    });
}

#[test]
fn a_cluster_in_the_domain_has_records_of_its_own() {
    run(async {
        let (etcd, _) = start(1).await;
        let dns = NameServer::start().await;
        dns.set(
            "_etcd-client-blue._tcp.example.test",
            Zone::Served(60, vec![target(&etcd, 0, 1)]),
        );
        let client = Client::new(Config {
            endpoints: vec!["srv://example.test/blue".parse().unwrap()],
            ..config(&dns, ONCE)
        });
        assert_eq!(asked(&client).await, 0);
    });
}

#[test]
fn a_service_that_is_not_there_yet_is_waited_for_as_a_server_is() {
    run(async {
        let (etcd, _) = start(1).await;
        let dns = NameServer::start().await;
        let client = Client::new(config(&dns, ONCE));
        let error = until(get(&client)).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        assert_eq!(
            error.to_string(),
            format!("unavailable: DNS has no {PLAIN} (srv://example.test)")
        );
        dns.set(PLAIN, Zone::Broken);
        until(sleep(Duration::from_secs(10))).await;
        let error = until(get(&client)).await.unwrap_err();
        assert!(error.to_string().contains("SERVFAIL"), "{error}");

        let options = CallOptions {
            retry: 10,
            retry_sleep: Duration::from_secs(1),
            ..ONCE
        };
        let appears = async {
            sleep(Duration::from_secs(3)).await;
            dns.set(PLAIN, Zone::Served(60, vec![target(&etcd, 0, 1)]));
        };
        let request = RangeRequest::default();
        let (answered, ()) = until(async { tokio::join!(client.get(request, &options), appears) }).await;
        answered.unwrap();
    });
}

#[test]
fn dns_does_not_choose_whether_connections_are_encrypted() {
    run(async {
        let (etcd, _) = start(1).await;
        for (asked_for, there, tls, text) in [
            (
                SSL,
                PLAIN,
                Some(TlsConfig::default()),
                "and one of servers without TLS, which are not used",
            ),
            (PLAIN, SSL, None, "and one of servers with TLS: the client needs 'tls'"),
        ] {
            let dns = NameServer::start().await;
            dns.set(there, Zone::Served(60, vec![target(&etcd, 0, 1)]));
            let client = Client::new(Config {
                tls,
                ..config(&dns, ONCE)
            });
            let error = until(get(&client)).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("unavailable: DNS has no {asked_for}, {text} (srv://example.test)")
            );
        }
        assert!(etcd.seen().is_empty());
    });
}

#[test]
fn a_name_server_that_has_lost_the_records_takes_no_server_away() {
    run(async {
        let (etcd, _) = start(1).await;
        for lost in [Zone::Nowhere, Zone::Broken, Zone::Served(60, Vec::new())] {
            let dns = NameServer::start().await;
            dns.set(PLAIN, Zone::Served(1, vec![target(&etcd, 0, 1)]));
            let client = Client::new(config(&dns, ONCE));
            asked(&client).await;
            dns.set(PLAIN, lost);
            until(sleep(Duration::from_secs(100))).await;
            assert!(dns.asked().len() > 1);
            assert_eq!(known(&client), [shown(&etcd, 0)]);
            asked(&client).await;
        }
    });
}

#[test]
fn records_are_looked_up_again_when_they_are_no_longer_true() {
    run(async {
        let (etcd, _) = start(3).await;
        let dns = NameServer::start().await;
        dns.set(PLAIN, Zone::Served(60, vec![target(&etcd, 0, 1)]));
        let client = Client::new(config(&dns, ONCE));
        assert_eq!(asked(&client).await, 0);
        dns.set(PLAIN, Zone::Served(60, vec![target(&etcd, 1, 1)]));
        until(sleep(Duration::from_secs(50))).await;
        assert_eq!(known(&client), [shown(&etcd, 0)]);
        until_known(&client, &[shown(&etcd, 1)]).await;
        assert_eq!(asked(&client).await, 1);
    });
}

#[test]
fn records_are_looked_up_again_when_servers_fail() {
    run(async {
        let (etcd, script) = start(2).await;
        let dns = NameServer::start().await;
        dns.set(PLAIN, Zone::Served(3600, vec![target(&etcd, 0, 1)]));
        let client = Client::new(config(
            &dns,
            CallOptions {
                retry: 20,
                retry_sleep: Duration::from_secs(1),
                ..ONCE
            },
        ));
        assert_eq!(asked(&client).await, 0);
        script.lock().unwrap().refusing = vec![0];
        dns.set(PLAIN, Zone::Served(3600, vec![target(&etcd, 1, 1)]));
        // The same call gets there.
        assert_eq!(asked(&client).await, 1);
    });
}

#[test]
fn a_server_of_the_first_priority_is_returned_to() {
    run(async {
        let mut listeners = ports(2).await;
        let first = listeners.remove(0);
        let address = first.local_addr().unwrap();
        drop(first);
        let answer = |mut call: super::Call| async move {
            let header = ResponseHeader {
                member_id: call.server as u64 + 1,
                ..ResponseHeader::default()
            };
            call.reply(&RangeResponse {
                header: Some(header),
                ..RangeResponse::default()
            });
        };
        let second = Cluster::on(listeners, answer);
        let dns = NameServer::start().await;
        let there = vec![
            (1, 1, "a.example.test", address.port()),
            (2, 1, "b.example.test", second.addresses[0].port()),
        ];
        dns.set(PLAIN, Zone::Served(60, there));
        let client = Client::new(config(&dns, ONCE));
        assert_eq!(asked(&client).await, 0);
        assert_eq!(second.seen().len(), 1);
        let back = Cluster::on(vec![tokio::net::TcpListener::bind(address).await.unwrap()], answer);
        while back.seen().is_empty() {
            until(sleep(Duration::from_secs(1))).await;
            asked(&client).await;
        }
        let count = second.seen().len();
        until_asked(&client, 0).await;
        assert_eq!(second.seen().len(), count);
    });
}

#[test]
fn a_server_of_the_first_priority_that_does_not_write_is_left_for_longer_each_time() {
    run(async {
        let (etcd, script) = start(2).await;
        let dns = NameServer::start().await;
        dns.set(
            PLAIN,
            Zone::Served(60, vec![target(&etcd, 0, 10), target(&etcd, 1, 20)]),
        );
        let client = Client::new(config(&dns, ONCE));
        script.lock().unwrap().stalled = vec![0];
        let failed = failed_writes(&client, 60).await;
        assert!((1..10).contains(&failed), "{failed} of 60");
    });
}

#[test]
fn servers_stay_until_the_service_in_their_place_is_found() {
    run(async {
        let (etcd, _) = start(2).await;
        let dns = NameServer::start().await;
        let client = Client::new(Config {
            endpoints: vec![address(&etcd.addresses[0])],
            ..config(&dns, ONCE)
        });
        assert_eq!(asked(&client).await, 0);
        client
            .set_endpoints(vec!["srv://example.test".parse().unwrap()])
            .unwrap();
        for _ in 0..3 {
            assert_eq!(asked(&client).await, 0);
            until(sleep(Duration::from_secs(10))).await;
        }
        assert!(!dns.asked().is_empty());
        dns.set(PLAIN, Zone::Served(60, vec![target(&etcd, 1, 1)]));
        until_known(&client, &[shown(&etcd, 1)]).await;
        assert_eq!(asked(&client).await, 1);
    });
}

#[test]
fn a_server_beside_a_service_is_asked_while_that_is_not_found() {
    run(async {
        let (etcd, _) = start(1).await;
        let dns = NameServer::start().await;
        let client = Client::new(Config {
            endpoints: vec!["srv://example.test".parse().unwrap(), address(&etcd.addresses[0])],
            sync: Some(Duration::from_secs(10)),
            ..config(&dns, ONCE)
        });
        let began = tokio::time::Instant::now();
        assert_eq!(asked(&client).await, 0);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    });
}

#[test]
fn health_is_that_of_all_servers_that_are_found() {
    run(async {
        let (etcd, script) = start(2).await;
        script.lock().unwrap().refusing = vec![1];
        let dns = NameServer::start().await;
        dns.set(PLAIN, Zone::Served(60, vec![target(&etcd, 0, 1), target(&etcd, 1, 1)]));
        let client = Client::new(config(&dns, ONCE));
        let health = until(client.health(&ONCE)).await.unwrap();
        assert!(!health.healthy);
        let mut healthy: Vec<_> = health.endpoints.iter().map(|known| known.healthy).collect();
        healthy.sort_unstable();
        assert_eq!(healthy, [false, true]);
    });
}
