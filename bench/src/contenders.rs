//! The contenders: how each is started, and how a case is put to it.
//!
//! A contender is a program `ENDPOINT OPERATION N CALLERS SECONDS`. It prepares what it needs, prints `ready`, carries
//! the operation out after a line on its stdin, prints `done COUNT`, and ends with its stdin. What is between the two
//! lines is measured, from here.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use crate::cases::{Case, Mode};
use crate::measure::{Sample, Usage};
use crate::servers::Server;

/// Longer than any case takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Contender {
    pub name: &'static str,
    program: Vec<PathBuf>,
    takes: fn(&Case) -> bool,
    /// Calls without a loop, which its program knows by 0 callers.
    blocking: bool,
}

/// All that can be run here. The first is the one to which the others are compared.
pub async fn all(root: &Path, lua: &str) -> Result<Vec<Contender>> {
    let client = root.join("bench/client.lua");
    let mut all = vec![
        Contender {
            name: "etcd-client",
            program: vec![env::current_exe()?, "client".into()],
            takes: |case| !matches!(case.operation, "require" | "lock" | "stm"),
            blocking: false,
        },
        Contender {
            name: "Lua",
            program: vec![lua.into(), client.clone()],
            takes: |_| true,
            blocking: false,
        },
        Contender {
            name: "Lua, blocking",
            program: vec![lua.into(), client],
            takes: |case| case.callers == 1 && matches!(case.operation, "put" | "get" | "range" | "large"),
            blocking: true,
        },
    ];
    match go(root).await {
        Ok(program) => all.push(Contender {
            name: "Go",
            program: vec![program],
            takes: |case| case.operation != "require",
            blocking: false,
        }),
        Err(error) => println!("Go is left out: {error:#}\n"),
    }
    Ok(all)
}

/// Builds the contender in Go with Debian's packages.
async fn go(root: &Path) -> Result<PathBuf> {
    const SOURCES: &str = "/usr/share/gocode";
    if !Path::new(SOURCES).join("src/go.etcd.io/etcd/clientv3").exists() {
        bail!("apt-get install golang-go golang-etcd-server-dev");
    }
    let program = env::current_exe()?.with_file_name("bench-go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(root.join("bench/go/client.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", SOURCES)
        .status()
        .await
        .context("apt-get install golang-go")?;
    if !built.success() {
        bail!("go build: {built}");
    }
    Ok(program)
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
            .with_context(|| format!("{}: {} on {}", case.name, self.name, server.kind.name()))
    }

    async fn measured(&self, case: &Case, mode: Mode, server: &mut Server) -> Result<Sample> {
        let callers = if self.blocking { 0 } else { case.callers };
        let mut child = Command::new(&self.program[0])
            .args(&self.program[1..])
            .args([&server.endpoint, case.operation])
            .arg(case.n(mode).to_string())
            .arg(callers.to_string())
            .arg(case.seconds(mode).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("no process")?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();

        expect(&mut lines, "ready").await?;
        server.take_renewals().await?;
        let before = Usage::of(pid)?;
        let start = Instant::now();
        stdin.write_all(b"go\n").await?;
        let count = expect(&mut lines, "done").await?.parse()?;
        let wall = start.elapsed();
        let after = Usage::of(pid)?;

        let mut sample = Sample::new(count, wall, before, after);
        sample.renewals = server.take_renewals().await?;
        child.kill().await?;
        Ok(sample)
    }
}

/// The rest of the next line, which must start with `word`.
async fn expect(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> Result<String> {
    let line = lines
        .next_line()
        .await?
        .with_context(|| format!("ended before '{word}'"))?;
    let rest = line
        .strip_prefix(word)
        .with_context(|| format!("said '{line}', not '{word}'"))?;
    Ok(rest.trim().to_owned())
}
