//! Servers whose answers take long or do not come: who else is asked, and that late answers count.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use h2::Reason;
use tokio::time::{advance, sleep};

use super::scripted::{self, Answer, NOW, put, streams};
use super::support::ONCE;
use super::support::clock::{run, until};
use super::{THIRD, cluster, grant, renew, renewal};

#[test]
fn leases_live_on_a_line_where_each_answer_takes_three_seconds() {
    const TTLS: [i64; 5] = [5, 6, 7, 8, 9];
    run(async {
        for servers in [1, 3] {
            let etcd = scripted::cluster(servers, |_, _| Answer::After(Duration::from_secs(3))).await;
            let client = etcd.client(ONCE);
            scripted::grant(&client, &TTLS).await;
            until(sleep(Duration::from_secs(60))).await;
            for lease in TTLS {
                put(&client, lease).await.unwrap();
            }
            let streams: usize = streams(&etcd).values().sum();
            assert!(streams < 10, "{streams} streams");
        }
    });
}

#[test]
fn a_lease_lives_while_one_of_three_servers_answers() {
    run(async {
        for answering in 0..3 {
            let rule = move |server, _| if server == answering { NOW } else { Answer::Never };
            let etcd = scripted::cluster(3, rule).await;
            let client = etcd.client(ONCE);
            scripted::grant(&client, &[3, 9]).await;
            until(sleep(Duration::from_secs(60))).await;
            put(&client, 3).await.unwrap();
            put(&client, 9).await.unwrap();
            // Once one has answered, it is kept to.
            assert!(streams(&etcd).values().sum::<usize>() <= 4, "{:?}", streams(&etcd));
        }
    });
}

#[test]
fn an_answer_on_the_stream_that_was_left_counts_from_its_request() {
    run(async {
        let (etcd, mut calls) = cluster(2).await;
        let client = etcd.client(ONCE);
        let lease = grant(&client).await;
        let mut left = calls.recv().await.unwrap();
        assert_eq!(until(renewal(&mut left)).await, lease);
        let mut other = until(calls.recv()).await.unwrap();
        assert_ne!(left.server, other.server);
        assert_eq!(renewal(&mut other).await, lease);
        renew(&mut left, lease, 60);
        left.wire.delivered().await;
        // By now it would be over.
        advance(3 * THIRD).await;
        put(&client, lease).await.unwrap();
        advance(Duration::from_secs(60)).await;
        put(&client, lease).await.unwrap_err();
    });
}

#[test]
fn the_stream_that_was_left_ends_when_it_owes_nothing() {
    run(async {
        let (etcd, mut calls) = cluster(2).await;
        let client = etcd.client(ONCE);
        let lease = grant(&client).await;
        let mut left = calls.recv().await.unwrap();
        assert_eq!(until(renewal(&mut left)).await, lease);
        let mut other = until(calls.recv()).await.unwrap();
        assert_eq!(renewal(&mut other).await, lease);
        renew(&mut left, lease, 60);
        assert_eq!(left.abandoned().await, Some(Reason::CANCEL));
        // The other one is still the stream of all leases.
        let second = grant(&client).await;
        assert_eq!(until(renewal(&mut other)).await, second);
    });
}

#[test]
fn closing_the_client_ends_a_stream_that_was_left() {
    run(async {
        let (etcd, mut calls) = cluster(2).await;
        let client = etcd.client(ONCE);
        grant(&client).await;
        let mut left = calls.recv().await.unwrap();
        let mut other = until(calls.recv()).await.unwrap();
        client.close();
        assert_eq!(left.abandoned().await, Some(Reason::CANCEL));
        assert_eq!(other.abandoned().await, Some(Reason::CANCEL));
    });
}

#[test]
fn the_only_server_is_asked_again_on_another_stream() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let lease = grant(&client).await;
        let mut silent = calls.recv().await.unwrap();
        assert_eq!(until(renewal(&mut silent)).await, lease);
        let mut stream = until(calls.recv()).await.unwrap();
        assert_eq!(until(renewal(&mut stream)).await, lease);
        renew(&mut stream, lease, 60);
        stream.wire.delivered().await;
        advance(3 * THIRD).await;
        put(&client, lease).await.unwrap();
    });
}

#[test]
fn a_lease_that_one_server_never_answers_lives_by_another_while_the_rest_stay() {
    run(async {
        let first = Arc::new(OnceLock::new());
        let rule = move |server, ttl| match *first.get_or_init(|| server) == server {
            true if ttl == 9 => Answer::Never,
            _ => NOW,
        };
        let etcd = scripted::cluster(2, rule).await;
        let client = etcd.client(ONCE);
        scripted::grant(&client, &[3, 9]).await;
        until(sleep(Duration::from_secs(60))).await;
        put(&client, 3).await.unwrap();
        put(&client, 9).await.unwrap();
    });
}
