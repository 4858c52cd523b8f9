//! The deadline of an attempt holds in whatever state the server falls silent.

use std::time::Duration;

use h2::Reason;
use silly_etcd::etcd::pb::{MoveLeaderRequest, PutRequest, RangeRequest, RangeResponse, StatusResponse, TxnResponse};
use silly_etcd::etcd::{Applied, CallOptions, Client, Code, Config, Credentials, Error, Increment, TlsConfig};
use tokio::io::AsyncReadExt;
use tokio::join;
use tokio::time::{Instant, advance, sleep};

use super::support::clock::{run, until};
use super::support::{Call, Cluster, Fault, ONCE, client, config, frames, listen, ports, unreachable};
use super::{answer, get, outcome, put};

/// After each of these the server falls silent.
const SILENCES: [Fault; 7] = [
    ("nothing", |_| {}),
    ("half a frame", |call| {
        call.wire.write(&frames::headers(call.stream)[..5])
    }),
    ("headers", |call| {
        call.headers();
    }),
    ("half of a message's head", |call| call.body(&b"\0\0\0"[..])),
    ("half a message", |call| call.body(&b"\0\0\0\0\x09half"[..])),
    ("4 MiB announced, half of them sent", |call| {
        call.body(&b"\0\0\x40\0\0"[..]);
        call.body(vec![0; 2 << 20]);
    }),
    ("a message without an end", |call| call.body(&b"\0\0\0\0\0"[..])),
];

/// Falls silent at the first request and answers the others.
async fn silent_at_first(servers: usize, silence: fn(&mut Call)) -> Cluster {
    Cluster::start(servers, move |mut call: Call| async move {
        if call.number > 0 {
            return answer(call).await;
        }
        call.request::<PutRequest>().await;
        silence(&mut call);
        call.abandoned().await;
    })
    .await
}

/// The outcome of a call that must end with its deadline. The test's clock does not know how busy the machine is.
async fn ends<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let start = Instant::now();
    let outcome = until(call).await;
    let late = start.elapsed().checked_sub(ONCE.timeout).unwrap();
    assert!(late <= Duration::from_millis(50), "{late:?} too late");
    outcome
}

#[test]
fn c5_a_write_ends_and_is_not_repeated() {
    run(async {
        for (name, silence) in SILENCES {
            let etcd = silent_at_first(2, silence).await;
            let written = ends(put(&etcd.client(CallOptions { retry: 5, ..ONCE }))).await;
            let expected = Err((Code::DeadlineExceeded, Applied::Maybe));
            assert_eq!(outcome(written), expected, "{name}");
            assert_eq!(etcd.methods(), ["Put"], "{name}");
        }
    });
}

#[test]
fn c4_a_read_is_repeated_at_another_server() {
    run(async {
        for (name, silence) in SILENCES {
            let etcd = silent_at_first(2, silence).await;
            assert_eq!(outcome(until(get(&etcd.client(ONCE))).await), Ok(()), "{name}");
            let seen = etcd.seen();
            assert_eq!(seen.len(), 2, "{name}");
            assert_ne!(seen[0].server, seen[1].server, "{name}");
        }
    });
}

#[test]
fn c5_a_server_that_only_accepts_is_left() {
    run(async {
        let silent = listen(ports(1).await, |_, mut socket| async move {
            let mut bytes = [0; 1024];
            while socket.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
        });
        let trusting = TlsConfig {
            insecure_skip_verify: true,
            ..TlsConfig::default()
        };
        for tls in [None, Some(trusting)] {
            let client = Client::new(Config {
                tls,
                ..config(&silent, ONCE)
            });
            let error = ends(put(&client)).await.unwrap_err();
            assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
            assert_eq!(error.message, "no connection within 5 s");
        }
    });
}

#[test]
fn c5_a_server_that_answers_no_login_is_left() {
    run(async {
        let (etcd, _calls) = Cluster::manual(1).await;
        let credentials = Credentials::Password {
            user: "user".to_owned(),
            password: "password".to_owned().into(),
        };
        let client = Client::new(Config {
            credentials: Some(credentials),
            ..config(&etcd.addresses, ONCE)
        });
        let failed = outcome(ends(put(&client)).await);
        assert_eq!(failed, Err((Code::DeadlineExceeded, Applied::No)));
        assert_eq!(etcd.methods(), ["Authenticate"]);
    });
}

#[test]
fn c5_a_request_that_the_server_does_not_take_in_is_given_up() {
    run(async {
        // It reads none, so that most of it stays here.
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let request = PutRequest {
            key: "key".into(),
            value: vec![b'v'; 1 << 20].into(),
            ..PutRequest::default()
        };
        let options = client.options();
        let (written, reason) = join!(ends(client.put(request, &options)), async {
            calls.recv().await.unwrap().abandoned().await
        });
        assert_eq!(outcome(written), Err((Code::DeadlineExceeded, Applied::Maybe)));
        assert_eq!(reason, Some(Reason::CANCEL));
    });
}

#[test]
fn c5_a_connection_that_is_not_made_is_given_up_and_nothing_was_sent() {
    run(async {
        let (address, _full) = unreachable().await;
        let error = ends(put(&client(&[address], ONCE))).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
        assert_eq!(error.message, "no connection within 5 s");
    });
}

