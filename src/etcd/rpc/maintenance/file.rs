//! A snapshot on its way to a file: checked as it comes, and given its name only when all of it is there.
//!
//! In: its bytes, in order. Out: the file, or the reason why there is none. Writes block, so this runs on a thread of
//! tokio's pool.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
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

/// The file until it has its name. Dropped before that, it is deleted.
pub(super) struct Part {
    name: PathBuf,
    part: PathBuf,
    /// Locked, so that two snapshots to one name do not mix. What a dead process has left is overwritten.
    file: Flock<File>,
    is_kept: bool,
}

impl Part {
    /// Opens `<name>.part`, which only its owner may read.
    pub(super) fn open(name: &Path) -> Result<Self, Error> {
        let mut part = name.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&part).map_err(|error| failed(&part, &error))?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => failed(&part, &"another snapshot is being written there"),
            errno => failed(&part, &errno.desc()),
        })?;
        file.set_len(0).map_err(|error| failed(&part, &error))?;
        Ok(Self {
            name: name.to_owned(),
            part,
            file,
            is_kept: false,
        })
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.file.write_all(piece).map_err(|error| failed(&self.part, &error))
    }

    /// Gives the file its name, in place of what had that before.
    pub(super) fn keep(mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| failed(&self.part, &error))?;
        fs::rename(&self.part, &self.name).map_err(|error| failed(&self.name, &error))?;
        self.is_kept = true;
        // The name stands in the folder.
        let folder = match self.name.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = File::open(folder).and_then(|folder| folder.sync_all());
        folder.map_err(|error| failed(&self.name, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nobody is left to be told.
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    // The number behind it says no more.
    let text = text.split(" (os error").next().unwrap_or_default();
    Error::new(Code::Io, format!("{}: {text}", path.display()))
}
