//! What transactions are put together from: comparisons, operations, and what one of them has found.

use bytes::Bytes;

use super::pb::compare::{CompareTarget, TargetUnion};
use super::pb::request_op::Request as Op;
use super::pb::response_op::Response as OpResponse;
use super::pb::{Compare, KeyValue, RequestOp, TxnResponse};

/// That something of a key is equal to this. A key that is not there has zero in its place.
pub(crate) fn equal(key: Bytes, what: TargetUnion) -> Compare {
    let target = match what {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        target: target.into(),
        key,
        target_union: Some(what),
        ..Compare::default()
    }
}

impl From<Op> for RequestOp {
    fn from(op: Op) -> Self {
        Self { request: Some(op) }
    }
}

impl TxnResponse {
    /// The first key that was found.
    pub(crate) fn found(self) -> Option<KeyValue> {
        self.responses.into_iter().find_map(|op| match op.response {
            Some(OpResponse::ResponseRange(range)) => range.kvs.into_iter().next(),
            _ => None,
        })
    }
}
