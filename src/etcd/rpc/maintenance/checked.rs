//! What is known of a snapshot that is coming: how long it is, and whether it is what the hash at its end says.
//!
//! In: its bytes, in order. Out: the hash, if it is theirs.

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use crate::etcd::error::{Code, Error};

/// The pages of a store; the hash stands behind the last.
const PAGE: u64 = 512;

/// What is known of a snapshot that is coming: how long it is, and whether it is what its end says.
pub(super) struct Checked {
    digest: Context,
    /// The last bytes, which may be the hash of all before them.
    tail: Vec<u8>,
    pub(super) bytes: u64,
}

impl Checked {
    pub(super) fn new() -> Self {
        Self {
            digest: Context::new(&SHA256),
            tail: Vec::new(),
            bytes: 0,
        }
    }

    /// More of it.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.tail.extend_from_slice(piece);
        let all = self.tail.len().saturating_sub(SHA256_OUTPUT_LEN);
        self.digest.update(&self.tail[..all]);
        self.tail.drain(..all);
    }

    /// That was all: the hash, in hexadecimal digits, if it is that of what came.
    pub(super) fn finish(self) -> Result<String, Error> {
        let is_whole = self.bytes % PAGE == SHA256_OUTPUT_LEN as u64;
        if !is_whole || self.digest.finish().as_ref() != self.tail {
            let text = format!("the {} bytes that came are not what their hash says", self.bytes);
            return Err(Error::new(Code::DataLoss, text));
        }
        Ok(self.tail.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
