//! The messages of the calls.

use silly_etcd::etcd::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use silly_etcd::etcd::pb::request_op::Request;
use silly_etcd::etcd::pb::response_op::Response;
use silly_etcd::etcd::pb::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest,
};

use super::PREFIX;
use crate::history::{Action, Content};

pub fn txn(keys: &[&str], action: &Action) -> TxnRequest {
    let each = |request: &dyn Fn(&str) -> Request| {
        let op = |key: &&str| RequestOp {
            request: Some(request(key)),
        };
        keys.iter().map(op).collect::<Vec<_>>()
    };
    let read = || each(&|key| Request::RequestRange(range(key)));
    let write = |value: &str| each(&|key| Request::RequestPut(put(key, value)));
    match action {
        Action::Get | Action::SerializableGet => TxnRequest {
            success: read(),
            ..TxnRequest::default()
        },
        Action::Put(value) => TxnRequest {
            success: write(value),
            ..TxnRequest::default()
        },
        Action::Delete => TxnRequest {
            success: each(&|key| Request::RequestDeleteRange(delete(key))),
            ..TxnRequest::default()
        },
        Action::Swap { expected, value } => TxnRequest {
            compare: keys.iter().map(|key| unchanged(key, *expected)).collect(),
            success: write(value),
            failure: read(),
        },
    }
}

pub fn unchanged(key: &str, since: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.to_owned().into(),
        target_union: Some(TargetUnion::ModRevision(since)),
        ..Compare::default()
    }
}

pub fn range(key: &str) -> RangeRequest {
    RangeRequest {
        key: key.to_owned().into(),
        ..RangeRequest::default()
    }
}

/// What one member has.
pub fn everything() -> RangeRequest {
    let (key, range_end) = silly_etcd::etcd::range::prefix(PREFIX.into());
    RangeRequest {
        key,
        range_end,
        serializable: true,
        ..RangeRequest::default()
    }
}

pub fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        prev_kv: true,
        ..PutRequest::default()
    }
}

pub fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key.to_owned().into(),
        prev_kv: true,
        ..DeleteRangeRequest::default()
    }
}

pub fn first(kvs: Vec<KeyValue>) -> Option<Content> {
    kvs.into_iter().next().map(Content::from)
}

pub fn found(answer: ResponseOp) -> Option<Content> {
    match answer.response? {
        Response::ResponseRange(range) => first(range.kvs),
        Response::ResponsePut(put) => put.prev_kv.map(Content::from),
        Response::ResponseDeleteRange(delete) => first(delete.prev_kvs),
        Response::ResponseTxn(_) => None,
    }
}
