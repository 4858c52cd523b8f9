//! Places in a queue against a model of the store: however responses are lost, requests come late or twice, leases end
//! and strangers write, at most one place is held, nothing is left of those that were given up, and who is first hears
//! of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::place::{Entry, Mode, Place, Queue, Standing};
use crate::etcd::error::{Code, Error};
use crate::etcd::fuzz::Input;
use crate::etcd::pb::compare::TargetUnion;
use crate::etcd::pb::range_request::SortOrder;
use crate::etcd::pb::request_op::Request as Op;
use crate::etcd::pb::response_op::Response as OpResponse;
use crate::etcd::pb::{
    Compare, DeleteRangeResponse, KeyValue, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader,
    ResponseOp, TxnRequest, TxnResponse,
};
use crate::etcd::range::KeyRange;

/// Runs the steps that `data` stands for.
pub fn drive(data: &[u8]) {
    let mut input = Input(data);
    let with_modes = input.below(2) == 1;
    let mut world = World {
        store: Store::default(),
        contenders: Vec::new(),
        late: Vec::new(),
        given_up: Vec::new(),
        with_modes,
        last: 0,
    };
    for _ in 0..3 {
        world.join(&mut input);
    }
    while !input.is_over() {
        world.step(&mut input);
        world.check();
    }
    world.settle();
}

/// What of etcd the queue is built on.
#[derive(Default)]
struct Store {
    revision: i64,
    kvs: BTreeMap<Bytes, KeyValue>,
    leases: BTreeSet<i64>,
}

struct Contender {
    place: Place,
    mode: Mode,
    lease: i64,
    /// Of a session, which lives on when the place is given up.
    is_shared: bool,
}

struct World {
    store: Store,
    contenders: Vec<Contender>,
    /// Requests that are on their way still, though they were sent again or given up.
    late: Vec<TxnRequest>,
    /// Places on leases that live on, of which something may come late.
    given_up: Vec<Place>,
    with_modes: bool,
    last: i64,
}

/// The lease of the session that some contenders share.
const SHARED: i64 = 0xabc;

impl World {
    fn join(&mut self, input: &mut Input<'_>) {
        self.last += 1;
        let mode = match (self.with_modes, input.below(2)) {
            (false, _) => Mode::Exclusive,
            (true, 0) => Mode::Read,
            (true, _) => Mode::Write,
        };
        let is_shared = input.below(2) == 1;
        let (lease, own) = match is_shared {
            true => (SHARED, format!("{SHARED:x}-{:016x}", self.last)),
            false => (self.last, format!("{:x}", self.last)),
        };
        self.store.leases.insert(lease);
        let queue = Queue::new(b"jobs", mode);
        let key = queue.key(&own);
        self.contenders.push(Contender {
            place: Place::new(queue, key, Bytes::new(), lease, Entry::New),
            mode,
            lease,
            is_shared,
        });
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let at = input.below(self.contenders.len());
        match input.byte() % 16 {
            // Most of the time a question is asked.
            0..=4 => self.ask(at, input),
            6 => self.contenders[at].place.due(),
            7 if !self.late.is_empty() => {
                let late = self.late.swap_remove(input.below(self.late.len()));
                let _ = self.store.txn(&late);
                self.sweep();
            }
            8 => self.give_up(at, input),
            9 => self.expire(at, input),
            10 => {
                let key = self.contenders[at].place.key().clone();
                self.store.revision += 1;
                self.store.kvs.remove(&key);
            }
            11 => {
                // A stranger's put takes it off its lease.
                let key = self.contenders[at].place.key().clone();
                if self.store.kvs.contains_key(&key) {
                    self.store.revision += 1;
                    self.store.put(&key, 0);
                }
            }
            14 => {
                // Some at one revision.
                self.store.revision += 1;
                for number in 0..input.below(12) {
                    self.store.put(&Bytes::from(format!("jobs/7/{number}/x")), 0);
                }
            }
            5 | 12 => {
                // Of names that lie below, and beside.
                let number = input.byte();
                let key = if number == 0 {
                    "jobs0".to_owned()
                } else {
                    format!("jobs/7/{number}")
                };
                self.store.revision += 1;
                self.store.put(&Bytes::from(key), 0);
            }
            13 => self.resume(at),
            _ => self.ask(at, input),
        }
    }

