//! The KV service: what is more than a row of the table.
//!
//! Each call takes the request as it goes over the wire and returns the response as it came. Those that only pass it on
//! are not `async`: the future of an `async fn` has room for its arguments as long as it lives.

mod scan;
mod update;

use bytes::Bytes;
use futures_util::future::Either;

pub use scan::{Scan, ScanRequest};
pub use update::{Change, Increment, Incremented, Swap, Swapped};

use crate::etcd::call::Kind;
use crate::etcd::client::Client;
use crate::etcd::config::CallOptions;
use crate::etcd::error::{Applied, Code, Error, Result};
use crate::etcd::guard::Guard;
use crate::etcd::namespace::Leave;
use crate::etcd::pb::request_op::Request as Op;
use crate::etcd::pb::response_op::Response as OpResponse;
use crate::etcd::pb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, Response,
    ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use crate::etcd::received::{Receive, Received};
use crate::etcd::stats::Method;

const TXN: Method = Method {
    name: "txn",
    path: "/etcdserverpb.KV/Txn",
};

const OTHER_RESPONSE: &str = "the response is that of another operation";

/// What becomes of the response to a get.
trait Ranged: Receive<Message = RangeResponse> + Leave + Default + Send {}

impl<A: Receive<Message = RangeResponse> + Leave + Default + Send> Ranged for A {}

impl Client {
    /// Stores a value under a key. Not under a lease that this client knows to be lost.
    pub async fn put(&self, request: PutRequest, options: &CallOptions) -> Result<PutResponse> {
        self.parts.keeper.check(request.lease)?;
        if self.writes_in_txns() {
            return Box::pin(self.put_in_txn(request, options)).await;
        }
        self.call_inside(Kind::Write, request, options).await
    }

    async fn put_in_txn(&self, request: PutRequest, options: &CallOptions) -> Result<PutResponse> {
        match self.in_txn(Op::RequestPut(request), options).await? {
            (header, Some(OpResponse::ResponsePut(response))) => Ok(PutResponse { header, ..response }),
            _ => Err(Error::new(Code::Protocol, OTHER_RESPONSE)),
        }
    }

    /// Deletes a key or a range of keys.
    pub fn delete(
        &self,
        request: DeleteRangeRequest,
        options: &CallOptions,
    ) -> impl Future<Output = Result<DeleteRangeResponse>> {
        if self.writes_in_txns() {
            return Either::Right(Box::pin(self.delete_in_txn(request, options)));
        }
        Either::Left(self.call_inside(Kind::Write, request, options))
    }

    async fn delete_in_txn(&self, request: DeleteRangeRequest, options: &CallOptions) -> Result<DeleteRangeResponse> {
        match self.in_txn(Op::RequestDeleteRange(request), options).await? {
            (header, Some(OpResponse::ResponseDeleteRange(response))) => Ok(DeleteRangeResponse { header, ..response }),
            _ => Err(Error::new(Code::Protocol, OTHER_RESPONSE)),
        }
    }

    /// Gives the key of what must be held for the writes of this handle another value, which no other write may.
    pub async fn proclaim(&self, value: Bytes, options: &CallOptions) -> Result<Option<ResponseHeader>> {
        let Some(guard) = &self.guard else {
            return Err(Error::new(Code::FailedPrecondition, "nothing is held"));
        };
        let request = guard.wrap_own(value)?;
        Ok(self.transact_guarded(guard, request, options).await?.header)
    }

    /// What a guard has wrapped.
    async fn transact_guarded(&self, guard: &Guard, request: TxnRequest, options: &CallOptions) -> Result<TxnResponse> {
        let options = options.at_most_once();
        let response = Box::pin(self.unguarded().transact(request, &options)).await?;
        guard.unwrap(response)
    }

    /// Must something be compared for each write of this handle?
    fn writes_in_txns(&self) -> bool {
        self.guard.is_some() || self.once.is_some()
    }

    /// One operation as a transaction.
    async fn in_txn(&self, op: Op, options: &CallOptions) -> Result<(Option<ResponseHeader>, Option<OpResponse>)> {
        let request = TxnRequest {
            success: vec![op.into()],
            ..TxnRequest::default()
        };
        let response = self.transact(request, options).await?;
        let first = response.responses.into_iter().next();
        Ok((response.header, first.and_then(|op| op.response)))
    }

    /// Reads a key or a range of keys.
    pub fn get(&self, request: RangeRequest, options: &CallOptions) -> impl Future<Output = Result<RangeResponse>> {
        self.get_as(request, options)
    }

    /// The same, and returns the response as it came.
    pub fn get_received(
        &self,
        request: RangeRequest,
        options: &CallOptions,
    ) -> impl Future<Output = Result<Received<RangeResponse>>> {
        self.get_as(request, options)
    }

    fn get_as<A: Ranged>(&self, request: RangeRequest, options: &CallOptions) -> impl Future<Output = Result<A>> {
        if options.min_revision > 0 {
            return Either::Right(Box::pin(self.get_from(request, options)));
        }
        Either::Left(self.range(request, options))
    }

