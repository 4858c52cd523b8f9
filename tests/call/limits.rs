//! A server that allows few streams at once: calls wait for their turn, and one that had none was not sent.

use std::time::Duration;

use futures_util::future::join_all;
use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::join;
use tokio::time::timeout;

use super::support::clock::{idle, run, until};
use super::support::line::Line;
use super::support::{Call, Cluster, ONCE, client, frames};
use super::{answer, get, outcome, put};
use h2::Reason;

const HOUR: Duration = Duration::from_secs(3600);

/// In SETTINGS.
const MAX_CONCURRENT_STREAMS: u16 = 3;

const PATIENT: CallOptions = CallOptions { timeout: HOUR, ..ONCE };

fn allow(streams: u32) -> Vec<u8> {
    frames::settings(Some((MAX_CONCURRENT_STREAMS, streams)))
}

/// Long enough for a request to arrive that should not be sent.
async fn settle() {
    for _ in 0..50 {
        idle().await;
    }
}

#[test]
fn calls_take_turns() {
    run(async {
        for limit in 1..=2 {
            let (etcd, mut calls) = Cluster::manual_limited(limit).await;
            let client = etcd.client(PATIENT);
            let (answered, ()) = join!(join_all((0..5).map(|_| put(&client))), async {
                let mut taken = Vec::new();
                for seen in 1..=5 {
                    taken.push(calls.recv().await.unwrap());
                    if taken.len() == limit as usize || seen == 5 {
                        settle().await;
                        assert_eq!(etcd.seen().len(), seen);
                        answer(taken.remove(0)).await;
                    }
                }
                join_all(taken.into_iter().map(answer)).await;
            });
            answered.into_iter().for_each(|answered| drop(answered.unwrap()));
            // All on one connection, and none was refused and sent again.
            let streams: Vec<_> = etcd.seen().iter().map(|seen| seen.stream).collect();
            assert_eq!(streams, [1, 3, 5, 7, 9]);
        }
    });
}

#[test]
fn what_waits_until_its_deadline_was_not_sent_and_the_limit_is_named() {
    run(async {
        for (limit, streams, held) in [(1, "1 stream", "1 for calls"), (2, "2 streams", "2 for calls")] {
            let (etcd, mut calls) = Cluster::manual_limited(limit).await;
            let client = etcd.client(ONCE);
            let hanging = join_all((0..limit).map(|_| client.get(Default::default(), &PATIENT)));
            let waiting = async {
                for _ in 0..limit {
                    std::mem::forget(calls.recv().await);
                }
                until(put(&client)).await.unwrap_err()
            };
            let error = tokio::select! {
                _ = hanging => panic!("nobody answered it"),
                error = waiting => error,
            };
            assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
            let expected = format!("not sent within 5 s: the server allows {streams} at once on a connection: {held}");
            assert_eq!(error.message, expected);
            assert_eq!(etcd.methods().len(), limit as usize);
        }
    });
}

#[test]
fn what_waits_when_the_connection_breaks_is_sent_once_on_the_next() {
    run(async {
        let script = |mut call: Call| async move {
            match call.number {
                0 => {
                    call.request::<()>().await;
                    settle().await;
                    call.wire.close();
                }
                _ => answer(call).await,
            }
        };
        let etcd = Cluster::limited(1, script).await;
        let client = etcd.client(ONCE);
        let mut answered = join_all((0..4).map(|_| put(&client))).await;
        assert_eq!(outcome(answered.remove(0)), Err((Code::Unavailable, Applied::Maybe)));
        answered
            .into_iter()
            .for_each(|answered| assert_eq!(outcome(answered), Ok(())));
        assert_eq!(etcd.methods(), ["Put"; 4]);
    });
}

#[test]
fn what_waits_does_not_wait_on_a_connection_that_takes_no_more_requests() {
    run(async {
        for limit in 0..=1 {
            let (server, mut lines) = Line::listen(allow(limit)).await;
            let client = client(&[server], PATIENT);
            let calls = join_all((0..=limit).map(|_| put(&client)));
            let serving = async {
                let mut first = lines.recv().await.unwrap();
                for _ in 0..limit {
                    assert_eq!(first.request().await, Some(1));
                }
                settle().await;
                first.write(frames::goaway(limit, Reason::NO_ERROR));
                let mut second = lines.recv().await.unwrap();
                second.write(allow(9));
                let stream = second.request().await.unwrap();
                second.answer(stream);
                // What is under way on the first has its answer there.
                (0..limit).for_each(|_| first.answer(1));
                (first, second)
            };
            let (answered, _lines) = join!(calls, serving);
            answered
                .into_iter()
                .for_each(|answered| assert_eq!(outcome(answered), Ok(())));
        }
    });
}

#[test]
fn nor_on_one_that_has_closed() {
    run(async {
        let (server, mut lines) = Line::listen(allow(0)).await;
        let client = client(&[server], PATIENT);
        let (answered, _line) = join!(put(&client), async {
            let first = lines.recv().await.unwrap();
            settle().await;
            drop(first);
            let mut second = lines.recv().await.unwrap();
            second.write(allow(1));
            second.request().await.map(|stream| second.answer(stream)).unwrap();
            second
        });
        assert_eq!(outcome(answered), Ok(()));
    });
}

#[test]
fn a_limit_that_is_raised_lets_those_that_wait_pass() {
    run(async {
        let (server, mut lines) = Line::listen(allow(0)).await;
        let client = client(&[server], PATIENT);
        let (answered, _line) = join!(join_all((0..3).map(|_| put(&client))), async {
            let mut line = lines.recv().await.unwrap();
            settle().await;
            line.write(allow(1));
            assert_eq!(line.request().await, Some(1));
            line.write(allow(3));
            assert_eq!(line.request().await, Some(3));
            assert_eq!(line.request().await, Some(5));
            (1..=5).step_by(2).for_each(|stream| line.answer(stream));
            line
        });
        answered
            .into_iter()
            .for_each(|answered| assert_eq!(outcome(answered), Ok(())));
    });
}

#[test]
fn a_limit_that_is_lowered_holds_the_later_back() {
    run(async {
        let (server, mut lines) = Line::listen(allow(100)).await;
        let client = client(&[server], PATIENT);
        let both = async { join!(put(&client), get(&client)) };
        let (answered, _line) = join!(both, async {
            let mut line = lines.recv().await.unwrap();
            assert_eq!(line.request().await, Some(1));
            assert_eq!(line.request().await, Some(3));
            line.write(allow(1));
            line.answer(1);
            settle().await;
            let waits = async {
                let third = timeout(HOUR, put(&client));
                let serving = async {
                    settle().await;
                    line.answer(3);
                    assert_eq!(line.request().await, Some(5));
                    line.answer(5);
                };
                join!(third, serving).0
            };
            assert_eq!(outcome(waits.await.unwrap()), Ok(()));
            line
        });
        assert_eq!((outcome(answered.0), outcome(answered.1)), (Ok(()), Ok(())));
    });
}
