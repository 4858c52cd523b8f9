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
    /// Of all cases, and of those of growth.
    pub fn rounds(self) -> [usize; 2] {
        match self {
            Self::Full => [5, 3],
            Self::Quick => [1, 1],
        }
    }
}

/// One case.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    /// What the contenders call it.
    pub operation: &'static str,
    /// How many calls, events, leases, watches or clients: in a full run, in a quick one.
    pub n: [usize; 2],
    /// Between how many coroutines, tasks or goroutines the calls are shared; the number of watches that get events.
    pub callers: usize,
    /// How long is then measured what costs CPU at rest: in a full run, in a quick one.
    pub seconds: [u64; 2],
    /// One of a family whose names end in their number: it shows that one of many costs no more than one of few.
    pub growth: bool,
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

    pub fn rounds(&self, mode: Mode) -> usize {
        mode.rounds()[usize::from(self.growth)]
    }

    /// The name without its number.
    pub fn family(&self) -> &str {
        self.name.split('-').next().unwrap_or(self.name)
    }

    /// Does `word` choose it? `put` chooses all puts, `growth` all cases of growth.
    pub fn matches(&self, word: &str) -> bool {
        self.name == word || self.family() == word || self.growth && word == "growth"
    }
}

const BOTH: &[Kind] = &[Kind::Etcd, Kind::Canned];
const CANNED: &[Kind] = &[Kind::Canned];

const fn calls(name: &'static str, operation: &'static str, callers: usize, n: [usize; 2]) -> Case {
    Case {
        name,
        operation,
        n,
        callers,
        seconds: [0, 0],
        growth: false,
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

/// So many of something, and what each of them costs.
const fn each(name: &'static str, operation: &'static str, n: [usize; 2], seconds: [u64; 2]) -> Case {
    Case {
        growth: true,
        seconds,
        servers: CANNED,
        measures: &[MEMORY_EACH, CPU_EACH, REST_EACH],
        ..calls(name, operation, 1, n)
    }
}

/// Leases that are renewed every two seconds.
const fn leases(name: &'static str, n: [usize; 2]) -> Case {
    Case {
        leaves_leases: true,
        measures: &[REST, MEMORY_EACH, CPU_EACH, REST_EACH, RENEWALS, RENEWAL_PEAK],
        ..each(name, "leases", n, [4, 2])
    }
}

/// Events to so many watches in turn, which the canned server makes.
const fn events(name: &'static str, watches: usize) -> Case {
    Case {
        growth: true,
        servers: CANNED,
        measures: &[CPU_PER_EVENT, EVENT_RATE],
        ..calls(name, "events", watches, [20_000, 5000])
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
        servers: CANNED,
        measures: &[WALL, CPU, MEMORY],
        ..calls("require", "require", 1, [1, 1])
    },
    Case {
        measures: &[WALL, CPU, MEMORY],
        ..calls("first-call", "first", 1, [1, 1])
    },
    Case {
        seconds: [4, 1],
        measures: &[REST, WAKEUPS],
        ..calls("idle", "idle", 1, [100, 100])
    },
    each("parked-100", "parked", [100, 100], [0, 0]),
    each("parked-1000", "parked", [1000, 1000], [0, 0]),
    each("parked-10000", "parked", [10_000, 2000], [0, 0]),
    each("watches-100", "watches", [100, 100], AT_REST),
    each("watches-10000", "watches", [10_000, 2000], AT_REST),
    leases("leases-100", [100, 100]),
    Case {
        servers: BOTH,
        ..leases("leases-10000", [10_000, 2000])
    },
    each("clients-1", "clients", [1, 1], AT_REST),
    each("clients-100", "clients", [100, 100], AT_REST),
    each("clients-1000", "clients", [1000, 200], AT_REST),
    events("events-1", 1),
    events("events-100", 100),
    events("events-10000", 10_000),
];

/// As long as the longest interval at which a client looks after its connections, so that each is measured once.
const AT_REST: [u64; 2] = [10, 1];
