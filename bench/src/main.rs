//! The benchmark: every case on both servers by all contenders, in rounds, and a table of the medians.
//!
//! In: BENCH=quick for a run of a minute, BENCH=hosts for the Lua hosts instead; CASES, the names of the cases to run,
//! separated by commas (default: all); LUA, the interpreter; ETCD_SUITE_DIR, a folder for etcd. Out: the table, as
//! `results.md` and `results.svg` too, in this folder, or next to the program if the run was quick or narrowed. With an
//! argument the program is one of its own helpers: `canned` the canned server, `client` the contender in Rust.

mod canned;
mod cases;
mod client;
mod contenders;
mod data;
mod facts;
mod go;
mod hosts;
mod measure;
mod plot;
mod report;
mod servers;
mod syscalls;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use cases::{CASES, Case, Kind, Mode};
use contenders::Contender;
use report::{Report, Row};
use servers::Server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => bench().await,
        Some("canned") => canned::serve(args.next().context("usage: bench canned EVENTS")?.parse()?).await,
        Some("client") => client::run(args).await,
        Some(other) => bail!("{other:?} is none of: canned, client"),
    }
}

async fn bench() -> Result<()> {
    let lua = Some(variable("LUA"))
        .filter(|lua| !lua.is_empty())
        .unwrap_or_else(|| "lua5.4".into());
    let bench = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = bench.parent().context("no folder above bench/")?;
    let mode = match &variable("BENCH")[..] {
        "" => Mode::Full,
        "quick" => Mode::Quick,
        "hosts" => return hosts::run(root).await,
        other => bail!("BENCH is {other:?}; it may be 'quick' or 'hosts'"),
    };
    let suite = PathBuf::from(env::var_os("ETCD_SUITE_DIR").context("run it by `make bench`")?);
    let cases = chosen()?;
    let (contenders, left_out) = contenders::all(root, &lua).await?;
    for reason in &left_out {
        println!("Left out: {reason}\n");
    }

    let mut report = Report::new(&contenders);
    println!("{}", report.head());
    for case in &cases {
        for &kind in case.servers {
            let row = run(case, kind, mode, &contenders, root, &suite).await?;
            print!("{}", report.add(row));
        }
    }
    let whole = mode == Mode::Full && cases.len() == CASES.len();
    let here = env::current_exe()?.with_file_name("");
    let mut facts = facts::gather(root, &lua, mode);
    facts.extend(contenders.iter().map(|one| (&one.name[..], one.about.clone())));
    facts.extend(left_out.into_iter().map(|reason| ("left out", reason)));
    report.write(&facts, if whole { &bench } else { &here })?;
    report.write_samples(&here.join("bench-samples.tsv"))?;
    match report.failures() {
        0 => Ok(()),
        count => bail!("{count} runs failed"),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The cases to run.
fn chosen() -> Result<Vec<&'static Case>> {
    let words = variable("CASES");
    let words: Vec<_> = words.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    if let Some(word) = words.iter().find(|word| !CASES.iter().any(|case| case.matches(word))) {
        let known: Vec<_> = CASES.iter().map(|case| case.name).collect();
        bail!("no case {word:?}; there are: {}", known.join(", "));
    }
    let wanted = |case: &&Case| words.is_empty() || words.iter().any(|word| case.matches(word));
    Ok(CASES.iter().filter(wanted).collect())
}

/// Runs the contenders in turn, again and again: what the machine does besides hits all of them.
async fn run(
    case: &'static Case,
    kind: Kind,
    mode: Mode,
    contenders: &[Contender],
    root: &Path,
    suite: &Path,
) -> Result<Row> {
    let folder = suite.join("bench");
    let mut server = Server::start(kind, case, mode, root, &folder).await?;
    let mut row = Row::new(case, kind, contenders.len());
    for round in 0..mode.rounds() {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            if !contenders[index].takes(case) {
                continue;
            }
            // What one run leaves to expire must not burden the server in the next.
            if case.leaves_leases && kind == Kind::Etcd {
                server.stop(root, &folder).await?;
                server = Server::start(kind, case, mode, root, &folder).await?;
            }
            let sample = contenders[index].run(case, mode, &mut server).await;
            row.samples[index].push(sample.inspect_err(|error| eprintln!("{error:#}")).ok());
        }
    }
    server.stop(root, &folder).await?;
    Ok(row)
}
