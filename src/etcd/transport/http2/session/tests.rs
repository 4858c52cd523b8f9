//! However a server's bytes are cut, the same comes out; and what breaks the rules ends a stream or the connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

use bytes::{Bytes, BytesMut};

use super::*;
use crate::etcd::transport::http2::frame::*;
use crate::etcd::transport::http2::hpack::Metadata;
use crate::etcd::transport::http2::output::Body;
use crate::etcd::transport::liveness::Pace;

/// The heads of a response and of its end, as HPACK has them without a table.
const OK: &[u8] = &[0x88];
const TRAILERS: &[u8] = b"\0\x0bgrpc-status\x010";

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A session, what it has written, and what is known beside it.
struct Client {
    session: Session,
    state: Arc<State>,
    pace: Pace,
    input: BytesMut,
    written: Vec<u8>,
}

impl Client {
    /// One that has sent its preface and got the server's settings.
    fn begun(settings: &[u8]) -> Self {
        let mut client = Self::new();
        client.receive(&frame(SETTINGS, 0, 0, settings));
        client.written();
        client
    }

    fn new() -> Self {
        let pace = Pace::default();
        let state = Arc::new(State::new(pace.clone(), Arc::default()));
        let constant = Constant {
            scheme: "http",
            authority: "localhost".to_owned(),
            fields: http::HeaderMap::new(),
        };
        Self {
            session: Session::new(constant, state.clone()),
            state,
            pace,
            input: BytesMut::new(),
            written: Vec::new(),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.session.receive(&mut self.input);
    }

    fn open(&mut self, body: &[u8]) -> u32 {
        let id = self
            .session
            .open("/etcdserverpb.KV/Put", &Metadata::default(), None)
            .unwrap();
        self.send(id, body, true);
        id
    }

    fn send(&mut self, id: u32, body: &[u8], last: bool) {
        let bytes = Bytes::copy_from_slice(body);
        let body = Body {
            bytes,
            is_secret: false,
        };
        self.session.send(id, body, last).unwrap();
    }

    /// The frames that were written since the last time.
    fn written(&mut self) -> Vec<(Head, Vec<u8>)> {
        let mut output = Output::default();
        self.session.take_output(&mut output, Waker::noop());
        while output.has_remaining() {
            let chunk = output.chunk().to_vec();
            output.advance(chunk.len());
            self.written.extend(chunk);
        }
        if self.written.starts_with(PREFACE) {
            self.written.drain(..PREFACE.len());
        }
        let mut frames = Vec::new();
        while let Some(head) = Head::read(&self.written) {
            let payload = self.written[HEAD..HEAD + head.length].to_vec();
            self.written.drain(..HEAD + head.length);
            frames.push((head, payload));
        }
        frames
    }

    /// The code of the GOAWAY that was written.
    fn last_word(&mut self) -> Option<u32> {
        let frames = self.written();
        let goaway = frames.iter().find(|(head, _)| head.kind == GOAWAY)?;
        number(&goaway.1[4..])
    }

    /// What of a body has come and was not read.
    fn body(&mut self, id: u32) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut body = Vec::new();
        while let Poll::Ready(Ok(Some(piece))) = self.session.poll_data(id, &mut cx) {
            body.extend(piece);
        }
        body
    }

