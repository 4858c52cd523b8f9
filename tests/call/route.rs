//! Which server is asked, how often, and when.

use std::pin::pin;
use std::time::Duration;

use h2::Reason;
use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse};
use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE, address, client, listen, ports};
use super::{answer, get, outcome, put};

const HOUR: Duration = Duration::from_secs(3600);

async fn refuse(mut call: Call) {
    call.finish("14", "etcdserver: no leader");
}

#[test]
fn every_server_is_asked_once_and_then_retry_times_more() {
    run(async {
        for servers in 1..=3 {
            for retry in 0..=3 {
                let etcd = Cluster::start(servers, refuse).await;
                let options = CallOptions { retry, ..ONCE };
                let error = put(&etcd.client(options)).await.unwrap_err();
                let count = servers + retry as usize;
                assert_eq!(error.to_string(), {
                    let last = etcd.seen().last().unwrap().server;
                    let count = if count == 1 {
                        String::new()
                    } else {
                        format!(", after {count} attempts")
                    };
                    format!("unavailable: etcdserver: no leader ({}){count}", etcd.addresses[last])
                });
                let attempts = error.attempts.unwrap();
                assert_eq!((attempts.count as usize, attempts.causes.len()), (count, servers));
                let order: Vec<_> = etcd.seen().iter().map(|seen| seen.server).collect();
                assert_eq!(order.len(), count);
                // They take turns.
                assert!(
                    order.windows(2).all(|pair| pair[1] == (pair[0] + 1) % servers),
                    "{order:?}"
                );
            }
        }
    });
}

/// The first word of a server that speaks TLS only.
const ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46";

#[test]
fn a_server_that_cannot_be_talked_to_does_not_end_the_retries() {
    run(async {
        let mute = |_, mut socket: TcpStream| async move { socket.write_all(ALERT).await.unwrap() };
        let alien = listen(ports(1).await, mute)[0];
        let options = CallOptions { retry: 5, ..ONCE };
        // Which server a client asks first is up to chance.
        for _ in 0..10 {
            let etcd = Cluster::start(1, |call: Call| async move {
                match call.number {
                    0 | 1 => refuse(call).await,
                    _ => answer(call).await,
                }
            })
            .await;
            let client = client(&[alien, etcd.addresses[0]], options.clone());
            assert_eq!(outcome(until(put(&client)).await), Ok(()));
        }
        let error = put(&client(&[alien], options)).await.unwrap_err();
        assert_eq!(error.code, Code::Tls, "nothing is left to hope for");
    });
}

#[test]
fn c6_other_servers_are_asked_without_a_pause() {
    run(async {
        let etcd = Cluster::start(3, |call: Call| async move {
            match call.number {
                0 | 1 => refuse(call).await,
                _ => answer(call).await,
            }
        })
        .await;
        let options = CallOptions {
            retry: 1,
            retry_sleep: HOUR,
            ..ONCE
        };
        // It would never end with a pause, for time stands still.
        assert_eq!(outcome(put(&etcd.client(options)).await), Ok(()));
        assert_eq!(etcd.methods().len(), 3);
    });
}

#[test]
fn a_pause_comes_before_each_further_attempt() {
    run(async {
        let etcd = Cluster::start(2, refuse).await;
        let pause = Duration::from_secs(1);
        let options = CallOptions {
            retry: 2,
            retry_sleep: pause,
            ..ONCE
        };
        until(put(&etcd.client(options))).await.unwrap_err();
        let at: Vec<_> = etcd.seen().iter().map(|seen| seen.at).collect();
        assert_eq!(at.len(), 4);
        assert!(at[2] >= at[1] + pause && at[3] >= at[2] + pause);
    });
}

#[test]
fn c6_the_server_that_answered_is_asked_first() {
    run(async {
        let etcd = Cluster::start(3, |call: Call| async move {
            match call.number {
                0 => refuse(call).await,
                _ => answer(call).await,
            }
        })
        .await;
        let client = etcd.client(ONCE);
        for _ in 0..4 {
            get(&client).await.unwrap();
        }
        let order: Vec<_> = etcd.seen().iter().map(|seen| seen.server).collect();
        let answered = order[1];
        assert_ne!(order[0], answered);
        assert_eq!(order[1..], [answered; 4]);
    });
}

