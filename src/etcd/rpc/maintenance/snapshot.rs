//! Snapshots: the whole store of a member, as a stream of pieces, to a file or to a reader.
//!
//! In: where it is to go. Out: pieces, or how far the file has come, then what it was; or the failure. The stream has a
//! connection of its own, since the rest of the client must not wait behind it. The task runs on the runtime; it ends
//! with the snapshot, its failure, its reader, its deadline, or the client.

use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::super::{Maintenance, Service};
use super::checked::Checked;
use crate::etcd::backoff;
use crate::etcd::call::{REPAIRS, deadline_of};
use crate::etcd::cause::{Cause, Retry};
use crate::etcd::client::Client;
use crate::etcd::config::CallOptions;
use crate::etcd::endpoint::Endpoint;
use crate::etcd::error::{Attempts, Code, Error, Result};
use crate::etcd::failure::Failure;
use crate::etcd::part::{Fate, Part};
use crate::etcd::pb::{SnapshotRequest, SnapshotResponse};
use crate::etcd::queue::Queue;
use crate::etcd::readable::Readable;
use crate::etcd::transport::grpc::{Incoming, ask, pack};

const SNAPSHOT: &str = "/etcdserverpb.Maintenance/Snapshot";

/// The pieces that wait for a reader, or for the disk. etcd sends 32 KiB in each.
const WAITING: usize = 16;

/// Where a snapshot goes.
#[derive(Debug, Clone)]
pub struct SnapshotTo {
    /// To this file; else to the reader.
    pub file: Option<PathBuf>,
    /// How long the server may be silent between two pieces.
    pub idle: Duration,
}

/// What a snapshot brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes of all have come, and these now where they are for the reader.
    Came {
        /// Bytes that have come.
        done: u64,
        /// Bytes that there are.
        total: u64,
        /// The last of them.
        chunk: Option<Bytes>,
    },
    /// It is complete, and what its hash says.
    Complete(Complete),
}

/// A snapshot that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    /// Its length.
    pub bytes: u64,
    /// The hash at its end, in hexadecimal digits.
    pub sha256: String,
    /// The version of the store; empty before etcd 3.6.
    pub version: String,
    /// How long it took.
    pub took: Duration,
    /// Where it came from.
    pub endpoint: Arc<str>,
}

/// A snapshot that is coming. It is given up when it is closed or dropped.
pub struct Snapshot {
    queue: Arc<Queue<Piece>>,
    stop: CancellationToken,
}

impl Readable for Snapshot {
    type Item = Piece;

    fn take(&self) -> Option<Result<Piece>> {
        self.queue.take()
    }

    fn put_back(&self, piece: Piece) {
        self.queue.put_back(piece);
    }

    async fn ready(&self) {
        self.queue.ready().await;
    }
}

impl Piece {
    /// Does it say how far a file has come? That is told as it is, not as it was.
    fn is_progress(&self) -> bool {
        matches!(self, Self::Came { chunk: None, .. })
    }
}

impl Snapshot {
    /// Gives it up. May be called from any thread, and again.
    pub fn close(&self) {
        self.stop.cancel();
        self.queue.end(Error::new(Code::Closed, "the snapshot is closed"));
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.close();
    }
}

impl Maintenance {
    /// Begins a snapshot of a member. A file gets its name only when it is complete.
    pub fn snapshot(&self, to: SnapshotTo, options: CallOptions) -> Snapshot {
        let snapshot = Snapshot {
            queue: Arc::new(Queue::new(WAITING)),
            stop: CancellationToken::new(),
        };
        let fate = Arc::new(Fate::default());
        let deadline = options.deadline;
        let fetch = Fetch {
            client: self.client().clone(),
            queue: snapshot.queue.clone(),
            fate: fate.clone(),
            to,
            options,
            given: false,
            begin_by: Instant::now(),
        };
        let (queue, stop) = (snapshot.queue.clone(), snapshot.stop.clone());
        let closed = self.client().servers().closed.clone();
        tokio::spawn(async move {
            let mut fetching = pin!(fetch.run());
            let ended = tokio::select! {
                ended = &mut fetching => ended,
                reason = given_up(&stop, &closed, deadline) => match fate.give_up() {
                    true => Err(reason),
                    // The file is just getting its name.
                    false => fetching.await,
                },
            };
            match ended {
                Ok(complete) => queue.push(Piece::Complete(complete)).await,
                Err(error) => queue.end(error),
            }
        });
        snapshot
    }
}

