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

use super::wire::{Described, Descriptor, Field, Kind};

pub use etcdserverpb::*;
pub use mvccpb::{Event, KeyValue};

/// The largest response that is accepted. etcd's have no bound of their own.
const LARGEST: usize = 1 << 30;

/// The same for responses that hold a few numbers or a token.
const SMALL: usize = 64 << 10;

/// What a server responds: a message that begins with a header.
pub trait Response: prost::Message + Default + Described {
    /// The largest message of this type that is accepted, in bytes.
    const LIMIT: usize;

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

    fn header(&self) -> Option<&ResponseHeader> {
        self.range_response.as_ref()?.header()
    }
}
