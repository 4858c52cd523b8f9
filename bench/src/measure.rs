//! What is measured: the system's account of a process from outside, the same for every contender.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// What a process has used up to now.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// By all of its threads, in user and system mode.
    cpu: Duration,
    /// Bytes of physical memory.
    resident: u64,
    /// How often its threads have gone to sleep, which is how often they were woken up.
    sleeps: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?;
        let mut sleeps = 0;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end meanwhile.
            if let Ok(text) = fs::read_to_string(thread?.path().join("status")) {
                sleeps += field(&text, "voluntary_ctxt_switches:")?;
            }
        }
        // The one count of pages that is exact.
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Ok(Self {
            cpu: clock.now()?.into(),
            resident: field(&memory, "Rss:")? * 1024,
            sleeps,
        })
    }
}

fn field(text: &str, name: &str) -> Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("no {name} in /proc"))
}

/// What a process has used from one moment to another.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    /// In seconds, as the CPU time.
    pub wall: f64,
    pub cpu: f64,
    /// Bytes by which the process grew.
    pub memory: f64,
    pub wakeups: f64,
}

impl Period {
    pub fn new(wall: Duration, before: Usage, after: Usage) -> Self {
        Self {
            wall: wall.as_secs_f64(),
            cpu: (after.cpu - before.cpu).as_secs_f64(),
            memory: after.resident.saturating_sub(before.resident) as f64,
            wakeups: (after.sleeps - before.sleeps) as f64,
        }
    }
}

/// What one contender did in one round of a case.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Calls, events, or what was made.
    pub count: f64,
    /// The operation.
    pub work: Period,
    /// The time after it in which nothing is asked for.
    pub rest: Option<Period>,
    /// Lease renewals that the canned server saw meanwhile, and the most of them within 100 ms.
    pub renewals: Option<[f64; 2]>,
}

/// One line of the table: a number that is made of a sample.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    pub name: &'static str,
    pub of: fn(&Sample) -> Option<f64>,
    /// Where it is drawn. Of a case each panel has the first measure.
    pub panel: Option<Panel>,
}

/// What is drawn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    Cpu,
    Memory,
    Rate,
}

const fn measure(name: &'static str, panel: Option<Panel>, of: fn(&Sample) -> Option<f64>) -> Measure {
    Measure { name, of, panel }
}

pub const RATE: Measure = measure("calls/s", Some(Panel::Rate), |s| Some(s.count / s.work.wall));
pub const CPU_PER_CALL: Measure = measure("CPU us/call", Some(Panel::Cpu), |s| Some(s.work.cpu / s.count * 1e6));
pub const EVENT_RATE: Measure = measure("events/s", Some(Panel::Rate), |s| Some(s.count / s.work.wall));
pub const CPU_PER_EVENT: Measure = measure("CPU us/event", Some(Panel::Cpu), |s| Some(s.work.cpu / s.count * 1e6));
pub const WALL: Measure = measure("ms", None, |s| Some(s.work.wall * 1e3));
pub const CPU: Measure = measure("CPU ms", Some(Panel::Cpu), |s| Some(s.work.cpu * 1e3));
pub const MEMORY: Measure = measure("memory MiB", Some(Panel::Memory), |s| {
    Some(s.work.memory / f64::from(1 << 20))
});

pub const MEMORY_EACH: Measure = measure("KiB each", Some(Panel::Memory), |s| {
    Some(s.work.memory / s.count / 1024.0)
});
pub const CPU_EACH: Measure = measure("CPU us each", Some(Panel::Cpu), |s| Some(s.work.cpu / s.count * 1e6));

pub const REST: Measure = measure("CPU ms/s", Some(Panel::Cpu), |s| Some(s.rest?.cpu / s.rest?.wall * 1e3));
pub const REST_EACH: Measure = measure("CPU us/s each", None, |s| {
    Some(s.rest?.cpu / s.rest?.wall / s.count * 1e6)
});
pub const WAKEUPS: Measure = measure("wake-ups/s", None, |s| Some(s.rest?.wakeups / s.rest?.wall));
pub const RENEWALS: Measure = measure("renewals/s", None, |s| Some(s.renewals?[0] / s.rest?.wall));
pub const RENEWAL_PEAK: Measure = measure("most in 100 ms", None, |s| Some(s.renewals?[1]));

/// The middle of some numbers.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
