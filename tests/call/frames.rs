//! Frames that are odd and legal end nothing.

use silly_etcd::etcd::pb::{PutRequest, PutResponse};

use super::support::clock::run;
use super::support::frames::{self, frame};
use super::support::{Call, Cluster, ONCE};
use super::{outcome, put};

const DATA: u8 = 0;
const PING: u8 = 6;

/// Answers with these frames between the head and the message.
async fn answer_with(mut call: Call, between: Vec<u8>) {
    call.request::<PutRequest>().await;
    let stream = call.stream;
    let body = frames::message(&PutResponse::default());
    let answer = [
        frames::headers(stream),
        between.clone(),
        frames::data(stream, &body[..2]),
        between,
        frames::data(stream, &body[2..]),
        frames::trailers(stream),
    ];
    call.wire.write(answer.concat());
    call.abandoned().await;
}

#[test]
fn a_thousand_empty_data_frames_are_read_in_one_answer_and_over_the_life_of_a_connection() {
    run(async {
        for (calls, empty) in [(3, 1000), (300, 5)] {
            let script = move |call: Call| {
                let between = frame(DATA, 0, call.stream, &[]).repeat(empty);
                answer_with(call, between)
            };
            let etcd = Cluster::start(1, script).await;
            let client = etcd.client(ONCE);
            for call in 0..calls {
                assert_eq!(outcome(put(&client).await), Ok(()));
                assert_eq!(etcd.seen()[call].stream as usize, 2 * call + 1);
            }
        }
    });
}

#[test]
fn so_are_frames_that_nobody_knows_and_acknowledgements_of_nothing() {
    run(async {
        let script = |call: Call| {
            let unknown = frame(0x42, 0xff, call.stream, b"what");
            let pong = frame(PING, 1, 0, &[7; 8]);
            answer_with(call, [unknown, pong].concat().repeat(500))
        };
        let etcd = Cluster::start(1, script).await;
        let client = etcd.client(ONCE);
        for call in 0..3 {
            assert_eq!(outcome(put(&client).await), Ok(()));
            assert_eq!(etcd.seen()[call].stream as usize, 2 * call + 1);
        }
    });
}
