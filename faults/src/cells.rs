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
    /// What the clients tell of it.
    pub story: Story,
}

/// What the records and the numbers of a cell's clients say, of all clients together.
#[derive(Debug, Clone, Copy)]
pub struct Story {
    /// Each of these somebody tells, one event after the other.
    pub told: &'static [&'static [&'static str]],
    /// These nobody tells.
    pub untold: &'static [&'static str],
    /// These numbers are more than 0 at some time: all of a name, or those with a label.
    pub moved: &'static [(&'static str, &'static str)],
    /// Is a lease about to end?
    pub danger: bool,
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

/// Nothing in particular is told.
pub const PLOTLESS: Story = Story {
    told: &[],
    untold: &[],
    moved: &[],
    danger: false,
};

/// A watch may be cut off, but it does not end.
const LASTING: Story = Story {
    untold: &["watch_ended"],
    ..PLOTLESS
};

/// The clients have no part in it.
const UNDISTURBED: Story = Story {
    untold: &["disconnected", "unreachable", "watch_ended"],
    ..PLOTLESS
};

/// A server does not respond for a while. The connection is left, which is no loss: what follows is another.
const SLOW: Story = Story {
    told: &[&["slow"], &["connected", "connected"]],
    ..LASTING
};

/// A server dies, and is back: its own client has no other.
const DEATH: Story = Story {
    told: &[&["disconnected", "connected"], &["unreachable"], &["down", "up"]],
    moved: &[("attempts_total", "retry"), ("connections_total", "failed")],
    ..LASTING
};

/// All of them die, and are back.
const DEATHS: Story = Story {
    told: &[
        &["disconnected", "connected"],
        &["unreachable"],
        &["down", "up"],
        &["watches_cut", "watches_resumed"],
    ],
    moved: &[
        ("attempts_total", "retry"),
        ("attempts_total", "failover"),
        ("connections_total", "failed"),
        ("watches", "stale"),
        ("watch_resumes_total", ""),
    ],
    ..LASTING
};

/// Connections end, and the next are made at once.
const CUT: Story = Story {
    told: &[&["disconnected", "connected"], &["watches_cut", "watches_resumed"]],
    moved: &[("watch_resumes_total", "")],
    ..LASTING
};

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
    story: LASTING,
};

