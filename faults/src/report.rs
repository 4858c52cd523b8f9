//! What is printed: one line per cell, and below it whatever is wrong.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use crate::cells::Cell;
use crate::check::lives::Life;
use crate::check::{self, Truth, Violation};
use crate::history::{Outcome, Record, Time};
use crate::stage::ROAMERS;
use crate::story::Told;

/// So many violations of a cell are printed; all of them are in its file.
const SHOWN: usize = 10;

/// One cell's line.
#[derive(Debug, Default)]
pub struct Row {
    name: &'static str,
    calls: usize,
    ok: usize,
    failed: usize,
    unknown: usize,
    /// Of the calls.
    wrong: usize,
    /// In seconds.
    gap: f64,
    worst: f64,
    watches: usize,
    expected: usize,
    lost: usize,
    repeated: usize,
    /// In seconds.
    lag: f64,
    leases: usize,
    leases_lost: usize,
    pub violations: Vec<Violation>,
    /// Why the cell was not run.
    skipped: Option<String>,
}

impl Row {
    /// Runs all checks over a record that ends at `end`.
    pub fn judge(cell: &Cell, record: &Record, lives: &[Life], end: Time, prefix: &str) -> Self {
        let outcomes = |wanted: fn(&Outcome) -> bool| record.calls.iter().filter(|call| wanted(&call.outcome)).count();
        let mut row = Self {
            name: cell.name,
            calls: record.calls.len(),
            ok: outcomes(|outcome| matches!(outcome, Outcome::Ok { .. })),
            failed: outcomes(|outcome| matches!(outcome, Outcome::Failed(_))),
            unknown: outcomes(|outcome| matches!(outcome, Outcome::Unknown(_))),
            gap: seconds(check::longest_gap(&record.calls, |call| call.client < ROAMERS)),
            worst: (0..ROAMERS)
                .map(|number| seconds(check::longest_gap(&record.calls, |call| call.client == number)))
                .fold(0.0, f64::max),
            watches: record.watches.len(),
            leases: record.leases.len(),
            leases_lost: record.leases.iter().filter(|lease| lease.lost.is_some()).count(),
            violations: lives
                .iter()
                .flat_map(|life| check::linear::check(life.truth(), prefix))
                .collect(),
            ..Self::default()
        };
        if cell.sure {
            row.violations.extend(check::unanswered(&record.calls));
        }
        row.wrong = row.violations.len();
        for watch in &record.watches {
            let report = check::lives::check(watch, lives);
            row.expected += report.expected;
            row.lost += report.lost;
            row.repeated += report.repeated;
            row.lag = row.lag.max(seconds(report.lag));
            row.violations.extend(report.violations);
        }
        let truth = Truth {
            calls: &record.calls,
            ..lives.last().map_or_else(Truth::default, Life::truth)
        };
        for lease in &record.leases {
            row.violations.extend(check::lease::check(lease, truth, end));
        }
        row.violations.extend(check::lease::shared(&record.leases));
        row.violations
            .extend(check::cached::check(&record.cached, lives, prefix));
        row.violations.extend(check::locked::check(&record.counted, lives));
        if record.counted.is_empty() {
            row.violations.push(Violation::new(
                "locked",
                format!("nobody got the lock: {:?}", record.refused),
            ));
        }
        let unregistered = record.unregistered.iter();
        row.violations
            .extend(unregistered.map(|text| Violation::new("registered", text)));
        // A store that goes back takes what was held, and nobody is told at once.
        if lives.len() == 1 {
            let unheld = record.unheld.iter();
            row.violations.extend(unheld.map(|text| Violation::new("held", text)));
        }
        row
    }

    /// Holds the cell to its times.
    pub fn judge_times(&mut self, cell: &Cell) {
        for (what, is, limit) in [
            ("answers", self.gap, cell.gap),
            ("answers for one client", self.worst, self.gap + cell.worst),
            ("events", self.lag, cell.lag),
        ] {
            if is > limit {
                let text = format!("no {what} for {is:.1} s, {limit} s is the limit");
                self.violations.push(Violation::new("soon", text));
            }
        }
    }

