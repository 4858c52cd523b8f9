//! The servers: each case gets a fresh one of each kind, with what it needs in it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use etcd_client::Client;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::cases::{Case, Kind, Mode};
use crate::data;

/// By so many callers the data is written.
const WRITERS: usize = 256;

pub struct Server {
    pub kind: Kind,
    pub endpoint: String,
    client: Client,
    /// The canned server; etcd is stopped by its script.
    _process: Option<Child>,
}

impl Server {
    /// Starts a server for a case. `folder` is for etcd.
    pub async fn start(kind: Kind, case: &Case, mode: Mode, root: &Path, folder: &Path) -> Result<Self> {
        let events = if case.operation == "replay" { case.n(mode) } else { 0 };
        let (endpoint, process) = match kind {
            Kind::Etcd => (etcd(root, folder).await?, None),
            Kind::Canned => {
                let (endpoint, process) = canned(events).await?;
                (endpoint, Some(process))
            }
        };
        let client = Client::connect([&endpoint], None).await?;
        if kind == Kind::Etcd {
            fill(&client, case, events).await?;
        }
        Ok(Self {
            kind,
            endpoint,
            client,
            _process: process,
        })
    }

    /// How many renewals the canned server has seen since it was asked last, and the most of them in 100 ms.
    pub async fn take_renewals(&mut self) -> Result<Option<[f64; 2]>> {
        if self.kind == Kind::Etcd {
            return Ok(None);
        }
        let response = self.client.get(data::RENEWALS, None).await?;
        let peak = response.kvs().first().context("no answer")?.version();
        Ok(Some([response.count() as f64, peak as f64]))
    }

    pub async fn stop(self, root: &Path, folder: &Path) -> Result<()> {
        match self.kind {
            Kind::Etcd => end_etcd(root, folder).await,
            Kind::Canned => Ok(()),
        }
    }
}

/// Starts an etcd, in place of one that a failure has left.
pub async fn etcd(root: &Path, folder: &Path) -> Result<String> {
    if folder.exists() {
        end_etcd(root, folder).await?;
    }
    let started = Command::new(root.join("spec/support/etcd"))
        .arg("start")
        .arg(folder)
        .arg("--quota-backend-bytes=8000000000")
        .status()
        .await?;
    ensure!(started.success(), "etcd did not start");
    Ok(fs::read_to_string(folder.join("endpoint"))?.trim().to_owned())
}

/// Ends an etcd, and deletes what it has stored.
pub async fn end_etcd(root: &Path, folder: &Path) -> Result<()> {
    let killed = Command::new(root.join("spec/support/etcd"))
        .arg("kill")
        .arg(folder)
        .status()
        .await?;
    ensure!(killed.success(), "etcd cannot be ended");
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// Starts the canned server, with a history of so many events.
pub async fn canned(events: usize) -> Result<(String, Child)> {
    let mut process = Command::new(env::current_exe()?)
        .arg("canned")
        .arg(events.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process.stdout.take().context("no stdout")?;
    let endpoint = BufReader::new(stdout).lines().next_line().await?;
    Ok((endpoint.context("the canned server did not start")?, process))
}

/// Puts into etcd what the case will read. The history is that of a store with nothing else in it.
async fn fill(client: &Client, case: &Case, events: usize) -> Result<()> {
    match case.operation {
        "replay" => write(client, data::REPLAY, events).await,
        "range" => write(client, data::MANY, data::MANY_KEYS).await,
        "large" => put(client, data::LARGE.to_owned(), data::LARGE_SIZE).await,
        _ => put(client, data::ONE.to_owned(), data::SMALL).await,
    }
}

async fn put(client: &Client, key: String, size: usize) -> Result<()> {
    client.kv_client().put(key, data::value(size), None).await?;
    Ok(())
}

async fn write(client: &Client, prefix: &'static str, count: usize) -> Result<()> {
    put(client, data::ONE.to_owned(), data::SMALL).await?;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let client = client.clone();
        writers.spawn(async move {
            for number in (writer..count).step_by(WRITERS) {
                put(&client, data::key(prefix, number), data::SMALL).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(())
}
