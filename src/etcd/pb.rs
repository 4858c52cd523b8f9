//! The etcd schema as Rust types and gRPC clients, generated from `proto/` by `codegen/`.
//!
//! Keys and values are `Bytes`: a slice of the frame they arrived in, not a copy of it.

#![allow(missing_docs, unused_qualifications, clippy::all)]

/// The KV, Watch, Lease, Cluster, Maintenance and Auth services.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// The key-value pair and the event.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Permissions and user options.
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// The Lock service.
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// The Election service.
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

pub use etcdserverpb::*;
pub use mvccpb::{Event, KeyValue};

/// The largest response that is accepted. etcd's have no bound of their own.
const LARGEST: usize = 1 << 30;

/// The same for responses that hold a few numbers or a token.
const SMALL: usize = 64 << 10;

/// What a server responds: a message that begins with a header.
pub trait Response: prost::Message + Default {
    /// The largest message of this type that is accepted, in bytes.
    const LIMIT: usize;

    /// What it may hold many of.
    const SHAPE: Option<&'static Shape>;

    /// Who responded, and what the store was like.
    fn header(&self) -> Option<&ResponseHeader>;

    /// The id of the cluster that responded; 0 where it does not say.
    fn cluster_id(&self) -> u64 {
        self.header().map_or(0, |header| header.cluster_id)
    }

    /// The revision that the store had; 0 where it does not say.
    fn revision(&self) -> i64 {
        self.header().map_or(0, |header| header.revision)
    }
}

/// What a client sends.
pub trait Request: prost::Message + Default {
    /// Does it hold a secret? Then it is wiped when it is dropped, and so is what was sent of it.
    const IS_SECRET: bool;
}

include!(concat!(env!("OUT_DIR"), "/requests.rs"));
include!(concat!(env!("OUT_DIR"), "/responses.rs"));
include!(concat!(env!("OUT_DIR"), "/since.rs"));

/// A piece of a range, of which the last has a header.
impl Response for RangeStreamResponse {
    const LIMIT: usize = RangeResponse::LIMIT;
    const SHAPE: Option<&'static Shape> = Some(&Shape(&[(1, 0, RangeResponse::SHAPE)]));

    fn header(&self) -> Option<&ResponseHeader> {
        self.range_response.as_ref()?.header()
    }
}

/// The fields of a message that may stand there many times: number, bytes in memory, and what is in them.
pub struct Shape(&'static [(u64, usize, Option<&'static Shape>)]);

/// Smaller messages are not looked at.
const LOOKED_AT: usize = 64 << 10;

/// A message may take so many times its size in memory. The smallest event that etcd sends takes twenty times its own.
const GROWTH: usize = 32;

/// prost reads no message that is nested deeper.
const DEPTH: usize = 100;

/// Would the message take far more memory than any that etcd sends? An empty entry is two bytes in a message and a
/// hundred in memory.
pub(crate) fn is_inflated<R: Response>(message: &[u8]) -> bool {
    R::SHAPE.is_some_and(|shape| {
        message.len() > LOOKED_AT && memory(message, shape, DEPTH) > message.len().saturating_mul(GROWTH)
    })
}

/// The bytes that the entries of a message will take.
fn memory(mut message: &[u8], shape: &Shape, depth: usize) -> usize {
    use prost::encoding::{WireType, decode_key, decode_varint};
    let mut total = 0_usize;
    while let Ok((field, kind)) = decode_key(&mut message) {
        let length = match kind {
            WireType::Varint => decode_varint(&mut message).map(|_| 0),
            WireType::SixtyFourBit => Ok(8),
            WireType::ThirtyTwoBit => Ok(4),
            WireType::LengthDelimited => decode_varint(&mut message),
            // Not in this schema; decoding it will say so.
            WireType::StartGroup | WireType::EndGroup => return total,
        };
        let Some((entry, rest)) = length.ok().and_then(|length| message.split_at_checked(length as usize)) else {
            return total;
        };
        message = rest;
        if kind == WireType::LengthDelimited
            && let Some((_, size, inner)) = shape.0.iter().find(|(number, ..)| *number == u64::from(field))
        {
            let inner = inner
                .filter(|_| depth > 0)
                .map_or(0, |inner| memory(entry, inner, depth - 1));
            total = total.saturating_add(size + inner);
        }
    }
    total
}
