//! The frames of HTTP/2, read from one side of a connection and written to the other. Only their heads are looked into.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Of a SETTINGS frame; of DATA and HEADERS the same bit says that nothing follows.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Reasons.
pub const NO_ERROR: u32 = 0;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;

/// A setting.
pub const MAX_CONCURRENT_STREAMS: u16 = 3;

const HEAD: usize = 9;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    /// 0: the connection's.
    pub stream: u32,
    pub payload: Bytes,
}

impl Frame {
    /// A frame without flags whose payload is one number.
    fn number(kind: u8, stream: u32, number: u32) -> Self {
        Self {
            kind,
            flags: 0,
            stream,
            payload: Bytes::copy_from_slice(&number.to_be_bytes()),
        }
    }

    pub fn reset(stream: u32, reason: u32) -> Self {
        Self::number(RST_STREAM, stream, reason)
    }

    /// Allows the sender so many more bytes on the connection.
    pub fn window(bytes: u32) -> Self {
        Self::number(WINDOW_UPDATE, 0, bytes)
    }

    /// The sender may go on elsewhere with all streams after `last`.
    pub fn goaway(last: u32) -> Self {
        let mut payload = BytesMut::new();
        payload.put_u32(last);
        payload.put_u32(NO_ERROR);
        Self {
            kind: GOAWAY,
            flags: 0,
            stream: 0,
            payload: payload.freeze(),
        }
    }

    /// A setting.
    pub fn setting(name: u16, value: u32) -> Self {
        let mut payload = BytesMut::new();
        payload.put_u16(name);
        payload.put_u32(value);
        Self {
            kind: SETTINGS,
            flags: 0,
            stream: 0,
            payload: payload.freeze(),
        }
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Does it end its sender's half of the stream?
    pub fn ends(&self) -> bool {
        self.kind == RST_STREAM || (matches!(self.kind, DATA | HEADERS) && self.has(END_STREAM))
    }

    /// Writes it.
    pub fn put(&self, out: &mut BytesMut) {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        out.put_uint(length.into(), 3);
        out.put_u8(self.kind);
        out.put_u8(self.flags);
        out.put_u32(self.stream);
        out.put_slice(&self.payload);
    }
}

/// Reads frames.
pub struct Frames<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub fn new(from: R) -> Self {
        Self {
            from,
            buffer: BytesMut::new(),
        }
    }

    /// Reads what a client sends first; `None` if it is something else.
    pub async fn preface(&mut self) -> Option<Bytes> {
        self.fill(PREFACE.len()).await?;
        let preface = self.buffer.split_to(PREFACE.len()).freeze();
        (preface == PREFACE).then_some(preface)
    }

    /// The next one; `None` at the end. Nothing is lost when it is dropped while it waits.
    pub async fn next(&mut self) -> Option<Frame> {
        self.fill(HEAD).await?;
        let length = usize::try_from((&self.buffer[..3]).get_uint(3)).ok()?;
        self.fill(HEAD + length).await?;
        let mut head = self.buffer.split_to(HEAD);
        head.advance(3);
        Some(Frame {
            kind: head.get_u8(),
            flags: head.get_u8(),
            stream: head.get_u32() & !(1 << 31),
            payload: self.buffer.split_to(length).freeze(),
        })
    }

    /// Reads to the end, for nobody.
    pub async fn drain(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Waits until so much is in the buffer.
    async fn fill(&mut self, length: usize) -> Option<()> {
        while self.buffer.len() < length {
            if self.from.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
        Some(())
    }
}
