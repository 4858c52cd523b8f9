//! A connection as a machine without socket, clock or task: what came in, what is to go out, and what is known of each
//! stream.
//!
//! In: bytes of the server, and the wishes of those who have streams. Out: bytes for the server, in an [`Output`], and
//! what streams have brought. A server that breaks the rules ends the connection; one that does so on a stream ends
//! that. Memory is bounded whatever comes: by the windows, by the limits of heads, and by that of frames that bring
//! nothing. Called under the lock of [`Shared`](super::Shared), on any thread. `requests` has what the users of streams
//! want, `frames` what the server sends, `exchange` a stream of both.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Buf;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::frame::{
    ENABLE_PUSH, HEAD, INITIAL_WINDOW_SIZE, LARGEST, MAX_HEADER_LIST_SIZE, Reason, SETTINGS, WINDOW_UPDATE, write,
};
use super::hpack::{Constant, Decoder, Encoder, LIST};
use super::output::Output;
use super::window::Window;
use crate::etcd::transport::state::State;

mod exchange;
mod frames;
mod requests;

use exchange::Exchange;

/// What a client begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The windows for what comes in: large enough for a value of 1.5 MiB to arrive without waiting for a window update.
const STREAM_WINDOW: usize = 2 << 20;
const CONNECTION_WINDOW: usize = 8 << 20;

/// What a window is where nothing else is said.
const WINDOW: i64 = 65_535;

/// The bytes of a block of fields in pieces.
const BLOCK: usize = 4 * LIST;

/// So many frames in a row that bring nothing are an attack. Each of them is legal.
const USELESS: u32 = 10_000;

/// So many bytes of answers to SETTINGS and PING may wait to be written before no more is read.
const ANSWERS: usize = 16 << 10;

/// So many may wait for something that is to be written beside them: those to four pings.
const FEW: usize = 4 * (HEAD + 8);

/// Pieces of a body that are not longer together are joined where they wait.
const JOINED: usize = 16 << 10;

/// What every ping of the client carries.
const OPAQUE: [u8; 8] = *b"etcd-lua";

/// How an exchange has broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The server says that it has not processed the request.
    Refused,
    /// No response came within this time.
    Late(Duration),
    /// It may have been processed; why no response came, in words.
    Cut(Arc<str>),
}

/// What the server said wrong, and the reason that it is told.
type Wrong = (Reason, &'static str);

type Streams = HashMap<u32, Exchange, BuildHasherDefault<Spread>>;

pub(crate) struct Session {
    state: Arc<State>,
    pub(super) output: Output,
    /// The task that writes the output, and whether it was told that there is some.
    writer: Option<Waker>,
    is_told: bool,
    encoder: Encoder,
    /// The head of a request that is being written.
    head: Zeroizing<Vec<u8>>,
    decoder: Decoder,
    streams: Streams,
    /// No deadline of a stream is earlier.
    due: Option<Instant>,
    /// The id of the next stream.
    next: u32,
    /// The fields that go on in the next frame.
    block: Option<Block>,
    /// What the server may send on all streams.
    room: Window,
    /// What may be sent on all streams, on a new one, and in a frame.
    window: i64,
    initial_window: i64,
    largest: usize,
    /// The streams whose bodies wait for the window of the connection, and not for their own. There are none while it
    /// is open.
    blocked: BTreeSet<u32>,
    /// Bytes of answers to SETTINGS and PING that were not written.
    answers: usize,
    useless: u32,
    /// So many streams were given up whose end may come still.
    late: u32,
    /// Bytes of streams that were given up since output was taken last.
    stale: usize,
    /// How many pings were answered, and whether one was not.
    pongs: u64,
    is_pinged: bool,
    /// Settings have come from the server.
    has_begun: bool,
    /// The last stream that the server takes, once it goes away.
    last: Option<u32>,
    /// The server has complained about pings, and was heard once.
    is_calm: bool,
    /// Nobody will open a stream any more.
    is_closing: bool,
    /// Why nothing more comes or goes.
    ended: Option<Broken>,
}

/// A block of fields of which the rest is to come.
struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
}

