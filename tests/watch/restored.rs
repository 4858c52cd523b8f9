//! A store that an older backup has taken the place of: a watch ends, and hands out nothing of the other history.

use std::time::Duration;

use silly_etcd::etcd::pb::{KeyValue, RangeRequest, RangeResponse};
use silly_etcd::etcd::{Client, Code, Error, Readable, Watcher};
use tokio::join;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::support::clock::{idle, run, until};
use super::support::{Call, Cluster, ONCE};
use super::{create, created, events, header, read, watch, watching};

/// What was seen before the break: a PUT at this revision.
const SEEN: i64 = 46;

/// A watch that has seen that, and whose stream has broken and been opened again.
async fn resumed(client: &Client, calls: &mut UnboundedReceiver<Call>) -> (Watcher, Call) {
    let (watcher, mut stream, id) = watching(client, calls).await;
    stream.send(&events(id, &[SEEN]));
    assert_eq!(read(&watcher).await, [SEEN]);
    stream.wire.close();
    let mut stream = until(calls.recv()).await.unwrap();
    let id = create(&mut stream).await.watch_id;
    stream.send(&created(id));
    stream.send(&events(id, &[SEEN, SEEN + 1]));
    (watcher, stream)
}

/// The next question, which is about the store.
async fn question(calls: &mut UnboundedReceiver<Call>) -> (Call, RangeRequest) {
    let mut call = until(calls.recv()).await.unwrap();
    assert_eq!(call.method, "Range");
    let request = call.request().await.unwrap();
    (call, request)
}

/// The answer of a store at this revision, with the key as it was put at `put`, if it is there.
fn store(revision: i64, put: Option<i64>) -> RangeResponse {
    let kv = |mod_revision| KeyValue {
        key: "key".into(),
        mod_revision,
        ..KeyValue::default()
    };
    RangeResponse {
        header: Some(header(revision)),
        kvs: put.map(kv).into_iter().collect(),
        ..RangeResponse::default()
    }
}

async fn end(watcher: &Watcher) -> Error {
    until(watcher.read()).await.unwrap_err()
}

#[test]
fn a_watch_goes_on_where_the_witness_is_as_it_was() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (watcher, _stream) = resumed(&client, &mut calls).await;
        let (mut call, request) = question(&mut calls).await;
        assert_eq!((&request.key[..], request.revision), (&b"key"[..], SEEN));
        assert!(!request.serializable);
        // Until that is answered nothing is handed out.
        for _ in 0..20 {
            idle().await;
        }
        assert!(watcher.take().is_none());
        call.reply(&store(SEEN + 5, Some(SEEN)));
        assert_eq!(read(&watcher).await, [SEEN + 1]);
    });
}

#[test]
fn a_watch_ends_where_the_witness_is_another() {
    run(async {
        for (name, answer) in [
            ("put at another revision", store(66, Some(6))),
            ("gone", store(66, None)),
            ("with another value", {
                let mut other = store(66, Some(SEEN));
                other.kvs[0].value = "other".into();
                other
            }),
        ] {
            let (etcd, mut calls) = Cluster::manual(1).await;
            let client = etcd.client(ONCE);
            let (watcher, _stream) = resumed(&client, &mut calls).await;
            question(&mut calls).await.0.reply(&answer);
            let error = end(&watcher).await;
            assert_eq!(
                (error.code, error.compact_revision),
                (Code::Compacted, Some(66)),
                "{name}"
            );
            assert!(error.message.contains("went back"), "{name}: {error}");
        }
    });
}

#[test]
fn a_watch_ends_where_the_store_has_gone_back() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (watcher, _stream) = resumed(&client, &mut calls).await;
        let (mut call, _) = question(&mut calls).await;
        call.finish("11", "etcdserver: mvcc: required revision is a future revision");
        let (mut call, request) = question(&mut calls).await;
        assert_eq!((&request.key[..], request.revision), (&b"key"[..], 0));
        call.reply(&store(7, None));
        assert_eq!(
            end(&watcher).await.to_string(),
            "compacted: the store went back from revision 46 to 7"
        );
    });
}

#[test]
fn a_store_that_is_written_on_while_it_is_asked_has_gone_back() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (watcher, _stream) = resumed(&client, &mut calls).await;
        let (mut call, _) = question(&mut calls).await;
        call.finish("11", "etcdserver: mvcc: required revision is a future revision");
        question(&mut calls).await.0.reply(&store(SEEN, Some(SEEN)));
        assert_eq!(
            end(&watcher).await.to_string(),
            "compacted: the store went back to before revision 46 and was written on to 46"
        );
    });
}

