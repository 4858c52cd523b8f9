//! Several members behind one address: where one of them does not answer, the next connection may lead to another.

use std::time::Duration;

use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::join;
use tokio::time::sleep;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, Fault, ONCE};
use super::{answer, get, outcome, put, serve, watch, with_password};

/// Answers nothing, though the line is alive.
async fn hang(mut call: Call) {
    sleep(Duration::from_secs(1)).await;
    call.wire.delivered().await;
    call.abandoned().await;
}

/// The streams of the requests so far.
fn streams(etcd: &Cluster) -> Vec<u32> {
    etcd.seen().iter().map(|seen| seen.stream).collect()
}

#[test]
fn a_call_without_an_answer_is_followed_by_a_new_connection_where_nothing_was_answered_meanwhile() {
    run(async {
        for others in [false, true] {
            let etcd = Cluster::start(1, |call: Call| async move {
                match call.method.as_str() {
                    "Put" => hang(call).await,
                    _ => answer(call).await,
                }
            })
            .await;
            let client = etcd.client(ONCE);
            get(&client).await.unwrap();
            let other = async {
                sleep(ONCE.timeout / 2).await;
                if others {
                    get(&client).await.unwrap();
                }
            };
            let (written, ()) = until(async { join!(put(&client), other) }).await;
            assert_eq!(outcome(written), Err((Code::DeadlineExceeded, Applied::Maybe)));
            get(&client).await.unwrap();
            let expected = if others { vec![1, 3, 5, 7] } else { vec![1, 3, 1] };
            assert_eq!(streams(&etcd), expected);
        }
    });
}

#[test]
fn streams_on_the_connection_that_is_left_go_on() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.method.as_str() {
                "Put" => call.finish("14", "etcdserver: no leader"),
                _ => serve(call).await,
            }
        })
        .await;
        let client = etcd.client(ONCE);
        let _watcher = watch(&client).await.unwrap();
        assert_eq!(outcome(put(&client).await), Err((Code::Unavailable, Applied::No)));
        get(&client).await.unwrap();
        assert_eq!(etcd.methods(), ["Watch", "Put", "Range"]);
        assert_eq!(streams(&etcd), [1, 3, 1]);
    });
}

#[test]
fn that_goes_for_a_login() {
    const FAULTS: [Fault; 3] = [
        ("no leader", |call| call.finish("14", "etcdserver: no leader")),
        ("learner", |call| {
            call.finish("9", "etcdserver: rpc not supported for learner")
        }),
        ("nothing", |_| {}),
    ];
    run(async {
        for (name, fault) in FAULTS {
            let etcd = Cluster::start(1, move |mut call: Call| async move {
                if call.number > 0 {
                    return serve(call).await;
                }
                fault(&mut call);
                call.abandoned().await;
            })
            .await;
            let options = CallOptions {
                timeout: Duration::from_secs(20),
                retry: 1,
                ..ONCE
            };
            let client = with_password(&etcd, options);
            assert_eq!(outcome(until(put(&client)).await), Ok(()), "{name}");
            assert_eq!(etcd.methods(), ["Authenticate", "Authenticate", "Put"], "{name}");
            assert_eq!(streams(&etcd), [1, 1, 3], "{name}");
        }
    });
}

#[test]
fn and_for_a_login_that_nobody_waits_for_any_longer() {
    run(async {
        let etcd = Cluster::start(1, |call: Call| async move {
            match call.number {
                0 => hang(call).await,
                _ => serve(call).await,
            }
        })
        .await;
        // A call may take as long as a login.
        let client = with_password(&etcd, ONCE);
        assert_eq!(
            outcome(until(put(&client)).await),
            Err((Code::DeadlineExceeded, Applied::No))
        );
        assert_eq!(outcome(until(put(&client)).await), Ok(()));
        assert_eq!(streams(&etcd), [1, 1, 3]);
    });
}

#[test]
fn and_for_a_watch_that_is_not_confirmed() {
    run(async {
        let etcd = Cluster::start(1, |call: Call| async move {
            match call.number {
                0 => hang(call).await,
                _ => serve(call).await,
            }
        })
        .await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        until(watch(&client)).await.unwrap();
        assert_eq!(etcd.methods(), ["Watch", "Watch"]);
        assert_eq!(streams(&etcd), [1, 1]);
    });
}
