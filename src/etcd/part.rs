//! A file on its way to its name: written beside it, and renamed only when all of it is on the disk.
//!
//! In: bytes, in order. Out: the file, or the reason why there is none. Writes block, so this runs on a thread of tokio's
//! pool.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::error::{Code, Error};

/// Whether a file gets its name or is given up: one of the two, and it stays so.
#[derive(Default)]
pub(crate) struct Fate(OnceLock<bool>);

impl Fate {
    /// Is it given up? Not where it has its name, or is about to get it.
    pub(crate) fn give_up(&self) -> bool {
        !*self.0.get_or_init(|| false)
    }

    fn keep(&self) -> bool {
        *self.0.get_or_init(|| true)
    }
}

/// How long a writer that was given up may still hold its file.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// A file until it has its name. Dropped before that, it is deleted.
pub(crate) struct Part {
    name: PathBuf,
    part: PathBuf,
    /// None where it may be written but not read.
    folder: Option<File>,
    /// Locked, so that two of one name do not mix. What a dead process has left is overwritten.
    file: Flock<File>,
    is_kept: bool,
}

impl Part {
    /// Opens `<name>.part`, which only its owner may read.
    pub(crate) fn open(name: &Path) -> Result<Self, Error> {
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
                None => return Err(failed(&part, &"another one is being written there")),
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

    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.file.write_all(piece).map_err(|error| failed(&self.part, &error))
    }

    /// Gives the file its name, in place of what had that before; says whether it has it, and not so where it was given
    /// up meanwhile.
    pub(crate) fn keep(mut self, fate: &Fate) -> Result<bool, Error> {
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

/// What is said of a pipe or a device.
pub(crate) const NOT_REGULAR: &str = "it is no regular file";

/// Opens a file, with these flags more; fails where it is none: a pipe would have to be waited for.
pub(crate) fn regular(path: &Path, options: &mut OpenOptions, flags: OFlag) -> Result<(File, Metadata), Error> {
    let reason = |error| failed(path, &error);
    options.custom_flags((flags | OFlag::O_NONBLOCK).bits());
    let file = options.open(path).map_err(reason)?;
    let is = file.metadata().map_err(reason)?;
    match is.is_file() {
        true => Ok((file, is)),
        false => Err(failed(path, &NOT_REGULAR)),
    }
}

/// The file at this path, made if there is none, with its lock; none where another has that. What else stands there,
/// a link or a pipe, is not opened.
fn locked(path: &Path) -> Result<Option<Flock<File>>, Error> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let (file, is) = regular(path, &mut options, OFlag::O_NOFOLLOW)?;
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

/// The error of a file.
pub(crate) fn failed(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    // The number behind it says no more.
    let text = text.split(" (os error").next().unwrap_or_default();
    Error::new(Code::Io, format!("{}: {text}", path.display()))
}
