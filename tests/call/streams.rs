//! When a long-lived stream looks for its next server.

use std::time::Duration;

use silly_etcd::etcd::CallOptions;
use tokio::join;
use tokio::time::sleep;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE};
use super::{confirm, watch};

#[test]
fn a_stream_that_has_proven_itself_is_followed_by_one_elsewhere_without_a_pause() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(2).await;
        let client = etcd.client(CallOptions { retry: 9, ..ONCE });
        let (watched, mut stream) = join!(until(watch(&client)), async {
            // Every server has failed before, some of them often.
            for _ in 0..6 {
                let mut refused: Call = calls.recv().await.unwrap();
                refused.finish("14", "etcdserver: no leader");
            }
            let mut stream = calls.recv().await.unwrap();
            confirm(&mut stream).await;
            stream
        });
        let _watcher = watched.unwrap();
        let server = stream.server;
        until(sleep(Duration::from_secs(2))).await;
        stream.finish("14", "etcdserver: no leader");
        // Time stands still: a pause would have no end.
        assert_ne!(calls.recv().await.unwrap().server, server);
    });
}