/// Waits until a snapshot is to be given up; says why.
async fn given_up(stop: &CancellationToken, closed: &CancellationToken, deadline: Option<Instant>) -> Error {
    let late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => Error::new(Code::Closed, "the snapshot is closed"),
        () = closed.cancelled() => Error::closed(),
        () = late => {
            let text = "the snapshot was not complete within the deadline";
            Error::new(Code::DeadlineExceeded, text)
        }
    }
}

/// A snapshot that is fetched.
struct Fetch {
    client: Client,
    queue: Arc<Queue<Piece>>,
    fate: Arc<Fate>,
    to: SnapshotTo,
    options: CallOptions,
    /// Has the reader been given some of it? Then it cannot begin anew.
    given: bool,
    /// When its first piece must be there.
    begin_by: Instant,
}

impl Fetch {
    /// Fetches it, from the start each time, until it is complete, fails for good, or has been tried often enough.
    async fn run(mut self) -> Result<Complete> {
        let began = Instant::now();
        let mut attempts = Attempts::default();
        self.fetched(&mut attempts).await.map_err(|error| {
            attempts.elapsed = began.elapsed();
            let attempts = (attempts.count > 0).then(|| attempts.into());
            Error { attempts, ..error }
        })
    }

    async fn fetched(&mut self, attempts: &mut Attempts) -> Result<Complete> {
        let client = self.client.clone();
        let servers = client.servers();
        let mut route = servers.endpoints.route(self.options.only());
        let (mut retries, mut repairs, mut hope) = (0, 0, false);
        loop {
            // Its deadline is that of the attempt, as is that of a connection.
            let _ = timeout(self.options.timeout, servers.resolve(&mut route)).await;
            route.refresh();
            let failure = match self.attempt(route.endpoint()).await {
                Ok(complete) => return Ok(complete),
                Err(failure) => failure,
            };
            if failure.error.endpoint.is_some() {
                attempts.note(&failure.error);
            }
            hope |= failure.retry.is_hopeful();
            if self.given {
                return Err(failure.error);
            }
            let pause = match failure.retry {
                Retry::Never => return Err(failure.error),
                Retry::Login | Retry::Reconnect if repairs < REPAIRS => {
                    repairs += 1;
                    continue;
                }
                _ if route.advance() => continue,
                Retry::Elsewhere | Retry::Reconnect | Retry::Later if hope && retries < self.options.retry => {
                    retries += 1;
                    backoff::at_least(self.options.retry_sleep)
                }
                _ => return Err(failure.error),
            };
            servers.pause(pause, &self.options, failure.error).await?;
        }
    }

    async fn attempt(&mut self, endpoint: &Endpoint) -> Result<Complete, Failure> {
        let began = Instant::now();
        let deadline = deadline_of(&self.options);
        self.begin_by = deadline.end;
        let client = self.client.clone();
        let servers = client.servers();
        let own = endpoint.apart(servers.endpoints.common());
        let authorized = servers.connect_and_login(&own, deadline.length(), None).await?;
        let connection = authorized.connection.clone();
        let judge = |cause: &Cause| servers.judge(endpoint, &authorized, cause, false);
        let metadata = authorized.metadata(false, self.options.headers.as_deref());
        let message = pack(&SnapshotRequest {});
        let asked = ask::<SnapshotResponse>(&connection, SNAPSHOT, deadline.end, &metadata, message).await;
        let mut incoming = asked.map_err(|cause| judge(&cause))?;
        let received = match self.to.file.clone() {
            Some(file) => self.write(file, &mut incoming).await,
            None => self.hand_out(&mut incoming).await,
        };
        let (checked, version) = received.map_err(|problem| match problem {
            Problem::Stream(cause) => judge(&cause),
            Problem::Other(error) => Failure::last(error),
        })?;
        Ok(Complete {
            bytes: checked.0,
            sha256: checked.1,
            version,
            took: began.elapsed(),
            endpoint: endpoint.name.clone(),
        })
    }

