//! Keys that all lie under a prefix, which requests get in front and responses lose.
//!
//! In: messages whose keys count from the prefix on. Out: the same with whole keys, and back. A namespace holds the keys
//! that are longer than its prefix: the empty key is none in etcd, and goes to the server as it is, which refuses it. Taking a
//! prefix off is a slice.

use std::mem::take;

use bytes::Bytes;

use super::pb::request_op::Request as Op;
use super::pb::response_op::Response as OpResponse;
use super::pb::{
    DeleteRangeRequest, DeleteRangeResponse, KeyValue, LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, TxnRequest, TxnResponse, WatchCreateRequest, WatchResponse,
};
use super::range;

/// A prefix of keys; the empty one is the whole store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Namespace(Bytes);

impl Namespace {
    pub(crate) fn new(prefix: Bytes) -> Self {
        Self(prefix)
    }

    /// The one in it that lies under another prefix.
    pub(crate) fn inner(&self, prefix: &[u8]) -> Self {
        Self([&self.0, prefix].concat().into())
    }

    /// Is it the whole store, where nothing is to be done?
    pub(crate) fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the prefix in front of the keys of a request.
    pub(crate) fn enter<M: Enter>(&self, request: &mut M) {
        if !self.is_whole() {
            request.enter(self);
        }
    }

    /// Takes the prefix off the keys of a response.
    pub(crate) fn leave<M: Leave>(&self, response: &mut M) {
        if !self.is_whole() {
            response.leave(self);
        }
    }

    /// The opposite of [`leave`](Self::leave), for a response that nobody has taken.
    pub(crate) fn restore(&self, response: &mut WatchResponse) {
        if !self.is_whole() {
            each(response, |kv| kv.key = self.whole(&kv.key));
        }
    }

    fn whole(&self, key: &[u8]) -> Bytes {
        [&self.0, key].concat().into()
    }

    fn key(&self, key: &mut Bytes) {
        if !key.is_empty() {
            *key = self.whole(key);
        }
    }

    fn range(&self, key: &mut Bytes, end: &mut Bytes) {
        self.key(key);
        *end = match &**end {
            b"" => Bytes::new(),
            // All that follow: up to the first key behind the namespace.
            b"\0" => range::prefix(self.0.clone()).1,
            end => self.whole(end),
        };
    }

    fn strip(&self, kv: &mut KeyValue) {
        kv.key = self.inside(&kv.key).unwrap_or_default();
    }

    fn inside(&self, key: &Bytes) -> Option<Bytes> {
        (key.len() > self.0.len() && key.starts_with(&self.0)).then(|| key.slice(self.0.len()..))
    }
}

/// A request with keys.
pub(crate) trait Enter {
    fn enter(&mut self, namespace: &Namespace);
}

impl Enter for PutRequest {
    fn enter(&mut self, namespace: &Namespace) {
        namespace.key(&mut self.key);
    }
}

macro_rules! ranges {
    ($($request:ty)*) => {$(
        impl Enter for $request {
            fn enter(&mut self, namespace: &Namespace) {
                namespace.range(&mut self.key, &mut self.range_end);
            }
        }
    )*};
}

ranges! { RangeRequest DeleteRangeRequest WatchCreateRequest }

impl Enter for TxnRequest {
    fn enter(&mut self, namespace: &Namespace) {
        for compare in &mut self.compare {
            namespace.range(&mut compare.key, &mut compare.range_end);
        }
        for op in self.success.iter_mut().chain(&mut self.failure) {
            match &mut op.request {
                Some(Op::RequestPut(put)) => put.enter(namespace),
                Some(Op::RequestRange(range)) => range.enter(namespace),
                Some(Op::RequestDeleteRange(delete)) => delete.enter(namespace),
                Some(Op::RequestTxn(txn)) => txn.enter(namespace),
                None => {}
            }
        }
    }
}

/// A response with keys.
pub(crate) trait Leave {
    fn leave(&mut self, namespace: &Namespace);
}

impl Leave for PutResponse {
    fn leave(&mut self, namespace: &Namespace) {
        self.prev_kv.iter_mut().for_each(|kv| namespace.strip(kv));
    }
}

impl Leave for RangeResponse {
    fn leave(&mut self, namespace: &Namespace) {
        self.kvs.iter_mut().for_each(|kv| namespace.strip(kv));
    }
}

impl Leave for DeleteRangeResponse {
    fn leave(&mut self, namespace: &Namespace) {
        self.prev_kvs.iter_mut().for_each(|kv| namespace.strip(kv));
    }
}

impl Leave for TxnResponse {
    fn leave(&mut self, namespace: &Namespace) {
        for op in &mut self.responses {
            match &mut op.response {
                Some(OpResponse::ResponsePut(put)) => put.leave(namespace),
                Some(OpResponse::ResponseRange(range)) => range.leave(namespace),
                Some(OpResponse::ResponseDeleteRange(delete)) => delete.leave(namespace),
                Some(OpResponse::ResponseTxn(txn)) => txn.leave(namespace),
                None => {}
            }
        }
    }
}

impl Leave for WatchResponse {
    fn leave(&mut self, namespace: &Namespace) {
        each(self, |kv| namespace.strip(kv));
    }
}

/// Keys of a lease that lie elsewhere are left out.
impl Leave for LeaseTimeToLiveResponse {
    fn leave(&mut self, namespace: &Namespace) {
        let keys = take(&mut self.keys);
        self.keys = keys.iter().filter_map(|key| namespace.inside(key)).collect();
    }
}

fn each(response: &mut WatchResponse, change: impl Fn(&mut KeyValue)) {
    let kvs = response.events.iter_mut();
    kvs.flat_map(|event| event.kv.iter_mut().chain(event.prev_kv.iter_mut()))
        .for_each(change);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(namespace: &'static [u8], key: &'static [u8], end: &'static [u8]) -> (Vec<u8>, Vec<u8>) {
        let mut request = RangeRequest {
            key: Bytes::from_static(key),
            range_end: Bytes::from_static(end),
            ..RangeRequest::default()
        };
        let namespace = Namespace::new(Bytes::from_static(namespace));
        namespace.enter(&mut request);
        (request.key.to_vec(), request.range_end.to_vec())
    }

    #[test]
    fn a_range_ends_within_the_namespace() {
        let whole = |key: &[u8], end: &[u8]| (key.to_vec(), end.to_vec());
        assert_eq!(entered(b"a/", b"k", b""), whole(b"a/k", b""));
        assert_eq!(entered(b"a/", b"k", b"m"), whole(b"a/k", b"a/m"));
        assert_eq!(entered(b"a/", b"k", b"\0"), whole(b"a/k", b"a0"));
        assert_eq!(entered(b"a/", b"\0", b"\0"), whole(b"a/\0", b"a0"));
        assert_eq!(entered(b"a\xff", b"k", b"\0"), whole(b"a\xffk", b"b"));
        assert_eq!(entered(b"\xff\xff", b"k", b"\0"), whole(b"\xff\xffk", b"\0"));
        assert_eq!(entered(b"a/", b"", b"m"), whole(b"", b"a/m"));
        assert_eq!(entered(b"", b"", b"m"), whole(b"", b"m"));
    }

    #[test]
    fn a_key_elsewhere_is_none_of_it() {
        let namespace = Namespace::new(Bytes::from_static(b"a/"));
        let inside = |key: &'static [u8]| namespace.inside(&Bytes::from_static(key));
        assert_eq!(inside(b"a/k").as_deref(), Some(&b"k"[..]));
        for key in [&b"a/"[..], b"a", b"b/k", b""] {
            assert_eq!(inside(key), None);
        }
    }
}
