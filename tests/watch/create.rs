//! How a watch is made, or why it is not.

use std::pin::pin;
use std::time::Duration;

use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest, WatchResponse};
use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::join;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE, client, refusing};
use super::{cluster, create, created, denied, events, header, read, streams, watch, watching};

#[test]
fn a_watch_that_no_server_confirms_is_an_error_after_its_retries() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(CallOptions {
            timeout: Duration::from_millis(500),
            retry: 2,
            ..ONCE
        });
        let mut watch = pin!(until(watch(&client)));
        let mut stream = tokio::select! {
            stream = calls.recv() => stream.unwrap(),
            _ = &mut watch => panic!("it ended before it was asked for"),
        };
        let error = watch.await.err().unwrap();
        assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
        let mut asked = Vec::new();
        while let Some(request) = stream.request::<WatchRequest>().await {
            if let Some(RequestUnion::CreateRequest(create)) = request.request_union {
                asked.push(create.watch_id);
            }
        }
        assert_eq!(asked.len(), 3, "{asked:?}");
        asked.dedup();
        assert_eq!(asked.len(), 3);
    });
}

#[test]
fn a_watch_without_a_server_is_an_error_after_its_retries() {
    run(async {
        let dead = [refusing(), refusing()];
        let servers = dead.each_ref().map(|socket| socket.local_addr().unwrap());
        let client = client(&servers, CallOptions { retry: 2, ..ONCE });
        let error = until(watch(&client)).await.err().unwrap();
        assert_eq!((error.code, error.applied), (Code::Unavailable, Applied::No));
        assert_eq!(error.message, "connection refused");
    });
}

#[test]
fn w2_a_watch_from_now_on_starts_behind_the_revision_of_a_read() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let request = WatchCreateRequest {
            key: "key".into(),
            ..WatchCreateRequest::default()
        };
        let (watcher, ()) = join!(client.watch(request, &ONCE), async {
            let mut read = calls.recv().await.unwrap();
            let request = read.request::<RangeRequest>().await.unwrap();
            assert_eq!(
                (&request.key[..], request.count_only, request.serializable),
                (&b"key"[..], true, false)
            );
            read.reply(&RangeResponse {
                header: Some(header(41)),
                ..RangeResponse::default()
            });
            let mut stream = calls.recv().await.unwrap();
            let request = create(&mut stream).await;
            // Revision 42 may be compacted before the request is there.
            assert_eq!(request.start_revision, 0);
            // The server has moved on meanwhile; that changes nothing.
            stream.send(&WatchResponse {
                header: Some(header(50)),
                ..created(request.watch_id)
            });
            stream.wire.close();
            let mut stream = until(calls.recv()).await.unwrap();
            // One revision earlier: servers have lost the deletion at the very revision that was compacted.
            assert_eq!(create(&mut stream).await.start_revision, 41);
        });
        watcher.unwrap();
    });
}

#[test]
fn a_read_without_a_header_is_an_error() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move { call.reply(&RangeResponse::default()) }).await;
        let answer = etcd.client(ONCE).watch(WatchCreateRequest::default(), &ONCE).await;
        assert_eq!(answer.err().unwrap().code, Code::Protocol);
    });
}

#[test]
fn w5_a_denied_watch_leaves_the_others_alone() {
    run(async {
        for refused in [-1, 0, 2] {
            let (etcd, mut calls) = cluster(1).await;
            let client = etcd.client(CallOptions { retry: 3, ..ONCE });
            let (watcher, mut stream, id) = watching(&client, &mut calls).await;
            let (answer, ()) = join!(watch(&client), async {
                create(&mut stream).await;
                stream.send(&denied(refused));
            });
            let error = answer.err().unwrap();
            assert_eq!((error.code, error.applied), (Code::PermissionDenied, Applied::No));
            assert_eq!(error.message, "etcdserver: permission denied");
            stream.send(&events(id, &[11]));
            assert_eq!(read(&watcher).await, [11], "refused as {refused}");
            assert_eq!(streams(&etcd), 1);
        }
    });
}

#[test]
fn watches_that_are_made_at_once_are_sorted_out_though_the_server_keeps_no_ids() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (first, second, _stream) = join!(watch(&client), watch(&client), async {
            let mut stream = calls.recv().await.unwrap();
            create(&mut stream).await;
            create(&mut stream).await;
            stream.send(&created(0));
            let mut stream = calls.recv().await.unwrap();
            for id in [0, 1] {
                create(&mut stream).await;
                stream.send(&created(id));
            }
            stream
        });
        // Without a retry, and time stands still.
        first.unwrap();
        second.unwrap();
        assert_eq!(streams(&etcd), 2);
    });
}
