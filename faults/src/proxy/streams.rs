//! The rule of a server that allows few streams at once. It says so in its SETTINGS, and refuses what exceeds them.
//!
//! The head of a refused request is passed on and called back at once, for the server must know all heads to read the
//! next one. Without its body it is no request.

use std::collections::{HashSet, VecDeque};

use bytes::{Buf, BufMut, BytesMut};

use super::frames::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, Frame, HEADERS, MAX_CONCURRENT_STREAMS, REFUSED_STREAM, RST_STREAM,
    SETTINGS,
};
use super::http2::{Out, Rule, Rules};

/// One connection.
pub struct Streams {
    limit: u32,
    newest: u32,
    open: HashSet<u32>,
    refused: HashSet<u32>,
    /// SETTINGS that the client has not confirmed: are they the server's?
    unconfirmed: VecDeque<bool>,
}

impl Streams {
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            newest: 0,
            open: HashSet::new(),
            refused: HashSet::new(),
            unconfirmed: VecDeque::new(),
        }
    }

    /// Decides on a new stream.
    fn admit(&mut self, stream: u32) {
        self.newest = stream;
        if self.open.len() < self.limit as usize {
            self.open.insert(stream);
        } else {
            self.refused.insert(stream);
        }
    }

    fn refuse(frame: &Frame, out: &mut Out) {
        match frame.kind {
            HEADERS | CONTINUATION => {
                frame.put(&mut out.to_server);
                if frame.has(END_HEADERS) {
                    Frame::reset(frame.stream, CANCEL).put(&mut out.to_server);
                    Frame::reset(frame.stream, REFUSED_STREAM).put(&mut out.to_client);
                }
            }
            DATA if !frame.payload.is_empty() => {
                Frame::window(u32::try_from(frame.payload.len()).unwrap_or(0)).put(&mut out.to_client);
            }
            _ => {}
        }
    }
}

/// The server's settings with our limit in them.
fn limited(frame: Frame, limit: u32) -> Frame {
    let mut payload = BytesMut::new();
    let mut rest = frame.payload;
    while rest.len() >= 6 {
        let (name, value) = (rest.get_u16(), rest.get_u32());
        if name != MAX_CONCURRENT_STREAMS {
            payload.put_u16(name);
            payload.put_u32(value);
        }
    }
    payload.put_u16(MAX_CONCURRENT_STREAMS);
    payload.put_u32(limit);
    Frame {
        payload: payload.freeze(),
        ..frame
    }
}

impl Rule for Streams {
    fn ordered(&mut self, rules: Rules, out: &mut Out) {
        let Rules::Streams(limit) = rules else { return };
        if limit == self.limit {
            return;
        }
        self.limit = limit;
        self.unconfirmed.push_back(false);
        Frame::setting(MAX_CONCURRENT_STREAMS, limit).put(&mut out.to_client);
    }

    fn client_sent(&mut self, frame: Frame, out: &mut Out) {
        if frame.kind == SETTINGS && frame.has(ACK) && self.unconfirmed.pop_front() == Some(false) {
            return;
        }
        if frame.kind == HEADERS && frame.stream > self.newest {
            self.admit(frame.stream);
        }
        if self.refused.contains(&frame.stream) {
            return Self::refuse(&frame, out);
        }
        if frame.kind == RST_STREAM {
            self.open.remove(&frame.stream);
        }
        frame.put(&mut out.to_server);
    }

    fn server_sent(&mut self, frame: Frame, out: &mut Out) {
        if frame.ends() {
            self.open.remove(&frame.stream);
        }
        if self.refused.contains(&frame.stream) {
            return;
        }
        let settings = frame.kind == SETTINGS && !frame.has(ACK);
        if settings {
            self.unconfirmed.push_back(true);
            limited(frame, self.limit).put(&mut out.to_client);
        } else {
            frame.put(&mut out.to_client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::Frames;
    use super::*;

    fn request(stream: u32) -> Frame {
        Frame {
            kind: HEADERS,
            flags: END_HEADERS,
            stream,
            payload: "x".into(),
        }
    }

    #[tokio::test]
    async fn what_exceeds_the_limit_is_refused_until_there_is_room() {
        let (mut rule, mut out) = (Streams::new(1), Out::default());
        rule.client_sent(request(1), &mut out);
        assert!(out.to_client.is_empty());
        rule.client_sent(request(3), &mut out);
        let answer = Frames::new(&out.to_client[..]).next().await;
        assert_eq!(answer, Some(Frame::reset(3, REFUSED_STREAM)));
        let answered = Frame::reset(1, CANCEL);
        rule.server_sent(answered, &mut out);
        out.to_client.clear();
        rule.client_sent(request(5), &mut out);
        assert!(out.to_client.is_empty());
    }

    #[tokio::test]
    async fn the_settings_have_one_limit() {
        let (mut rule, mut out) = (Streams::new(2), Out::default());
        rule.server_sent(Frame::setting(MAX_CONCURRENT_STREAMS, 250), &mut out);
        let settings = Frames::new(&out.to_client[..]).next().await;
        assert_eq!(settings, Some(Frame::setting(MAX_CONCURRENT_STREAMS, 2)));
    }
}
