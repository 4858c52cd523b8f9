//! Renewal in the background: which leases, when, and on which stream.

use std::collections::BTreeSet;
use std::time::Duration;

use h2::Reason;
use silly_etcd::etcd::Client;
use silly_etcd::etcd::pb::{LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest};
use tokio::join;
use tokio::time::{advance, sleep};

use super::support::clock::{run, until};
use super::support::{Cluster, ONCE};
use super::{THIRD, TTL, cluster, grant, granted, renew, renew_all, renewal, streams};

async fn revoke(client: &Client, id: i64) {
    client.revoke(LeaseRevokeRequest { id }, &ONCE).await.unwrap();
}

#[test]
fn l1_one_stream_renews_all_leases() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let mut leases = BTreeSet::new();
        // More than wait between the keeper and its stream.
        for _ in 0..200 {
            leases.insert(grant(&client).await);
        }
        let mut stream = calls.recv().await.unwrap();
        for _ in 0..3 {
            advance(THIRD).await;
            assert_eq!(renew_all(&mut stream, leases.len()).await, leases);
        }
        assert_eq!(streams(&etcd), 1);
    });
}

#[test]
fn a_lease_that_nobody_wants_renewed_is_not() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        client.grant(LeaseGrantRequest::default(), false, &ONCE).await.unwrap();
        let renewed = grant(&client).await;
        let mut stream = calls.recv().await.unwrap();
        for _ in 0..2 {
            advance(THIRD).await;
            assert_eq!(renew_all(&mut stream, 1).await, [renewed].into());
        }
    });
}

#[test]
fn a_lease_that_the_server_does_not_know_is_renewed_no_longer() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (gone, alive) = (grant(&client).await, grant(&client).await);
        let mut stream = calls.recv().await.unwrap();
        advance(THIRD).await;
        for _ in 0..2 {
            let id = renewal(&mut stream).await;
            renew(&mut stream, id, if id == gone { 0 } else { TTL });
        }
        stream.wire.delivered().await;
        for _ in 0..2 {
            advance(THIRD).await;
            assert_eq!(renew_all(&mut stream, 1).await, [alive].into());
        }
    });
}

#[test]
fn a_revoked_lease_is_renewed_no_longer() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (revoked, alive) = (grant(&client).await, grant(&client).await);
        let mut stream = calls.recv().await.unwrap();
        revoke(&client, revoked).await;
        for _ in 0..2 {
            advance(THIRD).await;
            assert_eq!(renew_all(&mut stream, 1).await, [alive].into());
        }
    });
}

#[test]
fn the_stream_ends_with_the_last_lease() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let leases = [grant(&client).await, grant(&client).await];
        let mut stream = calls.recv().await.unwrap();
        for id in leases {
            revoke(&client, id).await;
        }
        assert_eq!(stream.abandoned().await, Some(Reason::CANCEL));
        // And the next one opens another.
        grant(&client).await;
        calls.recv().await.unwrap();
    });
}

#[test]
fn closing_the_client_ends_the_renewal() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        grant(&client).await;
        let mut stream = calls.recv().await.unwrap();
        advance(THIRD).await;
        renew_all(&mut stream, 1).await;
        client.close();
        assert_eq!(stream.abandoned().await, Some(Reason::CANCEL));
    });
}

#[test]
fn the_last_handle_ends_the_renewal() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let handle = client.clone();
        grant(&client).await;
        let mut stream = calls.recv().await.unwrap();
        drop(client);
        advance(THIRD).await;
        renew_all(&mut stream, 1).await;
        drop(handle);
        assert_eq!(stream.abandoned().await, Some(Reason::CANCEL));
    });
}

#[test]
fn l2_the_life_of_a_lease_is_counted_from_the_request() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (lease, ()) = join!(grant(&client), async {
            let mut call = calls.recv().await.unwrap();
            let request = call.request::<LeaseGrantRequest>().await.unwrap();
            advance(THIRD).await;
            call.reply(&granted(request.id));
        });
        // A third of it is over already.
        let mut stream = calls.recv().await.unwrap();
        assert_eq!(renewal(&mut stream).await, lease);
    });
}

#[test]
fn an_answer_for_a_lease_that_was_not_asked_for_changes_nothing() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let lease = grant(&client).await;
        let mut stream = calls.recv().await.unwrap();
        renew(&mut stream, lease, 0);
        renew(&mut stream, lease + 1, 1);
        renew(&mut stream, 0, -1);
        stream.wire.delivered().await;
        advance(THIRD).await;
        assert_eq!(renew_all(&mut stream, 1).await, [lease].into());
    });
}

#[test]
fn a_stream_waits_for_its_first_renewal() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (_, ()) = join!(grant(&client), async {
            let mut call = calls.recv().await.unwrap();
            let request = call.request::<LeaseGrantRequest>().await.unwrap();
            call.reply(&LeaseGrantResponse {
                ttl: 60,
                ..granted(request.id)
            });
        });
        until(sleep(Duration::from_secs(13))).await;
        assert!(streams(&etcd) <= 1, "{} streams", streams(&etcd));
    });
}
