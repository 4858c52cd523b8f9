//! A transaction of code: what it has read and what it wants to write, put together in one step at its end.
//!
//! In: reads and writes, as the code makes them. Out: what it sees, its own writes included, and the transaction that
//! commits it if nothing of what it has read was changed meanwhile. The first read fixes the revision of all others.
//! Where something was changed, the failed commit has read all of it anew, for the next run of the code.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::cache::{Query, Store};
use super::client::Client;
use super::config::CallOptions;
use super::error::{Code, Error, Result};
use super::pb::compare::{CompareResult, TargetUnion};
use super::pb::request_op::Request as Op;
use super::pb::response_op::Response as OpResponse;
use super::pb::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, ResponseHeader, TxnRequest, TxnResponse,
};
use super::range::KeyRange;
use super::txn::equal;

/// The most keys of a range that is read: each is compared, and servers take 128 comparisons.
const MOST: usize = 120;

/// What a transaction is protected from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// From changes to what it has read, and to what it writes.
    Snapshot,
    /// From changes to what it has read.
    Serializable,
}

/// A run of the code, and what earlier ones have read.
#[derive(Debug, Clone)]
pub struct Transaction {
    isolation: Isolation,
    /// The revision of all reads; 0 before the first.
    revision: i64,
    /// The first read's.
    header: Option<ResponseHeader>,
    /// In the order of the reads.
    reads: Vec<Read>,
    puts: BTreeMap<Bytes, PutRequest>,
    deletes: Vec<KeyRange>,
}

/// A range that was read.
#[derive(Debug, Clone)]
struct Read {
    range: KeyRange,
    kvs: Vec<KeyValue>,
    /// By this run, and not only by one before it.
    is_used: bool,
}

/// How a commit has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// All was written, or there was nothing to write.
    Yes(Option<ResponseHeader>),
    /// Others have changed what was read, which was read anew.
    Again,
}

impl Transaction {
    /// One that has read nothing.
    pub fn new(isolation: Isolation) -> Self {
        Self {
            isolation,
            revision: 0,
            header: None,
            reads: Vec::new(),
            puts: BTreeMap::new(),
            deletes: Vec::new(),
        }
    }

    /// What a read sees, if all of its range has been read.
    pub fn seen(&mut self, request: &RangeRequest) -> Option<Vec<KeyValue>> {
        let range = KeyRange::of(request);
        // A key that was put here need not be read.
        if range.end.is_empty()
            && let Some(put) = self.puts.get(&range.key)
        {
            return Some(vec![self.put_here(put)]);
        }
        let read = self.reads.iter_mut().find(|read| read.range.covers(&range))?;
        read.is_used = true;
        let mut kvs: BTreeMap<_, _> = read
            .kvs
            .iter()
            .filter(|kv| range.holds(&kv.key) && !self.deletes.iter().any(|deleted| deleted.holds(&kv.key)))
            .map(|kv| (kv.key.clone(), kv.clone()))
            .collect();
        for put in self.puts.values().filter(|put| range.holds(&put.key)) {
            kvs.insert(put.key.clone(), self.put_here(put));
        }
        let mut store = Store::new(range);
        store.load(self.revision, kvs.into_values().collect());
        Some(
            Query::new(request.clone())
                .answer(&store, ResponseHeader::default())
                .kvs,
        )
    }

    /// A key as it will be. It has no revision of its change yet.
    fn put_here(&self, put: &PutRequest) -> KeyValue {
        let read = self.reads.iter().flat_map(|read| &read.kvs);
        let before = read.into_iter().find(|kv| kv.key == put.key);
        KeyValue {
            key: put.key.clone(),
            value: put.value.clone(),
            lease: put.lease,
            create_revision: before.map_or(0, |kv| kv.create_revision),
            version: before.map_or(0, |kv| kv.version) + 1,
            mod_revision: 0,
        }
    }

    /// The request that reads a range as it was at the transaction's revision.
    fn fetch(&self, range: &KeyRange) -> RangeRequest {
        RangeRequest {
            revision: self.revision,
            ..limited(range)
        }
    }

    /// Takes what was read.
    fn fetched(&mut self, range: KeyRange, header: Option<ResponseHeader>, kvs: Vec<KeyValue>) -> Result<()> {
        if kvs.len() > MOST {
            let key = String::from_utf8_lossy(&range.key).into_owned();
            let text =
                format!("the range from '{key}' on has more than the {MOST} keys that a transaction reads of one");
            return Err(Error::new(Code::InvalidArgument, text));
        }
        if self.revision == 0 {
            self.revision = header.map_or(0, |header| header.revision);
            self.header = header;
        }
        self.reads.push(Read {
            range,
            kvs,
            is_used: false,
        });
        Ok(())
    }

    /// Wants a key to be put.
    pub fn put(&mut self, put: PutRequest) {
        self.puts.insert(put.key.clone(), put);
    }

    /// Wants a range to be deleted; what is put into it later stays.
    pub fn delete(&mut self, delete: &DeleteRangeRequest) {
        let range = KeyRange::of_delete(delete);
        self.puts.retain(|key, _| !range.holds(key));
        if !self.deletes.iter().any(|deleted| deleted.covers(&range)) {
            self.deletes.retain(|deleted| !range.covers(deleted));
            self.deletes.push(range);
        }
    }

    /// The next run writes what it wants to; what was read stays.
    pub fn restart(&mut self) {
        self.puts.clear();
        self.deletes.clear();
        self.reads.iter_mut().for_each(|read| read.is_used = false);
    }

    /// The next run reads anew.
    pub fn forget(&mut self) {
        self.restart();
        self.reads.clear();
        (self.revision, self.header) = (0, None);
    }

