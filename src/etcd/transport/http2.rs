//! HTTP/2 as a client of gRPC needs it, RFC 9113: requests with their bodies out, responses with their trailers in,
//! many at once on one connection.
//!
//! A `session` is a machine without socket, clock or task: bytes in, bytes out. A `line` moves them between it and a
//! socket, in batches. A `stream` is one exchange as its user sees it. Below are the `frame`, the compression of heads
//! (`hpack`), the `window`s in which data flows, the `output`, and when `answers` go into that. What a peer does not need
//! here, push and priorities, is refused or ignored.

mod answers;
mod frame;
mod hpack;
mod line;
mod output;
mod session;
mod stream;
mod window;

#[cfg(any(test, feature = "fuzzing"))]
pub(super) use frame::frame;
pub(crate) use hpack::Metadata;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::etcd) use hpack::fuzz as heads;
pub(super) use hpack::{Constant, Fields};
pub(super) use line::{Line, Shared};
pub(crate) use output::Body;
pub(super) use session::Broken;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::etcd) use session::fuzz;
pub(super) use stream::Stream;

#[cfg(test)]
mod tests;
