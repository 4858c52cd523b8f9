//! A stream that breaks: each of its watches goes on where it stood.

use h2::Reason;
use http::HeaderMap;
use silly_etcd::etcd::pb::WatchResponse;
use tokio::join;

use super::support::clock::{idle, run, until};
use super::support::{Call, Cluster, Fault, ONCE, frames};
use super::{START, affirm, cluster, confirm, create, created, events, header, read, streams, watch, watching};

/// The server's answers to a watch, each with the revision from which to go on once it has arrived.
fn answers(id: i64) -> [(WatchResponse, i64); 6] {
    let fragment = |response| WatchResponse {
        fragment: true,
        ..response
    };
    let progress = WatchResponse {
        watch_id: id,
        header: Some(header(14)),
        ..WatchResponse::default()
    };
    [
        (created(id), START),
        (events(id, &[10, 11]), 12),
        (fragment(events(id, &[12])), 12),
        (events(id, &[12, 13]), 14),
        (progress, 15),
        (events(id, &[15]), 16),
    ]
}

#[test]
fn w2_a_stream_cut_anywhere_is_resumed_elsewhere_without_a_gap_or_a_repetition() {
    const HISTORY: [i64; 7] = [10, 11, 12, 12, 13, 15, 16];
    run(async {
        let mut length = 0;
        loop {
            let (etcd, mut calls) = cluster(2).await;
            let client = etcd.client(ONCE);
            let (seen, last) = join!(
                async {
                    let watcher = watch(&client).await.unwrap();
                    let mut seen = Vec::new();
                    while seen.last() != HISTORY.last() {
                        seen.extend(read(&watcher).await);
                    }
                    seen
                },
                async {
                    let mut first = calls.recv().await.unwrap();
                    let request = create(&mut first).await;
                    assert_eq!(request.start_revision, START);
                    let mut whole = frames::headers(first.stream);
                    let mut expected = START;
                    let confirmation =
                        whole.len() + frames::data(1, &frames::message(&created(request.watch_id))).len();
                    for (message, next) in answers(request.watch_id) {
                        whole.extend(frames::data(first.stream, &frames::message(&message)));
                        if whole.len() <= length {
                            expected = next;
                        }
                    }
                    first.wire.write(&whole[..length]);
                    first.wire.close();

                    let mut second = calls.recv().await.unwrap();
                    assert_ne!(second.server, first.server);
                    let request = create(&mut second).await;
                    // It asks for one revision more than it needs, except for a watch that was never confirmed.
                    let confirmed = i64::from(length >= confirmation);
                    assert_eq!(request.start_revision, expected - confirmed, "after {length} bytes");
                    second.send(&created(request.watch_id));
                    let rest: Vec<_> = HISTORY.into_iter().filter(|&revision| revision >= expected).collect();
                    second.send(&events(request.watch_id, &rest));
                    second.wire.delivered().await;
                    length == whole.len()
                }
            );
            assert_eq!(seen, HISTORY, "after {length} bytes");
            if last {
                break;
            }
            length += 1;
        }
    });
}

/// The ways in which a stream ends that was alive.
const FAULTS: [Fault; 10] = [
    ("closed", |call| call.wire.close()),
    ("RST_STREAM CANCEL", |call| call.reset(Reason::CANCEL)),
    ("RST_STREAM NO_ERROR", |call| call.reset(Reason::NO_ERROR)),
    ("RST_STREAM REFUSED_STREAM", |call| call.reset(Reason::REFUSED_STREAM)),
    ("GOAWAY", |call| {
        call.wire.goaway(call.stream - 1, Reason::ENHANCE_YOUR_CALM)
    }),
    ("GOAWAY that covers it, then closed", |call| {
        call.wire.goaway(call.stream, Reason::NO_ERROR);
        call.wire.close();
    }),
    ("no leader", |call| call.finish("14", "etcdserver: no leader")),
    ("an error without a passing cause", |call| {
        call.finish("7", "etcdserver: permission denied")
    }),
    ("the end", |call| call.finish("0", "")),
    ("no protobuf", |call| call.body(&b"\0\0\0\0\x04\xff\xff\xff\xff"[..])),
];

#[test]
fn w2_a_stream_that_ends_is_replaced() {
    run(async {
        for servers in 1..=2 {
            for (name, fault) in FAULTS {
                let (etcd, mut calls) = cluster(servers).await;
                let client = etcd.client(ONCE);
                let (watcher, mut first, id) = watching(&client, &mut calls).await;
                first.send(&events(id, &[12]));
                assert_eq!(read(&watcher).await, [12], "{name}");
                fault(&mut first);

                let mut second = until(calls.recv()).await.unwrap();
                assert_eq!(second.server == first.server, servers == 1, "{name}");
                let request = create(&mut second).await;
                assert_eq!(request.start_revision, 12, "{name}");
                second.send(&created(request.watch_id));
                second.send(&events(request.watch_id, &[14]));
                assert_eq!(read(&watcher).await, [14], "{name}");
            }
        }
    });
}

#[test]
fn w2_a_watch_outlives_an_outage() {
    run(async {
        let (etcd, mut calls) = cluster(2).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream, _) = watching(&client, &mut calls).await;
        for _ in 0..20 {
            stream.finish("14", "etcdserver: no leader");
            stream = until(calls.recv()).await.unwrap();
        }
        let id = confirm(&mut stream).await;
        stream.send(&events(id, &[10]));
        assert_eq!(read(&watcher).await, [10]);
    });
}

#[test]
fn w2_a_watch_outlives_a_broken_status() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (_watcher, mut first, _) = watching(&client, &mut calls).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "14".parse().unwrap());
        trailers.insert("grpc-status-details-bin", "?".parse().unwrap());
        first.trailers(trailers);
        until(calls.recv()).await.unwrap();
    });
}

#[test]
fn servers_that_break_every_stream_are_not_asked_in_a_hurry() {
    run(async {
        let etcd = Cluster::start(2, |mut call: Call| async move {
            if call.method == "Range" {
                return affirm(&mut call).await;
            }
            confirm(&mut call).await;
            call.finish("14", "etcdserver: server stopped");
        })
        .await;
        let client = etcd.client(ONCE);
        let _watcher = watch(&client).await.unwrap();
        // Time stands still meanwhile.
        for _ in 0..200 {
            idle().await;
        }
        let streams = streams(&etcd);
        assert!(streams <= 4, "{streams} streams at once");
    });
}
