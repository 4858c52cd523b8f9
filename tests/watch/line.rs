//! Slow lines and servers that take their time: what is torn down and what is not, and what a watch says of itself.

use std::time::Duration;

use silly_etcd::etcd::{CallOptions, State};
use tokio::join;
use tokio::time::sleep;

use super::support::clock::{idle, run, until};
use super::support::{Cluster, ONCE};
use super::{START, cluster, create, created, events, read, streams, watch, watching};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn no_stream_is_torn_down_while_bytes_arrive_on_it() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(CallOptions {
            timeout: MINUTE,
            ..ONCE
        });
        let (first, mut stream, id) = watching(&client, &mut calls).await;
        let (second, ()) = join!(until(watch(&client)), async {
            let create = create(&mut stream).await;
            // A backlog of the first stands before the answer, for twenty seconds.
            for revision in START..START + 20 {
                stream.send(&events(id, &[revision]));
                sleep(Duration::from_secs(1)).await;
            }
            stream.send(&created(create.watch_id));
        });
        second.unwrap();
        assert_eq!(read(&first).await, [START]);
        assert_eq!(streams(&etcd), 1);
    });
}

#[test]
fn a_stream_on_which_nothing_comes_is_given_up() {
    run(async {
        let (etcd, mut calls) = cluster(2).await;
        let client = etcd.client(CallOptions {
            timeout: MINUTE,
            ..ONCE
        });
        let (_first, mut stream, _) = watching(&client, &mut calls).await;
        let (second, _stream) = join!(until(watch(&client)), async {
            create(&mut stream).await;
            let mut stream = calls.recv().await.unwrap();
            for _ in 0..2 {
                let id = create(&mut stream).await.watch_id;
                stream.send(&created(id));
            }
            stream
        });
        second.unwrap();
        assert_eq!(streams(&etcd), 2);
    });
}

#[test]
fn a_watch_tells_since_when_it_is_cut_off() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream, id) = watching(&client, &mut calls).await;
        stream.send(&events(id, &[START]));
        read(&watcher).await;
        let status = watcher.status();
        assert_eq!(
            (status.state, status.revision, status.lag),
            (State::Ready, START, Duration::ZERO)
        );
        assert_eq!(status.message, None);

        stream.finish("14", "etcdserver: no leader");
        let mut stream = until(calls.recv()).await.unwrap();
        until(sleep(Duration::from_millis(500))).await;
        let status = watcher.status();
        assert_eq!((status.state, status.revision), (State::Stale, START));
        assert!(status.lag >= Duration::from_millis(500), "{status:?}");
        assert!(status.message.unwrap().contains("etcdserver: no leader"));

        let id = create(&mut stream).await.watch_id;
        stream.send(&created(id));
        stream.send(&events(id, &[START + 1]));
        assert_eq!(read(&watcher).await, [START + 1]);
        assert_eq!(watcher.status().state, State::Ready);
        watcher.close();
        assert_eq!(watcher.status().state, State::Ended);
    });
}

#[test]
fn a_break_that_is_over_is_forgotten() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream, _) = watching(&client, &mut calls).await;
        for _ in 0..3 {
            stream.finish("14", "etcdserver: no leader");
            stream = loop {
                let call = until(calls.recv()).await.unwrap();
                if call.method == "Watch" {
                    break call;
                }
            };
            until(sleep(Duration::from_millis(500))).await;
            assert!(watcher.status().lag < Duration::from_secs(2), "{:?}", watcher.status());
            let id = create(&mut stream).await.watch_id;
            stream.send(&created(id));
            until(sleep(MINUTE)).await;
            let status = watcher.status();
            assert_eq!(
                (status.state, status.lag, status.message),
                (State::Ready, Duration::ZERO, None)
            );
        }
    });
}

#[test]
fn its_lag_counts_from_the_first_break() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream, _) = watching(&client, &mut calls).await;
        for _ in 0..5 {
            stream.finish("14", "etcdserver: no leader");
            stream = loop {
                let call = until(calls.recv()).await.unwrap();
                if call.method == "Watch" {
                    break call;
                }
            };
            until(sleep(Duration::from_secs(1))).await;
        }
        assert!(watcher.status().lag >= Duration::from_secs(5), "{:?}", watcher.status());
    });
}

#[test]
fn a_new_watch_does_not_wait_for_the_end_of_a_pause() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (_old, mut stream, _) = watching(&client, &mut calls).await;
        // The pauses between the attempts grow.
        for _ in 0..8 {
            stream.finish("14", "etcdserver: server stopped");
            stream = until(calls.recv()).await.unwrap();
        }
        stream.finish("14", "etcdserver: server stopped");
        stream.wire.delivered().await;
        for _ in 0..20 {
            idle().await;
        }
        // Time stands still now: only the new watch can have a stream opened.
        tokio::select! {
            watcher = watch(&client) => panic!("nobody has answered: {:?}", watcher.err()),
            stream = calls.recv() => drop(stream),
        }
    });
}
