//! The contenders: how each is started, and how a case is put to it.
//!
//! A contender is a program `ENDPOINT OPERATION N CALLERS SECONDS`. It prepares what it needs, prints `ready`, carries
//! the operation out after a line on its stdin, and prints `done COUNT`. If it shall then rest for some seconds, it
//! does so after another line, and prints `rested`. It ends with its stdin. What lies between is measured, from here.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::cases::{Case, Mode};
use crate::facts;
use crate::go;
use crate::measure::{Period, Sample, Usage};
use crate::servers::Server;

/// Longer than any case takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What stands for a contender in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Floor,
    Lua,
    LuaJit,
    Lua51,
    Go,
}

#[derive(Clone)]
pub struct Contender {
    pub name: String,
    /// What exactly it is.
    pub about: String,
    pub mark: Option<Mark>,
    program: Vec<PathBuf>,
    /// Where Lua finds its library, if not where $LUA_CPATH says.
    cpath: Option<PathBuf>,
    takes: fn(&Case) -> bool,
    /// Calls without a loop, which its program knows by 0 callers.
    blocking: bool,
}

/// Those that can be run here, and why others are left out. The first is the one to which the others are compared.
pub async fn all(root: &Path, lua: &str) -> Result<(Vec<Contender>, Vec<String>)> {
    let mut all = vec![
        Contender {
            name: "etcd-client".into(),
            about: facts::etcd_client(),
            mark: None,
            program: vec![env::current_exe()?, "client".into()],
            cpath: None,
            takes: |case| !matches!(case.operation, "require" | "lock" | "stm"),
            blocking: false,
        },
        Contender {
            name: "floor".into(),
            about: "the same calls as frames made beforehand, whose responses are counted".into(),
            mark: Some(Mark::Floor),
            program: vec![env::current_exe()?, "floor".into()],
            cpath: None,
            takes: |case| matches!(case.operation, "put" | "get"),
            blocking: false,
        },
    ];
    let mut left_out = Vec::new();
    match with_lua(root, lua, None, Mark::Lua).await {
        Ok(contender) => {
            let blocking = Contender {
                name: format!("{}, blocking", contender.name),
                about: "the same, without a loop".into(),
                mark: None,
                takes: |case| case.callers == 1 && matches!(case.operation, "put" | "get" | "range" | "large"),
                blocking: true,
                ..contender.clone()
            };
            all.extend([contender, blocking]);
        }
        Err(error) => left_out.push(format!("{error:#}")),
    }
    for (other, mark) in [("luajit", Mark::LuaJit), ("lua5.1", Mark::Lua51)] {
        match with_lua(root, other, Some("5.1"), mark).await {
            Ok(contender) if all.iter().any(|one| one.name == contender.name) => {}
            Ok(contender) => all.push(Contender {
                takes: |case| matches!(case.operation, "put" | "get" | "range" | "replay"),
                ..contender
            }),
            Err(error) => left_out.push(format!("{error:#}")),
        }
    }
    match go::build(root).await {
        Ok(built) => all.push(Contender {
            name: format!("Go clientv3 {}", built.release),
            about: format!("{}, with {}", facts::said(root, "go", &["version"]), built.source),
            mark: Some(Mark::Go),
            program: vec![built.program],
            cpath: None,
            takes: |case| case.operation != "require",
            blocking: false,
        }),
        Err(error) => left_out.push(format!("Go: {error:#}")),
    }
    Ok((all, left_out))
}

/// This module from an interpreter, which must run and find the library: that for `version`, if there is one.
async fn with_lua(root: &Path, interpreter: &str, version: Option<&str>, mark: Mark) -> Result<Contender> {
    const NAME: &str = "require 'silly.store.etcd'; print(rawget(_G, 'jit') and 'LuaJIT' or _VERSION)";
    let cpath = version.map(|version| root.join("build").join(version).join("?.so"));
    let mut command = Command::new(interpreter);
    command
        .args(["-e", NAME])
        .envs(cpath.iter().map(|path| ("LUA_CPATH", path)));
    Ok(Contender {
        name: facts::printed(&mut command).await?,
        about: facts::printed(Command::new(interpreter).arg("-v")).await?,
        mark: Some(mark),
        program: vec![interpreter.into(), root.join("bench/client.lua")],
        cpath,
        takes: |_| true,
        blocking: false,
    })
}

impl Contender {
    pub fn takes(&self, case: &Case) -> bool {
        (self.takes)(case)
    }

    pub async fn run(&self, case: &Case, mode: Mode, server: &mut Server) -> Result<Sample> {
        timeout(PATIENCE, self.measured(case, mode, server))
            .await
            .context("it hangs")
            .and_then(|measured| measured)
    }

    async fn measured(&self, case: &Case, mode: Mode, server: &mut Server) -> Result<Sample> {
        let callers = if self.blocking { 0 } else { case.callers };
        let mut child = Command::new(&self.program[0])
            .args(&self.program[1..])
            .args([&server.endpoint, case.operation])
            .arg(case.n(mode).to_string())
            .arg(callers.to_string())
            .arg(case.seconds(mode).to_string())
            .envs(self.cpath.iter().map(|path| ("LUA_CPATH", path)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut program = Program {
            pid: child.id().context("no process")?,
            stdin: child.stdin.take().context("no stdin")?,
            lines: BufReader::new(child.stdout.take().context("no stdout")?).lines(),
        };
        program.expect("ready").await?;
        let (count, work) = program.until("done").await?;
        let mut sample = Sample {
            count: count.parse()?,
            work,
            rest: None,
            renewals: None,
        };
        if case.seconds(mode) > 0 {
            server.take_renewals().await?;
            sample.rest = Some(program.until("rested").await?.1);
            sample.renewals = server.take_renewals().await?;
        }
        child.kill().await?;
        Ok(sample)
    }
}

/// A program that runs.
struct Program {
    pid: u32,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Lets it go on until it says `word`; returns what it says besides, and what it has used.
    async fn until(&mut self, word: &str) -> Result<(String, Period)> {
        let before = Usage::of(self.pid)?;
        let start = Instant::now();
        self.stdin.write_all(b"go\n").await?;
        let said = self.expect(word).await?;
        let wall = start.elapsed();
        Ok((said, Period::new(wall, before, Usage::of(self.pid)?)))
    }

    /// The rest of the next line, which must start with `word`.
    async fn expect(&mut self, word: &str) -> Result<String> {
        let line = self.lines.next_line().await?;
        let line = line.with_context(|| format!("ended before '{word}'"))?;
        let rest = line.strip_prefix(word);
        Ok(rest
            .with_context(|| format!("said '{line}', not '{word}'"))?
            .trim()
            .to_owned())
    }
}
