//! How etcd writes a range of keys: a first key, and the first key behind the range.

use std::ops::Bound;

use bytes::Bytes;

use super::pb::request_op::Request as Op;
use super::pb::{DeleteRangeRequest, RangeRequest, TxnRequest};

/// The end of a range that has none, and the key before all others.
const ZERO: Bytes = Bytes::from_static(b"\0");

/// All keys that start with `prefix`, as first key and end. The empty prefix is the whole store.
pub fn prefix(prefix: Bytes) -> (Bytes, Bytes) {
    if prefix.is_empty() {
        return (ZERO, ZERO);
    }
    // The first key behind the prefix has its last byte that can be raised raised. 0xff cannot.
    match prefix.iter().rposition(|byte| *byte < 0xff) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            (prefix, end.into())
        }
        None => (prefix, ZERO),
    }
}

/// All keys from `key` on, as first key and end.
pub fn from_key(key: Bytes) -> (Bytes, Bytes) {
    (if key.is_empty() { ZERO } else { key }, ZERO)
}

/// A range of keys as etcd writes it: an empty end is one key, `"\0"` is everything from the first key on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key.
    pub key: Bytes,
    /// The first key behind the range; empty for one key.
    pub end: Bytes,
}

impl KeyRange {
    /// That of a request.
    pub(crate) fn of(request: &RangeRequest) -> Self {
        Self {
            key: request.key.clone(),
            end: request.range_end.clone(),
        }
    }

    /// That of a deletion.
    pub(crate) fn of_delete(request: &DeleteRangeRequest) -> Self {
        Self {
            key: request.key.clone(),
            end: request.range_end.clone(),
        }
    }

    /// One key.
    pub(crate) fn of_key(key: Bytes) -> Self {
        Self { key, end: Bytes::new() }
    }

    /// Does the request write something in it, whatever its comparisons say? Of a range that it deletes one key is enough;
    /// this is for ranges of one key.
    pub(crate) fn is_written_by(&self, request: &TxnRequest) -> bool {
        let mut ops = request.success.iter().chain(&request.failure);
        ops.any(|op| match &op.request {
            Some(Op::RequestPut(put)) => put.key == self.key,
            Some(Op::RequestDeleteRange(delete)) => Self::of_delete(delete).holds(&self.key),
            Some(Op::RequestTxn(txn)) => self.is_written_by(txn),
            Some(Op::RequestRange(_)) | None => false,
        })
    }

    /// The request for all that is in it.
    pub(crate) fn request(self) -> RangeRequest {
        RangeRequest {
            key: self.key,
            range_end: self.end,
            ..RangeRequest::default()
        }
    }

    /// Is the key in it?
    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        match &*self.end {
            b"" => *key == *self.key,
            b"\0" => *key >= *self.key,
            end => *key >= *self.key && key < end,
        }
    }

    /// Is the whole of the other range in it?
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let reaches = match (&*self.end, &*other.end) {
            (b"\0", _) => true,
            (_, b"\0") => false,
            (_, b"") => return self.holds(&other.key),
            (b"", _) => false,
            (end, inner) => inner <= end,
        };
        reaches && other.key >= self.key
    }

    /// The same for a tree of keys.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let first = Bound::Included(&*self.key);
        match &*self.end {
            b"" => (first, Bound::Included(&*self.key)),
            b"\0" => (first, Bound::Unbounded),
            // A range that ends before it begins is empty.
            end if *end <= *self.key => (first, Bound::Excluded(&*self.key)),
            end => (first, Bound::Excluded(end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(key: &'static [u8]) -> Vec<u8> {
        prefix(Bytes::from_static(key)).1.to_vec()
    }

    #[test]
    fn a_prefix_ends_before_the_next_key_of_its_length() {
        assert_eq!(end(b"a"), b"b");
        assert_eq!(end(b"config/"), b"config0");
        assert_eq!(end(b"a\xff"), b"b");
        assert_eq!(end(b"a\xff\xff"), b"b");
        assert_eq!(end(b"\xfe\xff"), b"\xff");
        assert_eq!(end(b"\0"), b"\x01");
    }

    #[test]
    fn a_prefix_of_0xff_has_no_end() {
        assert_eq!(end(b"\xff"), b"\0");
        assert_eq!(end(b"\xff\xff"), b"\0");
    }

    #[test]
    fn the_empty_key_stands_for_the_whole_store() {
        assert_eq!(prefix(Bytes::new()), (ZERO, ZERO));
        assert_eq!(from_key(Bytes::new()), (ZERO, ZERO));
        assert_eq!(from_key(Bytes::from_static(b"k")), (Bytes::from_static(b"k"), ZERO));
    }

    fn range(key: &'static str, end: &'static str) -> KeyRange {
        KeyRange {
            key: key.into(),
            end: end.into(),
        }
    }

    #[test]
    fn a_range_is_what_etcd_takes_it_for() {
        for (one, inside, outside) in [
            (range("a", ""), "a", "aa"),
            (range("a", "b"), "a\u{7f}", "b"),
            (range("a", "\0"), "zzz", "A"),
            (range("\0", "\0"), "a", ""),
        ] {
            assert!(
                one.holds(inside.as_bytes()) && !one.holds(outside.as_bytes()),
                "{one:?}"
            );
        }
        let all = range("\0", "\0");
        for (outer, inner, covers) in [
            (range("a", "b"), range("a", "b"), true),
            (range("a", "b"), range("aa", ""), true),
            (range("a", "b"), range("b", ""), false),
            (range("a", "b"), range("a", "c"), false),
            (range("a", "b"), range("a", "\0"), false),
            (range("a", "\0"), range("b", "\0"), true),
            (range("a", ""), range("a", ""), true),
            (range("a", ""), range("a", "a\0"), false),
            (all.clone(), range("x", "\0"), true),
            (all, range("x", ""), true),
        ] {
            assert_eq!(outer.covers(&inner), covers, "{outer:?} {inner:?}");
        }
    }
}
