//! What stands between the clients and the members, when it is not the network: proxies of several kinds.
//!
//! [`tcp`] passes bytes as a network passes them at its worst, [`line`] as a slow one. [`http2`] speaks HTTP/2 by the
//! rules of [`goaway`] or [`streams`]. [`balancer`] gives each connection to another member. [`grpc`] is etcd's own.

pub mod balancer;
pub mod frames;
pub mod goaway;
pub mod grpc;
pub mod http2;
pub mod line;
pub mod streams;
pub mod tcp;

pub use balancer::Balancer;
pub use grpc::GrpcProxy;
pub use http2::{Http2Proxy, Rules};
pub use tcp::{Proxy, Weather};
