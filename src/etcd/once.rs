//! Writes of which it is known whether they have happened, though a response was lost.
//!
//! In: a transaction. Out: its response, or an error that says yes or no. Each is sent together with a put of a key of
//! the session's, the marker, and compares when that was changed last: so it happens once however often it is sent, and
//! the marker tells of it. One after the other; who waits for a turn is bounded by the deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use super::backoff;
use super::client::Client;
use super::config::CallOptions;
use super::error::{Applied, Code, Done, Error, Result};
use super::holding::Holding;
use super::pb::compare::TargetUnion;
use super::pb::request_op::Request as Op;
use super::pb::response_op::Response as OpResponse;
use super::pb::{
    Compare, PutRequest, PutResponse, RequestOp, Response as _, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use super::random;
use super::range::KeyRange;
use super::txn::equal;

/// What the marker has where a write was given up.
const VOID: &str = "void ";

/// The marker of a session.
pub(crate) struct Once {
    marker: Bytes,
    lease: i64,
    holding: Arc<Holding>,
    /// When the marker was changed last, as far as is known; 0: it is to be made. Held by the write whose turn it is.
    turn: Mutex<i64>,
}

/// What the marker says of a write.
enum Says {
    /// It has happened at this revision, and its comparisons held or did not.
    Done(Done),
    /// It never will.
    Void(i64),
    /// Nothing: it was changed at this revision, by another; 0: it is gone.
    Nothing(i64),
}

impl Once {
    /// The marker of a session on `lease`, below a prefix of keys.
    pub(crate) fn new(prefix: &[u8], lease: i64, holding: Arc<Holding>) -> Result<Self> {
        let own = format!("{lease:x}-{:016x}", random::unique("a key")?);
        Ok(Self {
            marker: [prefix, own.as_bytes()].concat().into(),
            lease,
            holding,
            turn: Mutex::new(0),
        })
    }

    /// Makes a write, until it is known whether it has happened.
    pub(crate) async fn write(
        &self,
        client: &Client,
        request: TxnRequest,
        options: &CallOptions,
    ) -> Result<TxnResponse> {
        self.spared(&request)?;
        let mut turn = match options.deadline {
            Some(deadline) => timeout_at(deadline, self.turn.lock()).await.map_err(|_| {
                let text = "an earlier write of the session was not decided in time";
                Error::new(Code::DeadlineExceeded, text)
            })?,
            None => self.turn.lock().await,
        };
        let options = CallOptions {
            min_revision: 0,
            ..options.at_most_once()
        };
        let token = format!("{:016x}", random::unique("a key")?);
        let mut lost: Option<Error> = None;
        let mut failures = 0;
        loop {
            if lost.is_none() {
                self.holding.check()?;
                if *turn == 0 {
                    *turn = self.begin(client, &options).await?;
                }
            }
            let error = match client.transact(self.marked(*turn, &token, &request), &options).await {
                Ok(response) if response.succeeded => {
                    *turn = response.revision();
                    return unmarked(response);
                }
                Ok(response) => match (self.says(&token, response), lost.take()) {
                    (Says::Done(done), lost) => {
                        *turn = done.revision;
                        return known(&request, done, lost);
                    }
                    (Says::Void(_) | Says::Nothing(_), Some(lost)) => {
                        *turn = 0;
                        return Err(lost);
                    }
                    // An earlier write of the session was not decided: now it is.
                    (Says::Void(revision) | Says::Nothing(revision), None) => {
                        *turn = revision;
                        Error::new(Code::Aborted, "the marker of the session was changed by others")
                    }
                },
                Err(error) if error.applied == Applied::No && lost.is_none() => return Err(error),
                Err(error) => {
                    if error.applied == Applied::Maybe || lost.is_none() {
                        lost = Some(error.clone());
                    }
                    error
                }
            };
            let is_late = options.deadline.is_some_and(|deadline| deadline <= Instant::now());
            if failures >= options.retry || is_late {
                return match lost {
                    Some(lost) => self.decide(client, &mut turn, &token, &request, lost, &options).await,
                    None => Err(error),
                };
            }
            sleep(backoff::after(&error, failures)).await;
            failures += 1;
        }
    }

    /// Makes the marker, or finds out when it was changed.
    async fn begin(&self, client: &Client, options: &CallOptions) -> Result<i64> {
        let request = TxnRequest {
            compare: vec![self.compare(TargetUnion::CreateRevision(0))],
            success: vec![self.put("")],
            failure: vec![self.get()],
        };
        let mut failures = 0;
        loop {
            match client.transact(request.clone(), options).await {
                Ok(response) if response.succeeded => return Ok(response.revision()),
                Ok(response) => match response.found() {
                    Some(kv) if kv.lease == self.lease => return Ok(kv.mod_revision),
                    _ => {
                        return Err(Error::new(
                            Code::Protocol,
                            "the marker of the session is somebody else's",
                        ));
                    }
                },
                // A marker is no write of the program's.
                Err(error) if failures >= options.retry => return Err(no(error)),
                Err(error) if error.applied == Applied::No => return Err(error),
                Err(error) => sleep(backoff::after(&error, failures)).await,
            }
            failures += 1;
        }
    }

    /// Asks the marker whether a write has happened, and sees to it that else it never does.
    async fn decide(
        &self,
        client: &Client,
        turn: &mut i64,
        token: &str,
        request: &TxnRequest,
        lost: Error,
        options: &CallOptions,
    ) -> Result<TxnResponse> {
        let limit = Instant::now() + (options.timeout * 2).min(LONGEST);
        let options = CallOptions {
            deadline: Some(limit),
            ..options.clone()
        };
        let void = TxnRequest {
            compare: vec![self.compare(TargetUnion::ModRevision(*turn))],
            success: vec![self.put(&format!("{VOID}{token}"))],
            failure: vec![self.get()],
        };
        let mut failures = 0;
        while Instant::now() < limit && self.holding.check().is_ok() {
            let asked = match client.transact(void.clone(), &options).await {
                // Where nothing may be written the marker can be read at least.
                Err(error) if error.applied == Applied::No && is_refused(&error) => self.read(client, &options).await,
                asked => asked,
            };
            match asked {
                Ok(response) if response.succeeded => {
                    *turn = response.revision();
                    return Err(no(lost));
                }
                Ok(response) => match self.says(token, response) {
                    Says::Done(done) => {
                        *turn = done.revision;
                        return known(request, done, Some(lost));
                    }
                    Says::Void(revision) => {
                        *turn = revision;
                        return Err(no(lost));
                    }
                    Says::Nothing(revision) => {
                        // It may come still where nothing has changed; else nobody can tell.
                        *turn = revision;
                        return Err(lost);
                    }
                },
                Err(error) => sleep(backoff::after(&error, failures)).await,
            }
            failures += 1;
        }
        Err(lost)
    }

    /// The marker as it is, in the form of a comparison that has failed.
    async fn read(&self, client: &Client, options: &CallOptions) -> Result<TxnResponse> {
        let request = TxnRequest {
            compare: vec![self.compare(TargetUnion::CreateRevision(-1))],
            success: Vec::new(),
            failure: vec![self.get()],
        };
        client.transact(request, options).await
    }

    /// The write and its marker, in one step.
    fn marked(&self, turn: i64, token: &str, request: &TxnRequest) -> TxnRequest {
        let with = |sign: &str, ops: &[RequestOp]| {
            let marker = self.put(&format!("{token}{sign}"));
            [&[marker], ops].concat()
        };
        let inner = TxnRequest {
            compare: request.compare.clone(),
            success: with("+", &request.success),
            failure: with("-", &request.failure),
        };
        TxnRequest {
            compare: vec![self.compare(TargetUnion::ModRevision(turn))],
            success: vec![Op::RequestTxn(inner).into()],
            failure: vec![self.get()],
        }
    }

    /// What a marker says that was found.
    fn says(&self, token: &str, response: TxnResponse) -> Says {
        let Some(kv) = response.found().filter(|kv| kv.lease == self.lease) else {
            return Says::Nothing(0);
        };
        let revision = kv.mod_revision;
        let value = String::from_utf8_lossy(&kv.value);
        match value.strip_prefix(token) {
            Some("+") => Says::Done(Done {
                revision,
                succeeded: true,
            }),
            Some("-") => Says::Done(Done {
                revision,
                succeeded: false,
            }),
            _ if value.strip_prefix(VOID) == Some(token) => Says::Void(revision),
            _ => Says::Nothing(revision),
        }
    }

    fn compare(&self, what: TargetUnion) -> Compare {
        equal(self.marker.clone(), what)
    }

    fn put(&self, value: &str) -> RequestOp {
        let put = PutRequest {
            key: self.marker.clone(),
            value: value.to_owned().into(),
            lease: self.lease,
            ..PutRequest::default()
        };
        Op::RequestPut(put).into()
    }

    fn get(&self) -> RequestOp {
        Op::RequestRange(KeyRange::of_key(self.marker.clone()).request()).into()
    }

    /// Refuses a write of the marker itself.
    fn spared(&self, request: &TxnRequest) -> Result<()> {
        match KeyRange::of_key(self.marker.clone()).is_written_by(request) {
            false => Ok(()),
            true => Err(Error::new(
                Code::InvalidArgument,
                "the marker of the session itself must not be written: give it a prefix of its own",
            )),
        }
    }
}

/// The longest that a decision may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Would asking again not help?
fn is_refused(error: &Error) -> bool {
    matches!(
        error.code,
        Code::ResourceExhausted | Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition
    )
}

fn no(error: Error) -> Error {
    let applied = Applied::No;
    Error { applied, ..error }
}

/// The response to the write, without that to the put of its marker.
fn unmarked(response: TxnResponse) -> Result<TxnResponse> {
    let header = response.header;
    let inner = response.responses.into_iter().next().and_then(|op| op.response);
    match inner {
        Some(OpResponse::ResponseTxn(mut inner)) if !inner.responses.is_empty() => {
            inner.responses.remove(0);
            Ok(TxnResponse { header, ..inner })
        }
        _ => Err(Error {
            applied: Applied::Yes,
            ..Error::new(Code::Protocol, "the response lacks that of the write")
        }),
    }
}

/// The response to a write that has happened, if there is nothing in it that only the lost one could tell; else the
/// error that lost it.
fn known(request: &TxnRequest, done: Done, lost: Option<Error>) -> Result<TxnResponse> {
    let ops = if done.succeeded {
        &request.success
    } else {
        &request.failure
    };
    let told = |op: &RequestOp| match &op.request {
        Some(Op::RequestPut(put)) if !put.prev_kv => Some(ResponseOp {
            response: Some(OpResponse::ResponsePut(PutResponse::default())),
        }),
        _ => None,
    };
    if let Some(responses) = ops.iter().map(told).collect::<Option<Vec<_>>>() {
        let header = Some(ResponseHeader {
            revision: done.revision,
            ..ResponseHeader::default()
        });
        return Ok(TxnResponse {
            header,
            succeeded: done.succeeded,
            responses,
        });
    }
    let lost = lost.unwrap_or_else(|| Error::new(Code::Unavailable, "the response was lost"));
    Err(Error {
        applied: Applied::Yes,
        message: format!(
            "it was done at revision {}, and what was responded is lost: {}",
            done.revision, lost.message
        ),
        done: Some(done),
        from_server: false,
        ..lost
    })
}
