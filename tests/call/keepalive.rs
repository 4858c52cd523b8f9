//! A single renewal is a stream that is used as a call: its client's half stays open until the answer has come.

use std::time::Duration;

use silly_etcd::etcd::CallOptions;
use silly_etcd::etcd::pb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use tokio::join;
use tokio::time::Instant;

use super::support::clock::{idle, run, until};
use super::support::{Call, Cluster, ONCE};
use super::{keepalive, outcome, put, renew, serve};

#[test]
fn the_client_ends_its_half_after_the_answer() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (renewed, ended) = join!(keepalive(&client), async {
            let mut call = calls.recv().await.unwrap();
            renew(&mut call).await;
            // It has come, and nothing has come behind it.
            let ended = call.ended().await;
            call.finish("0", "");
            ended
        });
        assert_eq!((outcome(renewed), ended), (Ok(()), true));
    });
}

#[test]
fn not_before_it() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (renewed, ()) = join!(keepalive(&client), async {
            let mut call = calls.recv().await.unwrap();
            tokio::select! {
                biased;
                _ = call.ended() => panic!("ended before there was an answer"),
                () = async { for _ in 0..100 { idle().await; } } => {}
            }
            // What was read is gone.
            let header = None;
            call.send(&LeaseKeepAliveResponse { header, id: 7, ttl: 10 });
            call.finish("0", "");
        });
        assert_eq!(outcome(renewed), Ok(()));
    });
}

#[test]
fn a_server_that_never_ends_the_stream_delays_nobody() {
    run(async {
        let script = |mut call: Call| async move {
            match call.method.as_str() {
                "LeaseKeepAlive" => {
                    renew(&mut call).await;
                    call.abandoned().await;
                }
                _ => serve(call).await,
            }
        };
        let etcd = Cluster::limited(1, script).await;
        let client = etcd.client(CallOptions {
            timeout: Duration::from_secs(60),
            ..ONCE
        });
        // Time stands still.
        let renewed = client.keepalive(LeaseKeepAliveRequest { id: 7 }, None, &ONCE).await;
        assert_eq!(outcome(renewed), Ok(()));
        // The only stream is free again by the deadline of the renewal.
        let asked = Instant::now();
        assert_eq!(outcome(until(put(&client)).await), Ok(()));
        assert!(
            asked.elapsed() <= ONCE.timeout + Duration::from_millis(50),
            "{:?}",
            asked.elapsed()
        );
        let streams: Vec<_> = etcd.seen().iter().map(|seen| seen.stream).collect();
        assert_eq!(streams, [1, 3]);
    });
}
