//! A place in the queue for a name: no socket, no clock, no task.
//!
//! In: what servers respond, and that something may have changed. Out: what is to be asked next, and how the place
//! stands: outside, behind another, first, or lost. The queue is the keys right below the name in the order of their
//! creation, as Go's `concurrency` package and `etcdctl lock` have it. Every response may be lost: what is asked is
//! asked again until it is answered, and asking twice is as good as asking once.

use bytes::Bytes;

use crate::etcd::error::{Code, Error};
use crate::etcd::pb::compare::TargetUnion;
use crate::etcd::pb::range_request::{SortOrder, SortTarget};
use crate::etcd::pb::request_op::Request as Op;
use crate::etcd::pb::response_op::Response as OpResponse;
use crate::etcd::pb::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RangeResponse, RequestOp, Response as _,
    TxnRequest, TxnResponse,
};
use crate::etcd::range::{self, KeyRange};
use crate::etcd::txn::equal;

/// So many keys are looked at first. Where none of them is in the queue, since other names lie below, all are.
const FEW: i64 = 8;

/// Whom a place in the queue excludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everybody.
    Exclusive,
    /// Who writes.
    Read,
    /// Everybody, in a queue with those who read.
    Write,
}

impl Mode {
    /// What stands between the name and the last part of a key.
    fn folder(self) -> &'static str {
        match self {
            Self::Exclusive => "",
            Self::Read => "read/",
            Self::Write => "write/",
        }
    }

    /// Is a key of the name's queue in the way, by what it has behind the name? None where a name is used in two ways,
    /// of which each would not see the other.
    fn excludes(self, rest: &[u8]) -> Option<bool> {
        let within = |folder: &[u8]| rest.strip_prefix(folder).is_some_and(|key| !key.contains(&b'/'));
        let (bare, read, write) = (within(b""), within(b"read/"), within(b"write/"));
        match self {
            Self::Exclusive if read || write => None,
            Self::Exclusive => Some(bare),
            Self::Read | Self::Write if bare => None,
            Self::Read => Some(write),
            Self::Write => Some(read || write),
        }
    }
}

/// A name that is queued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queue {
    /// The name and the slash behind it.
    base: Bytes,
    mode: Mode,
}

impl Queue {
    pub(crate) fn new(name: &[u8], mode: Mode) -> Self {
        let base = [name, b"/"].concat().into();
        Self { base, mode }
    }

    /// The key of a place that nobody else has.
    pub(crate) fn key(&self, own: &str) -> Bytes {
        [&self.base, self.mode.folder().as_bytes(), own.as_bytes()]
            .concat()
            .into()
    }

    /// The newest keys of it that were created before `before`, their values left out: a few, or all.
    pub(crate) fn newest(&self, before: Option<i64>, all: bool) -> RangeRequest {
        let (key, range_end) = self.range();
        RangeRequest {
            key,
            range_end,
            limit: if all { 0 } else { FEW },
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Create.into(),
            keys_only: true,
            max_create_revision: before.map_or(0, |before| before - 1),
            ..RangeRequest::default()
        }
    }

    /// Its oldest keys: a few, or all.
    pub(crate) fn oldest(&self, all: bool) -> RangeRequest {
        RangeRequest {
            sort_order: SortOrder::Ascend.into(),
            keys_only: false,
            ..self.newest(None, all)
        }
    }

    /// Is that the key of a place in it?
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        key.len() > self.base.len() && self.excludes(key) == Ok(true)
    }

    /// Is the key one of those that this place has to wait for?
    pub(crate) fn excludes(&self, key: &[u8]) -> Result<bool, Error> {
        let rest = key.strip_prefix(&*self.base).unwrap_or(b"/");
        self.mode.excludes(rest).ok_or_else(|| {
            let text = "the name is locked with a mode by some, and without by others";
            Error::new(Code::FailedPrecondition, text)
        })
    }

    /// All of its keys.
    pub(crate) fn range(&self) -> (Bytes, Bytes) {
        range::prefix(self.base.clone())
    }
}

/// How a place is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// At the end of the queue.
    New,
    /// It was taken before, by a process that is gone perhaps: created at this revision, under this lease.
    Resumed { revision: i64, lease: i64 },
}