    fn range<A: Ranged>(&self, request: RangeRequest, options: &CallOptions) -> impl Future<Output = Result<A>> {
        let kind = if request.serializable {
            Kind::SerializableRead
        } else {
            Kind::Read
        };
        self.call_inside(kind, request, options)
    }

    /// Reads from a store that has had `options.min_revision`. What one member has may be older: then the cluster's
    /// agreed state is read, which settles in one step what asking member after member might not.
    async fn get_from<A: Ranged>(&self, request: RangeRequest, options: &CallOptions) -> Result<A> {
        let mut response: A = self.range(request.clone(), options).await?;
        if request.serializable && response.head().revision < options.min_revision {
            let request = RangeRequest {
                serializable: false,
                ..request
            };
            response = self.range(request, options).await?;
        }
        reached(response.head().revision, options)?;
        Ok(response)
    }

    /// Compares, then runs one of two lists of operations, atomically. One that only reads is repeated like a read.
    pub async fn txn(&self, request: TxnRequest, options: &CallOptions) -> Result<TxnResponse> {
        if options.min_revision == 0 {
            return self.transact(request, options).await;
        } else if request.writes() || !request.reads() {
            // It may be sent twice, the second time as a linearizable one; without a read that makes no difference.
            let text = "a transaction with 'min_revision' must get something and change nothing";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let mut response = Box::pin(self.transact(request.clone(), options)).await?;
        if response.revision() < options.min_revision {
            // As of a single `get`.
            let request = linearizable(request);
            response = Box::pin(self.transact(request, options)).await?;
        }
        reached(response.revision(), options)?;
        Ok(response)
    }

    pub(crate) async fn transact(&self, mut request: TxnRequest, options: &CallOptions) -> Result<TxnResponse> {
        self.check_leases(&request)?;
        if let Some(guard) = &self.guard {
            let request = guard.wrap(request)?;
            return self.transact_guarded(guard, request, options).await;
        }
        if let Some(once) = self.once.as_deref().filter(|_| request.writes()) {
            return Box::pin(once.write(&self.deciding_nothing(), request, options)).await;
        }
        self.namespace.enter(&mut request);
        let kind = if request.writes() { Kind::Write } else { Kind::Read };
        let answered = self.servers().call::<TxnResponse>(kind, TXN, request, options).await?;
        if answered.earlier == Applied::Maybe && !holds(&answered.response) {
            // The comparisons may have failed for what that attempt has written.
            let text =
                "the comparisons do not hold, and an earlier attempt whose answer was lost may have been applied";
            let applied = Applied::Maybe;
            return Err(Error {
                applied,
                ..Error::new(Code::Aborted, text)
            });
        }
        let mut response = answered.response;
        self.namespace.leave(&mut response);
        Ok(response)
    }
}

impl Client {
    /// Refuses a txn that may put under a lease that this client knows to be lost.
    fn check_leases(&self, txn: &TxnRequest) -> Result<()> {
        txn.success
            .iter()
            .chain(&txn.failure)
            .try_for_each(|op| match &op.request {
                Some(Op::RequestPut(put)) => self.parts.keeper.check(put.lease),
                Some(Op::RequestTxn(txn)) => self.check_leases(txn),
                Some(Op::RequestRange(_) | Op::RequestDeleteRange(_)) | None => Ok(()),
            })
    }
}

/// Has the store had the revision that it must have had?
fn reached(revision: i64, options: &CallOptions) -> Result<()> {
    let wanted = options.min_revision;
    if revision >= wanted {
        return Ok(());
    }
    let text = format!("the store is at revision {revision}, before the {wanted} of 'min_revision'");
    Err(Error::new(Code::OutOfRange, text))
}

/// The same transaction on the cluster's agreed state.
fn linearizable(mut txn: TxnRequest) -> TxnRequest {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut op.request {
            Some(Op::RequestRange(range)) => range.serializable = false,
            Some(Op::RequestTxn(inner)) => *inner = linearizable(std::mem::take(inner)),
            _ => {}
        }
    }
    txn
}

/// Did the comparisons hold, those of the transactions in it too?
fn holds(response: &TxnResponse) -> bool {
    let inner = |op: &ResponseOp| match &op.response {
        Some(OpResponse::ResponseTxn(txn)) => holds(txn),
        _ => true,
    };
    response.succeeded && response.responses.iter().all(inner)
}

impl TxnRequest {
    /// May it change something, whatever its comparisons say?
    pub(crate) fn writes(&self) -> bool {
        let writes = |op: &RequestOp| match &op.request {
            Some(Op::RequestRange(_)) | None => false,
            Some(Op::RequestTxn(txn)) => txn.writes(),
            Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) => true,
        };
        self.success.iter().chain(&self.failure).any(writes)
    }

    /// Is there a range that it may get?
    pub(crate) fn reads(&self) -> bool {
        let reads = |op: &RequestOp| match &op.request {
            Some(Op::RequestRange(_)) => true,
            Some(Op::RequestTxn(txn)) => txn.reads(),
            Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) | None => false,
        };
        self.success.iter().chain(&self.failure).any(reads)
    }
}
