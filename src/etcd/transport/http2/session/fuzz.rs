//! A session between a user and a server, both played by bytes: whatever they do, nothing panics, what the client writes
//! is well-formed and within the server's windows, memory is bounded, nobody who can go on sleeps, and a response that
//! was complete is never lost. An honest server also gets all that was sent, and its responses arrive.

mod peer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};

use self::peer::{LARGEST_WINDOW, Peer, Settings, pattern};
use super::*;
use crate::etcd::fuzz::Input;
use crate::etcd::transport::http2::frame::*;
use crate::etcd::transport::http2::hpack::Metadata;
use crate::etcd::transport::http2::output::Body;
use crate::etcd::transport::liveness::Pace;

/// Runs the steps that `data` stands for.
pub fn drive(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::new(input.below(2) == 1);
    while !input.is_over() {
        world.step(&mut input);
        world.check();
    }
    if world.is_honest {
        world.settle();
    }
}

/// Sizes at and beside which something changes.
const SIZES: [usize; 8] = [0, 1, 5, 100, 1025, 9000, 16_385, 70_000];
const BODIES: [usize; 8] = [0, 1, 100, 1025, 16_385, 70_000, STREAM_WINDOW / 2, STREAM_WINDOW];
const WINDOWS: [u32; 8] = [0, 1, 10, 1000, 65_535, 1 << 20, BITS - 1, BITS];

/// Somebody who waits.
#[derive(Default)]
struct Sleeper(AtomicBool);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Sleeper {
    fn sleeps(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// How far a response was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Head,
    Body(usize),
    Trailers(usize),
    /// To the end, or until it broke.
    Over,
}

/// A stream as its user and an honest server know it.
struct Model {
    /// Of the request.
    sent: usize,
    is_last: bool,
    read: Read,
    reader: Option<Arc<Sleeper>>,
    sender: Option<Arc<Sleeper>>,
    /// Of the response.
    has_head: bool,
    body: usize,
    /// How many bytes the server had sent with its end.
    ended: Option<usize>,
    /// The server has reset it, or went away before it.
    is_broken: bool,
}

struct World {
    session: Session,
    peer: Peer,
    is_honest: bool,
    models: BTreeMap<u32, Model>,
    /// On the way to the client, and before that to be read as frames.
    wire: Vec<u8>,
    input: BytesMut,
    /// So many bytes were sent, and have arrived. Where those begin that no honest server sends, or that never arrive.
    sent: usize,
    arrived: usize,
    honest: usize,
    /// Streams that are reset with the bytes up to there.
    resets: Vec<(usize, u32)>,
    output: Output,
    writer: Arc<Sleeper>,
    /// The server has named a field that it may refer to.
    has_said: bool,
    /// The last stream that it takes.
    last: u32,
    is_closing: bool,
    has_ended: bool,
    /// What the client may have to say about all this.
    allowed: usize,
    written: usize,
}

impl World {
    fn new(is_honest: bool) -> Self {
        let state = Arc::new(State::new(Pace::default(), Arc::default()));
        let mut fields = HeaderMap::new();
        fields.insert("content-type", HeaderValue::from_static("application/grpc"));
        let constant = Constant {
            scheme: "http",
            authority: "localhost".to_owned(),
            fields,
        };
        let mut world = Self {
            session: Session::new(constant, state),
            peer: Peer::new(),
            is_honest,
            models: BTreeMap::new(),
            wire: Vec::new(),
            input: BytesMut::new(),
            sent: 0,
            arrived: 0,
            honest: usize::MAX,
            resets: Vec::new(),
            output: Output::default(),
            writer: Arc::default(),
            has_said: false,
            last: BITS,
            is_closing: false,
            has_ended: false,
            allowed: 200,
            written: 0,
        };
        world.drain(usize::MAX);
        world.settings(&[]);
        world
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let id = self.choose(input);
        match (input.byte() % 32, id) {
            (0..=3, _) => self.open(input),
            (4, Some(id)) => self.send(id, input),
            (5..=7, Some(id)) => self.read(id),
            (8, Some(id)) => self.forget(id),
            (9, Some(id)) => self.wait(id),
            (10, _) => drop(self.session.ping()),
            (11, _) if input.byte() == 0 => self.close(),
            (12, _) if input.byte() == 0 => self.end(),
            (11..=14, _) => self.deliver(usize::MAX),
            (15, _) => self.deliver(1 + usize::from(input.byte())),
            (16..=18, _) => self.drain(usize::MAX),
            (19, _) => self.drain(1 + usize::from(input.byte())),
            (20, _) => {
                let window = (INITIAL_WINDOW_SIZE, WINDOWS[input.below(8)]);
                let table = (HEADER_TABLE_SIZE, [0, 50, 100, 4096, 1 << 20][input.below(5)]);
                let largest = (MAX_FRAME_SIZE, [1 << 14, 1 << 15, (1 << 24) - 1][input.below(3)]);
                let streams = (MAX_CONCURRENT_STREAMS, input.byte().into());
                let which = input.byte();
                let chosen = [window, table, largest, streams].into_iter().enumerate();
                let chosen: Vec<_> = chosen.filter(|(at, _)| which >> at & 1 == 1).collect();
                self.settings(&chosen.into_iter().map(|(_, setting)| setting).collect::<Vec<_>>());
            }
            (21, _) => self.open_window(0, WINDOWS[input.below(8)].into()),
            (22, Some(id)) => self.open_window(id, WINDOWS[input.below(8)].into()),
            (23, _) => {
                let answers = std::mem::take(&mut self.peer.pings);
                let frame = frame(PING, u8::from(answers > 0), 0, &OPAQUE);
                self.transmit(&frame);
            }
            (24, Some(id)) => self.head(id, input.byte()),
            (25 | 26, Some(id)) => self.body(id, BODIES[input.below(8)], input.byte()),
            (27, Some(id)) => self.finish(id, input.byte()),
            (28, Some(id)) => self.reset(id, input.byte().into()),
            (29, _) if input.byte() == 0 => self.go_away(input.byte()),
            (30, _) if !self.is_honest => self.garbage(input),
            (31, id) if !self.is_honest => self.mutant(id, input),
            _ => self.deliver(usize::MAX),
        }
    }