    /// Hands the pieces to the reader, who slows the server down.
    async fn hand_out(&mut self, incoming: &mut Incoming<SnapshotResponse>) -> Result<(Hashed, String), Problem> {
        let mut checked = Checked::new();
        let mut total = 0;
        let mut version = String::new();
        while let Some(message) = self.next(incoming, &mut total, checked.bytes).await? {
            checked.update(&message.blob);
            keep_version(&mut version, message.version);
            self.given = true;
            let piece = Piece::Came {
                done: checked.bytes,
                total,
                chunk: Some(message.blob),
            };
            self.queue.push(piece).await;
        }
        let bytes = checked.bytes;
        Ok(((bytes, checked.finish()?), version))
    }

    /// Has the pieces written by a thread that may wait for the disk, which slows the server down too.
    async fn write(
        &mut self,
        file: PathBuf,
        incoming: &mut Incoming<SnapshotResponse>,
    ) -> Result<(Hashed, String), Problem> {
        let (pieces, mut arrived) = mpsc::channel::<Bytes>(WAITING);
        let (open, opened) = oneshot::channel();
        let fate = self.fate.clone();
        // It ends with `pieces`, or before that with a failure of its own.
        let mut writing = spawn_blocking(move || -> Result<Option<Hashed>> {
            let mut part = Part::open(&file)?;
            // Nobody is there to hear it where the snapshot was given up.
            let _ = open.send(());
            let mut checked = Checked::new();
            let mut is_whole = false;
            while let Some(piece) = arrived.blocking_recv() {
                // What is empty says that this was the last.
                is_whole = piece.is_empty();
                checked.update(&piece);
                part.write(&piece)?;
            }
            if !is_whole {
                return Ok(None);
            }
            let bytes = checked.bytes;
            let sha256 = checked.finish()?;
            let is_kept = part.keep(&fate)?;
            Ok(is_kept.then_some((bytes, sha256)))
        });
        let mut done = 0;
        let mut total = 0;
        let mut version = String::new();
        let receiving = async {
            // Where it cannot be opened, or written, the writer says so.
            if opened.await.is_err() {
                return Ok(());
            }
            while let Some(message) = self.next(incoming, &mut total, done).await? {
                done += message.blob.len() as u64;
                keep_version(&mut version, message.version);
                if !message.blob.is_empty() && pieces.send(message.blob).await.is_err() {
                    return Ok(());
                }
                let piece = Piece::Came {
                    done,
                    total,
                    chunk: None,
                };
                self.queue.push_over(piece, Piece::is_progress).await;
            }
            let _ = pieces.send(Bytes::new()).await;
            Ok::<(), Problem>(())
        };
        let (received, written) = tokio::select! {
            received = receiving => {
                drop(pieces);
                (received, writing.await)
            }
            // A full disk is not waited for.
            written = &mut writing => (Ok(()), written),
        };
        let written = written.unwrap_or_else(|error| Err(Error::new(Code::Internal, error.to_string())))?;
        received?;
        match written {
            Some(hashed) => Ok((hashed, version)),
            None => Err(Error::new(Code::Internal, "the writer has stopped").into()),
        }
    }

    /// The next message; none where the last has said that it is.
    async fn next(
        &self,
        incoming: &mut Incoming<SnapshotResponse>,
        total: &mut u64,
        done: u64,
    ) -> Result<Option<SnapshotResponse>, Problem> {
        let limit = match done {
            0 => self.begin_by.saturating_duration_since(Instant::now()),
            _ => self.to.idle,
        };
        let next = timeout(limit, incoming.next()).await;
        match next.unwrap_or(Err(Cause::Timeout(limit)))? {
            Some(message) => {
                let here = done.saturating_add(message.blob.len() as u64);
                *total = here.saturating_add(message.remaining_bytes);
                Ok(Some(message))
            }
            None if done == *total && done > 0 => Ok(None),
            None => Err(Error::new(
                Code::DataLoss,
                format!("the stream ended after {done} of {total} bytes"),
            )
            .into()),
        }
    }
}

/// Bytes, and their hash.
type Hashed = (u64, String);

/// Why a snapshot does not come to its end.
enum Problem {
    Stream(Cause),
    /// What no repetition would help against.
    Other(Error),
}

impl From<Cause> for Problem {
    fn from(cause: Cause) -> Self {
        Self::Stream(cause)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// The first message that says it will do.
fn keep_version(version: &mut String, said: String) {
    if version.is_empty() {
        *version = said;
    }
}