/// Somebody who is before this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    pub(crate) key: Bytes,
    /// When it came.
    pub(crate) created: i64,
    /// A revision at which it was there.
    pub(crate) seen: i64,
}

/// How a place stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not known to be in the queue.
    Outside,
    /// Somebody is before it, if it is known who.
    Queued(Option<Rival>),
    /// Nobody is before it.
    First,
    /// It has no place any more, or never gets one.
    Lost(Error),
}

/// A place in a queue.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    queue: Queue,
    key: Bytes,
    value: Bytes,
    lease: i64,
    entry: Entry,
    /// When the key was created; 0: not known yet.
    created: i64,
    /// The last revision at which the key is known to have been there.
    known: i64,
    /// Attempts to enter that were sent and not answered: they may be on their way still.
    unanswered: u32,
    standing: Standing,
    /// Something may have changed.
    is_due: bool,
    /// A few keys did not tell who is before it.
    wants_all: bool,
}

impl Place {
    pub(crate) fn new(queue: Queue, key: Bytes, value: Bytes, lease: i64, entry: Entry) -> Self {
        Self {
            queue,
            key,
            value,
            lease,
            entry,
            created: 0,
            known: 0,
            unanswered: 0,
            standing: Standing::Outside,
            is_due: true,
            wants_all: false,
        }
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(crate) fn key(&self) -> &Bytes {
        &self.key
    }

    pub(crate) fn created(&self) -> i64 {
        self.created
    }

    pub(crate) fn lease(&self) -> i64 {
        self.lease
    }

    /// The last revision at which its key is known to have been there.
    pub(crate) fn known(&self) -> i64 {
        self.known
    }

    /// May an attempt to enter come true later?
    pub(crate) fn is_unclear(&self) -> bool {
        self.unanswered > 0
    }

    /// That its key is there as it was made: what is done under it is done while the place is held.
    pub(crate) fn guard(&self) -> Vec<Compare> {
        guard(&self.key, self.created, self.lease)
    }

    /// What is to be asked now, if anything.
    pub(crate) fn question(&self) -> Option<TxnRequest> {
        match self.standing {
            Standing::Lost(_) => None,
            Standing::Outside => Some(self.enter()),
            _ => self.is_due.then(|| self.ask()),
        }
    }

    /// The question is sent. Until it is answered it may come true at any time.
    pub(crate) fn sent(&mut self) {
        self.unanswered += u32::from(self.standing == Standing::Outside);
    }

    /// Takes the place, if it was not taken already.
    fn enter(&self) -> TxnRequest {
        let put = Op::RequestPut(PutRequest {
            key: self.key.clone(),
            value: self.value.clone(),
            lease: self.lease,
            ..PutRequest::default()
        });
        let compare = match self.entry {
            Entry::New => vec![equal(self.key.clone(), TargetUnion::CreateRevision(0))],
            Entry::Resumed { revision, lease } => guard(&self.key, revision, lease),
        };
        TxnRequest {
            compare,
            success: vec![put.into(), Op::RequestRange(self.queue.newest(None, false)).into()],
            failure: vec![self.get()],
        }
    }

    /// Asks who is before it; where nobody was, nobody will be.
    fn ask(&self) -> TxnRequest {
        let before = Op::RequestRange(self.queue.newest(Some(self.created), self.wants_all));
        TxnRequest {
            compare: self.guard(),
            success: match self.standing {
                Standing::First => Vec::new(),
                _ => vec![before.into()],
            },
            failure: vec![self.get()],
        }
    }

    /// Gives it up. Its key has a name that nobody else has, so this may be repeated; a place that another process
    /// has resumed is not touched, one whose key was taken off its lease is.
    pub(crate) fn leave(&self) -> TxnRequest {
        let delete = || {
            let delete = DeleteRangeRequest {
                key: self.key.clone(),
                ..DeleteRangeRequest::default()
            };
            vec![Op::RequestDeleteRange(delete).into()]
        };
        let unleased = TxnRequest {
            compare: vec![equal(self.key.clone(), TargetUnion::Lease(0))],
            success: delete(),
            failure: Vec::new(),
        };
        TxnRequest {
            compare: vec![equal(self.key.clone(), TargetUnion::Lease(self.lease))],
            success: delete(),
            failure: vec![Op::RequestTxn(unleased).into()],
        }
    }

    /// Reads its key.
    fn get(&self) -> RequestOp {
        Op::RequestRange(KeyRange::of_key(self.key.clone()).request()).into()
    }

    /// The question has certainly done nothing.
    pub(crate) fn refused(&mut self) {
        self.unanswered -= u32::from(self.standing == Standing::Outside && self.unanswered > 0);
    }

    /// Something may have changed: it is to be asked again.
    pub(crate) fn due(&mut self) {
        self.is_due = true;
    }

    /// Takes what was responded to the last question.
    pub(crate) fn answered(&mut self, response: TxnResponse) {
        let revision = response.revision();
        let is_entry = self.standing == Standing::Outside;
        self.unanswered -= u32::from(is_entry && self.unanswered > 0);
        let mut found = response.responses.into_iter().filter_map(|op| match op.response {
            Some(OpResponse::ResponseRange(range)) => Some(range),
            _ => None,
        });
        let range = found.next().unwrap_or_default();
        if !response.succeeded {
            let kv = range.kvs.into_iter().next();
            return if is_entry {
                self.resumed(kv, revision)
            } else {
                self.gone(kv.as_ref(), revision)
            };
        }
        if is_entry {
            self.created = match self.entry {
                Entry::New => revision,
                Entry::Resumed { revision, .. } => revision,
            };
            self.standing = Standing::Queued(None);
        }
        self.known = self.known.max(revision);
        self.is_due = false;
        if self.standing != Standing::First {
            self.look(range, revision);
        }
    }

    /// The key was there before an attempt to enter: by an earlier attempt.
    fn resumed(&mut self, kv: Option<KeyValue>, revision: i64) {
        let is_new = self.entry == Entry::New;
        match kv {
            // Only by an attempt of its own that was not answered.
            Some(kv) if kv.lease == self.lease && self.is_unclear() && self.is_entry_of(&kv) => {
                self.created = kv.create_revision;
                self.known = revision;
                self.standing = Standing::Queued(None);
                self.is_due = true;
            }
            _ if is_new => {
                let text = "the server says that somebody else has the key of this place";
                self.lose(Error::new(Code::Protocol, text));
            }
            _ => self.lose(Error::new(Code::Lost, "the place to be resumed is not there any more")),
        }
    }

    /// Is the key the one that was to be taken?
    fn is_entry_of(&self, kv: &KeyValue) -> bool {
        match self.entry {
            Entry::New => true,
            Entry::Resumed { revision, .. } => kv.create_revision == revision,
        }
    }

    /// Its key is not as it was made.
    fn gone(&mut self, kv: Option<&KeyValue>, revision: i64) {
        let text = match kv {
            _ if revision < self.created => "the store was put back to before the lock",
            None => "its key was deleted",
            Some(kv) if kv.create_revision == self.created => "its key was put by somebody else",
            Some(_) => "its key is somebody else's",
        };
        self.lose(Error::new(Code::Lost, text));
    }

    pub(crate) fn lose(&mut self, error: Error) {
        self.standing = Standing::Lost(error);
    }

    /// Looks through keys, the newest first, for the one that is before this place.
    fn look(&mut self, range: RangeResponse, revision: i64) {
        let before = range.kvs.into_iter().filter(|kv| kv.create_revision < self.created);
        for kv in before {
            match self.queue.excludes(&kv.key) {
                Ok(false) => {}
                Ok(true) => {
                    let rival = Rival {
                        key: kv.key,
                        created: kv.create_revision,
                        seen: revision,
                    };
                    self.standing = Standing::Queued(Some(rival));
                    return;
                }
                Err(error) => return self.lose(error),
            }
        }
        if range.more {
            (self.wants_all, self.is_due) = (true, true);
        } else {
            self.standing = Standing::First;
        }
    }
}

/// That a key is there as it was made: created then, under this lease.
pub(crate) fn guard(key: &Bytes, created: i64, lease: i64) -> Vec<Compare> {
    vec![
        equal(key.clone(), TargetUnion::CreateRevision(created)),
        equal(key.clone(), TargetUnion::Lease(lease)),
    ]
}