    fn choose(&self, input: &mut Input<'_>) -> Option<u32> {
        let at = input.below(self.models.len());
        self.models.keys().nth(at).copied()
    }
}

/// The user.
impl World {
    fn open(&mut self, input: &mut Input<'_>) {
        if self.is_closing || self.models.len() >= 40 {
            return;
        }
        let choice = input.byte();
        let mut token = HeaderValue::from_static("secret");
        token.set_sensitive(true);
        let yes = HeaderValue::from_static("true");
        let more = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-long"),
            HeaderValue::from_str(&"y".repeat(usize::from(choice) * 200)).unwrap(),
        )]);
        let metadata = Metadata {
            fields: [
                (choice & 1 == 1).then_some(("token", &token)),
                (choice & 2 == 2).then_some(("hasleader", &yes)),
            ],
            more: (choice & 4 == 4).then_some(&more),
        };
        let path = ["/a", "/b", "/a/long/path"][usize::from(choice >> 3) % 3];
        let Some(id) = self.session.open(path, &metadata, None) else {
            return;
        };
        self.allowed += 400 + if choice & 4 == 4 { 51_000 } else { 0 };
        let model = Model {
            sent: 0,
            is_last: false,
            read: Read::Head,
            reader: None,
            sender: None,
            has_head: false,
            body: 0,
            ended: None,
            // Though it is on its way already.
            is_broken: id > self.last,
        };
        self.models.insert(id, model);
        if choice & 64 == 0 {
            self.send(id, input);
        }
    }

    fn send(&mut self, id: u32, input: &mut Input<'_>) {
        let length = SIZES[input.below(8)];
        let choice = input.byte();
        self.send_some(id, length, choice & 3 > 0, choice & 4 > 0);
    }

    fn send_some(&mut self, id: u32, length: usize, is_last: bool, is_secret: bool) {
        let Some(model) = self.models.get_mut(&id).filter(|model| !model.is_last) else {
            return;
        };
        let bytes: Bytes = (model.sent..model.sent + length).map(|at| pattern(id, at)).collect();
        let body = Body { bytes, is_secret };
        if self.session.send(id, body, is_last).is_ok() {
            model.sent += length;
            model.is_last = is_last;
            // The server may let each byte through by itself.
            self.allowed += 10 * length + HEAD;
        }
        assert!(!self.session.output.has_remaining() || !self.writer.sleeps());
    }

    fn wait(&mut self, id: u32) {
        let sleeper = Arc::<Sleeper>::default();
        let waits = self
            .session
            .poll_window(id, &mut Context::from_waker(&sleeper.clone().into()));
        let model = self.models.get_mut(&id).unwrap();
        model.sender = waits.is_pending().then_some(sleeper);
    }

    /// Reads what there is.
    fn read(&mut self, id: u32) {
        while self.read_one(id) {}
    }

    /// Says whether there was something.
    fn read_one(&mut self, id: u32) -> bool {
        let model = self.models.get_mut(&id).unwrap();
        let sleeper = Arc::<Sleeper>::default();
        let waker = sleeper.clone().into();
        let mut cx = Context::from_waker(&waker);
        let is_certain = self.arrived < self.honest || is_certain(model, self.arrived, self.honest);
        let read = match model.read {
            Read::Over => return false,
            Read::Head => self.session.poll_head(id, &mut cx).map_ok(|head| {
                assert!(!is_certain || head.status.as_deref() == Some(b"200"));
                Read::Body(0)
            }),
            Read::Body(at) => self.session.poll_data(id, &mut cx).map_ok(|piece| match piece {
                None => Read::Trailers(at),
                Some(piece) => {
                    assert!(!piece.is_empty());
                    let expected = (at..at + piece.len()).map(|at| pattern(id, at));
                    assert!(!is_certain || piece.iter().copied().eq(expected));
                    Read::Body(at + piece.len())
                }
            }),
            Read::Trailers(at) => self.session.poll_trailers(id, &mut cx).map_ok(|trailers| {
                let status = trailers.and_then(|trailers| trailers.grpc_status);
                assert!(!is_certain || status.is_none_or(|status| status == "0") && at == model.body);
                Read::Over
            }),
        };
        model.reader = read.is_pending().then_some(sleeper);
        match read {
            Poll::Pending => return false,
            Poll::Ready(Ok(read)) => model.read = read,
            Poll::Ready(Err(broken)) => {
                assert!(!is_certain_to_end(model, self.arrived, self.honest), "lost: {broken:?}");
                assert!(!self.is_honest || model.is_broken || self.has_ended, "{broken:?}");
                assert!(!self.is_honest || broken != Broken::Refused || !model.has_head);
                model.read = Read::Over;
            }
        }
        true
    }

    fn forget(&mut self, id: u32) {
        self.session.forget(id);
        self.models.remove(&id);
        assert!(!self.session.output.has_remaining() || self.session.ended.is_some() || !self.writer.sleeps());
        assert!(!self.session.is_over() || !self.writer.sleeps());
    }

    fn close(&mut self) {
        self.is_closing = true;
        self.session.close();
        assert!(!self.writer.sleeps());
    }

    /// The socket breaks.
    fn end(&mut self) {
        self.has_ended = true;
        self.honest = self.honest.min(self.arrived + 1);
        self.session.end("the end");
    }
}