    /// Asks what a place wants to know. The response may be lost, or the request come late.
    fn ask(&mut self, at: usize, input: &mut Input<'_>) {
        let fate = input.below(6);
        let contender = &mut self.contenders[at];
        let Some(question) = contender.place.question() else {
            return;
        };
        contender.place.sent();
        match fate {
            0 => self.late.push(question),
            // It is given up while the question is on its way.
            1 => {
                self.late.push(question);
                self.give_up(at, input);
            }
            2 => {
                let _ = self.store.txn(&question);
            }
            3 => contender.place.refused(),
            _ => {
                let response = self.store.txn(&question);
                contender.hear(response);
            }
        }
    }

    /// A place is given up, and another taken.
    fn give_up(&mut self, at: usize, input: &mut Input<'_>) {
        let contender = self.contenders.swap_remove(at);
        self.leave(contender);
        self.join(input);
    }

    fn leave(&mut self, contender: Contender) {
        let _ = self.store.txn(&contender.place.leave());
        if contender.is_shared {
            if contender.place.is_unclear() {
                self.given_up.push(contender.place);
            }
        } else {
            self.store.end(contender.lease);
        }
    }

    /// What comes late of those that were given up is taken back.
    fn sweep(&mut self) {
        for place in &self.given_up {
            let _ = self.store.txn(&place.leave());
        }
    }

    /// A lease ends, which its contenders have known before.
    fn expire(&mut self, at: usize, input: &mut Input<'_>) {
        let lease = self.contenders[at].lease;
        let error = Error::new(Code::LeaseExpired, "it has expired");
        for contender in self.contenders.iter_mut().filter(|contender| contender.lease == lease) {
            contender.place.lose(error.clone());
        }
        self.store.end(lease);
        let (lost, kept) = std::mem::take(&mut self.contenders)
            .into_iter()
            .partition::<Vec<_>, _>(|contender| contender.lease == lease);
        self.contenders = kept;
        for contender in lost {
            self.leave(contender);
            self.join(input);
        }
    }

    /// Another process goes on with a place; the former one does not know.
    fn resume(&mut self, at: usize) {
        let former = &self.contenders[at];
        if former.place.created() == 0 || former.mode != Mode::Exclusive || self.contenders.len() > 4 {
            return;
        }
        self.last += 1;
        let entry = Entry::Resumed {
            revision: former.place.created(),
            lease: former.lease,
        };
        self.store.leases.insert(self.last);
        let queue = Queue::new(b"jobs", Mode::Exclusive);
        let key = former.place.key().clone();
        self.contenders.push(Contender {
            place: Place::new(queue, key, Bytes::new(), self.last, entry),
            mode: Mode::Exclusive,
            lease: self.last,
            is_shared: false,
        });
    }

    /// Of those that are held, and whose writes would be done, none excludes another.
    fn check(&self) {
        let held: Vec<_> = self
            .contenders
            .iter()
            .filter(|contender| *contender.place.standing() == Standing::First)
            .filter(|contender| self.store.holds(&contender.place.guard()))
            .collect();
        for (at, one) in held.iter().enumerate() {
            for other in &held[at + 1..] {
                assert!(
                    (one.mode, other.mode) == (Mode::Read, Mode::Read),
                    "both hold: {:?} and {:?}",
                    one.place,
                    other.place
                );
            }
        }
    }

    /// Every place asks until it knows how it stands.
    fn ask_all(&mut self) {
        for contender in &mut self.contenders {
            contender.place.due();
            while let Some(question) = contender.place.question() {
                contender.place.sent();
                let response = self.store.txn(&question);
                contender.hear(response);
            }
        }
    }

    /// Everything comes to an end: whoever is first knows it, and nothing is left of those that have gone.
    fn settle(&mut self) {
        while let Some(late) = self.late.pop() {
            let _ = self.store.txn(&late);
            self.sweep();
        }
        // Those that have lost theirs leave, which others hear of.
        for _ in 0..2 {
            self.ask_all();
            let (lost, kept) = std::mem::take(&mut self.contenders)
                .into_iter()
                .partition::<Vec<_>, _>(|contender| matches!(contender.place.standing(), Standing::Lost(_)));
            self.contenders = kept;
            lost.into_iter().for_each(|contender| self.leave(contender));
        }
        self.check();
        let created = |contender: &&Contender| contender.place.created();
        if let Some(first) = self.contenders.iter().min_by_key(created) {
            assert!(
                *first.place.standing() == Standing::First,
                "nobody holds it: {:?}",
                first.place
            );
        }
        for contender in std::mem::take(&mut self.contenders) {
            self.leave(contender);
        }
        let left = self
            .store
            .kvs
            .keys()
            .find(|key| !key.starts_with(b"jobs/7/") && *key != "jobs0");
        assert_eq!(left, None, "it was given up, and is there");
    }
}