    /// What a stream has brought: status, body, whether there are trailers.
    fn outcome(&mut self, id: u32) -> Outcome {
        let mut cx = Context::from_waker(Waker::noop());
        let mut outcome = Outcome::default();
        match self.session.poll_head(id, &mut cx) {
            Poll::Pending => return outcome,
            Poll::Ready(Err(broken)) => outcome.broken = Some(broken),
            Poll::Ready(Ok(head)) => outcome.status = head.status,
        }
        outcome.body = self.body(id);
        match self.session.poll_trailers(id, &mut cx) {
            Poll::Pending => {}
            Poll::Ready(Err(broken)) => outcome.broken = Some(broken),
            Poll::Ready(Ok(trailers)) => outcome.grpc_status = trailers.and_then(|trailers| trailers.grpc_status),
        }
        outcome
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    status: Option<Bytes>,
    body: Vec<u8>,
    grpc_status: Option<Bytes>,
    broken: Option<Broken>,
}

/// A good response.
fn response(id: u32, body: &[u8]) -> Vec<u8> {
    [
        frame(HEADERS, END_HEADERS, id, OK),
        frame(DATA, 0, id, body),
        frame(HEADERS, END_HEADERS | END_STREAM, id, TRAILERS),
    ]
    .concat()
}

#[test]
fn bytes_cut_anywhere_are_the_same() {
    let bytes = [
        frame(SETTINGS, 0, 0, &setting(MAX_CONCURRENT_STREAMS, 7)),
        frame(HEADERS, PADDED | PRIORITIZED, 1, &[1, 0, 0, 0, 0, 0, 0x88, 0]),
        frame(CONTINUATION, 0, 1, &[0x40]),
        frame(CONTINUATION, END_HEADERS, 1, b"\x01a\x01b"),
        frame(0x42, 0xff, 1, b"what"),
        frame(DATA, 0, 1, &[]),
        frame(DATA, PADDED, 1, b"\x03body\0\0\0"),
        frame(PING, 0, 0, &[7; 8]),
        frame(DATA, 0, 1, &[b'x'; 300]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS),
        frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\x0btoo_many_pings"),
    ]
    .concat();
    let body = [&b"body"[..], &[b'x'; 300]].concat();
    for first in 0..bytes.len() {
        for second in [first, first + 1, first + 9, bytes.len()] {
            let mut client = Client::new();
            let id = client.open(b"put");
            let second = second.clamp(first, bytes.len());
            for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                client.receive(piece);
            }
            let outcome = client.outcome(id);
            assert_eq!(outcome.status.as_deref(), Some(&b"200"[..]), "{first} {second}");
            assert_eq!((outcome.body, outcome.grpc_status), (body.clone(), Some("0".into())));
            assert!(client.state.liveness.is_retired() && client.session.ended().is_none());
            assert_eq!(client.pace.interval().as_secs(), 20);
            assert!(client.state.gate.describe().contains("allows 7 streams"));
            let acks = client
                .written()
                .into_iter()
                .filter(|(head, _)| head.has(ACK) && head.kind != HEADERS);
            assert_eq!(acks.filter(|(head, _)| matches!(head.kind, SETTINGS | PING)).count(), 2);
        }
    }
}

#[test]
fn a_request_is_a_head_and_a_body_and_the_second_a_few_bytes() {
    let mut client = Client::begun(&[]);
    client.open(b"first");
    client.open(b"second");
    client.open(b"third");
    let frames = client.written();
    let lengths: Vec<_> = frames
        .iter()
        .map(|(head, _)| (head.kind, head.stream, head.length))
        .collect();
    assert_eq!(
        lengths[1..],
        [
            (DATA, 1, 5),
            (HEADERS, 3, 4),
            (DATA, 3, 6),
            (HEADERS, 5, 4),
            (DATA, 5, 5)
        ]
    );
    assert!(
        frames
            .iter()
            .all(|(head, _)| head.has(END_STREAM) == (head.kind == DATA))
    );
}

#[test]
fn a_body_is_sent_as_the_windows_open() {
    let mut client = Client::begun(&setting(INITIAL_WINDOW_SIZE, 10));
    let body: Vec<u8> = (0..100).collect();
    let id = client.open(&body);
    let sent = |client: &mut Client| {
        let frames = client.written().into_iter().filter(|(head, _)| head.kind == DATA);
        frames.flat_map(|(_, payload)| payload).collect::<Vec<_>>()
    };
    assert_eq!(sent(&mut client), body[..10]);
    client.receive(&frame(WINDOW_UPDATE, 0, id, &5_u32.to_be_bytes()));
    assert_eq!(sent(&mut client), body[10..15]);
    // A smaller window may be less than nothing.
    client.receive(&frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW_SIZE, 0)));
    client.receive(&frame(WINDOW_UPDATE, 0, id, &12_u32.to_be_bytes()));
    assert_eq!(sent(&mut client), body[15..17]);
    client.receive(&frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW_SIZE, 1 << 20)));
    assert_eq!(sent(&mut client), body[17..]);
}