#[test]
fn c6_the_write_after_a_lost_one_goes_elsewhere() {
    run(async {
        let etcd = Cluster::start(2, |mut call: Call| async move {
            match call.number {
                0 => call.finish("14", "etcdserver: request timed out"),
                _ => answer(call).await,
            }
        })
        .await;
        let client = etcd.client(ONCE);
        assert_eq!(put(&client).await.unwrap_err().applied, Applied::Maybe);
        put(&client).await.unwrap();
        let order: Vec<_> = etcd.seen().iter().map(|seen| seen.server).collect();
        assert_ne!(order[0], order[1]);
    });
}

#[test]
fn a_server_that_said_no_has_answered_too() {
    run(async {
        let etcd = Cluster::start(2, |mut call: Call| async move {
            match call.number {
                0 => refuse(call).await,
                _ => call.finish("9", "etcdserver: role name not found"),
            }
        })
        .await;
        let client = etcd.client(ONCE);
        for _ in 0..2 {
            assert_eq!(get(&client).await.unwrap_err().code, Code::FailedPrecondition);
        }
        let order: Vec<_> = etcd.seen().iter().map(|seen| seen.server).collect();
        assert_eq!(order[1..], [order[1]; 2]);
    });
}

#[test]
fn calls_share_a_connection_and_a_broken_one_is_replaced() {
    run(async {
        let etcd = Cluster::start(1, |call: Call| async move {
            let (number, wire) = (call.number, call.wire.clone());
            answer(call).await;
            if number == 1 {
                wire.goaway(u32::MAX >> 1, Reason::NO_ERROR);
                wire.close();
            }
        })
        .await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        let mut streams = Vec::new();
        for _ in 0..4 {
            put(&client).await.unwrap();
            streams.push(etcd.seen().last().unwrap().stream);
        }
        assert_eq!(streams, [1, 3, 1, 3]);
    });
}

/// A write on a connection that a watch keeps open, but that takes no more requests.
async fn put_beside_a_watch(options: CallOptions) -> Result<(), (Code, Applied)> {
    let (etcd, mut calls) = Cluster::manual(1).await;
    let client = etcd.client(options);
    let request = WatchCreateRequest {
        key: "key".into(),
        start_revision: 1,
        ..WatchCreateRequest::default()
    };
    let (watcher, watch) = tokio::join!(client.watch(request, &ONCE), async {
        let mut watch = calls.recv().await.unwrap();
        let request = watch.request::<WatchRequest>().await.unwrap().request_union;
        let Some(RequestUnion::CreateRequest(create)) = request else {
            panic!("not a create: {request:?}");
        };
        watch.send(&WatchResponse {
            watch_id: create.watch_id,
            created: true,
            ..WatchResponse::default()
        });
        watch
    });
    let _watcher = watcher.unwrap();
    watch.wire.goaway(watch.stream, Reason::NO_ERROR);
    watch.wire.delivered().await;
    let mut written = pin!(put(&client));
    outcome(tokio::select! {
        written = &mut written => written,
        Some(call) = calls.recv() => {
            assert_ne!(call.method, "Watch");
            answer(call).await;
            written.await
        }
    })
}

#[test]
fn c3_a_write_that_its_connection_hands_back_is_sent_on_another() {
    run(async {
        assert_eq!(put_beside_a_watch(CallOptions { retry: 1, ..ONCE }).await, Ok(()));
    });
}

#[test]
fn c3_that_costs_no_retry() {
    run(async {
        assert_eq!(put_beside_a_watch(ONCE).await, Ok(()));
    });
}

#[test]
fn a_call_of_one_endpoint_asks_no_other() {
    run(async {
        let etcd = Cluster::start(3, refuse).await;
        let client = etcd.client(ONCE);
        for server in &etcd.addresses {
            let options = CallOptions {
                retry: 2,
                endpoint: client.endpoint(&address(server)),
                ..ONCE
            };
            until(client.get(RangeRequest::default(), &options)).await.unwrap_err();
        }
        let seen: Vec<_> = etcd.seen().iter().map(|seen| seen.server).collect();
        assert_eq!(seen, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    });
}

#[test]
fn what_one_endpoint_says_does_not_move_others() {
    run(async {
        let etcd = Cluster::start(2, answer).await;
        let client = etcd.client(ONCE);
        get(&client).await.unwrap();
        let first = etcd.seen()[0].server;
        for server in &etcd.addresses {
            let options = CallOptions {
                endpoint: client.endpoint(&address(server)),
                ..ONCE
            };
            client.get(RangeRequest::default(), &options).await.unwrap();
        }
        get(&client).await.unwrap();
        assert_eq!(etcd.seen()[3].server, first);
    });
}
