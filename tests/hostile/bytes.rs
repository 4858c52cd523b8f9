//! H1: streams of bytes that are no HTTP/2, or HTTP/2 at its worst. Whatever comes, a call ends by its deadline, in
//! bounded memory, and a good server is found.

use std::time::Duration;

use h2::Reason;
use silly_etcd::etcd::pb::{PutRequest, PutResponse};
use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::cases::{cases, floods, http2};
use super::server::{Bytes, Then, hostile};
use super::support::clock::{run, until};
use super::support::frames;
use super::support::unary::{answer, get, outcome, put};
use super::support::{Call, Cluster, ONCE, client, listen, ports};
use super::{assert_readable, memory};

/// What a client may set aside for a server that has sent nothing of use.
const MEMORY: usize = 8 << 20;

const OPTIONS: CallOptions = CallOptions {
    timeout: Duration::from_secs(1),
    ..ONCE
};

#[test]
fn h1_whatever_a_server_sends_calls_end_and_a_good_server_is_found() {
    bear(cases());
}

#[test]
fn h1_whatever_floods_a_client_calls_end_and_a_good_server_is_found() {
    bear(floods());
}

fn bear(cases: Vec<(&'static str, Bytes)>) {
    run(async {
        for (name, bytes) in cases {
            let server = hostile(bytes).await;
            let etcd = Cluster::start(1, answer).await;
            let measured = memory::measure();
            let start = Instant::now();
            let written = until(put(&client(&[server], OPTIONS))).await;
            assert!(
                start.elapsed() <= OPTIONS.timeout + Duration::from_millis(50),
                "{name}: too late"
            );
            let error = written.unwrap_err();
            assert_readable(name, &error);
            // Which server a client asks first is up to chance.
            for _ in 0..3 {
                let both = client(&[server, etcd.addresses[0]], OPTIONS);
                assert_eq!(outcome(until(get(&both)).await), Ok(()), "{name}");
            }
            assert!(measured.peak() <= MEMORY, "{name}: {} bytes", measured.peak());
        }
    });
}

#[test]
fn h1_random_bytes_end_a_call() {
    run(async {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes: Vec<_> = (0..random.usize(..4096)).map(|_| random.u8(..)).collect();
            if random.bool() {
                bytes = http2(bytes);
            }
            let server = hostile(Bytes {
                first: bytes,
                answer: None,
                then: Then::End,
            })
            .await;
            let measured = memory::measure();
            let error = until(put(&client(&[server], ONCE))).await.unwrap_err();
            assert_readable(&format!("seed {seed}"), &error);
            assert!(measured.peak() <= MEMORY, "seed {seed}: {} bytes", measured.peak());
        }
    });
}

#[test]
fn h1_an_answer_with_one_wrong_bit_ends_a_call() {
    let body = frames::message(&PutResponse::default());
    let answer = [frames::headers(1), frames::data(1, &body), frames::trailers(1)].concat();
    run(async move {
        for bit in 0..answer.len() * 8 {
            let mut wrong = answer.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let etcd = Cluster::start(1, move |mut call| {
                let wrong = wrong.clone();
                async move {
                    call.request::<PutRequest>().await;
                    call.wire.write(wrong);
                    call.wire.close();
                    call.abandoned().await;
                }
            })
            .await;
            if let Err(error) = until(put(&etcd.client(ONCE))).await {
                assert!(!error.message.contains(char::is_control), "bit {bit}: {error}");
            }
        }
    });
}

#[test]
fn h1_only_refused_stream_means_that_nothing_happened() {
    run(async {
        for reason in 0..16 {
            let etcd = Cluster::start(1, move |mut call: Call| async move {
                call.request::<PutRequest>().await;
                call.reset(Reason::from(reason));
            })
            .await;
            let applied = match Reason::from(reason) {
                Reason::REFUSED_STREAM => Applied::No,
                _ => Applied::Maybe,
            };
            let written = outcome(put(&etcd.client(ONCE)).await);
            assert_eq!(written, Err((Code::Unavailable, applied)), "reason {reason}");
        }
    });
}

#[test]
fn h1_a_refusal_after_the_answer_has_begun_is_not_believed() {
    const REFUSALS: [fn(&mut Call); 3] = [
        |call| call.reset(Reason::REFUSED_STREAM),
        |call| call.wire.goaway(0, Reason::NO_ERROR),
        |call| call.wire.goaway(0, Reason::ENHANCE_YOUR_CALM),
    ];
    run(async {
        for refusal in REFUSALS {
            let etcd = Cluster::start(1, move |mut call: Call| async move {
                call.request::<PutRequest>().await;
                call.body(&b"\0\0\0\0\0"[..]);
                call.wire.delivered().await;
                refusal(&mut call);
                call.abandoned().await;
            })
            .await;
            let written = outcome(put(&etcd.client(CallOptions { retry: 1, ..ONCE })).await);
            assert_eq!(written, Err((Code::Unavailable, Applied::Maybe)));
            assert_eq!(etcd.methods().len(), 1);
        }
    });
}

/// What a TLS server says to someone who does not speak TLS.
const TLS_ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x16";

#[test]
fn h1_what_is_no_http2_is_an_error() {
    run(async {
        for greeting in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            TLS_ALERT,
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"",
        ] {
            let server = listen(ports(1).await, move |_, mut socket| async move {
                let _ = socket.write_all(greeting).await;
                // A socket that is closed with bytes unread takes back what it has sent.
                let mut bytes = [0; 1024];
                while !greeting.is_empty() && socket.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
            });
            let code = if greeting == TLS_ALERT {
                Code::Tls
            } else {
                Code::Unavailable
            };
            let error = get(&client(&server, ONCE)).await.unwrap_err();
            assert_eq!(
                (error.code, error.applied),
                (code, Applied::No),
                "{greeting:?}: {error}"
            );
            assert_readable("", &error);
        }
    });
}