#[test]
fn the_window_of_the_connection_holds_for_all() {
    let mut client = Client::begun(&setting(INITIAL_WINDOW_SIZE, 1 << 20));
    let ids = [client.open(&[1; 65_535]), client.open(&[2; 10]), client.open(&[3; 10])];
    let count = |client: &mut Client, id| {
        let frames = client.written().into_iter();
        frames
            .filter(|(head, _)| head.kind == DATA && head.stream == id)
            .map(|(head, _)| head.length)
            .sum::<usize>()
    };
    assert_eq!(count(&mut client, ids[0]), 65_535);
    // The stream's own window is of no help.
    client.receive(&frame(WINDOW_UPDATE, 0, ids[1], &5_u32.to_be_bytes()));
    assert!(client.written().is_empty());
    client.receive(&frame(WINDOW_UPDATE, 0, 0, &15_u32.to_be_bytes()));
    let sent: Vec<_> = client
        .written()
        .iter()
        .map(|(head, _)| (head.stream, head.length))
        .collect();
    assert_eq!(sent, [(ids[1], 10), (ids[2], 5)]);
}

#[test]
fn what_was_read_may_be_sent_again() {
    let mut client = Client::begun(&[]);
    let id = client.open(b"");
    client.written();
    client.receive(&frame(HEADERS, END_HEADERS, id, OK));
    let mut came = 0;
    for _ in 0..1000 {
        client.receive(&frame(DATA, PADDED, id, &[&[200], &[0; 16_000][..]].concat()));
        came += client.body(id).len();
    }
    assert_eq!(came, 15_800 * 1000);
    assert!(client.session.ended().is_none());
    let more = client
        .written()
        .into_iter()
        .filter(|(head, _)| head.kind == WINDOW_UPDATE);
    let mut opened = [0, 0];
    for (head, payload) in more {
        opened[usize::from(head.stream == id)] += number(&payload).unwrap() as usize;
    }
    let all = 16_001 * 1000;
    assert!(
        opened[0] > all - CONNECTION_WINDOW && opened[1] > all - STREAM_WINDOW,
        "{opened:?}"
    );
}

#[test]
fn a_stream_that_is_given_up_is_reset_and_its_bytes_are_given_back() {
    let mut client = Client::begun(&[]);
    let mut sent = 0;
    for _ in 0..2000 {
        let id = client.open(b"get");
        client.receive(&frame(HEADERS, END_HEADERS, id, OK));
        client.receive(&frame(DATA, 0, id, &[0; 8000]));
        client.session.forget(id);
        // It comes late.
        client.receive(&frame(DATA, 0, id, &[0; 8000]));
        sent += 16_000;
        let frames = client.written();
        assert!(
            frames
                .iter()
                .any(|(head, payload)| head.kind == RST_STREAM && number(payload) == Some(8))
        );
    }
    assert!(sent > 2 * CONNECTION_WINDOW && client.session.ended().is_none());
    assert!(client.session.streams.is_empty());
}

#[test]
fn a_response_that_is_complete_stays_so() {
    for end in [
        frame(RST_STREAM, 0, 1, &0_u32.to_be_bytes()),
        frame(GOAWAY, 0, 0, &[0; 8]),
        frame(CONTINUATION, 0, 1, &[]),
    ] {
        let mut client = Client::begun(&[]);
        let id = client.open(b"put");
        client.receive(&[response(id, b"done"), end].concat());
        client.session.end("the end");
        let outcome = client.outcome(id);
        assert_eq!((outcome.body, outcome.broken), (b"done".to_vec(), None));
    }
}

#[test]
fn what_the_server_has_not_taken_is_refused_and_the_rest_goes_on() {
    let mut client = Client::begun(&[]);
    let ids = [client.open(b"1"), client.open(b"2"), client.open(b"3")];
    client.receive(&frame(HEADERS, END_HEADERS, ids[2], OK));
    client.receive(&frame(GOAWAY, 0, 0, &[&1_u32.to_be_bytes()[..], &[0; 4]].concat()));
    client.receive(&response(ids[0], b"one"));
    assert_eq!(client.outcome(ids[0]).body, b"one");
    assert_eq!(client.outcome(ids[1]).broken, Some(Broken::Refused));
    // It had begun to respond.
    assert!(matches!(client.outcome(ids[2]).broken, Some(Broken::Cut(_))));
    assert_eq!(client.session.open("/", &Metadata::default(), None), None);
}

