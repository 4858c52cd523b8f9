//! Watches and leases that take all the streams that a server allows: calls find another connection.

use std::mem::forget;
use std::time::Duration;

use silly_etcd::etcd::pb::{Event, KeyValue, LeaseGrantRequest, WatchResponse};
use silly_etcd::etcd::{CallOptions, State};
use tokio::spawn;
use tokio::time::{sleep, timeout};

use super::support::clock::{idle, run, until};
use super::support::{Call, Cluster, ONCE};
use super::{affirm, answer, confirm, get, keepalive, outcome, put, renew, serve, watch};

const PATIENT: CallOptions = CallOptions {
    timeout: Duration::from_secs(3600),
    ..ONCE
};

/// Long enough for whoever has to wait to do so.
async fn settle() {
    for _ in 0..50 {
        idle().await;
    }
}

#[test]
fn a_watch_that_takes_the_only_stream_starves_no_call() {
    run(async {
        let etcd = Cluster::limited(1, serve).await;
        let client = etcd.client(PATIENT);
        let _watcher = watch(&client).await.unwrap();
        // Time stands still: nobody waits.
        for _ in 0..3 {
            assert_eq!(outcome(put(&client).await), Ok(()));
            assert_eq!(outcome(get(&client).await), Ok(()));
            assert_eq!(outcome(keepalive(&client).await), Ok(()));
        }
        assert_eq!(etcd.seen()[0].stream, 1);
        let others: Vec<_> = etcd.seen()[1..].iter().map(|seen| seen.stream).collect();
        assert_eq!(others, (0..9).map(|call| 2 * call + 1).collect::<Vec<_>>());
    });
}

#[test]
fn nor_do_leases_and_watches_starve_each_other() {
    run(async {
        for leases_first in [false, true] {
            let etcd = Cluster::limited(1, |mut call: Call| async move {
                match call.method.as_str() {
                    "LeaseKeepAlive" => while renew(&mut call).await {},
                    _ => serve(call).await,
                }
            })
            .await;
            let client = etcd.client(PATIENT);
            let renewing = async {
                let request = LeaseGrantRequest::default();
                client.grant(request, true, &PATIENT).await.unwrap();
                until(async {
                    while !etcd.methods().iter().any(|method| method == "LeaseKeepAlive") {
                        sleep(Duration::from_millis(100)).await;
                    }
                })
                .await;
            };
            if leases_first {
                renewing.await;
                watch(&client).await.map(forget).unwrap();
            } else {
                watch(&client).await.map(forget).unwrap();
                renewing.await;
            }
            assert_eq!(outcome(put(&client).await), Ok(()));
        }
    });
}

#[test]
fn nor_one_that_waits_in_the_same_queue() {
    run(async {
        let (etcd, mut calls) = Cluster::manual_limited(1).await;
        let client = etcd.client(PATIENT);
        let [first, second, third] = [(); 3].map(|()| client.clone());
        let written = spawn(async move { put(&first).await });
        let call = calls.recv().await.unwrap();
        let watched = spawn(async move { watch(&second).await });
        settle().await;
        let read = spawn(async move { get(&third).await });
        settle().await;
        answer(call).await;
        let mut stream = calls.recv().await.unwrap();
        assert_eq!(stream.method, "Watch");
        // Before it is confirmed: it has its stream, and that is enough.
        answer(calls.recv().await.unwrap()).await;
        confirm(&mut stream).await;
        assert_eq!(
            (outcome(written.await.unwrap()), outcome(read.await.unwrap())),
            (Ok(()), Ok(()))
        );
        watched.await.unwrap().unwrap();
        let streams: Vec<_> = etcd.seen().iter().map(|seen| seen.stream).collect();
        assert_eq!(streams, [1, 3, 1]);
    });
}

#[test]
fn a_watch_resumes_there() {
    run(async {
        let script = |mut call: Call| async move {
            match call.method.as_str() {
                "Watch" if call.number == 0 => {
                    let watch_id = confirm(&mut call).await;
                    let kv = Some(KeyValue {
                        key: "key".into(),
                        mod_revision: 5,
                        ..KeyValue::default()
                    });
                    let event = Event { kv, ..Event::default() };
                    call.send(&WatchResponse {
                        watch_id,
                        events: vec![event],
                        ..WatchResponse::default()
                    });
                    call.wire.delivered().await;
                    call.wire.close();
                }
                "Range" => affirm(call).await,
                _ => serve(call).await,
            }
        };
        let etcd = Cluster::limited(1, script).await;
        let client = etcd.client(ONCE);
        let watcher = watch(&client).await.unwrap();
        let asked = |method| etcd.methods().iter().any(|seen| seen == method);
        let resumed = async {
            // It is asked whether the store is the same before it goes on.
            while !asked("Range") || watcher.status().state != State::Ready {
                sleep(Duration::from_millis(10)).await;
            }
        };
        until(timeout(Duration::from_secs(4), resumed)).await.unwrap();
    });
}
