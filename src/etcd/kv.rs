//! The KV service: put, get, delete, txn, compact.
//!
//! Each call takes the request as it goes over the wire and answers with the response as it came.

use super::call::Kind;
use super::client::Client;
use super::config::CallOptions;
use super::connection::{Connection, MAX_MESSAGE};
use super::error::Result;
use super::pb::kv_client::KvClient;
use super::pb::request_op::Request as Op;
use super::pb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};

impl Client {
    /// Stores a value under a key. Not under a lease that this client knows to be lost.
    pub async fn put(&self, request: PutRequest, options: &CallOptions) -> Result<PutResponse> {
        self.parts.keeper.check(request.lease)?;
        let rpc = |c, r| async move { service(c).put(r).await };
        self.call(Kind::Write, options, request, rpc).await
    }

    /// Reads a key or a range of keys.
    pub async fn get(&self, request: RangeRequest, options: &CallOptions) -> Result<RangeResponse> {
        let kind = if request.serializable {
            Kind::SerializableRead
        } else {
            Kind::Read
        };
        let rpc = |c, r| async move { service(c).range(r).await };
        self.call(kind, options, request, rpc).await
    }

    /// Deletes a key or a range of keys.
    pub async fn delete(&self, request: DeleteRangeRequest, options: &CallOptions) -> Result<DeleteRangeResponse> {
        let rpc = |c, r| async move { service(c).delete_range(r).await };
        self.call(Kind::Write, options, request, rpc).await
    }

    /// Compares, then runs one of two lists of operations, atomically. One that only reads is repeated like a read.
    pub async fn txn(&self, request: TxnRequest, options: &CallOptions) -> Result<TxnResponse> {
        self.check_leases(&request)?;
        let kind = if reads_only(&request) { Kind::Read } else { Kind::Write };
        let rpc = |c, r| async move { service(c).txn(r).await };
        self.call(kind, options, request, rpc).await
    }

    /// Forgets the history before a revision.
    pub async fn compact(&self, request: CompactionRequest, options: &CallOptions) -> Result<CompactionResponse> {
        let rpc = |c, r| async move { service(c).compact(r).await };
        self.call(Kind::Write, options, request, rpc).await
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

fn service(connection: Connection) -> KvClient<Connection> {
    KvClient::new(connection).max_decoding_message_size(MAX_MESSAGE)
}

fn reads_only(txn: &TxnRequest) -> bool {
    let reads = |op: &RequestOp| match &op.request {
        Some(Op::RequestRange(_)) | None => true,
        Some(Op::RequestTxn(txn)) => reads_only(txn),
        Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) => false,
    };
    txn.success.iter().chain(&txn.failure).all(reads)
}
