//! A renewal that the caller asks for.

use silly_etcd::etcd::pb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use silly_etcd::etcd::{CallOptions, Client, Code, Result};
use tokio::join;
use tokio::time::advance;

use super::support::ONCE;
use super::support::clock::run;
use super::{THIRD, TTL, cluster, renew, renew_all, renewal, streams};

#[test]
fn a_renewal_on_request_is_answered() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (answer, mut stream) = join!(kept(&client), async {
            let mut call = calls.recv().await.unwrap();
            renew_all(&mut call, 1).await;
            call.finish("0", "");
            calls.recv().await.unwrap()
        });
        assert_eq!((answer.as_ref().unwrap().id, answer.unwrap().ttl), (7, TTL));
        // From then on it is renewed in the background.
        advance(THIRD).await;
        assert_eq!(renew_all(&mut stream, 1).await, [7].into());
    });
}

#[test]
fn a_renewal_on_request_of_a_lease_that_is_gone_fails() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(CallOptions { retry: 3, ..ONCE });
        let (answer, ()) = join!(kept(&client), async {
            let mut call = calls.recv().await.unwrap();
            let id = renewal(&mut call).await;
            renew(&mut call, id, 0);
            call.finish("0", "");
        });
        let error = answer.unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::NotFound, "etcdserver: requested lease not found")
        );
        assert_eq!(streams(&etcd), 1);
    });
}

#[test]
fn a_renewal_on_request_of_another_lease_is_an_error() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (answer, ()) = join!(kept(&client), async {
            let mut call = calls.recv().await.unwrap();
            let id = renewal(&mut call).await;
            renew(&mut call, id + 1, TTL);
            call.finish("0", "");
        });
        assert_eq!(answer.unwrap_err().code, Code::Protocol);
    });
}

/// The answer to a renewal of lease 7, which is renewed in the background from then on.
async fn kept(client: &Client) -> Result<LeaseKeepAliveResponse> {
    client
        .keepalive(LeaseKeepAliveRequest { id: 7 }, Some(true), &ONCE)
        .await
        .map(|(answer, _)| answer)
}
