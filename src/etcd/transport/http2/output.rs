//! What is to be written on a connection: frames, and bodies between them that are not worth a copy, or must not have
//! one.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A longer piece of a body is written from where it lies.
const COPIED: usize = 1 << 10;

/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 64 << 10;

/// What a request sends after its head.
#[derive(Clone, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    /// It is wiped when it is dropped, and copied nowhere.
    pub(crate) is_secret: bool,
}

enum Piece {
    Frames(Vec<u8>),
    Body(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frames(bytes) => bytes,
            Self::Body(bytes) => bytes,
        }
    }
}

#[derive(Default)]
pub(super) struct Output {
    pieces: VecDeque<Piece>,
    /// Of the first piece so much was written.
    written: usize,
    /// An empty buffer, to be used again.
    spare: Vec<u8>,
}

impl Output {
    /// The buffer at the end, to which a frame is to be added.
    pub(super) fn frames(&mut self) -> &mut Vec<u8> {
        if !matches!(self.pieces.back(), Some(Piece::Frames(_))) {
            self.pieces.push_back(Piece::Frames(std::mem::take(&mut self.spare)));
        }
        match self.pieces.back_mut() {
            Some(Piece::Frames(bytes)) => bytes,
            _ => &mut self.spare,
        }
    }

    /// Adds a piece of a body, behind the head of its frame.
    pub(super) fn body(&mut self, piece: Body) {
        if piece.is_secret || piece.bytes.len() > COPIED {
            self.pieces.push_back(Piece::Body(piece.bytes));
        } else {
            self.frames().extend_from_slice(&piece.bytes);
        }
    }
}

/// What is to be written.
impl Buf for Output {
    fn remaining(&self) -> usize {
        let all: usize = self.pieces.iter().map(|piece| piece.bytes().len()).sum();
        all - self.written
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |first| &first.bytes()[self.written..])
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut written = self.written;
        let filled = slices.iter_mut().zip(&self.pieces).map(|(slice, piece)| {
            *slice = IoSlice::new(&piece.bytes()[std::mem::take(&mut written)..]);
        });
        filled.count()
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        while let Some(first) = self.pieces.front()
            && self.written >= first.bytes().len()
        {
            self.written -= first.bytes().len();
            if let Some(Piece::Frames(mut bytes)) = self.pieces.pop_front()
                && bytes.capacity() <= KEPT
            {
                bytes.clear();
                self.spare = bytes;
            }
        }
    }
}
