//! When a long-lived stream looks for its next server.

use std::time::Duration;

use silly_etcd::etcd::{Client, State, Watcher};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};
use tokio::{join, select};

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE};
use super::{affirm, confirm, watch};

/// A stream that has lived for so long is trusted.
const PROVEN: Duration = Duration::from_secs(2);

/// The next stream. What a watch asks when it resumes is affirmed.
async fn next(calls: &mut UnboundedReceiver<Call>) -> Call {
    loop {
        let call = calls.recv().await.unwrap();
        if call.method == "Watch" {
            return call;
        }
        affirm(call).await;
    }
}

/// Confirms the watch on a stream, and waits until the client has heard it.
async fn confirmed(watcher: &Watcher, stream: &mut Call, calls: &mut UnboundedReceiver<Call>) {
    confirm(stream).await;
    while watcher.status().state != State::Ready {
        select! {
            Some(call) = calls.recv() => affirm(call).await,
            () = sleep(Duration::from_millis(1)) => {}
        }
    }
}

/// Begins a watch, and returns it with its stream.
async fn watched(client: &Client, calls: &mut UnboundedReceiver<Call>) -> (Watcher, Call) {
    let (watched, stream) = join!(watch(client), async {
        let mut stream = next(calls).await;
        confirm(&mut stream).await;
        stream
    });
    (watched.unwrap(), stream)
}

fn refuse(mut stream: Call) {
    stream.finish("14", "etcdserver: no leader");
}

#[test]
fn one_that_has_proven_itself_is_followed_by_one_elsewhere_without_a_pause() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(2).await;
        let client = etcd.client(ONCE);
        let (watcher, stream) = watched(&client, &mut calls).await;
        refuse(stream);
        until(async {
            // Every server has failed before, some of them often.
            for _ in 0..6 {
                refuse(next(&mut calls).await);
            }
            let mut stream = next(&mut calls).await;
            confirmed(&watcher, &mut stream, &mut calls).await;
            sleep(PROVEN).await;
            refuse(stream);
        })
        .await;
        // Time stands still: a pause would have no end.
        next(&mut calls).await;
    });
}

#[test]
fn one_that_was_slow_to_begin_has_not_proven_itself_by_that() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream) = watched(&client, &mut calls).await;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            refuse(stream);
            let began = Instant::now();
            stream = until(next(&mut calls)).await;
            pauses.push(began.elapsed());
            until(sleep(Duration::from_millis(700))).await;
            until(confirmed(&watcher, &mut stream, &mut calls)).await;
        }
        assert!(pauses[7] >= Duration::from_millis(500), "{pauses:?}");
    });
}

#[test]
fn those_that_live_for_a_moment_are_followed_by_others_without_growing_pauses() {
    run(async {
        // Something on the way cuts each connection after a while, and lets the next one in.
        const LIFE: Duration = Duration::from_millis(250);
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (watcher, mut stream) = watched(&client, &mut calls).await;
        // The pauses have grown before.
        for _ in 0..8 {
            refuse(stream);
            stream = until(next(&mut calls)).await;
        }
        until(confirmed(&watcher, &mut stream, &mut calls)).await;
        for _ in 0..20 {
            until(sleep(LIFE)).await;
            refuse(stream);
            let began = Instant::now();
            stream = until(next(&mut calls)).await;
            until(confirmed(&watcher, &mut stream, &mut calls)).await;
            assert!(began.elapsed() <= Duration::from_millis(50));
        }
    });
}

#[test]
fn one_that_has_not_is_followed_by_a_pause_once_all_have_failed() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (_watcher, mut stream) = watched(&client, &mut calls).await;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            refuse(stream);
            let began = Instant::now();
            stream = until(next(&mut calls)).await;
            confirm(&mut stream).await;
            pauses.push(began.elapsed());
        }
        // The first is spared, since a watch was new.
        assert!(pauses[1..].iter().all(|pause| !pause.is_zero()), "{pauses:?}");
        assert!(pauses[7] >= Duration::from_millis(500), "{pauses:?}");
    });
}
