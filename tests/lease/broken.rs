//! Servers that fail while leases are renewed.

use std::time::Duration;

use h2::Reason;
use tokio::select;
use tokio::time::{advance, sleep};

use super::support::clock::{run, until};
use super::support::tap::Tap;
use super::support::{Fault, ONCE, client, frames};
use super::{THIRD, TTL, cluster, grant, renew_all, renewal};

#[test]
fn l1_a_silent_stream_is_replaced_by_one_to_another_server() {
    run(async {
        for answered in 0..2 {
            let (etcd, mut calls) = cluster(2).await;
            let client = etcd.client(ONCE);
            let lease = grant(&client).await;
            let mut silent = calls.recv().await.unwrap();
            for _ in 0..answered {
                advance(THIRD).await;
                renew_all(&mut silent, 1).await;
            }
            let mut stream = until(calls.recv()).await.unwrap();
            assert_ne!(stream.server, silent.server);
            for _ in 0..2 {
                assert_eq!(renew_all(&mut stream, 1).await, [lease].into());
                advance(THIRD).await;
            }
            assert_eq!(silent.abandoned().await, Some(Reason::CANCEL));
        }
    });
}

#[test]
fn l1_a_dead_connection_to_the_only_server_is_replaced_in_time() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let client = client(&[tap.address], ONCE);
        let lease = grant(&client).await;
        let mut stream = calls.recv().await.unwrap();
        advance(THIRD).await;
        assert_eq!(renew_all(&mut stream, 1).await, [lease].into());
        tap.forget();
        let mut stream = until(calls.recv()).await.unwrap();
        // It lives.
        assert_eq!(renew_all(&mut stream, 1).await, [lease].into());
    });
}

#[test]
fn l1_a_broken_stream_is_replaced_by_one_to_another_server() {
    const FAULTS: [Fault; 7] = [
        ("closed", |call| call.wire.close()),
        ("RST_STREAM", |call| call.reset(Reason::INTERNAL_ERROR)),
        ("RST_STREAM NO_ERROR", |call| call.reset(Reason::NO_ERROR)),
        ("GOAWAY", |call| call.wire.goaway(call.stream - 1, Reason::NO_ERROR)),
        ("half a frame", |call| {
            call.wire.write(&frames::data(call.stream, b"\0\0\0\0\x09half")[..12]);
            call.wire.close();
        }),
        ("no leader", |call| call.finish("14", "etcdserver: no leader")),
        ("the end", |call| call.finish("0", "")),
    ];
    run(async {
        for (name, fault) in FAULTS {
            let (etcd, mut calls) = cluster(2).await;
            let client = etcd.client(ONCE);
            let lease = grant(&client).await;
            let mut broken = calls.recv().await.unwrap();
            advance(THIRD).await;
            renew_all(&mut broken, 1).await;
            advance(THIRD).await;
            // This one stays unanswered.
            assert_eq!(renewal(&mut broken).await, lease, "{name}");
            fault(&mut broken);
            let mut stream = calls.recv().await.unwrap();
            assert_ne!(stream.server, broken.server, "{name}");
            assert_eq!(renew_all(&mut stream, 1).await, [lease].into(), "{name}");
        }
    });
}

#[test]
fn l2_a_lease_that_no_server_renewed_in_time_is_given_up() {
    run(async {
        let (etcd, mut calls) = cluster(2).await;
        let client = etcd.client(ONCE);
        let lost = grant(&client).await;
        let mut held = Vec::new();
        let silence = async {
            while let Some(call) = calls.recv().await {
                held.push(call);
            }
        };
        let life = sleep(Duration::from_secs(TTL.unsigned_abs()));
        until(async {
            select! {
                () = silence => {}
                () = life => {}
            }
        })
        .await;
        for mut call in held {
            // Nothing is left to renew. It may be noticed in the middle of a pause between two servers.
            until(call.abandoned()).await;
        }
        let alive = grant(&client).await;
        assert_ne!(lost, alive);
        // It may come in the middle of a pause between two servers.
        let mut stream = until(calls.recv()).await.unwrap();
        for _ in 0..2 {
            advance(THIRD).await;
            assert_eq!(renew_all(&mut stream, 1).await, [alive].into());
        }
    });
}
