//! How soon a watch goes on elsewhere. Time stands still but where a test lets it pass, so whatever the client waited
//! for beyond that would never come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use silly_etcd::etcd::Code;
use silly_etcd::etcd::pb::WatchCreateRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::support::clock::{run, until};
use super::support::{Fault, ONCE, client, frames, listen, ports};
use super::{START, cluster, create, created, events, read, watching};

/// A way to `server` on which every connection falls silent for good once `freeze` is told.
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
        }
    };
    listen(ports(1).await, relay)[0]
}

#[test]
fn w3_a_watch_goes_on_15_seconds_after_a_silent_cut() {
    run(async {
        let (etcd, mut calls) = cluster(2).await;
        let freeze = Arc::new(Notify::new());
        let mut ways = Vec::new();
        for server in &etcd.addresses {
            ways.push(freezing(*server, freeze.clone()).await);
        }
        let client = client(&ways, ONCE);
        let (watcher, mut first, id) = watching(&client, &mut calls).await;
        first.send(&events(id, &[START]));
        assert_eq!(read(&watcher).await, [START]);
        freeze.notify_waiters();
        first.send(&events(id, &[START + 1]));

        // A ping after ten seconds of silence, and five for its answer.
        until(sleep(Duration::from_millis(15_100))).await;
        let mut second = calls.recv().await.unwrap();
        let request = create(&mut second).await;
        assert_eq!(request.start_revision, START);
        second.send(&created(request.watch_id));
        second.send(&events(request.watch_id, &[START + 1]));
        assert_eq!(read(&watcher).await, [START + 1]);
    });
}

#[test]
fn w3_a_watch_goes_on_at_once_when_its_member_is_killed_or_has_no_leader() {
    const ENDS: [Fault; 2] = [
        ("killed", |call| call.wire.close()),
        ("without a leader", |call| call.finish("14", "etcdserver: no leader")),
    ];
    run(async {
        for (name, end) in ENDS {
            let (etcd, mut calls) = cluster(3).await;
            let client = etcd.client(ONCE);
            let (watcher, mut first, _) = watching(&client, &mut calls).await;
            // A server without a leader says so only to whoever asks for one.
            assert_eq!(first.metadata["hasleader"], "true");
            end(&mut first);
            let mut second = calls.recv().await.unwrap();
            let id = create(&mut second).await.watch_id;
            second.send(&created(id));
            second.send(&events(id, &[START]));
            assert_eq!(read(&watcher).await, [START], "{name}");
        }
    });
}

#[test]
fn a_watch_lets_go_of_a_server_that_takes_no_message() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    run(async {
        let gone = Arc::new(Notify::new());
        let told = gone.clone();
        let serve = move |_, mut socket: TcpStream| {
            let gone = gone.clone();
            async move {
                let shut = frames::settings(Some((INITIAL_WINDOW_SIZE, 0)));
                socket.write_all(&shut).await.unwrap();
                let mut bytes = [0; 4096];
                while let Ok(1..) = socket.read(&mut bytes).await {}
                gone.notify_one();
            }
        };
        let address = listen(ports(1).await, serve)[0];
        let client = client(&[address], ONCE);
        let request = WatchCreateRequest {
            start_revision: START,
            ..WatchCreateRequest::default()
        };
        let ended = until(client.watch(request, &ONCE)).await;
        assert_eq!(ended.err().unwrap().code, Code::DeadlineExceeded);
        client.close();
        until(told.notified()).await;
    });
}