/// Is all that this stream brings what an honest server has sent?
fn is_certain(model: &Model, arrived: usize, honest: usize) -> bool {
    model.ended.is_some_and(|ended| ended < honest && ended <= arrived)
}

/// The same, and does it come to its end?
fn is_certain_to_end(model: &Model, arrived: usize, honest: usize) -> bool {
    !model.is_broken && is_certain(model, arrived, honest)
}

/// What lies between them.
impl World {
    fn deliver(&mut self, most: usize) {
        if self.session.ended.is_some() {
            return;
        }
        let piece: Vec<u8> = self.wire.drain(..most.min(self.wire.len())).collect();
        self.arrived += piece.len();
        self.allowed += 2 * piece.len();
        self.input.extend_from_slice(&piece);
        self.session.receive(&mut self.input);
        // Whoever reads writes then.
        self.writer.0.store(true, Ordering::Relaxed);
    }

    /// The server reads so many bytes.
    fn drain(&mut self, most: usize) {
        let mut left = most;
        let resets = std::mem::take(&mut self.resets);
        while left > 0 {
            self.writer.0.store(false, Ordering::Relaxed);
            self.session.take_output(&mut self.output, &self.writer.clone().into());
            let chunk = self.output.chunk();
            if chunk.is_empty() {
                break;
            }
            let length = chunk.len().min(left);
            self.peer.read(&chunk[..length]);
            self.output.advance(length);
            self.written += length;
            left -= length;
        }
        assert!(
            self.written <= self.allowed,
            "{} of {} bytes",
            self.written,
            self.allowed
        );
        if left == 0 {
            // The socket wakes it.
            self.writer.0.store(true, Ordering::Relaxed);
        }
        // What was written until now may have been written before the client knew.
        for (at, id) in resets {
            if at <= self.arrived && left > 0 {
                self.peer.closed(id);
            } else {
                self.resets.push((at, id));
            }
        }
    }
}