    /// The transaction that commits it, unless there is nothing to write: all reads are of one revision.
    fn commit(&self) -> Option<TxnRequest> {
        let deletes: Vec<_> = self.deletes.iter().flat_map(|range| self.around_puts(range)).collect();
        if self.puts.is_empty() && deletes.is_empty() {
            return None;
        }
        let used = || self.reads.iter().filter(|read| read.is_used);
        let mut compare: Vec<_> = used().flat_map(|read| self.unchanged(&read.range, &read.kvs)).collect();
        if self.isolation == Isolation::Snapshot && self.revision > 0 {
            let put = self.puts.keys().cloned().map(KeyRange::of_key);
            // What was read is compared already.
            let blind = put
                .chain(deletes.iter().cloned())
                .filter(|range| !used().any(|read| read.range.covers(range)));
            compare.extend(blind.map(|range| self.untouched(&range)));
        }
        let deletes = deletes.into_iter().map(|range| {
            Op::RequestDeleteRange(DeleteRangeRequest {
                key: range.key,
                range_end: range.end,
                prev_kv: false,
            })
        });
        let puts = self.puts.values().cloned().map(Op::RequestPut);
        let reads = used().map(|read| Op::RequestRange(limited(&read.range)));
        Some(TxnRequest {
            compare,
            success: deletes.chain(puts).map(Op::into).collect(),
            failure: reads.map(Op::into).collect(),
        })
    }

    /// The parts of a range that is deleted between the keys that are put into it.
    fn around_puts(&self, range: &KeyRange) -> Vec<KeyRange> {
        let mut parts = Vec::new();
        let mut rest = range.clone();
        for key in self.puts.keys().filter(|key| range.holds(key)) {
            if range.end.is_empty() {
                return parts;
            }
            if *key > rest.key {
                parts.push(KeyRange {
                    key: rest.key,
                    end: key.clone(),
                });
            }
            rest = KeyRange {
                key: [key, &b"\0"[..]].concat().into(),
                end: range.end.clone(),
            };
        }
        if rest.end.is_empty() || *rest.end == *b"\0" || rest.key < rest.end {
            parts.push(rest);
        }
        parts
    }

    /// That a range is as it was read: no key has come or changed, and none has gone.
    fn unchanged(&self, range: &KeyRange, kvs: &[KeyValue]) -> Vec<Compare> {
        let is_one = range.end.is_empty();
        if is_one && kvs.is_empty() {
            return vec![equal(range.key.clone(), TargetUnion::ModRevision(0))];
        }
        let keys = kvs
            .iter()
            .map(|kv| equal(kv.key.clone(), TargetUnion::ModRevision(kv.mod_revision)));
        let none = (!is_one).then(|| self.untouched(range));
        none.into_iter().chain(keys).collect()
    }

    /// That nothing was written there since the transaction has begun.
    fn untouched(&self, range: &KeyRange) -> Compare {
        Compare {
            result: CompareResult::Less.into(),
            range_end: range.end.clone(),
            ..equal(range.key.clone(), TargetUnion::ModRevision(self.revision + 1))
        }
    }

    /// Takes what a commit that has failed has read.
    fn reread(&mut self, response: TxnResponse) -> Result<()> {
        let reads = std::mem::take(&mut self.reads);
        let ranges: Vec<_> = reads
            .into_iter()
            .filter(|read| read.is_used)
            .map(|read| read.range)
            .collect();
        self.forget();
        let header = response.header;
        for (range, op) in ranges.into_iter().zip(response.responses) {
            if let Some(OpResponse::ResponseRange(found)) = op.response {
                self.fetched(range, header, found.kvs)?;
            }
        }
        Ok(())
    }
}

/// The request for a range, which fails where it has too many keys: so many need not be sent.
fn limited(range: &KeyRange) -> RangeRequest {
    RangeRequest {
        limit: MOST as i64 + 1,
        ..range.clone().request()
    }
}

impl Client {
    /// Reads for a transaction what it has not read. Says whether it goes on: else it must run anew, since the history
    /// of its revision is gone.
    pub async fn stm_read(
        &self,
        transaction: &mut Transaction,
        request: &RangeRequest,
        options: &CallOptions,
    ) -> Result<bool> {
        if transaction.seen(request).is_some() {
            return Ok(true);
        }
        let range = KeyRange::of(request);
        match self.get(transaction.fetch(&range), options).await {
            Ok(response) => {
                transaction.fetched(range, response.header, response.kvs)?;
                Ok(true)
            }
            Err(error) if transaction.revision > 0 && matches!(error.code, Code::Compacted | Code::OutOfRange) => {
                transaction.forget();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads keys together, before the first run.
    pub async fn stm_prefetch(
        &self,
        transaction: &mut Transaction,
        keys: Vec<Bytes>,
        options: &CallOptions,
    ) -> Result<()> {
        let ranges = keys.into_iter().map(KeyRange::of_key);
        transaction.reads = ranges
            .map(|range| Read {
                range,
                kvs: Vec::new(),
                is_used: true,
            })
            .collect();
        let reads = transaction
            .reads
            .iter()
            .map(|read| Op::RequestRange(limited(&read.range)));
        let request = TxnRequest {
            success: reads.map(Op::into).collect(),
            ..TxnRequest::default()
        };
        let response = self.txn(request, options).await?;
        transaction.reread(response)
    }

    /// Commits what a run wants to write.
    pub async fn stm_commit(&self, transaction: &mut Transaction, options: &CallOptions) -> Result<Committed> {
        let Some(request) = transaction.commit() else {
            return Ok(Committed::Yes(transaction.header));
        };
        let response = self.txn(request, &options.at_most_once()).await?;
        if response.succeeded {
            return Ok(Committed::Yes(response.header));
        }
        transaction.reread(response)?;
        Ok(Committed::Again)
    }
}
