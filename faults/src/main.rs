//! The fault suite: real clients on a real cluster of three, one fault at a time, everything recorded and checked.
//!
//! In: CELLS, the names of the cells to run, separated by commas (default: all); SECONDS, how long each lasts (default:
//! 30); ETCD, the server's binary. Out: a table, build/faults/ with a picture of each cell, and status 1 if any promise
//! was broken.

mod caches;
mod cells;
mod check;
mod cluster;
mod control;
mod entries;
mod faults;
mod fork;
mod front;
mod history;
mod hold;
mod leases;
mod lockers;
mod member;
mod net;
mod picture;
mod proxy;
mod reference;
mod report;
mod run;
mod stage;
mod story;
#[path = "../../bench/src/svg.rs"]
mod svg;
mod traffic;
mod users;
mod watchers;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use cells::{CELLS, Cell};
use report::Row;

fn main() -> ExitCode {
    let done = match env::args().nth(1).as_deref() {
        // It forks, which a process with a runtime must not.
        Some("fork") => fork::parent(env::args().skip(2)).map(|()| ExitCode::SUCCESS),
        _ => watched(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("faults: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs the suite until it is done or ended by a signal; the cluster goes with it, whichever it is.
#[tokio::main(worker_threads = 2)]
async fn watched() -> Result<ExitCode> {
    if env::args().nth(1).as_deref() == Some("hold") {
        hold::run(env::args().skip(2)).await?;
    }
    let cells = chosen()?;
    let window = Duration::from_secs_f64(match env::var("SECONDS") {
        Ok(text) if !text.is_empty() => text.parse().context("SECONDS is no number")?,
        _ => 30.0,
    });
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        done = run(&cells, window) => done,
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
        _ = hangup.recv() => Ok(ExitCode::from(129)),
    }
}

/// The cells to run.
fn chosen() -> Result<Vec<&'static Cell>> {
    let names = env::var("CELLS").unwrap_or_default();
    if names.is_empty() {
        return Ok(CELLS.iter().collect());
    }
    let find = |name: &str| CELLS.iter().find(|cell| cell.name == name.trim());
    let known = || CELLS.iter().map(|cell| cell.name).collect::<Vec<_>>().join(", ");
    let found = names
        .split(',')
        .map(|name| find(name).with_context(|| format!("no cell {name:?}; there are: {}", known())));
    found.collect()
}

async fn run(cells: &[&Cell], window: Duration) -> Result<ExitCode> {
    println!("{}", Row::head());
    let mut failed = 0;
    for cell in cells {
        // What breaks one cell need not break the next.
        let row = run::run(cell, window)
            .await
            .unwrap_or_else(|error| Row::broken(cell.name, &error));
        println!("{row}");
        failed += usize::from(!row.violations.is_empty());
    }
    picture::index(cells.iter().map(|cell| cell.name))?;
    if failed > 0 {
        bail!("{failed} of {} cells failed", cells.len());
    }
    Ok(ExitCode::SUCCESS)
}
