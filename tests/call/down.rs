//! One server of three is down, in one way or another: calls hardly notice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use silly_etcd::etcd::CallOptions;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE, client, listen, ports, refusing};
use super::{answer, get, outcome, put};

/// Ports that accept each connection, counted, and close it at once or never say a word.
async fn dead(says_so: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let counted = Arc::<AtomicUsize>::default();
    let knocks = counted.clone();
    let serve = move |_, mut socket: TcpStream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut bytes = [0; 1024];
            while !says_so && socket.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
        }
    };
    (listen(ports(1).await, serve)[0], knocks)
}

/// Takes requests and answers none.
async fn hang(mut call: Call) {
    call.abandoned().await;
}

#[test]
fn c4_every_read_succeeds() {
    run(async {
        let etcd = Cluster::start(2, answer).await;
        let hanging = Cluster::start(1, hang).await;
        let (closing, silent) = (dead(true).await.0, dead(false).await.0);
        let refusing = refusing();
        for down in [refusing.local_addr().unwrap(), closing, silent, hanging.addresses[0]] {
            let servers = [down, etcd.addresses[0], etcd.addresses[1]];
            // Which server a client asks first is up to chance.
            for _ in 0..10 {
                let client = client(&servers, ONCE);
                for _ in 0..25 {
                    assert_eq!(outcome(until(get(&client)).await), Ok(()), "{down}");
                }
            }
        }
    });
}

#[test]
fn c6_it_costs_no_more_than_an_attempt_to_connect_per_second() {
    run(async {
        let etcd = Cluster::start(2, answer).await;
        for says_so in [true, false] {
            let (down, knocks) = dead(says_so).await;
            // The clock of this test may run ahead of the sockets.
            let patient = CallOptions {
                timeout: Duration::from_secs(3600),
                ..ONCE
            };
            let client = client(&[down, etcd.addresses[0], etcd.addresses[1]], patient);
            until(async {
                for _ in 0..600 {
                    assert_eq!(outcome(put(&client).await), Ok(()));
                    sleep(Duration::from_millis(100)).await;
                }
            })
            .await;
            let knocks = knocks.load(Ordering::Relaxed);
            assert!(knocks <= 60, "{knocks} in a minute");
        }
    });
}
