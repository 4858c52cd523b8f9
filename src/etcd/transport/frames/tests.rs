//! However a server's bytes are cut, what comes out is the same, and the same is known of it.

use std::collections::VecDeque;
use std::task::Waker;

use std::sync::atomic::AtomicBool;

use super::*;
use crate::etcd::transport::gate::Gate;
use crate::etcd::transport::liveness::{Liveness, Pace};

const HEADERS: u8 = 1;
const PING: u8 = 6;
const PADDED: u8 = 8;

/// A socket that has these bytes, piece by piece; `None` where there are none at the moment.
struct Pieces(VecDeque<Option<Vec<u8>>>);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0.pop_front() {
            Some(Some(mut piece)) => {
                let rest = piece.split_off(piece.len().min(buffer.remaining()));
                buffer.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.push_front(Some(rest));
                }
            }
            Some(None) => return Poll::Pending,
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

/// What is known of a connection after some bytes of it.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    bytes: Vec<u8>,
    limit: String,
    interval: u128,
    retired: bool,
    verdict: Option<Result<(), ConnectError>>,
}

/// Reads these pieces into buffers of the sizes that `room` gives.
fn read(pieces: impl IntoIterator<Item = Option<Vec<u8>>>, mut room: impl FnMut() -> usize) -> Known {
    let pace = Pace::default();
    let state = Arc::new(State {
        liveness: Liveness::new(pace.clone()),
        gate: Gate::new(),
        is_verified: AtomicBool::new(false),
    });
    let (mut frames, mut heard) = Frames::new(Pieces(pieces.into_iter().collect()), state.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = Vec::new();
    loop {
        let mut space = vec![0; room()];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut frames).poll_read(&mut cx, &mut buffer) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => {
                assert!(buffer.filled().is_empty());
                continue;
            }
        }
        if buffer.filled().is_empty() {
            break;
        }
        bytes.extend(buffer.filled());
    }
    Known {
        bytes,
        limit: state.gate.describe(),
        interval: pace.interval().as_secs().into(),
        retired: state.liveness.is_retired(),
        verdict: heard.try_recv().ok(),
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn goaway(reason: u32) -> Vec<u8> {
    let payload = [&7_u32.to_be_bytes()[..], &reason.to_be_bytes(), b"too_many_pings"].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// Frames, and what is to be known of them.
struct Script {
    bytes: Vec<u8>,
    known: Known,
}

impl Script {
    /// A server that begins well.
    fn new() -> Self {
        let bytes = frame(SETTINGS, 0, 0, &[]);
        let known = Known {
            bytes: bytes.clone(),
            limit: Gate::new().describe(),
            interval: 10,
            retired: false,
            verdict: Some(Ok(())),
        };
        Self { bytes, known }
    }

    fn add(&mut self, frame: &[u8]) {
        self.bytes.extend(frame);
        let start = self.known.bytes.len();
        self.known.bytes.extend(frame);
        if frame[..FLAGS] == [0, 0, 0, DATA] && frame[FLAGS] & END_STREAM == 0 {
            self.known.bytes[start + TYPE] = UNKNOWN;
        }
    }

    fn limit(&mut self, limit: u32) {
        let gate = Gate::new();
        gate.limit(limit as usize);
        self.known.limit = gate.describe();
        self.add(&frame(SETTINGS, 0, 0, &[setting(4, 65535), setting(3, limit)].concat()));
    }

    fn go_away(&mut self, reason: u32) {
        self.known.retired = true;
        if reason == 11 {
            self.known.interval = (self.known.interval * 2).min(3600);
        }
        self.add(&goaway(reason));
    }

    /// Any frame.
    fn chance(&mut self, random: &mut fastrand::Rng) {
        let length = if random.u8(..) == 0 { 20_000 } else { random.usize(..40) };
        let payload: Vec<_> = (0..length).map(|_| random.u8(..)).collect();
        let stream = random.u32(1..9);
        match random.u8(..10) {
            0 | 1 => self.add(&frame(DATA, 0, stream, &[])),
            2 => self.add(&frame(DATA, END_STREAM, stream, &[])),
            // Padding counts for the windows, so it has to reach h2.
            3 => self.add(&frame(DATA, PADDED, stream, &[0])),
            4 => self.add(&frame(DATA, random.u8(..) & END_STREAM, stream, &payload)),
            5 => self.limit(random.u32(..)),
            6 => self.go_away(random.u32(9..13)),
            7 => self.add(&frame(SETTINGS, 1, 0, &[])),
            8 => self.add(&frame(PING, 0, 0, &[DATA; 8])),
            _ => self.add(&frame(HEADERS, 4, stream, &payload)),
        }
    }
}

#[test]
fn bytes_cut_anywhere_are_the_same() {
    let mut script = Script::new();
    script.add(&frame(HEADERS, 4, 1, &[0x88]));
    script.add(&frame(DATA, 0, 1, &[]));
    script.limit(2);
    script.add(&frame(DATA, 0, 1, &[]));
    script.add(&frame(DATA, 0, 1, b"data"));
    script.add(&frame(DATA, END_STREAM, 1, &[]));
    let Script { bytes, known } = script;
    assert_eq!(read(bytes.iter().map(|byte| Some(vec![*byte])), || 4096), known);
    for first in 0..bytes.len() {
        for second in first..bytes.len() {
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
            let pieces = pieces.flat_map(|piece| [None, Some(piece.to_vec())]);
            assert_eq!(read(pieces, || 4096), known, "cut at {first} and {second}");
        }
    }
}

#[test]
fn so_are_random_frames_in_random_pieces() {
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut script = Script::new();
        for _ in 0..random.usize(..30) {
            script.chance(&mut random);
        }
        let mut pieces = Vec::new();
        let mut rest = &script.bytes[..];
        let longest = [1, 3, 10, 100, 30_000][random.usize(..5)];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(random.usize(1..=longest)));
            pieces.extend(random.bool().then_some(None));
            pieces.push(Some(piece.to_vec()));
            rest = behind;
        }
        let largest = [2, 9, 20, 9000][random.usize(..4)];
        assert_eq!(read(pieces, || random.usize(2..=largest)), script.known, "seed {seed}");
    }
}

