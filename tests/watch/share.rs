//! One stream carries all watches, and ends with them.

use h2::Reason;
use silly_etcd::etcd::pb::WatchResponse;
use silly_etcd::etcd::{Code, Readable};
use tokio::join;

use super::support::ONCE;
use super::support::clock::{run, until};
use super::{START, cancel, cluster, confirm, create, events, read, streams, watch, watching};

#[test]
fn all_watches_share_a_stream() {
    run(async {
        let (etcd, mut calls) = cluster(2).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream, id) = watching(&client, &mut calls).await;
        let mut watchers = vec![(watcher, id)];
        // More than wait between the hub and its stream.
        for _ in 0..100 {
            let (watcher, id) = join!(watch(&client), confirm(&mut stream));
            watchers.push((watcher.unwrap(), id));
        }
        for (i, (_, id)) in (START..).zip(&watchers) {
            stream.send(&events(*id, &[i]));
        }
        for (i, (watcher, _)) in (START..).zip(&watchers) {
            assert_eq!(read(watcher).await, [i]);
        }
        assert_eq!(streams(&etcd), 1);

        stream.wire.close();
        let mut stream = until(calls.recv()).await.unwrap();
        for (i, _) in (START..).zip(&watchers) {
            assert_eq!(create(&mut stream).await.start_revision, i);
        }
        assert_eq!(streams(&etcd), 2);
    });
}

#[test]
fn w8_the_stream_ends_with_the_last_watch() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (first, mut stream, id) = watching(&client, &mut calls).await;
        let (second, _) = join!(watch(&client), confirm(&mut stream));
        first.close();
        first.close();
        assert_eq!(cancel(&mut stream).await, id);
        assert_eq!(first.read().await.unwrap_err().code, Code::Closed);
        drop(second);
        assert_eq!(stream.abandoned().await, Some(Reason::CANCEL));
        // And the next one opens another.
        watching(&client, &mut calls).await;
    });
}

#[test]
fn closing_the_client_ends_every_watch() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream, id) = watching(&client, &mut calls).await;
        stream.send(&events(id, &[11]));
        stream.wire.delivered().await;
        client.close();
        assert_eq!(stream.abandoned().await, Some(Reason::CANCEL));
        // What had come can still be read.
        assert_eq!(read(&watcher).await, [11]);
        for _ in 0..2 {
            assert_eq!(watcher.read().await.unwrap_err().code, Code::Closed);
        }
        assert_eq!(watch(&client).await.err().unwrap().code, Code::Closed);
    });
}

#[test]
fn closing_the_client_ends_a_watch_in_the_making() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (answer, ()) = join!(watch(&client), async {
            let mut stream = calls.recv().await.unwrap();
            create(&mut stream).await;
            client.close();
        });
        assert_eq!(answer.err().unwrap().code, Code::Closed);
    });
}

#[test]
fn the_first_reason_of_an_end_stays() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream, watch_id) = watching(&client, &mut calls).await;
        stream.send(&WatchResponse {
            watch_id,
            canceled: true,
            compact_revision: 50,
            ..WatchResponse::default()
        });
        for _ in 0..2 {
            let error = watcher.read().await.unwrap_err();
            assert_eq!((error.code, error.compact_revision), (Code::Compacted, Some(50)));
            watcher.close();
        }
    });
}
