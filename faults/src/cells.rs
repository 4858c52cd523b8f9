//! The matrix: which faults there are, how the clients reach the members in each, and what may go wrong at the worst.

use std::time::Duration;

use crate::proxy::Rules;

/// One cell of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub name: &'static str,
    pub way: Way,
    /// How long there may be no answer to anybody, how much longer none to one client that knows all members, and how
    /// late an event may be, in seconds.
    pub gap: f64,
    pub worst: f64,
    pub lag: f64,
    /// How long callers wait for one attempt.
    pub patience: Duration,
    /// And how often they try again.
    pub retry: u32,
    /// Must every call be answered?
    pub sure: bool,
    /// Of the leases, in seconds.
    pub ttl: i64,
    /// Do the callers that know every member share one client?
    pub shared: bool,
    /// Do the clients log in?
    pub users: bool,
    /// So many more watches there are of one client.
    pub crowd: usize,
    /// For the members.
    pub flags: &'static [&'static str],
}

/// How the clients and the members are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Over loopback.
    Direct,
    /// The clients through a proxy each for every member.
    Proxies,
    /// The same, encrypted.
    Tls,
    /// Over a network that can be cut.
    Network,
    /// The same, or where that is not permitted through a proxy each for every member.
    Middlebox,
    /// Over such a network through one balancer for all members.
    Balancer,
    /// Through a proxy each for every member that speaks HTTP/2, by these rules at first.
    Http2(Rules),
    /// Through etcd's own proxy, one for all members.
    Grpc,
}

const PLAIN: Cell = Cell {
    name: "none",
    way: Way::Direct,
    gap: 2.0,
    worst: 5.0,
    lag: 2.0,
    // What is under way when a leader dies is not answered for 7 s, so they give up sooner.
    patience: Duration::from_secs(1),
    retry: 3,
    sure: false,
    ttl: 5,
    shared: false,
    users: false,
    crowd: 0,
    flags: &[],
};

/// All of them, in the order in which they run.
pub const CELLS: &[Cell] = &[
    PLAIN,
    Cell {
        name: "kill-leader",
        ..PLAIN
    },
    Cell {
        name: "kill-follower",
        ..PLAIN
    },
    Cell {
        name: "kill-all",
        gap: 10.0,
        lag: 10.0,
        ..PLAIN
    },
    Cell {
        name: "pause-leader",
        gap: 6.0,
        lag: 15.0,
        ..PLAIN
    },
    Cell {
        name: "pause-follower",
        lag: 15.0,
        ..PLAIN
    },
    Cell {
        name: "pause-all",
        gap: 15.0,
        lag: 15.0,
        ..PLAIN
    },
    Cell {
        name: "proxy-cut",
        way: Way::Proxies,
        // A server looks every 100 ms for watches that want old events, which is how long a connection lasts here.
        lag: 30.0,
        ..PLAIN
    },
    Cell {
        name: "proxy-silent",
        way: Way::Proxies,
        gap: 6.0,
        lag: 15.0,
        ..PLAIN
    },
    Cell {
        name: "proxy-freeze",
        way: Way::Proxies,
        gap: 4.0,
        lag: 16.0,
        ..PLAIN
    },
    Cell {
        name: "proxy-delay",
        way: Way::Proxies,
        ..PLAIN
    },
    Cell {
        name: "proxy-throttle",
        way: Way::Proxies,
        gap: 10.0,
        lag: 30.0,
        ..PLAIN
    },
    Cell {
        name: "proxy-truncate",
        way: Way::Proxies,
        lag: 5.0,
        ..PLAIN
    },
    Cell {
        name: "tls-garble",
        way: Way::Tls,
        lag: 16.0,
        ..PLAIN
    },
    Cell {
        name: "cut-leader",
        way: Way::Network,
        gap: 10.0,
        lag: 6.0,
        ..PLAIN
    },
    Cell {
        name: "cut-follower",
        way: Way::Network,
        // Whoever has asked it hears nothing until it misses its leader, after one to two election timeouts of 1 s.
        gap: 4.0,
        lag: 6.0,
        ..PLAIN
    },
    Cell {
        name: "cut-clients",
        way: Way::Network,
        gap: 6.0,
        lag: 15.0,
        ..PLAIN
    },
    Cell {
        name: "compaction",
        ..PLAIN
    },
    Cell {
        name: "move-leader",
        ..PLAIN
    },
    Cell {
        name: "defrag",
        ..PLAIN
    },
    Cell {
        name: "full",
        // One client only writes.
        worst: 30.0,
        flags: &["--quota-backend-bytes=16777216"],
        ..PLAIN
    },
    Cell {
        name: "replace",
        ..PLAIN
    },
    Cell {
        name: "members",
        ..PLAIN
    },
    Cell {
        name: "kill-client",
        ..PLAIN
    },
    Cell {
        name: "grpc-proxy",
        way: Way::Grpc,
        gap: 4.0,
        lag: 6.0,
        ..PLAIN
    },
    Cell {
        name: "balancer",
        way: Way::Balancer,
        // As in cut-follower: whoever has asked that member hears nothing until it misses its leader.
        gap: 4.0,
        lag: 6.0,
        ..PLAIN
    },
    Cell {
        name: "goaway",
        way: Way::Http2(Rules::Goaway),
        lag: 4.0,
        // What was not taken is sent again whatever the caller wants.
        patience: Duration::from_secs(5),
        retry: 0,
        sure: true,
        shared: true,
        ..PLAIN
    },
    Cell {
        name: "streams-1",
        way: Way::Http2(Rules::Streams(2)),
        lag: 4.0,
        patience: Duration::from_secs(5),
        retry: 0,
        shared: true,
        ..PLAIN
    },
    Cell {
        name: "slow-line",
        way: Way::Proxies,
        // A new connection takes two round trips of 2.5 s before the first answer.
        gap: 10.0,
        worst: 15.0,
        lag: 30.0,
        patience: Duration::from_secs(10),
        ttl: 20,
        ..PLAIN
    },
    Cell {
        name: "forgotten",
        way: Way::Middlebox,
        // Nobody calls for 12 s.
        gap: 15.0,
        lag: 16.0,
        ..PLAIN
    },
    Cell {
        name: "restore",
        gap: 10.0,
        lag: 10.0,
        ..PLAIN
    },
    Cell { name: "fork", ..PLAIN },
    Cell {
        name: "revoke",
        way: Way::Proxies,
        worst: 8.0,
        lag: 15.0,
        users: true,
        crowd: 100,
        flags: &["--bcrypt-cost=4"],
        ..PLAIN
    },
    Cell {
        name: "login",
        worst: 8.0,
        lag: 15.0,
        users: true,
        flags: &["--bcrypt-cost=4"],
        ..PLAIN
    },
];
