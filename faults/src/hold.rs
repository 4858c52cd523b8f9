//! The client that is killed: another process of this program, that does nothing but keep leases.
//!
//! `faults hold ENDPOINT...` prints a line once it holds them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use silly_etcd::etcd::pb::{LeaseGrantRequest, PutRequest};
use silly_etcd::etcd::{Address, Client, Config};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::leases::PATIENCE;
use crate::traffic;

/// What the keys on its leases begin with.
pub const PREFIX: &str = "held/";
pub const COUNT: i64 = 3;
/// In seconds.
pub const TTL: i64 = 5;

/// Starts the process; returns once it holds its leases.
pub async fn start(endpoints: impl IntoIterator<Item = String>) -> Result<Child> {
    let mut process = Command::new(std::env::current_exe()?)
        .arg("hold")
        .args(endpoints)
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let output = process.stdout.take().context("no output")?;
    let mut line = String::new();
    tokio::time::timeout(Duration::from_secs(10), BufReader::new(output).read_line(&mut line)).await??;
    ensure!(line.trim() == "holding", "the holder said {line:?}");
    Ok(process)
}

/// Is that process: never returns.
pub async fn run(endpoints: impl Iterator<Item = String>) -> Result<()> {
    let endpoints = endpoints.map(|text| text.parse::<Address>().map_err(anyhow::Error::msg));
    let options = traffic::options(PATIENCE, 3);
    let client = Client::new(Config {
        options: options.clone(),
        ..Config::new(endpoints.collect::<Result<_>>()?)
    });
    for i in 0..COUNT {
        let granted = client
            .grant(LeaseGrantRequest { ttl: TTL, id: 0 }, true, &options)
            .await?;
        let put = PutRequest {
            key: format!("{PREFIX}{i}").into(),
            lease: granted.id,
            ..PutRequest::default()
        };
        client.put(put, &options).await?;
    }
    println!("holding");
    std::future::pending().await
}