#[test]
fn who_breaks_the_rules_of_the_connection_ends_it() {
    let window = frame(DATA, 0, 1, &[0; LARGEST]);
    let cases: [(&str, Vec<u8>, u32); 15] = [
        ("a frame that is too large", frame(DATA, 0, 1, &[0; LARGEST + 1]), 6),
        ("DATA of no stream", frame(DATA, 0, 0, b""), 1),
        ("DATA of a stream to come", frame(DATA, 0, 99, b""), 1),
        (
            "RST_STREAM of the server's own stream",
            frame(RST_STREAM, 0, 2, &[0; 4]),
            1,
        ),
        ("SETTINGS of a stream", frame(SETTINGS, 0, 1, &[]), 1),
        ("half a setting", frame(SETTINGS, 0, 0, &[0; 5]), 6),
        ("acknowledged with a payload", frame(SETTINGS, ACK, 0, &[0; 6]), 6),
        (
            "a window that is too large",
            frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW_SIZE, 1 << 31)),
            3,
        ),
        (
            "frames that are too small",
            frame(SETTINGS, 0, 0, &setting(MAX_FRAME_SIZE, 16_383)),
            1,
        ),
        (
            "PUSH_PROMISE",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
            1,
        ),
        (
            "a window that overflows",
            frame(WINDOW_UPDATE, 0, 0, &BITS.to_be_bytes()),
            3,
        ),
        ("no HPACK", frame(HEADERS, END_HEADERS, 1, &[0xff; 20]), 9),
        (
            "a head in the middle of another",
            [frame(HEADERS, 0, 1, OK), frame(PING, 0, 0, &[0; 8])].concat(),
            1,
        ),
        (
            "more than the window",
            [
                frame(HEADERS, END_HEADERS, 1, OK),
                window.repeat(STREAM_WINDOW / LARGEST + 1),
            ]
            .concat(),
            3,
        ),
        (
            "a head without an end",
            [
                frame(HEADERS, 0, 1, OK),
                frame(CONTINUATION, 0, 1, &[0; LARGEST]).repeat(5),
            ]
            .concat(),
            11,
        ),
    ];
    for (name, bytes, code) in cases {
        let mut client = Client::begun(&[]);
        let id = client.open(b"put");
        client.receive(&bytes);
        assert_eq!(client.last_word(), Some(code), "{name}");
        assert!(matches!(client.outcome(id).broken, Some(Broken::Cut(_))), "{name}");
        assert_eq!(client.session.open("/", &Metadata::default(), None), None, "{name}");
    }
}

#[test]
fn who_breaks_the_rules_of_a_stream_ends_that() {
    let head = frame(HEADERS, END_HEADERS, 1, OK);
    let cases: [(&str, Vec<u8>); 11] = [
        ("a body without a head", frame(DATA, 0, 1, b"data")),
        ("no status", frame(HEADERS, END_HEADERS, 1, TRAILERS)),
        ("two heads", [head.clone(), head.clone()].concat()),
        ("two statuses", frame(HEADERS, END_HEADERS, 1, &[0x88, 0x88])),
        (
            "a status behind a field",
            frame(HEADERS, END_HEADERS, 1, b"\0\x01a\x01b\x88"),
        ),
        ("a field of requests", frame(HEADERS, END_HEADERS, 1, &[0x88, 0x83])),
        (
            "a field of HTTP/1",
            frame(HEADERS, END_HEADERS, 1, b"\x88\0\x0aconnection\x05close"),
        ),
        (
            "trailers with a status",
            [head.clone(), frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)].concat(),
        ),
        ("a window by nothing", frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
        (
            "a window that overflows",
            frame(WINDOW_UPDATE, 0, 1, &BITS.to_be_bytes()),
        ),
        (
            "a long list of fields",
            // One of 4 KiB, said once and referred to five times.
            frame(
                HEADERS,
                END_HEADERS,
                1,
                &[&b"\x88\x40\x01a\x7f\xa1\x1e"[..], &[b'x'; 4000], &[0xbe; 5]].concat(),
            ),
        ),
    ];
    for (name, bytes) in cases {
        let mut client = Client::begun(&[]);
        let (id, other) = (client.open(b"put"), client.open(b"put"));
        client.receive(&bytes);
        assert!(matches!(client.outcome(id).broken, Some(Broken::Cut(_))), "{name}");
        assert!(
            client
                .written()
                .iter()
                .any(|(head, _)| head.kind == RST_STREAM && head.stream == id),
            "{name}"
        );
        // What comes late for it is nobody's.
        client.receive(&response(id, b"late"));
        client.receive(&response(other, b"good"));
        assert_eq!(client.outcome(other).body, b"good", "{name}");
    }
}