impl Contender {
    fn hear(&mut self, response: Result<TxnResponse, Error>) {
        match response {
            Ok(response) => self.place.answered(response),
            Err(error) => self.place.lose(error),
        }
    }
}

impl Store {
    fn put(&mut self, key: &Bytes, lease: i64) {
        let before = self.kvs.get(key);
        let kv = KeyValue {
            key: key.clone(),
            create_revision: before.map_or(self.revision, |kv| kv.create_revision),
            mod_revision: self.revision,
            lease,
            ..KeyValue::default()
        };
        self.kvs.insert(key.clone(), kv);
    }

    /// A lease ends, and its keys with it.
    fn end(&mut self, lease: i64) {
        self.leases.remove(&lease);
        self.revision += 1;
        self.kvs.retain(|_, kv| kv.lease != lease);
    }

    fn holds(&self, compares: &[Compare]) -> bool {
        compares.iter().all(|compare| {
            let kv = self.kvs.get(&compare.key);
            match compare.target_union {
                Some(TargetUnion::CreateRevision(revision)) => revision == kv.map_or(0, |kv| kv.create_revision),
                Some(TargetUnion::Lease(lease)) => lease == kv.map_or(0, |kv| kv.lease),
                _ => panic!("a comparison that the model does not know: {compare:?}"),
            }
        })
    }

    fn txn(&mut self, txn: &TxnRequest) -> Result<TxnResponse, Error> {
        let leases = |ops: &[RequestOp]| {
            ops.iter().all(|op| match &op.request {
                Some(Op::RequestPut(put)) => self.leases.contains(&put.lease),
                _ => true,
            })
        };
        let succeeded = self.holds(&txn.compare);
        let ops = if succeeded { &txn.success } else { &txn.failure };
        if !leases(ops) {
            return Err(Error::new(Code::NotFound, "requested lease not found"));
        }
        self.revision += i64::from(txn.writes());
        let responses = ops.iter().map(|op| ResponseOp {
            response: op.request.as_ref().map(|op| match op {
                Op::RequestPut(put) => {
                    self.put(&put.key, put.lease);
                    OpResponse::ResponsePut(PutResponse::default())
                }
                Op::RequestDeleteRange(delete) => {
                    self.kvs.remove(&delete.key);
                    OpResponse::ResponseDeleteRange(DeleteRangeResponse::default())
                }
                Op::RequestRange(range) => OpResponse::ResponseRange(self.range(range)),
                // The comparisons of one inside see what was before; here nothing was written then.
                Op::RequestTxn(txn) => OpResponse::ResponseTxn(self.txn(txn).unwrap_or_default()),
            }),
        });
        let responses = responses.collect();
        Ok(TxnResponse {
            header: self.header(),
            succeeded,
            responses,
        })
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            revision: self.revision,
            ..ResponseHeader::default()
        })
    }

    fn range(&self, request: &RangeRequest) -> RangeResponse {
        let range = KeyRange::of(request);
        let last = match request.max_create_revision {
            0 => i64::MAX,
            last => last,
        };
        let mut kvs: Vec<_> = self
            .kvs
            .values()
            .filter(|kv| range.holds(&kv.key) && (request.min_create_revision..=last).contains(&kv.create_revision))
            .cloned()
            .collect();
        kvs.sort_by_key(|kv| kv.create_revision);
        if request.sort_order() == SortOrder::Descend {
            kvs.reverse();
        }
        let limit = match request.limit {
            0 => usize::MAX,
            limit => limit as usize,
        };
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        RangeResponse {
            header: self.header(),
            kvs,
            more,
            ..RangeResponse::default()
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn at_most_one_holds_and_nothing_is_left() {
        for seed in 0..1000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let steps: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(800).collect();
            super::drive(&steps);
        }
    }
}