    /// A cell that this machine cannot run.
    pub fn skipped(name: &'static str, reason: String) -> Self {
        Self {
            name,
            skipped: Some(reason),
            ..Self::default()
        }
    }

    /// A cell that came to no end.
    pub fn broken(name: &'static str, error: &anyhow::Error) -> Self {
        Self {
            name,
            violations: vec![Violation::new("ended", format!("{error:#}"))],
            ..Self::default()
        }
    }

    /// The table's head.
    pub fn head() -> String {
        format!(
            "{:<16} {:>6} {:>6} {:>6} {:>7} {:>5} {:>6} {:>7} {:>7} {:>8} {:>5} {:>8} {:>6} {:>6} {:>5}  verdict",
            "cell",
            "calls",
            "ok",
            "failed",
            "unknown",
            "wrong",
            "gap s",
            "worst s",
            "watches",
            "events",
            "lost",
            "repeated",
            "lag s",
            "leases",
            "lost",
        )
    }

    /// Writes the record of a cell that has failed, and says where.
    pub fn save(&self, record: &Record, lives: &[Life], told: &[Told]) -> Result<PathBuf> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let folder = target.join("faults");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.txt", self.name));
        let mut file = std::io::BufWriter::new(fs::File::create(&path)?);
        for violation in &self.violations {
            writeln!(file, "{violation}")?;
        }
        writeln!(
            file,
            "\nfaults at {:?} ms, restored at {:?}",
            record
                .faults
                .iter()
                .map(|(from, to)| (from / 1_000_000, to / 1_000_000))
                .collect::<Vec<_>>(),
            record.restored.iter().map(|time| time / 1_000_000).collect::<Vec<_>>()
        )?;
        for call in &record.calls {
            writeln!(file, "{call}")?;
        }
        for (life, event) in lives
            .iter()
            .zip(0..)
            .flat_map(|(life, i)| life.truth().events.iter().map(move |e| (i, e)))
        {
            writeln!(file, "life {life}: {event:?}")?;
        }
        for lease in &record.leases {
            writeln!(file, "{lease:?}")?;
        }
        for watch in &record.watches {
            writeln!(
                file,
                "\n{:?} {:?} {}..{}..{} {:?}",
                watch.name, watch.wanted, watch.called, watch.confirmed, watch.ended, watch.end
            )?;
            for batch in &watch.batches {
                let events: Vec<_> = batch.events.iter().map(|event| (event.revision, &event.key)).collect();
                writeln!(file, "{} {} {events:?}", batch.arrived, batch.revision)?;
            }
        }
        for one in told {
            writeln!(file, "\n{}, a margin of {:?}, {:?}", one.name, one.margin, one.numbers)?;
            for record in &one.records {
                writeln!(file, "{record:?}")?;
            }
        }
        Ok(path)
    }
}

fn seconds(time: Time) -> f64 {
    time as f64 / 1e9
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.skipped {
            return write!(f, "{:<16} skipped: {reason}", self.name);
        }
        write!(
            f,
            "{:<16} {:>6} {:>6} {:>6} {:>7} {:>5} {:>6.2} {:>7.2} {:>7} {:>8} {:>5} {:>8} {:>6.2} {:>6} {:>5}  {}",
            self.name,
            self.calls,
            self.ok,
            self.failed,
            self.unknown,
            self.wrong,
            self.gap,
            self.worst,
            self.watches,
            self.expected,
            self.lost,
            self.repeated,
            self.lag,
            self.leases,
            self.leases_lost,
            if self.violations.is_empty() { "ok" } else { "FAILED" },
        )?;
        for violation in self.violations.iter().take(SHOWN) {
            write!(f, "\n    {violation}")?;
        }
        if self.violations.len() > SHOWN {
            write!(f, "\n    and {} more", self.violations.len() - SHOWN)?;
        }
        Ok(())
    }
}
