//! How many system calls a get and a live event cost on a host, by strace, where that is installed.
//!
//! In: a cell of the conformance suite. Out: the calls of all its threads per get and per event. A real etcd of its own
//! serves them, as its pings belong to the cost. Each is counted in a short and a long run, whose difference has
//! nothing of the start and the end of the program.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_client::Client;
use tokio::process::Command;
use tokio::time::sleep;

use crate::data;
use crate::servers::{end_etcd, etcd};

/// Of each operation in the short and in the long run.
const FEW: u32 = 200;
const MANY: u32 = 2200;

/// Between two events: longer than handling one takes under strace.
const GAP: Duration = Duration::from_millis(3);

/// Per get and per event: all system calls, and those named futex.
pub type Counts = [[f64; 2]; 2];

/// Can system calls be counted here?
pub async fn available() -> bool {
    let traced = Command::new("strace").args(["-c", "-o", "/dev/null", "true"]).output();
    traced.await.is_ok_and(|output| output.status.success())
}

/// Counts those of one host.
pub async fn count(root: &Path, host: &str, version: &str) -> Result<Counts> {
    let folder = root.join("target/bench-syscalls");
    let endpoint = etcd(root, &folder).await?;
    let client = Client::connect([&endpoint], None).await?;
    client
        .kv_client()
        .put(data::ONE, data::value(data::SMALL), None)
        .await?;
    let writer = tokio::spawn(async move {
        let mut kv = client.kv_client();
        while kv.put("bench/event", "", None).await.is_ok() {
            sleep(GAP).await;
        }
    });
    let mut counts = Counts::default();
    for (count, operation) in counts.iter_mut().zip(["get", "event"]) {
        let few = trace(root, host, version, &endpoint, operation, FEW).await?;
        let many = trace(root, host, version, &endpoint, operation, MANY).await?;
        *count = [0, 1].map(|i| (many[i] - few[i]) / f64::from(MANY - FEW));
    }
    writer.abort();
    end_etcd(root, &folder).await?;
    Ok(counts)
}

/// The system calls of one run: all, and futex.
async fn trace(
    root: &Path,
    host: &str,
    version: &str,
    endpoint: &str,
    operation: &str,
    count: u32,
) -> Result<[f64; 2]> {
    let table = root.join("target/bench-strace");
    let traced = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls", "-o"])
        .arg(&table)
        .arg(root.join("spec/conformance/run"))
        .args([host, version])
        .env("CONFORMANCE", "bench.calls")
        .env("OPERATION", operation)
        .env("COUNT", count.to_string())
        .env("ETCD_ENDPOINTS", endpoint)
        .output();
    // What a host's program says, and its exit status, belong to the suite.
    traced.await?;
    let table = fs::read_to_string(&table)?;
    let calls = |name: &str| {
        let mut words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = words.find(|words| words.first() == Some(&name));
        line.map_or(Ok(0.0), |words| {
            words.get(1).context("no count")?.parse().context("no number")
        })
    };
    Ok([calls("total")?, calls("futex")?])
}
