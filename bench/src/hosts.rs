//! What a call costs on each Lua host: the cells of the conformance suite run overhead.lua in its place, in rounds, on
//! one canned server.
//!
//! In: the hosts that are installed here. Out: a table of the medians in microseconds per call, and where there is strace
//! of the system calls, as `hosts.md` in this folder too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use tokio::process::Command;

use crate::facts;
use crate::measure::median;
use crate::servers::canned;
use crate::syscalls::{self, Counts};

const ROUNDS: usize = 5;

/// The exit status of a cell whose host is not installed.
const MISSING: i32 = 77;

/// A host with one version of Lua.
struct Cell {
    host: String,
    version: String,
    rounds: Vec<Round>,
    /// None without strace.
    counts: Option<Counts>,
}

/// Microseconds per call.
struct Round {
    /// Of the clock, with one caller.
    one: f64,
    /// Of CPU, with many callers; none where calls block.
    many: Option<f64>,
}

pub async fn run(root: &Path) -> Result<()> {
    let (endpoint, _server) = canned(0).await?;
    let mut cells = cells(root).await?;
    let mut missing = BTreeSet::new();
    for _ in 0..ROUNDS {
        for cell in &mut cells {
            match cell.run(root, &endpoint).await? {
                Ok(round) => cell.rounds.push(round),
                Err(reason) => drop(missing.insert(format!("{} on {}: {reason}", cell.host, cell.version))),
            }
        }
    }
    if syscalls::available().await {
        for cell in cells.iter_mut().filter(|cell| !cell.rounds.is_empty()) {
            cell.counts = Some(syscalls::count(root, &cell.host, &cell.version).await?);
        }
    }
    let mut page =
        String::from("# Hosts\n\nWritten by `BENCH=hosts make bench`; [README.md](README.md) says how to read it.\n\n");
    for (name, value) in facts::machine(root) {
        let _ = writeln!(page, "- {name}: {value}");
    }
    page += "\n| host | Lua | us/call | above plain | CPU us/call, 64 callers | system calls (futex) per get | per event |\n";
    page += "| --- | --- | ---: | ---: | ---: | ---: | ---: |\n";
    for cell in &cells {
        page += &line(cell, &cells);
    }
    for reason in missing {
        let _ = writeln!(page, "\nMissing: {reason}");
    }
    print!("{page}");
    fs::write(root.join("bench/hosts.md"), page)?;
    Ok(())
}

async fn cells(root: &Path) -> Result<Vec<Cell>> {
    let output = Command::new(root.join("spec/conformance/run"))
        .arg("--cells")
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    let cells = text.lines().filter_map(|line| line.split_once(' '));
    Ok(cells
        .map(|(host, version)| Cell {
            host: host.to_owned(),
            version: version.to_owned(),
            rounds: Vec::new(),
            counts: None,
        })
        .collect())
}

impl Cell {
    /// One round, or why there can be none.
    async fn run(&self, root: &Path, endpoint: &str) -> Result<Result<Round, String>> {
        let output = Command::new(root.join("spec/conformance/run"))
            .args([&self.host, &self.version])
            .env("CONFORMANCE", "bench.overhead")
            .env("ETCD_ENDPOINTS", endpoint)
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.code() == Some(MISSING) {
            return Ok(Err(text.trim().trim_start_matches("missing: ").to_owned()));
        }
        // What else a host's program says, and its exit status, belong to the suite.
        let lines: Vec<Vec<f64>> = text.lines().filter_map(numbers).collect();
        match &lines[..] {
            [one, rest @ ..] if one[0] == 1.0 => Ok(Ok(Round {
                one: one[1],
                many: rest.first().map(|many| many[2]),
            })),
            _ => bail!(
                "{} on {}: {text}{}",
                self.host,
                self.version,
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    fn one(&self) -> Option<f64> {
        median(self.rounds.iter().map(|round| round.one).collect())
    }

    fn many(&self) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.many).collect())
    }
}

/// Three numbers in a line.
fn numbers(line: &str) -> Option<Vec<f64>> {
    let numbers: Option<Vec<f64>> = line.split(' ').map(|word| word.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() == 3)
}

/// A line of the table; none for a host that is missing.
fn line(cell: &Cell, cells: &[Cell]) -> String {
    let Some(one) = cell.one() else {
        return String::new();
    };
    let plain = cells
        .iter()
        .find(|other| other.host == "plain" && other.version == cell.version)
        .and_then(Cell::one);
    let above = plain.map_or_else(String::new, |plain| format!("{:+.0}", one - plain));
    let many = cell.many().map_or_else(String::new, |many| format!("{many:.1}"));
    let (host, version) = (&cell.host, &cell.version);
    let [get, event] = cell.counts.map_or([const { String::new() }; 2], |counts| {
        counts.map(|[all, futex]| format!("{all:.1} ({futex:.2})"))
    });
    format!("| {host} | {version} | {one:.0} | {above} | {many} | {get} | {event} |\n")
}