#[test]
fn of_a_witness_that_cannot_be_read_what_there_is_now_decides() {
    run(async {
        for (code, text) in [
            ("11", "etcdserver: mvcc: required revision has been compacted"),
            ("7", "etcdserver: permission denied"),
        ] {
            let other_value = {
                let mut other = store(SEEN + 9, Some(SEEN));
                other.kvs[0].value = "other".into();
                other
            };
            for (now, same) in [
                (store(SEEN, None), true),
                (store(SEEN + 9, Some(SEEN + 1)), true),
                (store(SEEN + 9, Some(SEEN)), true),
                (store(SEEN + 9, Some(SEEN - 1)), false),
                (store(SEEN - 1, None), false),
                (other_value, false),
            ] {
                let (etcd, mut calls) = Cluster::manual(1).await;
                let client = etcd.client(ONCE);
                let (watcher, _stream) = resumed(&client, &mut calls).await;
                question(&mut calls).await.0.finish(code, text);
                question(&mut calls).await.0.reply(&now);
                match same {
                    true => assert_eq!(read(&watcher).await, [SEEN + 1], "{text}"),
                    false => assert_eq!(end(&watcher).await.code, Code::Compacted, "{text}"),
                }
            }
        }
    });
}

#[test]
fn whoever_may_read_nothing_goes_on() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (watcher, _stream) = resumed(&client, &mut calls).await;
        for _ in 0..3 {
            question(&mut calls)
                .await
                .0
                .finish("7", "etcdserver: permission denied");
        }
        assert_eq!(read(&watcher).await, [SEEN + 1]);
    });
}

#[test]
fn a_server_that_cannot_say_is_left_for_another() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(2).await;
        let client = etcd.client(ONCE);
        let (watcher, first) = resumed(&client, &mut calls).await;
        question(&mut calls)
            .await
            .0
            .finish("14", "etcdserver: request timed out");
        let mut second = until(calls.recv()).await.unwrap();
        assert_ne!(second.server, first.server);
        let id = create(&mut second).await.watch_id;
        question(&mut calls).await.0.reply(&store(SEEN, Some(SEEN)));
        second.send(&created(id));
        second.send(&events(id, &[SEEN + 1]));
        assert_eq!(read(&watcher).await, [SEEN + 1]);
    });
}

#[test]
fn a_proxys_page_is_not_the_stores_word() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(2).await;
        let client = etcd.client(ONCE);
        let (watcher, first) = resumed(&client, &mut calls).await;
        let (mut call, _) = question(&mut calls).await;
        call.respond(403).send_data("forbidden".into(), true).unwrap();
        let mut second = until(calls.recv()).await.unwrap();
        assert_ne!(second.server, first.server);
        let id = create(&mut second).await.watch_id;
        question(&mut calls).await.0.reply(&store(SEEN, Some(SEEN)));
        second.send(&created(id));
        second.send(&events(id, &[SEEN + 1]));
        assert_eq!(read(&watcher).await, [SEEN + 1]);
    });
}

/// More than the time between two questions about a store behind a proxy.
const WHILE: Duration = Duration::from_secs(15);

#[test]
fn a_store_that_has_gone_back_behind_a_proxy_whose_stream_lives_on_is_noticed() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream) = join!(watch(&client), async {
            let mut stream = until(calls.recv()).await.unwrap();
            create(&mut stream).await;
            // A proxy gives out ids of its own.
            stream.send(&created(0));
            stream
        });
        let watcher = watcher.unwrap();
        stream.send(&events(0, &[SEEN]));
        assert_eq!(read(&watcher).await, [SEEN]);
        for _ in 0..2 {
            let (mut call, request) = until(timeout(WHILE, question(&mut calls))).await.unwrap();
            assert_eq!((&request.key[..], request.revision), (&b"key"[..], SEEN));
            call.reply(&store(SEEN, Some(SEEN)));
            // Which server a proxy is does not matter.
            let mut status = until(calls.recv()).await.unwrap();
            assert_eq!(status.method, "Status");
            status.finish("14", "no");
        }
        let (mut call, _) = until(timeout(WHILE, question(&mut calls))).await.unwrap();
        call.finish("14", "a proxy that has lost its server");
        until(calls.recv()).await.unwrap().finish("14", "no");
        let (mut call, _) = until(timeout(WHILE, question(&mut calls))).await.unwrap();
        call.reply(&store(SEEN - 1, None));
        assert_eq!(end(&watcher).await.code, Code::Compacted);
    });
}

#[test]
fn a_server_whose_streams_break_with_it_is_not_asked_about_its_store() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (_watcher, _stream, _) = watching(&client, &mut calls).await;
        let call = until(timeout(WHILE, calls.recv())).await.unwrap().unwrap();
        assert_eq!(call.method, "Status");
    });
}