impl Session {
    pub(crate) fn new(constant: Constant, state: Arc<State>) -> Self {
        let mut session = Self {
            state,
            output: Output::default(),
            writer: None,
            is_told: false,
            encoder: Encoder::new(constant),
            head: Zeroizing::default(),
            decoder: Decoder::default(),
            streams: Streams::default(),
            due: None,
            next: 1,
            block: None,
            room: Window::new(CONNECTION_WINDOW),
            window: WINDOW,
            initial_window: WINDOW,
            largest: LARGEST,
            blocked: BTreeSet::new(),
            answers: 0,
            useless: 0,
            late: 0,
            stale: 0,
            pongs: 0,
            is_pinged: false,
            has_begun: false,
            last: None,
            is_calm: false,
            is_closing: false,
            ended: None,
        };
        let settings = [
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW as u32),
            (MAX_HEADER_LIST_SIZE, LIST as u32),
        ];
        let settings =
            settings.map(|(name, value): (u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
        let out = session.output.frames();
        out.extend_from_slice(PREFACE);
        write(out, SETTINGS, 0, 0, &settings.concat());
        let more = CONNECTION_WINDOW as u32 - WINDOW as u32;
        write(out, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        session
    }

    /// Has the server begun to speak HTTP/2?
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Why nothing more comes or goes.
    pub(crate) fn ended(&self) -> Option<&Broken> {
        self.ended.as_ref()
    }

    /// Why it has ended or takes no more, if that was not the client's wish.
    pub(crate) fn reason(&self) -> Option<String> {
        match &self.ended {
            Some(Broken::Cut(reason)) => Some(reason.to_string()),
            _ => self.last.map(|_| "the server goes away".to_owned()),
        }
    }

    /// Is everything done that will be?
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some() || self.is_closing && self.streams.is_empty()
    }

    /// Is so much owed to the server that nothing more should be read?
    pub(crate) fn is_flooded(&self) -> bool {
        self.answers > ANSWERS
    }

    /// Is nothing to be written but answers?
    pub(crate) fn only_answers(&self) -> bool {
        self.answers > 0 && self.output.remaining() == self.answers
    }

    /// Are they so few that they may wait?
    pub(crate) fn are_few(&self) -> bool {
        self.answers <= FEW
    }

    /// When [`expire`](Self::expire) is to be called, if no stream begins until then that is due earlier.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Breaks the streams off whose deadlines are over.
    pub(crate) fn expire(&mut self, now: Instant) {
        let mut late = Vec::new();
        self.due = None;
        for (id, exchange) in &mut self.streams {
            let Some(deadline) = exchange.deadline.filter(|_| exchange.is_open()) else {
                continue;
            };
            if deadline.end <= now {
                exchange.break_off(&Broken::Late(deadline.length()));
                late.push(*id);
            } else {
                self.due = self.due.into_iter().chain([deadline.end]).min();
            }
        }
        for id in late {
            self.write_reset(id, Reason::CANCEL);
        }
    }

    /// Takes what is to be written. `writer` is told when there is more.
    pub(crate) fn take_output(&mut self, output: &mut Output, writer: &Waker) {
        self.is_told = false;
        if !self.writer.as_ref().is_some_and(|known| known.will_wake(writer)) {
            self.writer = Some(writer.clone());
        }
        if !output.has_remaining() {
            self.answers = 0;
            self.stale = 0;
            std::mem::swap(&mut self.output, output);
        }
    }

    fn tell_writer(&mut self) {
        if !std::mem::replace(&mut self.is_told, true)
            && let Some(writer) = &self.writer
        {
            writer.wake_by_ref();
        }
    }
}

/// The ids of streams are every other number, which the map wants spread over all bits.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32((*byte).into());
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id >> 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::unwrap_used, reason = "a fuzzer may panic")]
pub(in crate::etcd) mod fuzz;
#[cfg(test)]
mod tests;
