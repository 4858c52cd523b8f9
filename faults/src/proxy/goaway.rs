//! The rule of a server that ends each connection soon, as nginx and envoy do at their restarts and limits: after so
//! many requests or so much time it says GOAWAY. What it has taken until then is finished, unless that takes long; what
//! comes after is never passed on.
//!
//! The request that comes when the connection is due is not taken, so that most GOAWAYs leave one out.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::frames::{DATA, Frame, HEADERS, RST_STREAM};
use super::http2::{Out, Rule};

const REQUESTS: usize = 100;
const AGE: Duration = Duration::from_secs(2);
/// So long the request is waited for that is left out.
const PATIENCE: Duration = Duration::from_millis(200);
/// So long what was taken may take.
const GRACE: Duration = Duration::from_secs(1);

/// One connection.
pub struct Goaway {
    opened: Instant,
    taken: usize,
    /// The newest stream that was taken.
    last: u32,
    /// Those that were taken and not answered to the end.
    open: HashSet<u32>,
    /// When the client was told to go.
    told: Option<Instant>,
}

impl Goaway {
    pub fn new() -> Self {
        Self {
            opened: Instant::now(),
            taken: 0,
            last: 0,
            open: HashSet::new(),
            told: None,
        }
    }

    fn tell(&mut self, out: &mut Out) {
        Frame::goaway(self.last).put(&mut out.to_client);
        self.told = Some(Instant::now());
        out.close = self.open.is_empty();
    }

    /// Is it time to go?
    fn over(&self) -> bool {
        self.taken >= REQUESTS || self.opened.elapsed() >= AGE
    }

    fn take(&mut self, stream: u32) {
        self.taken += 1;
        self.last = stream;
        self.open.insert(stream);
    }

    fn ended(&mut self, stream: u32, out: &mut Out) {
        self.open.remove(&stream);
        out.close |= self.told.is_some() && self.open.is_empty();
    }
}

impl Rule for Goaway {
    fn client_sent(&mut self, frame: Frame, out: &mut Out) {
        if frame.kind == HEADERS && frame.stream > self.last && self.told.is_none() {
            if self.over() {
                self.tell(out);
            } else {
                self.take(frame.stream);
            }
        }
        if frame.stream <= self.last {
            if frame.kind == RST_STREAM {
                self.ended(frame.stream, out);
            }
            frame.put(&mut out.to_server);
        } else if frame.kind == DATA && !frame.payload.is_empty() {
            // Else what was dropped would count against the others.
            Frame::window(u32::try_from(frame.payload.len()).unwrap_or(0)).put(&mut out.to_client);
        }
    }

    fn server_sent(&mut self, frame: Frame, out: &mut Out) {
        frame.put(&mut out.to_client);
        if frame.ends() {
            self.ended(frame.stream, out);
        }
    }

    fn due(&self) -> Option<Instant> {
        match self.told {
            Some(told) => Some(told + GRACE),
            None => Some(self.opened + AGE + PATIENCE),
        }
    }

    fn tick(&mut self, out: &mut Out) {
        match self.told {
            Some(_) => out.close = true,
            None => self.tell(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{END_STREAM, Frames};
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32) -> Frame {
        Frame {
            kind,
            flags,
            stream,
            payload: "x".into(),
        }
    }

    async fn frames(bytes: &[u8]) -> Vec<(u8, u32)> {
        let mut frames = Frames::new(bytes);
        let mut read = Vec::new();
        while let Some(frame) = frames.next().await {
            read.push((frame.kind, frame.stream));
        }
        read
    }

    #[tokio::test]
    async fn the_request_after_the_last_is_left_out_and_the_others_are_finished() {
        let (mut rule, mut out) = (Goaway::new(), Out::default());
        for i in 0..=u32::try_from(REQUESTS).unwrap() {
            rule.client_sent(frame(HEADERS, END_STREAM, 2 * i + 1), &mut out);
        }
        rule.client_sent(frame(DATA, END_STREAM, 201), &mut out);
        let passed = frames(&out.to_server).await;
        assert_eq!(passed.len(), REQUESTS);
        assert_eq!(passed.last(), Some(&(HEADERS, 199)));
        let told = Frames::new(&out.to_client[..]).next().await.unwrap();
        assert_eq!(told, Frame::goaway(199));
        for i in 0..u32::try_from(REQUESTS).unwrap() {
            assert!(!out.close);
            rule.server_sent(frame(HEADERS, END_STREAM, 2 * i + 1), &mut out);
        }
        assert!(out.close);
    }
}