#[test]
fn a_buffer_of_one_byte_loses_nothing() {
    let mut script = Script::new();
    script.add(&frame(DATA, 0, 1, &[]));
    script.limit(3);
    let known = read([Some(script.bytes.clone())], || 1);
    // There is no room to look ahead, so the frame is what it was.
    assert_eq!(known.bytes, script.bytes);
    assert_eq!(known.limit, script.known.limit);
}

#[test]
fn a_server_counts_as_heard_once_its_settings_are_complete() {
    let settings = frame(SETTINGS, 0, 0, &setting(3, 1));
    let waits = [Some(settings[..settings.len() - 1].to_vec()), None];
    let pace = Pace::default();
    let state = Arc::new(State {
        liveness: Liveness::new(pace),
        gate: Gate::new(),
        is_verified: AtomicBool::new(false),
    });
    let (mut frames, mut heard) = Frames::new(Pieces(waits.into()), state);
    let mut space = [0; 64];
    let mut cx = Context::from_waker(Waker::noop());
    let some = Pin::new(&mut frames).poll_read(&mut cx, &mut ReadBuf::new(&mut space));
    assert!(some.is_ready());
    assert!(heard.try_recv().is_err());
    let known = read([Some(settings)], || 64);
    assert_eq!(known.verdict, Some(Ok(())));
}

#[test]
fn what_is_no_http2_is_told_in_words() {
    for (bytes, told) in [
        (&b"HTTP/1.1 400 Bad Request"[..], "the server speaks HTTP/1, not HTTP/2"),
        (b"SSH-2.0-OpenSSH", "the server does not speak HTTP/2"),
        (b"", "the server closed the connection"),
        (b"\0\0\0\x04", "the server closed the connection"),
    ] {
        let known = read(bytes.chunks(1).map(|piece| Some(piece.to_vec())), || 64);
        assert_eq!(known.verdict, Some(Err(ConnectError::Socket(told.into()))));
    }
    let known = read([Some(vec![TLS_ALERT])], || 64);
    assert_eq!(
        known.verdict,
        Some(Err(ConnectError::Tls("the server speaks TLS only".into())))
    );
}
