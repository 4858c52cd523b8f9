//! A server that falls silent without closing anything: pings find it. A client that pings too often is thrown out.

use std::time::Duration;

use prost::Message;
use silly_etcd::etcd::pb::RangeResponse;
use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::join;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::support::clock::{run, until};
use super::support::tap::Tap;
use super::support::{Call, Cluster, ONCE, client};
use super::{answer, get, outcome, put, serve, watch};

const MINUTE: Duration = Duration::from_secs(60);

const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Every 10 s a ping, which is waited for for 5 s; and what the test's clock may be late.
const FOUND: Duration = Duration::from_millis(15_100);

const PATIENT: CallOptions = CallOptions {
    timeout: MINUTE,
    ..ONCE
};

#[test]
fn c7_a_silent_server_is_found_long_before_the_deadline() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let client = client(&[tap.address], PATIENT);
        put(&client).await.unwrap();
        tap.silence();
        let silent = Instant::now();
        let (written, read) = until(async { join!(put(&client), get(&client)) }).await;
        assert!(silent.elapsed() < FOUND, "{:?}", silent.elapsed());
        assert_eq!(outcome(written), Err((Code::Unavailable, Applied::Maybe)));
        assert_eq!(outcome(read), Err((Code::Unavailable, Applied::No)));
    });
}

#[test]
fn c7_calls_go_elsewhere_then() {
    run(async {
        let etcd = Cluster::start(2, answer).await;
        let taps = [Tap::start(etcd.addresses[0]).await, Tap::start(etcd.addresses[1]).await];
        let client = client(&taps.each_ref().map(|tap| tap.address), PATIENT);
        put(&client).await.unwrap();
        let used = etcd.seen()[0].server;
        taps[used].silence();
        let silent = Instant::now();
        assert_eq!(outcome(until(get(&client)).await), Ok(()));
        assert!(silent.elapsed() < MINUTE / 2, "{:?}", silent.elapsed());
        assert_eq!(outcome(put(&client).await), Ok(()));
        assert_eq!(etcd.seen().last().unwrap().server, 1 - used);
    });
}

#[test]
fn c7_after_an_unanswered_call_the_next_goes_out_on_a_new_connection() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let tap = Tap::start(etcd.addresses[0]).await;
        for timeout in [Duration::from_secs(5), Duration::from_millis(300)] {
            let client = client(&[tap.address], CallOptions { timeout, ..ONCE });
            put(&client).await.unwrap();
            tap.forget();
            // Short ones are believed once they make a second.
            let mut unanswered = Duration::ZERO;
            while outcome(until(put(&client)).await) == Err((Code::DeadlineExceeded, Applied::Maybe)) {
                unanswered += timeout;
            }
            assert_eq!(outcome(put(&client).await), Ok(()));
            assert!(unanswered <= timeout.max(Duration::from_millis(1200)), "{unanswered:?}");
        }
    });
}

#[test]
fn c7_a_server_that_is_still_answering_is_not_silent() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            if call.method == "Put" {
                return answer(call).await;
            }
            let message = RangeResponse {
                count: 1 << 60,
                ..RangeResponse::default()
            };
            let message = message.encode_to_vec();
            call.body([&[0, 0, 0, 0, message.len() as u8], &message[..1]].concat());
            for byte in &message[1..] {
                sleep(PING_TIMEOUT / 2).await;
                call.body(vec![*byte]);
            }
            call.finish("0", "");
        })
        .await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let client = client(&[tap.address], PATIENT);
        put(&client).await.unwrap();
        let asked = async {
            while etcd.seen().len() < 2 {
                yield_now().await;
            }
            // Pings vanish from now on.
            tap.silence();
        };
        let (answered, ()) = until(async { join!(get(&client), asked) }).await;
        assert_eq!(outcome(answered), Ok(()));
    });
}

#[test]
fn c7_a_slow_server_that_answers_other_calls_keeps_its_connection() {
    run(async {
        let etcd = Cluster::start(1, |call: Call| async move {
            match call.method.as_str() {
                "Range" => answer(call).await,
                _ => sleep(MINUTE).await,
            }
        })
        .await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let client = client(&[tap.address], ONCE);
        for _ in 0..3 {
            let unanswered = put(&client);
            let answered = async {
                sleep(ONCE.timeout / 2).await;
                get(&client).await
            };
            let (unanswered, answered) = until(async { join!(unanswered, answered) }).await;
            assert_eq!(outcome(unanswered), Err((Code::DeadlineExceeded, Applied::Maybe)));
            assert_eq!(outcome(answered), Ok(()));
        }
        assert_eq!(tap.connections(), 1);
    });
}

#[test]
fn c7_there_are_few_pings_and_none_while_nothing_is_under_way() {
    run(async {
        let etcd = Cluster::start(1, serve).await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let client = client(&[tap.address], PATIENT);
        put(&client).await.unwrap();
        until(sleep(MINUTE)).await;
        assert_eq!(tap.pings(), 0);
        let _watch = watch(&client).await.unwrap();
        until(sleep(MINUTE)).await;
        assert!((4..=6).contains(&tap.pings()), "{}", tap.pings());
        // Once it is asked who it is, beside its stream.
        assert_eq!(etcd.methods(), ["Put", "Watch", "Status"]);
    });
}
