//! A `get` that is answered here: from a replica, as a server of its revision would.
//!
//! In: a request and a store. Out: the response.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::store::Store;
use crate::etcd::pb::range_request::{SortOrder, SortTarget};
use crate::etcd::pb::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};
use crate::etcd::range::KeyRange;

/// What is asked for. The revision of the request is not looked at, nor whether it is serializable.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    request: RangeRequest,
    pub(super) range: KeyRange,
}

impl Query {
    /// The query of a request.
    pub fn new(request: RangeRequest) -> Self {
        let range = KeyRange::of(&request);
        Self { request, range }
    }

    /// The request for a server.
    pub(super) fn request(&self) -> RangeRequest {
        RangeRequest {
            serializable: false,
            ..self.request.clone()
        }
    }

    /// What a server with this store would respond.
    pub(crate) fn answer(&self, store: &Store, header: ResponseHeader) -> RangeResponse {
        let request = &self.request;
        let mut response = RangeResponse {
            header: Some(ResponseHeader {
                revision: store.revision(),
                ..header
            }),
            count: store.iter(&self.range).count() as i64,
            ..RangeResponse::default()
        };
        if request.count_only {
            return response;
        }
        let limit = match usize::try_from(request.limit) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        };
        let mut found = store.iter(&self.range).filter(|kv| self.passes(kv));
        let kvs: Vec<&Arc<KeyValue>> = match self.order() {
            None => found.by_ref().take(limit).collect(),
            Some(order) => {
                let mut kvs: Vec<_> = found.by_ref().collect();
                kvs.sort_by(|a, b| order(a, b));
                response.more = kvs.len() > limit;
                kvs.truncate(limit);
                kvs
            }
        };
        response.more |= found.next().is_some();
        response.kvs = kvs.into_iter().map(|kv| self.shown(kv)).collect();
        response
    }

    /// Was it made and changed when it should have been?
    fn passes(&self, kv: &KeyValue) -> bool {
        let request = &self.request;
        let within = |revision: i64, min: i64, max: i64| revision >= min && (max == 0 || revision <= max);
        within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
            && within(
                kv.create_revision,
                request.min_create_revision,
                request.max_create_revision,
            )
    }

    /// How to sort, where that is not by key, ascending.
    fn order(&self) -> Option<impl Fn(&Arc<KeyValue>, &Arc<KeyValue>) -> Ordering + use<>> {
        let (target, order) = (self.request.sort_target(), self.request.sort_order());
        let descends = order == SortOrder::Descend;
        (target != SortTarget::Key || descends).then_some(move |a: &Arc<KeyValue>, b: &Arc<KeyValue>| {
            let ascending = match target {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create_revision.cmp(&b.create_revision),
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            if descends { ascending.reverse() } else { ascending }
        })
    }

    fn shown(&self, kv: &KeyValue) -> KeyValue {
        let value = if self.request.keys_only {
            Bytes::new()
        } else {
            kv.value.clone()
        };
        KeyValue { value, ..kv.clone() }
    }
}