#[test]
fn frames_that_bring_nothing_are_borne_for_a_while() {
    for useless in [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(DATA, 0, 1, &[]),
        frame(PRIORITY, 0, 1, &[0; 5]),
        frame(RST_STREAM, 0, 3, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(0x42, 0, 9, &[0; 100]),
        response(3, b""),
    ] {
        let mut client = Client::begun(&[]);
        let (id, forgotten) = (client.open(b"put"), client.open(b"put"));
        client.session.forget(forgotten);
        client.receive(&frame(HEADERS, END_HEADERS, id, OK));
        for _ in 0..USELESS / 4 {
            client.receive(&useless);
        }
        assert_eq!(client.last_word(), None);
        client.receive(&frame(DATA, 0, id, b"useful"));
        for _ in 0..=USELESS {
            client.receive(&useless);
        }
        assert_eq!(client.last_word(), Some(11));
    }
}

#[test]
fn who_takes_no_answers_is_not_read_any_further() {
    let mut client = Client::begun(&[]);
    let mut pings = 0;
    while !client.session.is_flooded() {
        client.receive(&frame(PING, 0, 0, &[0; 8]));
        pings += 1;
    }
    assert!((100..USELESS).contains(&pings));
    assert_eq!(client.written().len(), pings as usize);
    assert!(!client.session.is_flooded());
}

#[test]
fn small_pieces_that_wait_are_joined() {
    let mut client = Client::begun(&[]);
    let id = client.open(b"get");
    client.receive(&frame(HEADERS, END_HEADERS, id, OK));
    client.receive(&frame(DATA, 0, id, b"x").repeat(100_000));
    assert!(client.session.streams[&id].pieces.len() < 10);
    assert_eq!(client.outcome(id).body.len(), 100_000);
}

/// Sends the head of a response, and a body of so many bytes.
fn body(id: u32, length: usize) -> Vec<u8> {
    let whole = frame(DATA, 0, id, &[0; LARGEST]).repeat(length / LARGEST);
    [frame(HEADERS, END_HEADERS, id, OK), whole].concat()
}

#[test]
fn what_is_not_wanted_any_more_is_not_sent() {
    let mut client = Client::begun(&setting(INITIAL_WINDOW_SIZE, 10));
    let id = client.session.open("/", &Metadata::default(), None).unwrap();
    client.send(id, &[0; 100], false);
    client.written();
    client.receive(&response(id, b"enough"));
    client.receive(&frame(RST_STREAM, 0, id, &[0; 4]));
    client.receive(&frame(WINDOW_UPDATE, 0, id, &100_u32.to_be_bytes()));
    client.send(id, b"", true);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(client.session.poll_window(id, &mut cx).is_ready());
    assert_eq!(client.outcome(id).body, b"enough");
    client.session.forget(id);
    assert!(client.written().is_empty());
}

#[test]
fn a_stream_is_reset_once() {
    let mut client = Client::begun(&[]);
    let id = client.session.open("/", &Metadata::default(), None).unwrap();
    client.receive(&response(id, b"early"));
    client.written();
    client.receive(&frame(WINDOW_UPDATE, 0, id, &[0; 4]).repeat(10));
    client.session.forget(id);
    assert_eq!(client.written().len(), 1);
}

#[test]
fn who_waits_to_send_hears_of_the_end() {
    let resets = frame(RST_STREAM, 0, 1, &[0; 4]);
    for end in [
        resets.clone(),
        [response(1, b""), resets].concat(),
        frame(PING, 0, 1, &[0; 8]),
    ] {
        let mut client = Client::begun(&setting(INITIAL_WINDOW_SIZE, 0));
        let id = client.session.open("/", &Metadata::default(), None).unwrap();
        let heard = Arc::new(Heard::default());
        let waker = heard.clone().into();
        let mut cx = Context::from_waker(&waker);
        assert!(client.session.poll_window(id, &mut cx).is_pending());
        client.receive(&end);
        assert!(heard.0.load(Ordering::Relaxed));
        assert!(client.session.poll_window(id, &mut cx).is_ready());
    }
}

#[derive(Default)]
struct Heard(AtomicBool);

impl Wake for Heard {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_stream_that_was_reset_gets_no_larger_window() {
    let mut client = Client::begun(&[]);
    let id = client.open(b"get");
    client.receive(&body(id, STREAM_WINDOW));
    client.receive(&frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    client.written();
    assert_eq!(client.outcome(id).body.len(), STREAM_WINDOW);
    assert!(client.written().is_empty());
}

#[test]
fn the_last_word_is_one() {
    let mut client = Client::begun(&[]);
    client.receive(&frame(PING, 0, 1, &[0; 8]));
    client.session.leave();
    let words: Vec<_> = client.written().iter().map(|(head, _)| head.kind).collect();
    assert_eq!(words, [GOAWAY]);
}

#[test]
fn late_responses_of_many_are_no_flood() {
    let mut client = Client::begun(&[]);
    let ids: Vec<_> = (0..USELESS).map(|_| client.open(b"get")).collect();
    for id in &ids {
        client.session.forget(*id);
        client.written();
    }
    for id in &ids {
        client.receive(&response(*id, b"late"));
    }
    assert_eq!(client.last_word(), None);
    // Each ends once.
    for id in &ids {
        client.receive(&response(*id, b"late"));
    }
    assert_eq!(client.last_word(), Some(11));
}

#[test]
fn a_window_that_opens_in_vain_brings_nothing() {
    let mut client = Client::begun(&setting(INITIAL_WINDOW_SIZE, 1 << 20));
    let id = client.open(&[0; 100_000]);
    for _ in 0..=USELESS {
        client.receive(&frame(WINDOW_UPDATE, 0, id, &1_u32.to_be_bytes()));
    }
    assert_eq!(client.last_word(), Some(11));
}

#[test]
fn what_ended_a_stream_does_not_end_the_connection_later() {
    let mut client = Client::begun(&[]);
    let id = client.open(b"put");
    client.receive(&frame(WINDOW_UPDATE, 0, id, &BITS.to_be_bytes()));
    client.receive(&frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW_SIZE, 70_000)));
    assert_eq!(client.session.ended(), None);
}

#[test]
fn of_two_settings_the_last_counts_and_each_is_checked() {
    let two = |first, last| [setting(INITIAL_WINDOW_SIZE, first), setting(INITIAL_WINDOW_SIZE, last)].concat();
    let mut client = Client::begun(&two(1000, 3));
    client.open(b"12345");
    let sent: Vec<_> = client.written().into_iter().map(|(head, _)| head.length).collect();
    assert_eq!(sent[1..], [3]);
    client.receive(&frame(SETTINGS, 0, 0, &two(u32::MAX, 3)));
    assert_eq!(client.last_word(), Some(3));
}

#[test]
fn a_server_that_takes_nothing_gets_no_more_requests() {
    let mut client = Client::begun(&setting(INITIAL_WINDOW_SIZE, BITS));
    client.receive(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
    client.written();
    let mut opened = 0;
    while let Some(id) = client.session.open("/", &Metadata::default(), None) {
        client.send(id, &[0; 1 << 10], true);
        client.session.forget(id);
        opened += 1;
        assert!(opened < 10_000);
    }
    assert!(opened > 1000);
    // It has taken it.
    client.written();
    client.open(b"put");
}

#[test]
fn a_complaint_is_heard_once() {
    let mut client = Client::begun(&[]);
    let complaint = frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\x0btoo_many_pings");
    client.receive(&complaint.repeat(5));
    assert_eq!(client.pace.interval().as_secs(), 20);
}