/// All of them, in the order in which they run.
pub const CELLS: &[Cell] = &[
    Cell {
        story: Story {
            // One of the readers dawdles.
            moved: &[("watch_backlog_bytes", "")],
            ..UNDISTURBED
        },
        ..PLAIN
    },
    Cell {
        name: "kill-leader",
        story: DEATH,
        ..PLAIN
    },
    Cell {
        name: "kill-follower",
        story: DEATH,
        ..PLAIN
    },
    Cell {
        name: "kill-all",
        gap: 10.0,
        lag: 10.0,
        story: DEATHS,
        ..PLAIN
    },
    Cell {
        name: "pause-leader",
        gap: 6.0,
        lag: 15.0,
        story: SLOW,
        ..PLAIN
    },
    Cell {
        name: "pause-follower",
        lag: 15.0,
        story: SLOW,
        ..PLAIN
    },
    Cell {
        name: "pause-all",
        gap: 15.0,
        lag: 15.0,
        story: Story {
            told: &[
                &["slow"],
                &["down", "up"],
                &["watches_cut", "watches_resumed"],
                &["lease_lost"],
                &["registration_lost", "registered"],
            ],
            moved: &[
                ("watches", "stale"),
                ("watch_resumes_total", ""),
                ("leases_lost_total", ""),
                ("registrations_lost_total", ""),
            ],
            danger: true,
            ..LASTING
        },
        ..PLAIN
    },
    Cell {
        name: "proxy-cut",
        way: Way::Proxies,
        // A server looks every 100 ms for watches that want old events, which is how long a connection lasts here.
        lag: 30.0,
        story: Story {
            moved: &[("attempts_total", "failover"), ("watch_resumes_total", "")],
            ..CUT
        },
        ..PLAIN
    },
    Cell {
        name: "proxy-silent",
        way: Way::Proxies,
        gap: 6.0,
        lag: 15.0,
        story: SLOW,
        ..PLAIN
    },
    Cell {
        name: "proxy-freeze",
        way: Way::Proxies,
        gap: 4.0,
        lag: 16.0,
        story: Story {
            told: &[
                &["slow"],
                &["connected", "connected"],
                &["watches_cut", "watches_resumed"],
            ],
            moved: &[("watch_resumes_total", "")],
            ..LASTING
        },
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
        story: SLOW,
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
        story: Story {
            told: &[&["watch_ended"]],
            untold: &["disconnected", "unreachable"],
            moved: &[("watch_ends_total", "compacted")],
            ..PLOTLESS
        },
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
        story: Story {
            untold: &["disconnected", "unreachable"],
            moved: &[("writes_unknown_total", "put"), ("calls_total", "resource_exhausted")],
            ..PLOTLESS
        },
        ..PLAIN
    },
    Cell {
        name: "replace",
        story: DEATH,
        ..PLAIN
    },
    Cell {
        name: "members",
        story: DEATH,
        ..PLAIN
    },
    Cell {
        name: "kill-client",
        story: UNDISTURBED,
        ..PLAIN
    },
    Cell {
        name: "grpc-proxy",
        way: Way::Grpc,
        gap: 4.0,
        lag: 6.0,
        story: Story {
            told: &[
                &["disconnected", "connected"],
                &["unreachable"],
                &["down", "up"],
                &["watches_cut", "watches_resumed"],
            ],
            moved: &[("connections_total", "failed"), ("watch_resumes_total", "")],
            ..LASTING
        },
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
        story: Story {
            // Each is there for whoever asks.
            untold: &["unreachable", "down", "watch_ended"],
            ..CUT
        },
        ..PLAIN
    },
    Cell {
        name: "streams-1",
        way: Way::Http2(Rules::Streams(2)),
        lag: 4.0,
        patience: Duration::from_secs(5),
        retry: 0,
        shared: true,
        story: CUT,
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
        story: Story {
            told: &[
                &["disconnected", "connected"],
                &["slow"],
                &["watches_cut", "watches_resumed"],
            ],
            ..CUT
        },
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
        story: Story {
            told: &[
                &["disconnected", "connected"],
                &["unreachable"],
                &["down", "up"],
                // What a watch has seen of the future that is gone, it cannot go on from.
                &["watches_cut", "watch_ended"],
                &["cache_loaded", "cache_stale", "cache_loaded"],
            ],
            moved: &[("attempts_total", "failover"), ("watch_ends_total", "compacted")],
            ..PLOTLESS
        },
        ..PLAIN
    },
    Cell {
        name: "fork",
        story: UNDISTURBED,
        ..PLAIN
    },
    Cell {
        name: "revoke",
        way: Way::Proxies,
        worst: 8.0,
        lag: 15.0,
        users: true,
        crowd: 100,
        flags: &["--bcrypt-cost=4"],
        story: Story {
            told: &[
                &["login"],
                &["disconnected", "connected"],
                &["watches_cut", "watch_ended"],
            ],
            untold: &["login_failed"],
            moved: &[
                ("calls_total", "permission_denied"),
                ("watch_ends_total", "permission_denied"),
            ],
            ..PLOTLESS
        },
        ..PLAIN
    },
    Cell {
        name: "login",
        worst: 8.0,
        lag: 15.0,
        users: true,
        flags: &["--bcrypt-cost=4"],
        story: Story {
            told: &[&["login", "login"]],
            untold: &["disconnected", "unreachable"],
            moved: &[("attempts_total", "login")],
            ..LASTING
        },
        ..PLAIN
    },
];
