//! A connection as a machine without socket, clock or task: what came in, what is to go out, and what is known of each
//! stream.
//!
//! In: bytes of the server, and the wishes of those who have streams. Out: bytes for the server, in an [`Output`], and
//! what streams have brought. A server that breaks the rules ends the connection; one that does so on a stream ends
//! that. Memory is bounded whatever comes: by the windows, by the limits of heads, and by that of frames that bring
//! nothing. Called under the lock of [`Shared`](super::Shared), on any thread.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::frame::{
    ACK, BITS, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADER_TABLE_SIZE, HEADERS,
    Head as FrameHead, INITIAL_WINDOW_SIZE, LARGEST, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE,
    PADDED, PING, PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, Reason, SETTINGS, WINDOW_UPDATE, number, write,
};
use super::hpack::{Constant, Decoder, Encoder, Fields, LIST, Metadata};
use super::line::READ_AT_MOST;
use super::output::{Body, Output};
use super::window::{self, Window};
use crate::etcd::transport::deadline::Deadline;
use crate::etcd::transport::state::State;

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

/// So many bytes may wait for a server that takes none, where as many are of requests that were given up meanwhile.
const STALE: usize = 1 << 20;

/// What a head has beside its secrets at the most: those of a program are limited to less.
const ROOM: usize = 32 << 10;

/// Pieces of a body that are not longer together are joined where they wait.
const JOINED: usize = 16 << 10;

/// A shorter piece for which nobody waits is copied: it would keep all that was read with it, which is as much as
/// [`READ_AT_MOST`].
const SHARED: usize = READ_AT_MOST / 8;

/// In SETTINGS: an identifier of two bytes and a value of four.
const SETTING: usize = 6;

/// In GOAWAY: the last stream, the reason, and a text.
const GOAWAY_LENGTH: usize = 8;
/// That of gRPC with ENHANCE_YOUR_CALM. Others use the same reason for other things.
const TOO_MANY_PINGS: &[u8] = b"too_many_pings";

const NO_SETTINGS: &str = "the server did not begin with its settings";

/// What every ping of the client carries.
const OPAQUE: [u8; 8] = *b"etcd-lua";

const WRONG_SIZE: Wrong = (Reason::FRAME_SIZE_ERROR, "the server sent a frame of a wrong size");

const NO_WINDOW: Wrong = (
    Reason::FLOW_CONTROL_ERROR,
    "the server wants a window of a size that there is not",
);

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

/// One request and its response.
struct Exchange {
    /// By when all of the response must have come.
    deadline: Option<Deadline>,
    head: Option<Fields>,
    /// The head has come.
    has_begun: bool,
    /// The first piece of the body that was not read, empty where there is none, and those behind it.
    piece: BytesMut,
    pieces: VecDeque<BytesMut>,
    trailers: Option<Fields>,
    /// All of the response has come.
    is_complete: bool,
    broken: Option<Broken>,
    /// Waits for something of that.
    reader: Option<Waker>,
    /// What the server may send.
    room: Window,
    /// What may be sent.
    window: i64,
    unsent: VecDeque<Body>,
    /// Waits for the window.
    sender: Option<Waker>,
    /// Nothing will be sent behind `unsent`, and nothing at all: the end was sent, or is not wanted.
    is_last: bool,
    is_sent: bool,
    /// Bytes of the request that are in the output, or were.
    written: usize,
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

