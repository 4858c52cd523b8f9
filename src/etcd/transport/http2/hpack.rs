//! The compression of heads, RFC 7541: of requests by an [`Encoder`], of responses by a [`Decoder`].
//!
//! Both halves of a connection have a table of fields that were said before, and refer to them by number.

mod decoder;
mod encoder;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::etcd) mod fuzz;
mod huffman;

pub(crate) use decoder::Fields;
pub(super) use decoder::{Decoder, LIST};
pub(super) use encoder::Encoder;
pub(crate) use encoder::{Constant, Metadata};

/// The bytes that a table may have where nothing else is said.
const TABLE: usize = 4096;

/// What a field in a table costs beside its name and its value.
const OVERHEAD: usize = 32;

/// The kinds of representations, by the first bits of their first byte, and how many bits are left for the number.
const INDEXED: (u8, u32) = (0x80, 7);
const INSERTED: (u8, u32) = (0x40, 6);
const RESIZED: (u8, u32) = (0x20, 5);
const NEVER: (u8, u32) = (0x10, 4);
const PLAIN: (u8, u32) = (0x00, 4);

/// A string that is packed by Huffman's code, and the bits of its length.
const PACKED: u8 = 0x80;
const LENGTH: u32 = 7;

/// The fields that both sides know from the start. The first has the number 1.
const KNOWN: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests;
