//! How soon a watch goes on elsewhere: by the clock of the test, which only the client's own limits move.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::support::clock::{run, until};
use super::support::{Cluster, Fault, ONCE, client, listen, ports};
use super::{START, create, created, events, read, watching};

/// A way to `server` on which every connection so far falls silent for good once `freeze` is told.
async fn freezing(server: SocketAddr, freeze: Arc<Notify>) -> SocketAddr {
    let relay = move |_, mut socket: TcpStream| {
        let freeze = freeze.clone();
        async move {
            let mut server = TcpStream::connect(server).await.unwrap();
            tokio::select! {
                biased;
                () = freeze.notified() => std::future::pending().await,
                _ = copy_bidirectional(&mut socket, &mut server) => {}
            }
            let _ = socket.shutdown().await;
        }
    };
    listen(ports(1).await, relay)[0]
}

#[test]
fn w3_a_watch_goes_on_within_16_seconds_of_a_silent_cut() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let freeze = Arc::new(Notify::new());
        let client = client(&[freezing(etcd.addresses[0], freeze.clone()).await], ONCE);
        let (watcher, mut first, id) = watching(&client, &mut calls).await;
        first.send(&events(id, &[START]));
        assert_eq!(read(&watcher).await, [START]);
        freeze.notify_waiters();
        first.send(&events(id, &[START + 1]));

        let cut = Instant::now();
        let mut second = until(calls.recv()).await.unwrap();
        assert!(cut.elapsed() <= Duration::from_secs(16), "{:?}", cut.elapsed());
        let request = create(&mut second).await;
        assert_eq!(request.start_revision, START + 1);
        second.send(&created(request.watch_id));
        second.send(&events(request.watch_id, &[START + 1]));
        assert_eq!(read(&watcher).await, [START + 1]);
    });
}

#[test]
fn w3_a_watch_goes_on_within_two_seconds_of_the_end_of_its_member() {
    const ENDS: [Fault; 2] = [
        ("killed", |call| call.wire.close()),
        ("without a leader", |call| call.finish("14", "etcdserver: no leader")),
    ];
    run(async {
        for (name, end) in ENDS {
            let (etcd, mut calls) = Cluster::manual(3).await;
            let client = etcd.client(ONCE);
            let (watcher, mut first, _) = watching(&client, &mut calls).await;
            // A server without a leader says so only to whoever asks for one.
            assert_eq!(first.metadata["hasleader"], "true");
            end(&mut first);
            let ended = Instant::now();
            let mut second = until(calls.recv()).await.unwrap();
            assert!(ended.elapsed() <= Duration::from_secs(2), "{name}: {:?}", ended.elapsed());
            let id = create(&mut second).await.watch_id;
            second.send(&created(id));
            second.send(&events(id, &[START]));
            assert_eq!(read(&watcher).await, [START], "{name}");
        }
    });
}
