//! A snapshot on its way to a file: checked as it comes, and given its name only when all of it is there.
//!
//! In: its bytes, in order. Out: the file, or the reason why there is none. Writes block, so this runs on a thread of
//! tokio's pool.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
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

/// Whether a file gets its name or is given up: one of the two, and it stays so.
#[derive(Default)]
pub(super) struct Fate(OnceLock<bool>);

impl Fate {
    /// Is it given up? Not where it has its name, or is about to get it.
    pub(super) fn give_up(&self) -> bool {
        !*self.0.get_or_init(|| false)
    }

    fn keep(&self) -> bool {
        *self.0.get_or_init(|| true)
    }
}

/// How long a snapshot that was given up may still hold its file.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// The file until it has its name. Dropped before that, it is deleted.
pub(super) struct Part {
    name: PathBuf,
    part: PathBuf,
    /// None where it may be written but not read.
    folder: Option<File>,
    /// Locked, so that two snapshots to one name do not mix. What a dead process has left is overwritten.
    file: Flock<File>,
    is_kept: bool,
}

impl Part {
    /// Opens `<name>.part`, which only its owner may read.
    pub(super) fn open(name: &Path) -> Result<Self, Error> {
        let folder = match name.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut part = name.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let began = Instant::now();
        let file = loop {
            match locked(&part)? {
                Some(file) => break file,
                None if began.elapsed() < PATIENCE => sleep(PAUSE),
                None => return Err(failed(&part, &"another snapshot is being written there")),
            }
        };
        let opened = Self {
            name: name.to_owned(),
            part,
            folder: File::open(folder).ok(),
            file,
            is_kept: false,
        };
        let prepared = opened.file.set_permissions(Permissions::from_mode(0o600));
        let prepared = prepared.and_then(|()| opened.file.set_len(0));
        match prepared {
            Ok(()) => Ok(opened),
            Err(error) => Err(failed(&opened.part, &error)),
        }
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.file.write_all(piece).map_err(|error| failed(&self.part, &error))
    }

    /// Gives the file its name, in place of what had that before; says whether it has it, and not so where it was given
    /// up meanwhile.
    pub(super) fn keep(mut self, fate: &Fate) -> Result<bool, Error> {
        self.file.sync_all().map_err(|error| failed(&self.part, &error))?;
        if !fate.keep() {
            return Ok(false);
        }
        fs::rename(&self.part, &self.name).map_err(|error| failed(&self.name, &error))?;
        self.is_kept = true;
        // The name stands in the folder. There are file systems that cannot be told to write one.
        match self.folder.as_ref().map_or(Ok(()), File::sync_all) {
            Err(error) if ![ErrorKind::InvalidInput, ErrorKind::Unsupported].contains(&error.kind()) => {
                Err(failed(&self.name, &error))
            }
            _ => Ok(true),
        }
    }
}

/// The file at this path, made if there is none, with its lock; none where another has that. What else stands there,
/// a link or a pipe, is not opened.
fn locked(path: &Path) -> Result<Option<Flock<File>>, Error> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let file = options.open(path).map_err(|error| failed(path, &error))?;
    let is = file.metadata().map_err(|error| failed(path, &error))?;
    if !is.is_file() {
        return Err(failed(path, &"it is no regular file"));
    }
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => file,
        Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, errno)) => return Err(failed(path, &errno.desc())),
    };
    // Whoever had the lock before may have given the file its name, or deleted it.
    let stands = fs::symlink_metadata(path);
    let is_same = stands.is_ok_and(|stands| (stands.dev(), stands.ino()) == (is.dev(), is.ino()));
    Ok(is_same.then_some(file))
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
