//! What the servers hold before a case begins. The contenders know the same keys.

/// A key with a value of `SMALL` bytes.
pub const ONE: &str = "bench/one";
/// The prefix of `MANY_KEYS` keys with values of `SMALL` bytes.
pub const MANY: &str = "bench/many/";
/// A key with a value of `LARGE_SIZE` bytes.
pub const LARGE: &str = "bench/large";
/// The prefix of the keys whose history is replayed.
pub const REPLAY: &str = "bench/replay/";

/// The prefix of the keys that are watched, where the canned server makes the events.
pub const WATCHED: &str = "bench/watched/";
/// Answered after as many events as the request's limit says, to the watches of those keys in turn, by the canned
/// server.
pub const EVENTS: &str = "bench/events";

/// Answered never, by the canned server.
pub const PARKED: &str = "bench/parked";
/// Answered once as many calls are parked as the request's limit says, by the canned server.
pub const ALL_PARKED: &str = "bench/all-parked";
/// Answered with the number of renewals since it was asked last, and with the most of them in one slot, by the canned
/// server.
pub const RENEWALS: &str = "bench/renewals";

pub const SMALL: usize = 64;
pub const MANY_KEYS: usize = 1000;
pub const LARGE_SIZE: usize = 1 << 20;

/// A value of `size` bytes.
pub fn value(size: usize) -> String {
    "x".repeat(size)
}

/// The key of this number below `prefix`.
pub fn key(prefix: &str, number: usize) -> String {
    format!("{prefix}{number:06}")
}

/// The TTL in seconds of leases that are renewed in the case, and of those that are idle.
pub const RENEW_TTL: u64 = 6;
pub const IDLE_TTL: u64 = 30;
