//! A reader that is slower than the server.

use bytes::Bytes;
use h2::Reason;
use silly_etcd::etcd::Readable;
use silly_etcd::etcd::pb::WatchResponse;
use tokio::join;

use super::support::ONCE;
use super::support::clock::run;
use super::{START, cancel, cluster, confirm, create, created, events, read, revisions, watch, watching};

/// An event whose value is a MiB.
fn large(id: i64, revision: i64) -> WatchResponse {
    let mut response = events(id, &[revision]);
    for event in &mut response.events {
        event.kv.as_mut().unwrap().value = Bytes::from(vec![0; 1 << 20]);
    }
    response
}

#[test]
fn w6_a_watch_that_nobody_reads_is_taken_off_the_server_until_somebody_does() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (slow, mut stream, id) = watching(&client, &mut calls).await;
        let (quick, other) = join!(watch(&client), confirm(&mut stream));
        let quick = quick.unwrap();
        for revision in 10..18 {
            stream.send(&large(id, revision));
        }
        assert_eq!(cancel(&mut stream).await, id);
        stream.send(&events(other, &[18]));
        assert_eq!(read(&quick).await, [18]);

        let mut next = START;
        let request = loop {
            let request = tokio::select! {
                biased;
                response = slow.read() => {
                    assert_eq!(revisions(&response.unwrap()), [next]);
                    next += 1;
                    continue;
                }
                request = create(&mut stream) => request,
            };
            break request;
        };
        assert!(next < 18, "all eight MiB were kept");
        assert_eq!(request.start_revision, next - 1);
        assert_ne!(request.watch_id, id);
        stream.send(&created(request.watch_id));
        stream.send(&large(request.watch_id, next));
        assert_eq!(read(&slow).await, [next]);
    });
}

#[test]
fn w6_a_stream_whose_watches_are_all_full_is_given_up_until_one_is_read() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (slow, mut stream, id) = watching(&client, &mut calls).await;
        for revision in 10..18 {
            stream.send(&large(id, revision));
        }
        assert_eq!(stream.abandoned().await, Some(Reason::CANCEL));
        let mut next = START;
        let mut stream = loop {
            tokio::select! {
                biased;
                response = slow.read() => {
                    assert_eq!(revisions(&response.unwrap()), [next]);
                    next += 1;
                }
                stream = calls.recv() => break stream.unwrap(),
            }
        };
        assert_eq!(create(&mut stream).await.start_revision, next - 1);
    });
}
