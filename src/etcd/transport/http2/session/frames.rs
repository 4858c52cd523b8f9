//! What the server sends, frame by frame, and what becomes of it.
//!
//! In: bytes. Out: what streams have brought, answers, and the end of a stream or of all where the rules are broken.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::exchange::Exchange;
use super::{BLOCK, Block, Broken, Session, USELESS, Wrong};
use crate::etcd::transport::http2::frame::{
    ACK, BITS, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADER_TABLE_SIZE, HEADERS,
    Head as FrameHead, INITIAL_WINDOW_SIZE, LARGEST, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, PADDED, PING, PRIORITIZED,
    PRIORITY, PUSH_PROMISE, RST_STREAM, Reason, SETTINGS, WINDOW_UPDATE, number, write,
};
use crate::etcd::transport::http2::window;

/// In SETTINGS: an identifier of two bytes and a value of four.
const SETTING: usize = 6;

/// In GOAWAY: the last stream, the reason, and a text.
const GOAWAY_LENGTH: usize = 8;

/// That of gRPC with ENHANCE_YOUR_CALM. Others use the same reason for other things.
const TOO_MANY_PINGS: &[u8] = b"too_many_pings";

const NO_SETTINGS: &str = "the server did not begin with its settings";

const WRONG_SIZE: Wrong = (Reason::FRAME_SIZE_ERROR, "the server sent a frame of a wrong size");

const NO_WINDOW: Wrong = (
    Reason::FLOW_CONTROL_ERROR,
    "the server wants a window of a size that there is not",
);

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

    pub(super) fn fail(&mut self, (reason, text): Wrong) {
        let payload = [0_u32.to_be_bytes(), reason.0.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload);
        self.end(text);
    }

    /// A frame has come, whose payload is the next of the input. Says whether it has brought something.
    pub(super) fn frame(&mut self, head: FrameHead, input: &mut BytesMut) -> Result<bool, Wrong> {
        self.check(head)?;
        if head.kind == DATA {
            return self.data(head, input.split_to(head.length));
        }
        let read = self.control(head, &input[..head.length]);
        input.advance(head.length);
        read
    }

    /// May such a frame come now?
    pub(super) fn check(&self, head: FrameHead) -> Result<(), Wrong> {
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
    pub(super) fn control(&mut self, head: FrameHead, payload: &[u8]) -> Result<bool, Wrong> {
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

    /// Adds an answer to the output. The writer is not told: it is who has read what is answered, and looks then.
    pub(super) fn answer(&mut self, kind: u8, payload: &[u8]) {
        write(self.output.frames(), kind, ACK, 0, payload);
        self.answers += HEAD + payload.len();
    }

    pub(super) fn data(&mut self, head: FrameHead, mut piece: BytesMut) -> Result<bool, Wrong> {
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
    pub(super) fn continuation(&mut self, mut block: Block, head: FrameHead, piece: &[u8]) -> Result<bool, Wrong> {
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
    pub(super) fn fields(&mut self, stream: u32, ends: bool, block: &[u8]) -> Result<bool, Wrong> {
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
    pub(super) fn reset(&mut self, id: u32, reason: Reason, text: &'static str) {
        if let Some(exchange) = self.streams.get_mut(&id) {
            exchange.break_off(&Broken::Cut(text.into()));
            self.write_reset(id, reason);
        }
    }

    /// Is what has come the end of a stream that was given up? Each ends once: it is no flood, however many there are.
    pub(super) fn ends_late(&mut self) -> bool {
        let late = self.late.checked_sub(1);
        self.late = late.unwrap_or(0);
        late.is_some()
    }

    /// Says whether there was something to reset.
    pub(super) fn reset_by_server(&mut self, id: u32, reason: Reason) -> bool {
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

    pub(super) fn settings(&mut self, payload: &[u8]) -> Result<bool, Wrong> {
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
    pub(super) fn resize_windows(&mut self, window: i64) -> Result<(), Wrong> {
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

    pub(super) fn goaway(&mut self, payload: &[u8]) -> Result<bool, Wrong> {
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

    pub(super) fn window_update(&mut self, id: u32, more: u32) -> Result<bool, Wrong> {
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
