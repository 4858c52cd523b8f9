//! How etcd writes a range of keys: a first key, and the first key behind the range.

use bytes::Bytes;

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
}
