//! What a server sees of a client: its own reader of frames, which panics where one breaks the rules.

use std::collections::{BTreeMap, VecDeque};

use crate::etcd::transport::http2::hpack::Decoder;

/// What the client begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const LARGEST_WINDOW: i64 = (1 << 31) - 1;

/// What is sent on a stream, so that bytes that are lost, doubled or mixed up are noticed.
pub(super) fn pattern(stream: u32, at: usize) -> u8 {
    (stream as usize * 31 + at) as u8
}

/// Settings of the server that the client has to heed once it has acknowledged them.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) window: i64,
    pub(super) largest: usize,
}

/// A request as it comes.
pub(super) struct Request {
    /// What the client may send, by the settings that it has acknowledged.
    room: i64,
    /// What the server may send.
    pub(super) window: i64,
    pub(super) body: usize,
    pub(super) has_ended: bool,
    /// The client has given it up.
    pub(super) is_reset: bool,
    /// The client knows that the server has reset it.
    is_closed: bool,
}

pub(super) struct Peer {
    /// All that the client was told is what this server knows of.
    pub(super) is_honest: bool,
    unread: Vec<u8>,
    has_begun: bool,
    acknowledged: Settings,
    pub(super) sent: VecDeque<Settings>,
    /// What the client may send on all streams, and the server.
    room: i64,
    pub(super) window: i64,
    /// What the server may send on a new stream.
    own: i64,
    pub(super) requests: BTreeMap<u32, Request>,
    block: Option<(u32, Vec<u8>)>,
    decoder: Decoder,
    pub(super) pings: usize,
    pub(super) has_left: bool,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            is_honest: true,
            unread: Vec::new(),
            has_begun: false,
            acknowledged: Settings {
                window: 65_535,
                largest: 16 << 10,
            },
            sent: VecDeque::new(),
            room: 65_535,
            window: 65_535,
            own: 65_535,
            requests: BTreeMap::new(),
            block: None,
            decoder: Decoder::default(),
            pings: 0,
            has_left: false,
        }
    }

    /// The settings that were sent last.
    pub(super) fn newest(&self) -> Settings {
        self.sent.back().copied().unwrap_or(self.acknowledged)
    }

    /// How much further the server may open the window of a stream.
    pub(super) fn headroom(&self, stream: u32) -> i64 {
        let change = self.newest().window - self.acknowledged.window;
        LARGEST_WINDOW - self.requests[&stream].room - change.max(0)
    }

    /// The same for that of the connection.
    pub(super) fn connection_headroom(&self) -> i64 {
        LARGEST_WINDOW - self.room
    }

    /// Opens a window, that of the connection if the stream is 0.
    pub(super) fn open(&mut self, stream: u32, more: i64) {
        match self.requests.get_mut(&stream) {
            Some(request) => request.room += more,
            None => self.room += more,
        }
    }

    /// The client has read that this stream is reset.
    pub(super) fn closed(&mut self, stream: u32) {
        if let Some(request) = self.requests.get_mut(&stream) {
            request.is_closed = true;
        }
    }

    /// May the client send more of this request?
    pub(super) fn has_room(&self, stream: u32) -> bool {
        self.room > 0 && self.requests[&stream].room > 0
    }

    /// Reads what the client has written.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.unread.extend(bytes);
        if !self.has_begun && self.unread.len() >= PREFACE.len() {
            assert!(self.unread.starts_with(PREFACE));
            self.unread.drain(..PREFACE.len());
            self.has_begun = true;
        }
        while self.has_begun && self.unread.len() >= 9 {
            let length =
                usize::from(self.unread[0]) << 16 | usize::from(self.unread[1]) << 8 | usize::from(self.unread[2]);
            assert!(
                !self.is_honest || length <= self.acknowledged.largest,
                "a frame larger than the server takes"
            );
            if self.unread.len() < 9 + length {
                return;
            }
            let frame: Vec<u8> = self.unread.drain(..9 + length).collect();
            let stream = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
            self.frame(frame[3], frame[4], stream, &frame[9..]);
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        assert!(!self.has_left, "something behind the last word");
        assert_eq!(
            self.block.is_some(),
            kind == 9,
            "frames of a head are mixed with others"
        );
        match kind {
            0 => self.data(flags, stream, payload),
            1 => {
                assert!(flags & !4 == 0 && stream % 2 == 1);
                assert!(self.requests.last_key_value().is_none_or(|(last, _)| *last < stream));
                self.block = Some((stream, payload.to_vec()));
                self.head_ends(flags);
            }
            3 => {
                assert_eq!(payload.len(), 4);
                let request = self.requests.get_mut(&stream).unwrap();
                assert!(!request.is_reset && !request.is_closed, "it was reset before");
                request.is_reset = true;
            }
            4 => self.settings(flags, stream, payload),
            6 => {
                assert!(payload.len() == 8 && stream == 0);
                self.pings += usize::from(flags & 1 == 0);
            }
            7 => {
                assert!(payload.len() == 8 && stream == 0);
                self.has_left = true;
            }
            8 => {
                let more = i64::from(u32::from_be_bytes(payload.try_into().unwrap()));
                let window = match stream {
                    0 => &mut self.window,
                    _ => {
                        let request = self.requests.get_mut(&stream).unwrap();
                        assert!(!request.is_reset && !request.is_closed, "a window of what was reset");
                        &mut request.window
                    }
                };
                *window += more;
                assert!(more > 0 && *window <= LARGEST_WINDOW);
            }
            9 => {
                let (of, block) = self.block.as_mut().unwrap();
                assert_eq!(*of, stream);
                block.extend(payload);
                self.head_ends(flags);
            }
            _ => panic!("a frame of type {kind}"),
        }
    }

    fn head_ends(&mut self, flags: u8) {
        if flags & 4 == 0 {
            return;
        }
        let (stream, block) = self.block.take().unwrap();
        let fields = self.decoder.decode(&block).unwrap();
        assert_eq!(fields.content_type.as_deref(), Some(&b"application/grpc"[..]));
        let request = Request {
            room: self.acknowledged.window,
            window: self.own,
            body: 0,
            has_ended: false,
            is_reset: false,
            is_closed: false,
        };
        self.requests.insert(stream, request);
    }

    fn data(&mut self, flags: u8, stream: u32, payload: &[u8]) {
        let request = self.requests.get_mut(&stream).unwrap();
        assert!(flags & !1 == 0);
        assert!(
            !request.has_ended && !request.is_reset && !request.is_closed,
            "a body behind its end"
        );
        for byte in payload {
            assert_eq!(*byte, pattern(stream, request.body));
            request.body += 1;
        }
        request.has_ended = flags & 1 != 0;
        let length = payload.len() as i64;
        request.room -= length;
        self.room -= length;
        assert!(
            !self.is_honest || length == 0 || request.room >= 0 && self.room >= 0,
            "more than the window"
        );
    }

    fn settings(&mut self, flags: u8, stream: u32, payload: &[u8]) {
        assert_eq!(stream, 0);
        if flags & 1 != 0 {
            assert!(payload.is_empty());
            let settings = self.sent.pop_front();
            assert!(settings.is_some() || !self.is_honest);
            let settings = settings.unwrap_or(self.acknowledged);
            let change = settings.window - self.acknowledged.window;
            self.requests.values_mut().for_each(|request| request.room += change);
            self.acknowledged = settings;
            return;
        }
        for setting in payload.chunks(6) {
            if setting[..2] == [0, 4] {
                self.own = i64::from(u32::from_be_bytes(setting[2..].try_into().unwrap()));
            }
        }
    }
}