/// The server, which is honest here.
impl World {
    fn transmit(&mut self, frame: &[u8]) {
        self.wire.extend(frame);
        self.sent += frame.len();
    }

    fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut newest = self.peer.newest();
        let mut payload = Vec::new();
        for (name, value) in settings {
            match *name {
                INITIAL_WINDOW_SIZE => {
                    let change = i64::from(*value) - newest.window;
                    let ids = self.peer.requests.keys();
                    if ids.copied().any(|id| self.peer.headroom(id) < change) {
                        continue;
                    }
                    newest.window = (*value).into();
                }
                MAX_FRAME_SIZE => newest.largest = *value as usize,
                _ => {}
            }
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.peer.sent.push_back(Settings { ..newest });
        self.transmit(&frame(SETTINGS, 0, 0, &payload));
    }

    fn open_window(&mut self, id: u32, more: i64) {
        let headroom = match id {
            0 => self.peer.connection_headroom(),
            id if self.peer.requests.contains_key(&id) => self.peer.headroom(id),
            _ => return,
        };
        let more = more.min(headroom);
        if more > 0 && !self.models.get(&id).is_some_and(|model| model.is_broken) {
            self.peer.open(id, more);
            self.transmit(&frame(WINDOW_UPDATE, 0, id, &(more as u32).to_be_bytes()));
        }
    }

    /// May the server respond to this?
    fn is_served(&self, id: u32) -> bool {
        let is_open = |model: &Model| model.ended.is_none() && !model.is_broken;
        self.peer.requests.get(&id).is_some_and(|request| !request.is_reset)
            && self.models.get(&id).is_some_and(is_open)
    }

    fn head(&mut self, id: u32, choice: u8) {
        if !self.is_served(id) || self.models[&id].has_head {
            return;
        }
        if choice & 1 == 1 {
            self.transmit(&frame(HEADERS, END_HEADERS, id, b"\x08\x03103"));
        }
        match choice & 6 {
            2 => {
                self.transmit(&frame(
                    HEADERS,
                    PADDED | PRIORITIZED,
                    id,
                    &[3, 0, 0, 0, 0, 9, 0x88, 0, 0, 0],
                ));
                self.transmit(&frame(CONTINUATION, 0, id, b""));
                self.transmit(&frame(CONTINUATION, END_HEADERS, id, b"\0\x01a\x01b"));
            }
            _ => self.transmit(&frame(HEADERS, END_HEADERS, id, &[0x88])),
        }
        self.models.get_mut(&id).unwrap().has_head = true;
    }

    /// Sends so much of a body, as far as the windows allow.
    fn body(&mut self, id: u32, length: usize, padding: u8) {
        if !self.is_served(id) {
            return;
        }
        self.head(id, 0);
        let mut left = length;
        while let Some(sent) = self.piece(id, left, padding) {
            left -= sent;
            if sent == 0 || left == 0 {
                return;
            }
        }
    }

