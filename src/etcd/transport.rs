//! Connections to servers, and gRPC on them. Nothing here knows of retries, tokens or services.
//!
//! `dial` finds the address of an `address` that responds, `tls` secures it, and `http2` speaks on it. A `connection`
//! has a `gate` for the streams that the server allows at once, and a `liveness` that finds out whether the other end is
//! still there. `grpc` is the framing of calls and streams alike.

pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod deadline;
mod dial;
pub(super) mod dns;
pub(crate) mod error;
pub(crate) mod gate;
pub(crate) mod grpc;
pub(crate) mod http2;
pub(crate) mod liveness;
mod permit;
mod state;
pub(crate) mod tls;
