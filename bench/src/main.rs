//! The benchmark: every case on both servers by all contenders, in rounds, and a table of the medians.
//!
//! In: BENCH=quick for a run of a few minutes, BENCH=hosts for the Lua hosts instead; CASES, the names of the cases to
//! run, separated by commas (default: all); LUA, the interpreter; ETCD_SUITE_DIR, a folder for etcd. Out: the table, as
//! `results.md` and `results.svg` too, in this folder, or next to the program if the run was quick or narrowed; what
//! fails is named there, and does not end the run. With an argument the program is one of its own helpers: `canned` the
//! canned server, `client` the contender in Rust, `floor` what no client can be below.

mod canned;
mod cases;
mod client;
mod contenders;
mod data;
mod facts;
mod floor;
mod go;
mod hosts;
mod measure;
mod plot;
mod report;
mod servers;
mod svg;
mod syscalls;
mod task;

use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use cases::{CASES, Case, Kind, Mode};
use contenders::Contender;
use report::{Report, Row};
use servers::Server;
use task::Task;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => bench().await,
        Some("canned") => canned::serve(args.next().context("usage: bench canned EVENTS")?.parse()?).await,
        Some("client") => client::run(Task::read(args)?).await,
        Some("floor") => floor::run(&Task::read(args)?),
        Some(other) => bail!("{other:?} is none of: canned, client, floor"),
    }
}

/// A run that has taken so long has something wrong with it, and ends without the other cases.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// What all cases are run with.
struct Bench {
    root: PathBuf,
    /// For etcd.
    folder: PathBuf,
    mode: Mode,
    contenders: Vec<Contender>,
}

async fn bench() -> Result<()> {
    let lua = Some(variable("LUA"))
        .filter(|lua| !lua.is_empty())
        .unwrap_or_else(|| "lua5.4".into());
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = own.parent().context("no folder above bench/")?;
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
    let bench = Bench {
        root: root.to_owned(),
        folder: suite.join("bench"),
        mode,
        contenders,
    };

    let begun = Instant::now();
    let mut report = Report::new(&bench.contenders);
    println!("{}", report.head());
    for case in &cases {
        for &kind in case.servers {
            let row = if begun.elapsed() < LIMIT {
                bench.run(case, kind).await
            } else {
                bench.failed(Row::new(case, kind, bench.contenders.len()), "not run, it is late")
            };
            print!("{}", report.add(row));
        }
    }
    let whole = mode == Mode::Full && cases.len() == CASES.len();
    let here = env::current_exe()?.with_file_name("");
    let mut facts = facts::gather(root, &lua, mode);
    facts.push(("minutes", format!("{:.1}", begun.elapsed().as_secs_f64() / 60.0)));
    facts.extend(bench.contenders.iter().map(|one| (&one.name[..], one.about.clone())));
    facts.extend(left_out.into_iter().map(|reason| ("left out", reason)));
    report.write(&facts, if whole { &own } else { &here })?;
    report.write_samples(&here.join("bench-samples.tsv"))?;
    match report.failures().len() {
        0 => Ok(()),
        count => bail!("{count} failed"),
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

impl Bench {
    /// A case on one server. What fails is in the row, too.
    async fn run(&self, case: &'static Case, kind: Kind) -> Row {
        let mut row = Row::new(case, kind, self.contenders.len());
        match self.rounds(&mut row).await {
            Ok(()) => row,
            Err(error) => self.failed(row, &format!("the server: {error:#}")),
        }
    }

    /// Runs the contenders in turn, again and again: what the machine does besides hits all of them. Who has failed has
    /// no further turn.
    async fn rounds(&self, row: &mut Row) -> Result<()> {
        let (case, contenders) = (row.case, &self.contenders);
        let mut server = self.start(row).await?;
        for round in 0..case.rounds(self.mode) {
            for turn in 0..contenders.len() {
                let index = (round + turn) % contenders.len();
                if !contenders[index].takes(case) || row.failures[index].is_some() {
                    continue;
                }
                // What one run leaves to expire must not burden the server in the next.
                if case.leaves_leases && row.kind == Kind::Etcd {
                    server.stop(&self.root, &self.folder).await?;
                    server = self.start(row).await?;
                }
                match contenders[index].run(case, self.mode, &mut server).await {
                    Ok(sample) => row.samples[index].push(sample),
                    Err(error) => self.fail(row, index, &format!("{error:#}")),
                }
            }
        }
        server.stop(&self.root, &self.folder).await
    }

    async fn start(&self, row: &Row) -> Result<Server> {
        Server::start(row.kind, row.case, self.mode, &self.root, &self.folder).await
    }

    fn fail(&self, row: &mut Row, contender: usize, reason: &str) {
        let name = &self.contenders[contender].name;
        let failure = format!("{} on {}, {name}: {reason}", row.case.name, row.kind.name());
        eprintln!("{failure}");
        row.failures[contender] = Some(failure);
        row.samples[contender].clear();
    }

    /// The row in which everyone has failed who has not yet.
    fn failed(&self, mut row: Row, reason: &str) -> Row {
        for (index, contender) in self.contenders.iter().enumerate() {
            if contender.takes(row.case) && row.failures[index].is_none() {
                self.fail(&mut row, index, reason);
            }
        }
        row
    }
}