    /// Sends a frame of a body. Returns how much of that is in it.
    fn piece(&mut self, id: u32, length: usize, padding: u8) -> Option<usize> {
        let request = self.peer.requests.get_mut(&id).unwrap();
        let padding = if padding < 128 { 0 } else { usize::from(padding) };
        let room = request.window.min(self.peer.window).clamp(0, LARGEST as i64) as usize;
        let length = room.checked_sub(padding + 1)?.min(length);
        let model = self.models.get_mut(&id).unwrap();
        let bytes = (model.body..model.body + length).map(|at| pattern(id, at));
        let (flags, payload) = match padding {
            0 => (0, bytes.collect()),
            _ => (
                PADDED,
                [&[padding as u8][..], &bytes.collect::<Vec<_>>(), &vec![0; padding]].concat(),
            ),
        };
        model.body += length;
        request.window -= payload.len() as i64;
        self.peer.window -= payload.len() as i64;
        self.transmit(&frame(DATA, flags, id, &payload));
        Some(length)
    }

    fn finish(&mut self, id: u32, choice: u8) {
        if !self.is_served(id) {
            return;
        }
        self.head(id, 0);
        // The field stays where it is: nothing else is ever said.
        match choice & 3 {
            0 => self.transmit(&frame(DATA, END_STREAM, id, &[])),
            1 if self.has_said => self.transmit(&frame(HEADERS, END_HEADERS | END_STREAM, id, &[0xbe])),
            2 if !self.has_said => {
                self.has_said = true;
                self.transmit(&frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    id,
                    b"\x40\x0bgrpc-status\x010",
                ));
            }
            _ => self.transmit(&frame(HEADERS, END_HEADERS | END_STREAM, id, b"\0\x0bgrpc-status\x010")),
        }
        self.models.get_mut(&id).unwrap().ended = Some(self.sent);
    }

    fn reset(&mut self, id: u32, reason: u32) {
        let request = self.peer.requests.get(&id);
        let Some(model) = self.models.get_mut(&id).filter(|model| !model.is_broken) else {
            return;
        };
        if request.is_some_and(|request| !request.is_reset) {
            model.is_broken = true;
            let is_complete = model.ended.is_some();
            self.transmit(&frame(RST_STREAM, 0, id, &reason.to_be_bytes()));
            self.resets.push((self.sent, id));
            if is_complete {
                // It has not broken what had come.
                self.models.get_mut(&id).unwrap().is_broken = false;
            }
        }
    }

    fn go_away(&mut self, choice: u8) {
        let newest = self.peer.requests.keys().next_back().copied().unwrap_or(0);
        let last = [0, newest / 2, newest, BITS][usize::from(choice) % 4];
        for (_, model) in self
            .models
            .range_mut(last + 1..)
            .filter(|(_, model)| model.ended.is_none())
        {
            model.is_broken = true;
        }
        self.last = self.last.min(last);
        self.transmit(&frame(
            GOAWAY,
            0,
            0,
            &[last.to_be_bytes(), [0, 0, 0, choice / 4]].concat(),
        ));
    }
}

/// A server that is not.
impl World {
    fn garbage(&mut self, input: &mut Input<'_>) {
        self.honest = self.honest.min(self.sent);
        self.peer.is_honest = false;
        let length = input.below(64).min(input.0.len());
        let bytes = input.0.split_off(..length).unwrap_or_default().to_vec();
        self.transmit(&bytes);
    }

    /// A frame of any kind, maybe more often than is borne.
    fn mutant(&mut self, id: Option<u32>, input: &mut Input<'_>) {
        self.honest = self.honest.min(self.sent);
        self.peer.is_honest = false;
        let (kind, flags) = (input.byte() % 12, input.byte());
        let id = match input.byte() % 8 {
            0 => 0,
            1 => input.byte().into(),
            _ => id.unwrap_or(0),
        };
        let length = input.below(24).min(input.0.len());
        let mut payload = input.0.split_off(..length).unwrap_or_default().to_vec();
        payload.resize(payload.len() + SIZES[input.below(7)], 0);
        let times = [1, 1, 1, 1, 1, 10, 100, 2 * USELESS as usize][input.below(8)];
        for _ in 0..times.min(1 + 3_000_000 / (payload.len() + HEAD)) {
            self.transmit(&frame(kind, flags, id, &payload));
        }
    }
}

