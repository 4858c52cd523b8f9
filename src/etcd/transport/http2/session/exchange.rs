//! One request and its response, as far as they have come and gone.
//!
//! In: pieces of the response, and what is to be sent. Out: whether something is there, to those who wait for it.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use super::{Broken, JOINED, STREAM_WINDOW};
use crate::etcd::transport::deadline::Deadline;
use crate::etcd::transport::http2::hpack::Fields;
use crate::etcd::transport::http2::line::READ_AT_MOST;
use crate::etcd::transport::http2::output::Body;
use crate::etcd::transport::http2::window::Window;

/// A shorter piece for which nobody waits is copied: it would keep all that was read with it, which is as much as
/// [`READ_AT_MOST`].
const SHARED: usize = READ_AT_MOST / 8;

/// One request and its response.
pub(super) struct Exchange {
    /// By when all of the response must have come.
    pub(super) deadline: Option<Deadline>,
    pub(super) head: Option<Fields>,
    /// The head has come.
    pub(super) has_begun: bool,
    /// The first piece of the body that was not read, empty where there is none, and those behind it.
    pub(super) piece: BytesMut,
    pub(super) pieces: VecDeque<BytesMut>,
    pub(super) trailers: Option<Fields>,
    /// All of the response has come.
    pub(super) is_complete: bool,
    pub(super) broken: Option<Broken>,
    /// Waits for something of that.
    pub(super) reader: Option<Waker>,
    /// What the server may send.
    pub(super) room: Window,
    /// What may be sent.
    pub(super) window: i64,
    pub(super) unsent: VecDeque<Body>,
    /// Waits for the window.
    pub(super) sender: Option<Waker>,
    /// Nothing will be sent behind `unsent`, and nothing at all: the end was sent, or is not wanted.
    pub(super) is_last: bool,
    pub(super) is_sent: bool,
    /// Bytes of the request that are in the output, or were.
    pub(super) written: usize,
}

impl Exchange {
    pub(super) fn new(window: i64, written: usize, deadline: Option<Deadline>) -> Self {
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
    pub(super) fn unread(&self) -> impl Iterator<Item = &BytesMut> {
        let first = Some(&self.piece).filter(|piece| !piece.is_empty());
        first.into_iter().chain(&self.pieces)
    }

    pub(super) fn push(&mut self, piece: BytesMut) {
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
    pub(super) fn is_waiting(&self) -> bool {
        !self.unsent.is_empty() || self.sender.is_some()
    }

    /// May more come?
    pub(super) fn is_open(&self) -> bool {
        !self.is_complete && self.broken.is_none()
    }

    /// Ready when nothing more will come, with the reason where that is none of the server's trailers.
    pub(super) fn wait(&mut self, cx: &Context<'_>) -> Poll<Option<Broken>> {
        if !self.is_open() {
            return Poll::Ready(self.broken.clone());
        }
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub(super) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn wake_sender(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }

    /// Nothing more comes or goes. What is complete stays so.
    pub(super) fn break_off(&mut self, broken: &Broken) {
        self.unsent.clear();
        self.is_sent = true;
        if self.is_open() {
            self.broken = Some(broken.clone());
        }
        self.wake();
        self.wake_sender();
    }
}
