//! The etcd client: endpoints, calls, retry, leases, watches. A complete client for Rust that knows nothing of Lua.
//!
//! A call goes through these files in this order: its service (`kv`, `lease`, `watch`), `call` for the attempts,
//! `endpoint` for the server (over `dial`, `tls` and `frames`), `auth` for the token, `grpc` for the messages, on a
//! `connection` with a `gate` for its streams and a `liveness`. What went wrong is a `cause`, comes back as a `failure`,
//! and is told as an `error`. The streams of leases and watches are kept alive by `stream`, and what they bring is
//! `readable`. `client` holds the parts together; what they all need is its `cluster`.

#![forbid(unsafe_code)]

mod address;
mod auth;
mod backoff;
mod call;
mod cause;
mod client;
mod clock;
mod cluster;
mod config;
mod connection;
mod dial;
mod endpoint;
mod error;
mod failure;
mod frames;
mod gate;
mod grpc;
mod kv;
mod lease;
mod liveness;
mod random;
mod readable;
mod stream;
mod tls;
mod watch;

pub mod pb;
pub mod range;

pub use address::Address;
pub use auth::Credentials;
pub use client::Client;
pub use config::{CallOptions, Config};
pub use error::{Applied, Attempts, Code, Error, Result};
pub use lease::Renewals;
pub use readable::Readable;
pub use tls::{Pem, TlsConfig, Unusable};
#[cfg(any(test, feature = "fuzzing"))]
pub use watch::fuzz;
pub use watch::{State, Status, Watcher};
