//! The end of a client: it ends every call that is under way.

use std::time::Duration;

use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::join;

use super::support::clock::{idle, run};
use super::support::{Call, Cluster, ONCE, client, unreachable};
use super::{answer, get, outcome, put};

const CLOSED: Result<(), (Code, Applied)> = Err((Code::Closed, Applied::No));

#[test]
fn a_call_whose_request_was_sent_ends() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (put, get, ()) = join!(put(&client), get(&client), async {
            let _sent = [calls.recv().await, calls.recv().await];
            client.close();
        });
        assert_eq!(outcome(put), Err((Code::Closed, Applied::Maybe)));
        assert_eq!(outcome(get), CLOSED);
    });
}

#[test]
fn the_server_is_told() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (ended, ()) = join!(put(&client), async {
            let mut call = calls.recv().await.unwrap();
            client.close();
            call.abandoned().await.unwrap();
        });
        ended.unwrap_err();
    });
}

#[test]
fn a_call_that_connects_ends() {
    run(async {
        let (address, _full) = unreachable().await;
        let client = client(&[address], ONCE);
        let (ended, ()) = join!(put(&client), async { client.close() });
        assert_eq!(outcome(ended), CLOSED);
    });
}

#[test]
fn a_call_that_waits_for_its_next_attempt_ends() {
    run(async {
        let etcd = Cluster::start(
            1,
            |mut call: Call| async move { call.finish("14", "etcdserver: no leader") },
        )
        .await;
        let client = etcd.client(CallOptions {
            retry: 1,
            retry_sleep: Duration::from_secs(3600),
            ..ONCE
        });
        let (ended, ()) = join!(put(&client), async {
            // Long enough for the refusal to arrive: the pause alone would never end.
            for _ in 0..100 {
                idle().await;
            }
            client.close();
        });
        assert_eq!(ended.unwrap_err().code, Code::Closed);
        assert_eq!(etcd.methods().len(), 1);
    });
}

#[test]
fn a_closed_client_sends_nothing() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let client = etcd.client(ONCE);
        put(&client).await.unwrap();
        client.close();
        client.close();
        assert!(client.is_closed());
        assert_eq!(outcome(put(&client).await), CLOSED);
        assert_eq!(outcome(get(&client).await), CLOSED);
        assert_eq!(etcd.methods(), ["Put"]);
    });
}