/// What must hold.
impl World {
    fn check(&mut self) {
        let session = &self.session;
        assert!(
            session.streams.len() == self.models.len() && self.models.keys().all(|id| session.streams.contains_key(id))
        );
        assert!(session.useless <= USELESS + 1);
        assert!(session.block.as_ref().is_none_or(|block| block.bytes.len() <= BLOCK));
        assert!(!self.is_honest || session.ended.is_none() || self.has_ended);
        if session.ended.is_some() {
            assert!(
                session
                    .streams
                    .values()
                    .all(|exchange| !exchange.is_open() && exchange.unsent.is_empty())
            );
        } else {
            self.check_windows();
        }
        self.check_sleepers();
    }

    fn check_windows(&self) {
        let session = &self.session;
        assert!(session.blocked.is_empty() || session.window <= 0);
        let mut held = 0;
        for (id, exchange) in &session.streams {
            let lengths: Vec<_> = exchange.unread().map(BytesMut::len).collect();
            assert!(lengths.windows(2).all(|two| two[0] + two[1] > JOINED) && !lengths.contains(&0));
            let unread: usize = lengths.iter().sum();
            assert!(!exchange.is_open() || exchange.room.holds(unread));
            held += unread;
            let is_blocked = session.blocked.contains(id);
            assert!(
                exchange.unsent.is_empty() || exchange.window <= 0 || is_blocked,
                "it could go on"
            );
            assert!(exchange.window <= LARGEST_WINDOW && session.window <= LARGEST_WINDOW);
        }
        assert!(session.blocked.iter().all(|id| session.streams.contains_key(id)));
        assert!(session.room.holds(held));
    }

    /// Nobody sleeps who could go on.
    fn check_sleepers(&mut self) {
        let sleeps = |sleeper: &Option<Arc<Sleeper>>| sleeper.as_ref().is_some_and(|sleeper| sleeper.sleeps());
        let sleeping = |of: fn(&Model) -> &Option<Arc<Sleeper>>, models: &BTreeMap<u32, Model>| -> Vec<u32> {
            let sleeping = models.iter().filter(|(_, model)| sleeps(of(model)));
            sleeping.map(|(id, _)| *id).collect()
        };
        for id in sleeping(|model| &model.reader, &self.models) {
            assert!(!self.read_one(id), "a reader sleeps");
        }
        for id in sleeping(|model| &model.sender, &self.models) {
            self.wait(id);
            assert!(self.models[&id].sender.is_some(), "a sender sleeps");
        }
    }

    /// The server serves all that there is.
    fn settle(&mut self) {
        if self.has_ended {
            return;
        }
        let ids: Vec<_> = self.models.keys().copied().collect();
        for id in &ids {
            self.send_some(*id, 0, true, false);
        }
        self.exchange();
        // A window of nothing, and less than nothing, may take a few.
        for _ in 0..4 {
            self.open_window(0, LARGEST_WINDOW);
            for id in &ids {
                self.open_window(*id, LARGEST_WINDOW);
            }
            self.exchange();
        }
        for id in &ids {
            let model = &self.models[id];
            let request = self.peer.requests.get(id).filter(|_| !model.is_broken);
            if let Some(request) = request.filter(|_| model.ended.is_none()) {
                assert!(self.peer.has_room(*id), "the window does not open");
                assert!(
                    request.has_ended && request.body == model.sent,
                    "the request has not come"
                );
            }
            self.finish(*id, 3);
        }
        self.exchange();
        for id in ids {
            self.read(id);
            self.check();
            assert!(self.models[&id].read == Read::Over, "the response has not come");
            self.forget(id);
        }
        self.close();
        assert!(self.session.is_over() && self.session.room.holds(0));
        self.session.leave();
        self.drain(usize::MAX);
        assert!(self.peer.has_left);
    }

    fn exchange(&mut self) {
        self.deliver(usize::MAX);
        self.check();
        self.drain(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn whatever_user_and_server_do() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let steps: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1000).collect();
            let driven = std::panic::catch_unwind(|| super::drive(&steps));
            assert!(driven.is_ok(), "seed {seed}");
        }
    }
}
