//! TLS against servers that a test writes: what passes and what is final, and which protocol is spoken above it. Who is
//! trusted, and the words for each mistake with certificates, are proved on a real etcd in `spec/tls_spec.lua`.
//!
//! Time is the wall's here: while the machine is busy with keys, a clock that the test moves would run ahead of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod alpn;
mod handshake;
mod rotation;
mod server;
mod srv;
