//! The replica on disk, so that a program can start while no server responds.
//!
//! In: a store that changes. Out: a file, written at most once a second and complete whenever it has its name; at the
//! start what it holds. Its head has a mark, the hash of the rest, and the range: one that is damaged, or of another
//! range, is not used. The work is done by threads of tokio's pool, since disks block.

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use prost::Message;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::replica::Shared;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::namespace::Namespace;
use crate::etcd::part::{Fate, NOT_REGULAR, Part, failed, regular};
use crate::etcd::pb::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};

const MARK: &[u8] = b"silly-etcd cache 1\n";

/// How often it is written at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps a replica in a file.
pub(super) struct Keeper {
    file: PathBuf,
    shared: Arc<Shared>,
    namespace: Namespace,
    changed: Notify,
    /// Something has changed that is not in the file.
    is_due: AtomicBool,
}

impl Keeper {
    pub(super) fn new(file: PathBuf, shared: Arc<Shared>, namespace: Namespace) -> Self {
        Self {
            file,
            shared,
            namespace,
            changed: Notify::new(),
            is_due: AtomicBool::new(false),
        }
    }

    /// The whole keys of the range.
    fn range(&self) -> RangeRequest {
        let mut request = self.shared.state().store.range().clone().request();
        self.namespace.enter(&mut request);
        request
    }

    /// The replica has changed.
    pub(super) fn changed(&self) {
        self.is_due.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Takes what the file holds, if it is there and can be read within `limit`.
    pub(super) async fn read(&self, limit: Duration) {
        let file = self.file.clone();
        let range = self.range();
        let read = timeout(limit, on_disk(move || read(&file, &range))).await;
        let read = read.unwrap_or_else(|_| Err(failed(&self.file, &"it could not be read in time")));
        self.shared.change(|state| {
            state.is_read = true;
            match read {
                Ok(Some(Kept { age, header, kvs })) => {
                    state.header = header;
                    state.store.restore(header.revision, kvs);
                    let since = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
                    state.stale = Some((since, None));
                }
                Ok(None) => {}
                Err(error) => state.unfiled = Some(error),
            }
        });
    }

    /// Writes the file after changes, as long as it is polled.
    pub(super) async fn run(&self) -> Infallible {
        loop {
            self.changed.notified().await;
            if !self.write().await {
                self.changed();
            }
            sleep(INTERVAL).await;
        }
    }

    /// Writes it for the last time, if something has changed since.
    pub(super) async fn finish(&self) {
        if self.is_due.load(Ordering::Relaxed) {
            self.write().await;
        }
    }

    /// Says whether it is written.
    async fn write(&self) -> bool {
        self.is_due.store(false, Ordering::Relaxed);
        let (file, shared, range) = (self.file.clone(), self.shared.clone(), self.range());
        let written = on_disk(move || write(&file, &range, &shared)).await;
        let is_written = written.is_ok();
        self.shared.change(|state| state.unfiled = written.err());
        is_written
    }
}

/// Does work that waits for the disk on a thread that may.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::new(Code::Internal, error.to_string())))
}

/// What a file holds.
struct Kept {
    /// How long ago it was written.
    age: Duration,
    header: ResponseHeader,
    kvs: Vec<KeyValue>,
}

/// What is in the file, none where there is none.
fn read(file: &Path, range: &RangeRequest) -> Result<Option<Kept>> {
    let reason = |error: std::io::Error| failed(file, &error);
    if !file.try_exists().map_err(reason)? {
        return Ok(None);
    }
    let (mut opened, is) = regular(file, OpenOptions::new().read(true), OFlag::empty())?;
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).map_err(reason)?;
    let age = is.modified().ok().and_then(|written| written.elapsed().ok());
    let kept = decode(&bytes, range).map(|(header, kept)| Kept {
        age: age.unwrap_or_default(),
        header,
        kvs: kept.kvs,
    });
    let damaged = || {
        Error::new(
            Code::DataLoss,
            format!("{}: it is damaged, or of another range", file.display()),
        )
    };
    kept.map(Some).ok_or_else(damaged)
}

fn write(file: &Path, range: &RangeRequest, shared: &Shared) -> Result<()> {
    let response = {
        let state = shared.state();
        RangeResponse {
            header: Some(ResponseHeader {
                revision: state.store.revision(),
                ..state.header
            }),
            kvs: state.store.iter(state.store.range()).map(|kv| (**kv).clone()).collect(),
            ..RangeResponse::default()
        }
    };
    if std::fs::metadata(file).is_ok_and(|is| !is.is_file()) {
        return Err(failed(file, &NOT_REGULAR));
    }
    let mut part = Part::open(file)?;
    let bytes = encode(range, &response);
    part.write(&bytes)?;
    part.keep(&Fate::default()).map(drop)
}

pub(super) fn encode(range: &RangeRequest, response: &RangeResponse) -> Vec<u8> {
    let mut rest = range.encode_length_delimited_to_vec();
    response.encode_raw(&mut rest);
    [MARK, digest(&SHA256, &rest).as_ref(), &rest].concat()
}

/// What a file of this range holds; none where it is damaged, or of another.
pub(super) fn decode(bytes: &[u8], range: &RangeRequest) -> Option<(ResponseHeader, RangeResponse)> {
    let (hash, mut rest) = bytes.strip_prefix(MARK)?.split_at_checked(SHA256_OUTPUT_LEN)?;
    if digest(&SHA256, rest).as_ref() != hash {
        return None;
    }
    let of = RangeRequest::decode_length_delimited(&mut rest).ok()?;
    let response = RangeResponse::decode(rest).ok()?;
    let header = response.header.filter(|header| header.revision > 0)?;
    (of == *range).then_some((header, response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_damaged_anywhere_or_of_another_range_is_not_used() {
        let range = |key: &'static str| RangeRequest {
            key: key.into(),
            range_end: "b".into(),
            ..RangeRequest::default()
        };
        let kv = KeyValue {
            key: "a/1".into(),
            value: "one".into(),
            mod_revision: 7,
            ..KeyValue::default()
        };
        let response = RangeResponse {
            header: Some(ResponseHeader {
                revision: 9,
                ..ResponseHeader::default()
            }),
            kvs: vec![kv],
            ..RangeResponse::default()
        };
        let whole = encode(&range("a"), &response);
        assert_eq!(decode(&whole, &range("a")).map(|(_, kept)| kept), Some(response));
        assert_eq!(decode(&whole, &range("aa")), None);
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length], &range("a")), None, "{length}");
            let mut harmed = whole.clone();
            harmed[length] ^= 1;
            assert_eq!(decode(&harmed, &range("a")), None, "{length}");
        }
        assert_eq!(decode(&[whole, vec![0]].concat(), &range("a")), None);
    }
}