#[test]
fn a_connection_that_was_given_up_is_made_anew() {
    run(async {
        let port = ports(1).await.pop().unwrap();
        let client = client(&[port.local_addr().unwrap()], ONCE);
        // The first one is accepted, and that is all that is ever heard of it.
        let (failed, _silent) = join!(until(get(&client)), port.accept());
        assert_eq!(failed.unwrap_err().code, Code::DeadlineExceeded);
        let _etcd = Cluster::on(vec![port], answer);
        assert_eq!(outcome(until(get(&client)).await), Ok(()));
    });
}

#[test]
fn c3_a_write_that_found_no_connection_is_sent_to_another_server() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let (address, _full) = unreachable().await;
        // Which server a client asks first is up to chance.
        for calls in 1..=8 {
            let client = client(&[address, etcd.addresses[0]], ONCE);
            assert_eq!(outcome(until(put(&client)).await), Ok(()));
            assert_eq!(etcd.methods().len(), calls);
        }
    });
}

#[test]
fn c5_a_server_that_sends_a_byte_now_and_then_is_left() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            call.body(&b"\0\0\x01\0\0"[..]);
            loop {
                call.body(&b"."[..]);
                sleep(Duration::from_secs(1)).await;
            }
        })
        .await;
        let failed = outcome(ends(get(&etcd.client(ONCE))).await);
        assert_eq!(failed, Err((Code::DeadlineExceeded, Applied::No)));
    });
}

#[test]
fn c5_only_the_request_is_given_up_not_its_connection() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = etcd.client(ONCE);
        let (late, in_time) = join!(put(&client), async {
            let mut first = calls.recv().await.unwrap();
            advance(Duration::from_secs(3)).await;
            let (in_time, ()) = join!(put(&client), async {
                let second = calls.recv().await.unwrap();
                advance(Duration::from_secs(3)).await;
                assert_eq!(first.abandoned().await, Some(Reason::CANCEL));
                answer(second).await;
            });
            in_time
        });
        assert_eq!(late.unwrap_err().code, Code::DeadlineExceeded);
        assert_eq!(outcome(in_time), Ok(()));
    });
}

/// Options with a deadline so long from now.
fn within(limit: Duration, options: CallOptions) -> CallOptions {
    CallOptions {
        deadline: Some(Instant::now() + limit),
        ..options
    }
}

#[test]
fn a_deadline_cuts_the_attempt_that_is_under_way() {
    run(async {
        let etcd = silent_at_first(1, |_| {}).await;
        let client = etcd.client(ONCE);
        let (began, limit) = (Instant::now(), Duration::from_secs(2));
        let error = until(client.get(RangeRequest::default(), &within(limit, ONCE)))
            .await
            .unwrap_err();
        assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
        assert_eq!(error.message, "no response within 2 s");
        assert!(began.elapsed() <= limit + Duration::from_millis(50));
    });
}

#[test]
fn a_deadline_allows_no_pause_that_would_outlast_it() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move { call.finish("14", "busy") }).await;
        let options = CallOptions {
            retry: 9,
            retry_sleep: Duration::from_secs(1),
            ..ONCE
        };
        let client = etcd.client(ONCE);
        let limit = Duration::from_millis(2500);
        let began = Instant::now();
        let error = until(client.get(RangeRequest::default(), &within(limit, options)))
            .await
            .unwrap_err();
        assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
        assert_eq!(
            error.message,
            "the deadline leaves no time for another attempt after unavailable: busy"
        );
        assert_eq!(etcd.methods().len(), 3);
        assert_eq!(error.attempts.unwrap().count, 3);
        assert!(began.elapsed() <= limit);
    });
}

#[test]
fn a_deadline_holds_for_the_connection_and_the_login_too() {
    run(async {
        let (silent, _full) = unreachable().await;
        let client = client(&[silent], ONCE);
        let limit = Duration::from_secs(1);
        let began = Instant::now();
        let error = until(client.get(RangeRequest::default(), &within(limit, ONCE)))
            .await
            .unwrap_err();
        assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
        assert!(
            began.elapsed() <= limit + Duration::from_millis(50),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn a_deadline_holds_for_the_pauses_of_calls_of_several_steps_too() {
    run(async {
        // No comparison holds, and no member leads.
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.method.as_str() {
                "Txn" => call.reply(&TxnResponse::default()),
                "Status" => call.reply(&StatusResponse {
                    leader: 7,
                    ..StatusResponse::default()
                }),
                _ => call.reply(&RangeResponse::default()),
            }
        })
        .await;
        let client = etcd.client(ONCE);
        let limit = Duration::from_millis(500);
        let increment = Increment {
            key: "n".into(),
            by: 1,
            initial: 0,
            lease: None,
        };
        // The test's clock may go on while a response is under way: then the deadline cuts that attempt.
        let (began, options) = (Instant::now(), within(limit, ONCE));
        let error = until(client.increment(increment, &options)).await.unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded, "{}", error.message);
        assert!(began.elapsed() <= limit + Duration::from_millis(50));

        let (began, options) = (Instant::now(), within(limit, ONCE));
        let (request, maintenance) = (MoveLeaderRequest { target_id: 1 }, client.maintenance());
        let error = until(maintenance.moveleader(request, &options)).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
        assert!(began.elapsed() <= limit + Duration::from_millis(50));
    });
}

#[test]
fn nothing_is_sent_after_a_deadline() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let client = etcd.client(ONCE);
        let options = within(Duration::from_secs(1), ONCE);
        advance(Duration::from_secs(2)).await;
        let request = PutRequest::default();
        let error = client.put(request, &options).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::DeadlineExceeded, Applied::No));
        assert_eq!(error.message, "the deadline was over before anything was sent");
        assert!(etcd.seen().is_empty());
    });
}