    /// Is everything done that will be?
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some() || self.is_closing && self.streams.is_empty()
    }

    /// Is so much owed to the server that nothing more should be read?
    pub(crate) fn is_flooded(&self) -> bool {
        self.answers > ANSWERS
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

/// What the users of streams want.
impl Session {
    /// Begins a request, whose response must have come by a deadline. None where the connection takes no more.
    pub(crate) fn open(
        &mut self,
        path: &'static str,
        metadata: &Metadata<'_>,
        deadline: Option<Deadline>,
    ) -> Option<u32> {
        let id = self.next;
        if self.ended.is_some() || self.last.is_some() || id > BITS || self.is_stuck() {
            return None;
        }
        self.next += 2;
        self.head.clear();
        let secret = metadata.secret();
        if secret > 0 {
            // It grows no more, which would leave a copy behind.
            self.head.reserve(secret + ROOM);
        }
        self.encoder.encode(path, metadata, &mut self.head);
        let exchange = Exchange::new(self.initial_window, self.head.len(), deadline);
        self.streams.insert(id, exchange);
        self.due = self.due.into_iter().chain(deadline.map(|deadline| deadline.end)).min();
        let mut kind = HEADERS;
        let mut pieces = self.head.chunks(self.largest).peekable();
        while let Some(piece) = pieces.next() {
            let head = FrameHead {
                length: piece.len(),
                kind,
                flags: if pieces.peek().is_none() { END_HEADERS } else { 0 },
                stream: id,
            };
            head.write(self.output.frames());
            match secret {
                0 => self.output.frames().extend_from_slice(piece),
                _ => self.output.body(Body {
                    bytes: Bytes::from_owner(Zeroizing::new(piece.to_vec())),
                    is_secret: true,
                }),
            }
            kind = CONTINUATION;
        }
        self.tell_writer();
        Some(id)
    }

    /// Sends a piece of a request's body, with the `last` its end, as the server's windows open. What it does not want
    /// any more is dropped: its response, which is complete, says why.
    pub(crate) fn send(&mut self, id: u32, body: Body, last: bool) -> Result<(), Broken> {
        let exchange = self.streams.get_mut(&id).ok_or_else(gone)?;
        if let Some(broken) = &exchange.broken {
            return Err(broken.clone());
        } else if exchange.is_sent {
            return Ok(());
        }
        exchange.is_last |= last;
        let window = exchange.window.min(self.window).min(self.largest as i64);
        if exchange.unsent.is_empty() && body.bytes.len() as i64 <= window {
            write_data(&mut self.output, &mut self.window, exchange, id, body);
            exchange.wake_sender();
        } else {
            exchange.unsent.push_back(body);
            self.flush(id);
        }
        self.tell_writer();
        Ok(())
    }

    /// Waits until something may be sent at once, and says how much.
    pub(crate) fn poll_window(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        let whole = self.window;
        let exchange = self.exchange(id)?;
        if let Some(broken) = &exchange.broken {
            return Poll::Ready(Err(broken.clone()));
        }
        if exchange.is_sent {
            return Poll::Ready(Ok(usize::MAX));
        }
        let window = exchange.window.min(whole);
        if exchange.unsent.is_empty() && window > 0 {
            return Poll::Ready(Ok(window as usize));
        }
        exchange.sender = Some(cx.waker().clone());
        if exchange.window > 0 {
            self.blocked.insert(id);
        }
        Poll::Pending
    }

    /// Waits for the head of the response.
    pub(crate) fn poll_head(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<Fields, Broken>> {
        let exchange = self.exchange(id)?;
        match exchange.head.take() {
            Some(head) => Poll::Ready(Ok(head)),
            None => exchange.wait(cx).map(|broken| Err(broken.unwrap_or_else(gone))),
        }
    }

    /// Waits for the next piece of the response's body; none where it has come to its end.
    pub(crate) fn poll_data(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<Option<BytesMut>, Broken>> {
        let exchange = self.exchange(id)?;
        if exchange.piece.is_empty() {
            return exchange.wait(cx).map(|broken| broken.map_or(Ok(None), Err));
        }
        let next = exchange.pieces.pop_front().unwrap_or_default();
        let piece = std::mem::replace(&mut exchange.piece, next);
        if exchange.is_open()
            && let Some(more) = exchange.room.give_back(piece.len())
        {
            self.write(WINDOW_UPDATE, 0, id, &more.to_be_bytes());
        }
        self.give_back(piece.len());
        Poll::Ready(Ok(Some(piece)))
    }

    /// Waits for the end of the response, and returns the trailers where there are some.
    pub(crate) fn poll_trailers(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<Option<Fields>, Broken>> {
        let exchange = self.exchange(id)?;
        match exchange.trailers.take() {
            Some(trailers) => Poll::Ready(Ok(Some(trailers))),
            None => exchange.wait(cx).map(|broken| broken.map_or(Ok(None), Err)),
        }
    }

    /// Nobody waits for this stream any longer.
    pub(crate) fn forget(&mut self, id: u32) {
        let Some(exchange) = self.streams.remove(&id) else {
            return;
        };
        let unread = exchange.unread().map(BytesMut::len).sum();
        if exchange.broken.is_none() && !(exchange.is_complete && exchange.is_sent) {
            self.write_reset(id, Reason::CANCEL);
            self.late = self.late.saturating_add(u32::from(!exchange.is_complete));
        }
        self.stale += exchange.written + HEAD;
        self.blocked.remove(&id);
        self.give_back(unread);
        if self.is_over() {
            self.tell_writer();
        }
    }

    /// Nobody will open another stream. The connection ends with the last that there is.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
        self.tell_writer();
    }

    /// Asks the server for a sign of life, unless it was asked. Returns how often it has given one.
    pub(crate) fn ping(&mut self) -> u64 {
        if !std::mem::replace(&mut self.is_pinged, true) {
            self.write(PING, 0, 0, &OPAQUE);
        }
        self.pongs
    }

    /// How often the server has answered a ping.
    pub(crate) fn pongs(&self) -> u64 {
        self.pongs
    }

    /// Does the server take nothing any more? Then what is given up would pile up.
    fn is_stuck(&self) -> bool {
        self.stale > STALE && self.output.remaining() > STALE
    }

    fn exchange(&mut self, id: u32) -> Result<&mut Exchange, Broken> {
        self.streams.get_mut(&id).ok_or_else(gone)
    }

    /// So much of what came was read, or never will be.
    fn give_back(&mut self, bytes: usize) {
        if let Some(more) = self.room.give_back(bytes) {
            self.write(WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
    }

    fn write_reset(&mut self, id: u32, reason: Reason) {
        self.write(RST_STREAM, 0, id, &reason.0.to_be_bytes());
    }

    /// Writes a frame, if anything goes still.
    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        if self.ended.is_none() {
            write(self.output.frames(), kind, flags, stream, payload);
            self.tell_writer();
        }
    }

    /// Writes what a stream has to send, as far as the windows allow.
    fn flush(&mut self, id: u32) {
        let Some(exchange) = self.streams.get_mut(&id) else {
            return;
        };
        while let Some(body) = exchange.unsent.front_mut() {
            let room = exchange.window.min(self.window).clamp(0, self.largest as i64) as usize;
            let length = body.bytes.len().min(room);
            if length == 0 && !body.bytes.is_empty() {
                if exchange.window > 0 {
                    self.blocked.insert(id);
                }
                return;
            }
            let piece = Body {
                bytes: body.bytes.split_to(length),
                is_secret: body.is_secret,
            };
            if body.bytes.is_empty() {
                exchange.unsent.pop_front();
            }
            write_data(&mut self.output, &mut self.window, exchange, id, piece);
        }
        exchange.wake_sender();
    }

    /// The window of the connection has opened, maybe.
    fn flush_blocked(&mut self) {
        while self.window > 0
            && let Some(id) = self.blocked.pop_first()
        {
            self.flush(id);
        }
    }
}

/// What the server sends.
impl Session {
    /// Reads the frames that are complete, and leaves the beginning of the next.
    pub(crate) fn receive(&mut self, input: &mut BytesMut) {
        while self.ended.is_none()
            && let Some(head) = FrameHead::read(input)
        {
            let read = if head.length > LARGEST {
                Err((Reason::FRAME_SIZE_ERROR, "the server sent a frame larger than allowed"))
            } else if input.len() < HEAD + head.length {
                return;
            } else {
                input.advance(HEAD);
                self.frame(head, input)
            };
            self.useless = match read {
                Ok(true) => 0,
                Ok(false) => self.useless + 1,
                Err(wrong) => return self.fail(wrong),
            };
            if self.useless > USELESS {
                let wrong = "the server floods the connection with frames that bring nothing";
                return self.fail((Reason::ENHANCE_YOUR_CALM, wrong));
            }
        }
    }

    /// The connection has ended, as this text says.
    pub(crate) fn end(&mut self, reason: &str) {
        if self.ended.is_some() {
            return;
        }
        let broken = Broken::Cut(reason.into());
        for exchange in self.streams.values_mut() {
            exchange.break_off(&broken);
        }
        self.ended = Some(broken);
        self.tell_writer();
    }

    /// The server is told that the connection ends, and with it what is under way.
    pub(crate) fn leave(&mut self) {
        let open = self.streams.iter().filter(|(_, exchange)| exchange.is_open());
        let open: Vec<_> = open.map(|(id, _)| *id).collect();
        for id in open {
            self.write_reset(id, Reason::CANCEL);
        }
        self.fail((Reason::NO_ERROR, "the client closed the connection"));
    }

    fn fail(&mut self, (reason, text): Wrong) {
        let payload = [0_u32.to_be_bytes(), reason.0.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload);
        self.end(text);
    }

    /// A frame has come, whose payload is the next of the input. Says whether it has brought something.
    fn frame(&mut self, head: FrameHead, input: &mut BytesMut) -> Result<bool, Wrong> {
        self.check(head)?;
        if head.kind == DATA {
            return self.data(head, input.split_to(head.length));
        }
        let read = self.control(head, &input[..head.length]);
        input.advance(head.length);
        read
    }

    /// May such a frame come now?
    fn check(&self, head: FrameHead) -> Result<(), Wrong> {
        let protocol = |text| Err((Reason::PROTOCOL_ERROR, text));
        let begun = self.block.as_ref().map(|block| block.stream);
        if begun != (head.kind == CONTINUATION).then_some(head.stream) {
            return protocol("the server mixed the frames of a head with others");
        }
        // What a server says against pings counts, also where it begins with that.
        if !self.has_begun && (!matches!(head.kind, SETTINGS | GOAWAY) || head.has(ACK)) {
            return protocol(NO_SETTINGS);
        }
        let of_stream = match head.kind {
            DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION => Some(true),
            SETTINGS | PING | GOAWAY => Some(false),
            _ => None,
        };
        if of_stream.is_some_and(|of_stream| of_stream != (head.stream != 0)) {
            return protocol("the server sent a frame on a stream where it has no place");
        }
        // PRIORITY may come for any.
        let is_idle = head.stream != 0 && (head.stream.is_multiple_of(2) || head.stream >= self.next);
        if is_idle && matches!(head.kind, DATA | HEADERS | RST_STREAM | WINDOW_UPDATE) {
            return protocol("the server sent a frame on a stream that nobody opened");
        }
        let fixed = match head.kind {
            PRIORITY => Some(5),
            RST_STREAM | WINDOW_UPDATE => Some(4),
            PING => Some(8),
            SETTINGS if head.has(ACK) => Some(0),
            _ => None,
        };
        match fixed {
            Some(length) if length != head.length => Err(WRONG_SIZE),
            _ => Ok(()),
        }
    }

    /// A frame that is no DATA.
    fn control(&mut self, head: FrameHead, payload: &[u8]) -> Result<bool, Wrong> {
        let protocol = |text| Err((Reason::PROTOCOL_ERROR, text));
        match head.kind {
            HEADERS => {
                let mut block = &payload[unpadded(head, payload)?];
                if head.has(PRIORITIZED) {
                    let Some((_, rest)) = block.split_at_checked(5) else {
                        return protocol("the server sent half a head");
                    };
                    block = rest;
                }
                if head.has(END_HEADERS) {
                    return self.fields(head.stream, head.has(END_STREAM), block);
                }
                self.block = Some(Block {
                    stream: head.stream,
                    ends: head.has(END_STREAM),
                    bytes: block.into(),
                });
                Ok(false)
            }
            CONTINUATION => match self.block.take() {
                Some(block) => self.continuation(block, head, payload),
                None => Ok(false),
            },
            RST_STREAM => Ok(self.reset_by_server(head.stream, Reason(number(payload).unwrap_or(0)))),
            SETTINGS if head.has(ACK) => Ok(false),
            SETTINGS => self.settings(payload),
            PUSH_PROMISE => protocol("the server pushed what nobody asked for"),
            PING if head.has(ACK) => {
                let answered = std::mem::take(&mut self.is_pinged);
                self.pongs += u64::from(answered);
                Ok(answered)
            }
            PING => {
                self.answer(PING, payload);
                Ok(false)
            }
            GOAWAY => self.goaway(payload),
            WINDOW_UPDATE => self.window_update(head.stream, number(payload).unwrap_or(0) & BITS),
            _ => Ok(false),
        }
    }

    fn answer(&mut self, kind: u8, payload: &[u8]) {
        self.write(kind, ACK, 0, payload);
        self.answers += HEAD + payload.len();
    }

    fn data(&mut self, head: FrameHead, mut piece: BytesMut) -> Result<bool, Wrong> {
        let overflow = (
            Reason::FLOW_CONTROL_ERROR,
            "the server sent more than the window allows",
        );
        let taken = piece.len();
        if !self.room.take(taken) {
            return Err(overflow);
        }
        let unpadded = unpadded(head, &piece)?;
        piece.truncate(unpadded.end);
        piece.advance(unpadded.start);
        let Some(exchange) = self.streams.get_mut(&head.stream).filter(|exchange| exchange.is_open()) else {
            self.give_back(taken);
            return Ok(head.has(END_STREAM) && self.ends_late());
        };
        if !exchange.has_begun {
            self.give_back(taken);
            self.reset(
                head.stream,
                Reason::PROTOCOL_ERROR,
                "the server sent a body without a head",
            );
            return Ok(true);
        }
        if !exchange.room.take(taken) {
            return Err(overflow);
        }
        let padding = taken - piece.len();
        // Nobody reads that.
        let more = exchange.room.give_back(padding);
        let is_useful = !piece.is_empty() || head.has(END_STREAM);
        if !piece.is_empty() {
            exchange.push(piece);
        }
        exchange.is_complete = head.has(END_STREAM);
        if is_useful {
            exchange.wake();
        }
        if let Some(more) = more.filter(|_| !head.has(END_STREAM)) {
            self.write(WINDOW_UPDATE, 0, head.stream, &more.to_be_bytes());
        }
        self.give_back(padding);
        Ok(is_useful)
    }

    /// A piece of a block of fields has come, the last maybe.
    fn continuation(&mut self, mut block: Block, head: FrameHead, piece: &[u8]) -> Result<bool, Wrong> {
        block.bytes.extend_from_slice(piece);
        if block.bytes.len() > BLOCK {
            return Err((Reason::ENHANCE_YOUR_CALM, "the server sent a head without an end"));
        } else if head.has(END_HEADERS) {
            return self.fields(block.stream, block.ends, &block.bytes);
        }
        self.block = Some(block);
        Ok(false)
    }

    /// A block of fields has come.
    fn fields(&mut self, stream: u32, ends: bool, block: &[u8]) -> Result<bool, Wrong> {
        let malformed = |_| (Reason::COMPRESSION_ERROR, "the server sent a head that cannot be read");
        // Also that of a stream that is forgotten: what it says may be referred to later.
        let fields = self.decoder.decode(block).map_err(malformed)?;
        let Some(exchange) = self.streams.get_mut(&stream).filter(|exchange| exchange.is_open()) else {
            return Ok(ends && self.ends_late());
        };
        let wrong = if fields.is_malformed() || exchange.has_begun && fields.status.is_some() {
            Some("the server sent a malformed head")
        } else if fields.is_too_large() {
            Some("the server sent a head larger than allowed")
        } else if exchange.has_begun && !ends {
            Some("the server sent a second head")
        } else if !exchange.has_begun && fields.status.is_none() {
            Some("the server sent a head without a status")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.reset(stream, Reason::PROTOCOL_ERROR, wrong);
            return Ok(true);
        }
        let is_interim = |status: &Bytes| status.len() == 3 && status.starts_with(b"1");
        if exchange.has_begun {
            exchange.trailers = Some(fields);
        } else if fields.status.as_ref().is_some_and(is_interim) && !ends {
            return Ok(false);
        } else {
            exchange.has_begun = true;
            exchange.head = Some(fields);
        }
        exchange.is_complete = ends;
        exchange.wake();
        Ok(true)
    }

    /// Ends a stream on which the server broke the rules.
    fn reset(&mut self, id: u32, reason: Reason, text: &'static str) {
        if let Some(exchange) = self.streams.get_mut(&id) {
            exchange.break_off(&Broken::Cut(text.into()));
            self.write_reset(id, reason);
        }
    }

    /// Is what has come the end of a stream that was given up? Each ends once: it is no flood, however many there are.
    fn ends_late(&mut self) -> bool {
        let late = self.late.checked_sub(1);
        self.late = late.unwrap_or(0);
        late.is_some()
    }

    /// Says whether there was something to reset.
    fn reset_by_server(&mut self, id: u32, reason: Reason) -> bool {
        let Some(exchange) = self.streams.get_mut(&id) else {
            return self.ends_late();
        };
        let was_open = exchange.is_open();
        let broken = match reason {
            // Once a response has begun, the request was taken, whatever the server says.
            Reason::REFUSED_STREAM if !exchange.has_begun => Broken::Refused,
            reason => Broken::Cut(format!("the server reset the stream: {reason}").into()),
        };
        exchange.break_off(&broken);
        was_open
    }

    fn settings(&mut self, payload: &[u8]) -> Result<bool, Wrong> {
        if !payload.len().is_multiple_of(SETTING) {
            return Err((Reason::FRAME_SIZE_ERROR, "the server sent half a setting"));
        }
        let (mut window, mut streams) = (None, None);
        for setting in payload.chunks_exact(SETTING) {
            let (name, value) = setting.split_at(2);
            let value = number(value).unwrap_or(0);
            match u16::from_be_bytes([name[0], name[1]]) {
                HEADER_TABLE_SIZE => self.encoder.resize(value as usize),
                ENABLE_PUSH if value != 0 => return Err((Reason::PROTOCOL_ERROR, "the server wants to be pushed to")),
                MAX_CONCURRENT_STREAMS => streams = Some(value as usize),
                INITIAL_WINDOW_SIZE if value > BITS => return Err(NO_WINDOW),
                INITIAL_WINDOW_SIZE => window = Some(value.into()),
                MAX_FRAME_SIZE if !(LARGEST..1 << 24).contains(&(value as usize)) => {
                    return Err((
                        Reason::PROTOCOL_ERROR,
                        "the server wants frames of a size that there is not",
                    ));
                }
                MAX_FRAME_SIZE => self.largest = value as usize,
                _ => {}
            }
        }
        self.answer(SETTINGS, &[]);
        // Of two the last counts. Each would cost a look at all streams, or at all that wait for one.
        if let Some(streams) = streams {
            self.state.gate.limit(streams);
        }
        if let Some(window) = window {
            self.resize_windows(window)?;
        }
        Ok(!std::mem::replace(&mut self.has_begun, true))
    }

    /// Also those of the streams that there are become so much larger or smaller.
    fn resize_windows(&mut self, window: i64) -> Result<(), Wrong> {
        let more = window - self.initial_window;
        self.initial_window = window;
        let mut waiting = Vec::new();
        for (id, exchange) in &mut self.streams {
            exchange.window += more;
            if exchange.window > window::LARGEST {
                return Err(NO_WINDOW);
            } else if exchange.is_waiting() && more > 0 {
                waiting.push(*id);
            }
        }
        waiting.sort_unstable();
        for id in waiting {
            self.flush(id);
        }
        Ok(())
    }

    fn goaway(&mut self, payload: &[u8]) -> Result<bool, Wrong> {
        let (Some(last), Some(reason)) = (number(payload), payload.get(4..).and_then(number)) else {
            return Err(WRONG_SIZE);
        };
        let (last, reason) = (last & BITS, Reason(reason));
        if reason == Reason::ENHANCE_YOUR_CALM
            && payload[GOAWAY_LENGTH..].starts_with(TOO_MANY_PINGS)
            && !std::mem::replace(&mut self.is_calm, true)
        {
            self.state.liveness.calm_down();
        }
        self.state.liveness.retire();
        if !self.has_begun {
            return Err((Reason::PROTOCOL_ERROR, NO_SETTINGS));
        }
        let before = self.last.replace(last.min(self.last.unwrap_or(last)));
        for (_, exchange) in self
            .streams
            .iter_mut()
            .filter(|(id, exchange)| **id > last && exchange.is_open())
        {
            let broken = match exchange.has_begun {
                false => Broken::Refused,
                true => Broken::Cut(format!("the server went away: {reason}").into()),
            };
            exchange.break_off(&broken);
        }
        Ok(before.is_none())
    }

    fn window_update(&mut self, id: u32, more: u32) -> Result<bool, Wrong> {
        const WRONG: &str = "the server opened a window by nothing, or too far";
        if id == 0 {
            self.window += i64::from(more);
            if more == 0 {
                return Err((Reason::PROTOCOL_ERROR, WRONG));
            } else if self.window > window::LARGEST {
                return Err((Reason::FLOW_CONTROL_ERROR, WRONG));
            }
            let is_useful = self.window > 0 && !self.blocked.is_empty();
            self.flush_blocked();
            return Ok(is_useful);
        }
        let counts = |exchange: &&mut Exchange| exchange.is_open() || !exchange.is_sent;
        let Some(exchange) = self.streams.get_mut(&id).filter(counts) else {
            return Ok(false);
        };
        let window = exchange.window + i64::from(more);
        if more == 0 || window > window::LARGEST {
            self.reset(id, Reason::FLOW_CONTROL_ERROR, WRONG);
            return Ok(true);
        }
        let is_useful = exchange.is_waiting() && exchange.window <= 0 && window > 0;
        exchange.window = window;
        if is_useful {
            self.flush(id);
        }
        Ok(is_useful)
    }
}

impl Exchange {
    fn new(window: i64, written: usize, deadline: Option<Deadline>) -> Self {
        Self {
            deadline,
            head: None,
            has_begun: false,
            piece: BytesMut::new(),
            pieces: VecDeque::new(),
            trailers: None,
            is_complete: false,
            broken: None,
            reader: None,
            room: Window::new(STREAM_WINDOW),
            window,
            unsent: VecDeque::new(),
            sender: None,
            is_last: false,
            is_sent: false,
            written,
        }
    }

    /// The pieces of the body that were not read.
    fn unread(&self) -> impl Iterator<Item = &BytesMut> {
        let first = Some(&self.piece).filter(|piece| !piece.is_empty());
        first.into_iter().chain(&self.pieces)
    }

    fn push(&mut self, piece: BytesMut) {
        let last = self.pieces.back_mut().unwrap_or(&mut self.piece);
        if !last.is_empty() && last.len() + piece.len() <= JOINED {
            // Each piece costs something, however small.
            last.extend_from_slice(&piece);
            return;
        }
        let lies = self.reader.is_none() && piece.len() < SHARED;
        let piece = if lies { piece[..].into() } else { piece };
        if last.is_empty() {
            *last = piece;
        } else {
            self.pieces.push_back(piece);
        }
    }

    /// Does something wait for the windows to open?
    fn is_waiting(&self) -> bool {
        !self.unsent.is_empty() || self.sender.is_some()
    }

    /// May more come?
    fn is_open(&self) -> bool {
        !self.is_complete && self.broken.is_none()
    }

    /// Ready when nothing more will come, with the reason where that is none of the server's trailers.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Option<Broken>> {
        if !self.is_open() {
            return Poll::Ready(self.broken.clone());
        }
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn wake_sender(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }

    /// Nothing more comes or goes. What is complete stays so.
    fn break_off(&mut self, broken: &Broken) {
        self.unsent.clear();
        self.is_sent = true;
        if self.is_open() {
            self.broken = Some(broken.clone());
        }
        self.wake();
        self.wake_sender();
    }
}

/// Writes a frame of DATA, for which there is room. It is the last where nothing is left to be sent.
fn write_data(output: &mut Output, window: &mut i64, exchange: &mut Exchange, id: u32, body: Body) {
    let length = body.bytes.len();
    exchange.is_sent = exchange.is_last && exchange.unsent.is_empty();
    exchange.window -= length as i64;
    exchange.written += length;
    *window -= length as i64;
    let head = FrameHead {
        length,
        kind: DATA,
        flags: if exchange.is_sent { END_STREAM } else { 0 },
        stream: id,
    };
    head.write(output.frames());
    output.body(body);
}

/// The payload of a frame without its padding.
fn unpadded(head: FrameHead, payload: &[u8]) -> Result<Range<usize>, Wrong> {
    let padding = match payload.first() {
        _ if !head.has(PADDED) => return Ok(0..payload.len()),
        Some(length) => usize::from(*length),
        None => usize::MAX,
    };
    let end = payload.len().checked_sub(padding).filter(|end| *end > 0);
    end.map(|end| 1..end).ok_or((
        Reason::PROTOCOL_ERROR,
        "the server sent a frame with more padding than bytes",
    ))
}

/// What nobody sees: whoever has a stream has not forgotten it.
fn gone() -> Broken {
    Broken::Cut("the stream is gone".into())
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
