//! HTTP/2 frames and gRPC messages as bytes, to be cut anywhere or to say what the `h2` crate would not.

use h2::Reason;
use prost::Message;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a client begins with, before its first frame.
const PREFACE: usize = 24;

/// The length of a frame's head.
const HEAD: usize = 9;

/// The beginning of a frame.
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

/// Finds the frames in what a client sends.
pub(crate) struct Reader {
    seen: Vec<u8>,
    /// What comes before the next frame.
    skip: usize,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            seen: Vec::new(),
            skip: PREFACE,
        }
    }

    /// The frames that begin in these bytes.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Head> {
        self.seen.extend(bytes);
        let mut frames = Vec::new();
        while self.seen.len() >= self.skip + HEAD {
            self.seen.drain(..self.skip);
            frames.push(Head {
                kind: self.seen[3],
                flags: self.seen[4],
                stream: u32::from_be_bytes([self.seen[5], self.seen[6], self.seen[7], self.seen[8]]),
            });
            self.skip = HEAD + usize::from(self.seen[1]) * 256 + usize::from(self.seen[2]);
        }
        frames
    }
}

/// A frame of any type.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What a server begins with: its settings, with at most one of them said.
pub(crate) fn settings(setting: Option<(u16, u32)>) -> Vec<u8> {
    let payload = setting.map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(4, 0, 0, &payload.unwrap_or_default())
}

/// The head of an answer: status 200.
pub(crate) fn headers(stream: u32) -> Vec<u8> {
    frame(1, END_HEADERS, stream, &[0x88])
}

/// The end of an answer: grpc-status 0.
pub(crate) fn trailers(stream: u32) -> Vec<u8> {
    frame(1, END_HEADERS | END_STREAM, stream, b"\0\x0bgrpc-status\x010")
}

/// A piece of an answer's body.
pub(crate) fn data(stream: u32, body: &[u8]) -> Vec<u8> {
    frame(0, 0, stream, body)
}

/// The server goes away; `last` is the last stream that it took.
pub(crate) fn goaway(last: u32, reason: Reason) -> Vec<u8> {
    let payload = [last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
    frame(7, 0, 0, &payload)
}

/// A message as it stands in a body.
pub(crate) fn message(message: &impl Message) -> Vec<u8> {
    let length = u32::try_from(message.encoded_len()).unwrap();
    let mut bytes = vec![0];
    bytes.extend(length.to_be_bytes());
    bytes.extend(message.encode_to_vec());
    bytes
}
