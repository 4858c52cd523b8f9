//! A connection on which nothing has happened for long may be forgotten by whoever stands in between: it is asked
//! first.

use std::time::Duration;

use futures_util::future::join_all;
use silly_etcd::etcd::pb::RangeRequest;
use silly_etcd::etcd::{Applied, CallOptions, Client, Code, Error};
use tokio::time::{Instant, sleep};

use super::support::clock::{run, until};
use super::support::tap::Tap;
use super::support::{Call, Cluster, ONCE, client};
use super::{get, keepalive, outcome, put, serve, watch, with_password};

/// Longer than the interval of pings.
const IDLE: Duration = Duration::from_secs(11);

/// A second for the ping, and what the test's clock may be late.
const FOUND: Duration = Duration::from_millis(1100);

/// A client that has used its only connection and then none of it for long, by way of a tap.
async fn dormant() -> (Cluster, Tap, Client) {
    let etcd = Cluster::start(1, serve).await;
    let tap = Tap::start(etcd.addresses[0]).await;
    let client = client(&[tap.address], ONCE);
    put(&client).await.unwrap();
    until(sleep(IDLE)).await;
    assert_eq!((tap.pings(), tap.connections()), (0, 1));
    (etcd, tap, client)
}

async fn one_of_each(client: &Client, which: usize) -> Result<(), Error> {
    match which {
        0 => put(client).await.map(drop),
        1 => get(client).await.map(drop),
        2 => keepalive(client).await,
        _ => watch(client).await.map(drop),
    }
}

#[test]
fn whatever_comes_next_succeeds_at_the_first_attempt_where_it_was_forgotten() {
    run(async {
        for which in 0..4 {
            let (etcd, tap, client) = dormant().await;
            tap.forget();
            let asked = Instant::now();
            let answered = until(one_of_each(&client, which)).await;
            assert_eq!(outcome(answered), Ok(()), "{which}");
            assert!(asked.elapsed() <= FOUND, "{which}: {:?}", asked.elapsed());
            assert_eq!((tap.pings(), tap.connections()), (1, 2), "{which}");
            // On the old connection the server has seen the first put alone.
            let streams: Vec<_> = etcd.seen().iter().map(|seen| seen.stream).collect();
            assert_eq!(streams, [1, 1], "{which}");
        }
    });
}

#[test]
fn calls_that_are_in_a_hurry_find_out_together() {
    run(async {
        let (_etcd, tap, client) = dormant().await;
        tap.forget();
        let hasty = CallOptions {
            timeout: Duration::from_millis(300),
            ..ONCE
        };
        let asked = Instant::now();
        while let Err(error) = until(client.get(RangeRequest::default(), &hasty)).await {
            assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
            assert!(asked.elapsed() <= FOUND + hasty.timeout, "{:?}", asked.elapsed());
        }
        assert_eq!((tap.pings(), tap.connections()), (1, 2));
    });
}

#[test]
fn so_does_a_login() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.number {
                0 => call.finish("3", "etcdserver: authentication failed, invalid user ID or password"),
                _ => serve(call).await,
            }
        })
        .await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let mut ways = etcd;
        ways.addresses = vec![tap.address];
        let client = with_password(&ways, ONCE);
        put(&client).await.unwrap_err();
        until(sleep(IDLE)).await;
        tap.forget();
        let asked = Instant::now();
        assert_eq!(outcome(until(put(&client)).await), Ok(()));
        assert!(asked.elapsed() <= FOUND, "{:?}", asked.elapsed());
        assert_eq!(tap.connections(), 2);
        assert_eq!(ways.methods(), ["Authenticate", "Authenticate", "Put"]);
    });
}

#[test]
fn a_line_that_lives_costs_one_ping() {
    run(async {
        for which in 0..4 {
            let (_etcd, tap, client) = dormant().await;
            // Time stands still: whatever the client waits for is the answer to its ping.
            assert_eq!(outcome(one_of_each(&client, which).await), Ok(()), "{which}");
            assert_eq!(outcome(put(&client).await), Ok(()));
            assert_eq!((tap.pings(), tap.connections()), (1, 1), "{which}");
        }
    });
}

#[test]
fn callers_at_once_share_the_question() {
    run(async {
        for forgotten in [false, true] {
            let (_etcd, tap, client) = dormant().await;
            if forgotten {
                tap.forget();
            }
            for answered in until(join_all((0..20).map(|_| put(&client)))).await {
                assert_eq!(outcome(answered), Ok(()));
            }
            let connections = if forgotten { 2 } else { 1 };
            assert_eq!((tap.pings(), tap.connections()), (1, connections));
        }
    });
}

#[test]
fn it_is_not_asked_so_often_that_a_server_would_mind() {
    run(async {
        let etcd = Cluster::start(1, serve).await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let client = client(&[tap.address], ONCE);
        let mut random = fastrand::Rng::with_seed(1);
        let mut watcher = None;
        for step in 0..24 {
            until(put(&client)).await.unwrap();
            until(sleep(Duration::from_millis(random.u64(0..14_000)))).await;
            // Pings of connections in use come in between.
            if step % 8 == 3 {
                watcher = Some(until(watch(&client)).await.unwrap());
            }
            if step % 8 == 6 {
                watcher = None;
            }
        }
        drop(watcher);
        let pinged = tap.pinged();
        let close = pinged.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
        assert!(close >= Duration::from_secs(5), "{close:?}");
        assert_eq!(tap.connections(), 1);
    });
}
