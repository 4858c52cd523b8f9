//! How often a client knocks at the door of a server that does not let it in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use silly_etcd::etcd::pb::{LeaseKeepAliveRequest, WatchCreateRequest};
use silly_etcd::etcd::{CallOptions, Client, Code};
use tokio::join;
use tokio::time::timeout;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE, client, listen, ports};
use super::{get, put};

const MINUTE: Duration = Duration::from_secs(60);

/// Calls that want more than a dead server gives.
const EAGER: CallOptions = CallOptions {
    retry: u32::MAX,
    retry_sleep: Duration::from_millis(1),
    ..ONCE
};

/// Servers that close every connection at once, and how many each has counted.
async fn closing(servers: usize) -> (Vec<SocketAddr>, Arc<[AtomicUsize]>) {
    let knocks: Arc<[AtomicUsize]> = (0..servers).map(|_| AtomicUsize::new(0)).collect();
    let counted = knocks.clone();
    let serve = move |server: usize, socket| {
        counted[server].fetch_add(1, Ordering::Relaxed);
        async move { drop(socket) }
    };
    (listen(ports(servers).await, serve), knocks)
}

/// Calls of all kinds that never give up.
async fn insist(client: &Client) {
    let watch = WatchCreateRequest {
        start_revision: 1,
        ..WatchCreateRequest::default()
    };
    let renew = LeaseKeepAliveRequest { id: 1 };
    let _ = join!(
        put(client),
        put(client),
        get(client),
        get(client),
        client.watch(watch, &EAGER),
        client.keepalive(renew, None, &EAGER),
    );
}

#[test]
fn c12_dead_servers_are_asked_at_most_five_times_a_second() {
    run(async {
        for servers in [1, 3] {
            let (addresses, knocks) = closing(servers).await;
            let client = client(&addresses, EAGER);
            until(timeout(MINUTE, insist(&client))).await.unwrap_err();
            for knocks in knocks.iter() {
                let knocks = knocks.load(Ordering::Relaxed);
                assert!((60..=300).contains(&knocks), "{knocks} of {servers} servers");
            }
        }
    });
}

#[test]
fn c12_an_error_of_the_server_opens_no_connection() {
    run(async {
        let refuse = |mut call: Call| async move { call.finish("3", "etcdserver: key is not provided") };
        let etcd = Cluster::start(1, refuse).await;
        let client = etcd.client(ONCE);
        for _ in 0..1000 {
            assert_eq!(put(&client).await.unwrap_err().code, Code::InvalidArgument);
        }
        // A new connection would count from 1 again.
        let streams: Vec<_> = etcd.seen().iter().map(|seen| seen.stream).collect();
        assert!(streams.iter().copied().eq((0..1000).map(|number| 2 * number + 1)));
    });
}
