//! The etcd client: endpoints, calls, retry, leases, watches. A complete client for Rust that knows nothing of Lua.
//!
//! From the top: the `client` is what a user holds, its methods are the services of etcd in `rpc`. A call makes its
//! attempts in `call`; what watches and leases need beside calls, their streams, is in `watches` and `leases`, kept
//! alive by `stream`, and the servers looked after by `upkeep`: where they are (`resolver`), which is asked first
//! (`balancer`). All of them use the `servers`: which of the `endpoints` is asked, the `login` for its token, and the
//! connections of `transport`, with gRPC on them. What went wrong is a `cause`, comes back as a `failure`, and is told
//! as an `error`. Imports go down this list only.

#![forbid(unsafe_code)]

mod background;
mod backoff;
mod balancer;
mod cache;
mod call;
mod cause;
mod client;
mod clock;
mod config;
mod contender;
mod election;
mod endpoint;
mod endpoints;
mod error;
mod failure;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod guard;
mod health;
mod holding;
mod journal;
mod leases;
mod login;
mod metrics;
mod namespace;
mod once;
mod origins;
mod part;
mod queue;
pub(crate) mod random;
mod readable;
mod received;
mod registration;
mod resolver;
mod rpc;
mod servers;
mod session;
mod stats;
mod stm;
mod stream;
mod transport;
mod txn;
mod upkeep;
mod version;
mod watches;

pub mod pb;
pub mod range;
pub mod wire;

pub use cache::{Cache, CacheRequest, CacheState, CacheStatus, Changed, Changes, Peek, Query};
pub use client::{Client, ServerStatus};
pub use config::{Balance, CallOptions, Config, MAX_REQUEST};
pub use contender::{ContendRequest, Contender, Mode, Resume, Under};
pub use election::{Led, Observer};
pub use endpoint::Server;
pub use error::{Applied, Attempts, Code, Done, Error, Holder, Result};
pub use health::{EndpointHealth, Health};
pub use holding::{Loss, Losses};
pub use journal::{Level, Record, Records};
pub use leases::Renewals;
pub use login::Credentials;
pub use metrics::{Family, METRICS, Number, Sample, lua_samples, text};
pub use origins::Source;
pub use range::KeyRange;
pub use readable::Readable;
#[cfg(all(feature = "lua", debug_assertions))]
pub(crate) use received::Receive;
pub use received::Received;
pub use registration::{RegisterRequest, Registration, RegistrationStatus, Statuses};
#[cfg(feature = "lua")]
pub(crate) use rpc::rpcs;
pub use rpc::{
    Auth, Change, Cluster, Comparison, Complete, Defragmented, Increment, Incremented, Maintenance, MemberHash, Piece,
    RPCS, Rpc, Scan, ScanRequest, Snapshot, SnapshotTo, Swap, Swapped, Unary,
};
pub use session::{Session, SessionLease, SessionRequest};
pub use stats::Spread;
pub use stm::{Committed, Isolation, Transaction};
pub use transport::address::Address;
pub use transport::tls::{Pem, TlsConfig, Unusable};
pub use version::Version;
pub use watches::{Batch, Batches, State, Status, Watcher};
