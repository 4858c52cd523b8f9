//! The table of cases: what is asked of a contender, on which servers, and what is made of the answer.

use crate::measure::*;

/// What the contenders talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A real etcd.
    Etcd,
    /// One that answers at once.
    Canned,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Canned => "canned",
        }
    }
}

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Full,
    Quick,
}

impl Mode {
    pub fn rounds(self) -> usize {
        match self {
            Self::Full => 5,
            Self::Quick => 1,
        }
    }
}

/// One case.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    /// What the contenders call it.
    pub operation: &'static str,
    /// How many calls, events, leases or watches: in a full run, in a quick one.
    pub n: [usize; 2],
    /// Between how many coroutines, tasks or goroutines the calls are shared; the number of watches in `fanout`.
    pub callers: usize,
    /// How long contenders wait that have nothing to call: in a full run, in a quick one.
    pub seconds: [u64; 2],
    /// Each run then gets a fresh etcd.
    pub leaves_leases: bool,
    pub servers: &'static [Kind],
    pub measures: &'static [Measure],
}

impl Case {
    pub fn n(&self, mode: Mode) -> usize {
        self.n[mode as usize]
    }

    pub fn seconds(&self, mode: Mode) -> u64 {
        self.seconds[mode as usize]
    }

    /// Does `word` choose it? `put` chooses all puts.
    pub fn matches(&self, word: &str) -> bool {
        self.name == word || self.name.split('-').next() == Some(word)
    }
}

const BOTH: &[Kind] = &[Kind::Etcd, Kind::Canned];

const fn calls(name: &'static str, operation: &'static str, callers: usize, n: [usize; 2]) -> Case {
    Case {
        name,
        operation,
        n,
        callers,
        seconds: [0, 0],
        leaves_leases: false,
        servers: BOTH,
        measures: &[RATE, CPU_PER_CALL],
    }
}

/// Calls that need a store.
const fn calls_of_etcd(name: &'static str, operation: &'static str, callers: usize, n: [usize; 2]) -> Case {
    Case {
        servers: &[Kind::Etcd],
        leaves_leases: true,
        ..calls(name, operation, callers, n)
    }
}

/// All cases, in the order in which they run.
pub const CASES: &[Case] = &[
    calls("put-1", "put", 1, [3000, 300]),
    calls("put-16", "put", 16, [10_000, 2000]),
    calls("put-64", "put", 64, [10_000, 2000]),
    calls("put-256", "put", 256, [10_000, 2000]),
    calls("get-1", "get", 1, [3000, 300]),
    calls("get-16", "get", 16, [10_000, 2000]),
    calls("get-64", "get", 64, [10_000, 2000]),
    calls("get-256", "get", 256, [10_000, 2000]),
    calls("range-1000", "range", 1, [300, 30]),
    calls("value-1MiB", "large", 1, [200, 20]),
    calls("txn-16", "txn", 16, [10_000, 1000]),
    calls_of_etcd("stm-1", "stm", 1, [2000, 200]),
    calls_of_etcd("lock-1", "lock", 1, [1000, 100]),
    calls_of_etcd("lock-100", "lock", 100, [2000, 200]),
    Case {
        measures: &[EVENT_RATE, CPU_PER_EVENT],
        ..calls("replay", "replay", 1, [50_000, 5000])
    },
    Case {
        measures: &[EVENT_RATE, CPU_PER_EVENT],
        ..calls("fanout", "fanout", 1000, [5000, 1000])
    },
    Case {
        seconds: [4, 2],
        leaves_leases: true,
        measures: &[CPU_SHARE, RENEWALS, RENEWAL_PEAK],
        ..calls("leases", "renew", 1, [10_000, 2000])
    },
    Case {
        servers: &[Kind::Canned],
        measures: &[WALL, CPU, MEMORY],
        ..calls("require", "require", 1, [1, 1])
    },
    Case {
        measures: &[WALL, CPU, MEMORY],
        ..calls("first-call", "first", 1, [1, 1])
    },
    Case {
        servers: &[Kind::Canned],
        measures: &[MEMORY_PER_CALL, CPU_PER_CALL],
        ..calls("parked", "parked", 1, [10_000, 2000])
    },
    Case {
        seconds: [4, 1],
        measures: &[CPU_SHARE, WAKEUPS],
        ..calls("idle", "idle", 1, [100, 100])
    },
];
