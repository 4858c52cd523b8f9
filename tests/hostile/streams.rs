//! H1: servers that are hostile to many requests at once: each call ends, and memory is bounded by their number.

use std::time::Duration;

use futures_util::future::join_all;
use silly_etcd::etcd::pb::PutRequest;
use silly_etcd::etcd::{CallOptions, Code};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::memory;
use super::server::answering;
use super::support::clock::{run, until};
use super::support::frames::{self, frame};
use super::support::unary::{answer, get, outcome, put};
use super::support::{Cluster, ONCE, client, listen, ports};

const RST_STREAM: u8 = 3;
const PRIORITY: u8 = 2;
const WINDOW_UPDATE: u8 = 8;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// What a client may set aside, with hundreds of calls under way.
const MEMORY: usize = 8 << 20;

const CALLS: usize = 200;

const OPTIONS: CallOptions = CallOptions {
    timeout: Duration::from_millis(100),
    ..ONCE
};

#[test]
fn h1_resets_of_each_request_end_it_and_no_other() {
    // Refused, cancelled, and without a reason.
    for reason in [7, 8, 0] {
        run(async move {
            let reset = move |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, reason]);
            let server = answering(move |stream| reset(stream).repeat(100)).await;
            let etcd = Cluster::start(1, answer).await;
            let measured = memory::measure();
            let hostile = client(&[server], ONCE);
            for ended in until(join_all((0..CALLS).map(|_| put(&hostile)))).await {
                assert_eq!(ended.unwrap_err().code, Code::Unavailable);
            }
            let both = client(&[server, etcd.addresses[0]], ONCE);
            for _ in 0..3 {
                assert_eq!(outcome(until(get(&both)).await), Ok(()));
            }
            assert!(measured.peak() <= MEMORY, "{}", measured.peak());
        });
    }
}

#[test]
fn h1_a_byte_keeps_no_more_than_itself() {
    run(async {
        // A byte of a response, and what is read with it.
        let server = answering(|stream| {
            let rest = frame(0x42, 0, 0, &[0; 16 << 10]).repeat(8);
            [frames::headers(stream), frames::data(stream, b"\0"), rest].concat()
        })
        .await;
        let measured = memory::measure();
        let hostile = client(&[server], ONCE);
        for ended in until(join_all((0..CALLS).map(|_| put(&hostile)))).await {
            assert!(ended.is_err());
        }
        assert!(measured.peak() <= MEMORY, "{}", measured.peak());
    });
}

/// Takes all that there is to send, reads none of it, and shows now and then that it is there.
async fn take_nothing(mut socket: TcpStream) -> std::io::Result<()> {
    let most = (1_u32 << 30).to_be_bytes();
    let settings = frames::settings(Some((INITIAL_WINDOW_SIZE, u32::MAX >> 1)));
    socket.write_all(&settings).await?;
    socket.write_all(&frame(WINDOW_UPDATE, 0, 0, &most)).await?;
    loop {
        socket.write_all(&frame(PRIORITY, 0, 1, &[0; 5])).await?;
        sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn h1_what_is_given_up_does_not_pile_up() {
    run(async {
        let servers = listen(ports(1).await, |_, socket| async {
            // The client may break the connection as it likes.
            let _ = take_nothing(socket).await;
        });
        let hostile = client(&servers, OPTIONS);
        let request = PutRequest {
            key: "key".into(),
            value: vec![0; 256 << 10].into(),
            ..PutRequest::default()
        };
        let measured = memory::measure();
        for _ in 0..CALLS {
            assert!(until(hostile.put(request.clone(), &OPTIONS)).await.is_err());
        }
        assert!(measured.peak() <= MEMORY, "{}", measured.peak());
    });
}
