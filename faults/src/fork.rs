//! The family: another process of this program that has a client, and forks workers that come and go. Each worker makes
//! a client of its own, takes a lease, puts a key under it and revokes the lease.
//!
//! `faults fork SECONDS ENDPOINT...` is the parent; one thread forks, and waits for the client's runtime, as a Lua host
//! does. A line is printed for each lease, and for whatever goes wrong. It runs before this program has a runtime.

use std::collections::HashMap;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use silly_etcd::bridge::Bridge;
use silly_etcd::etcd::pb::{LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest};
use silly_etcd::etcd::{Address, Client, Config};
use tokio::process::Command;
use tokio::time::timeout;

use crate::check::Violation;
use crate::leases::PATIENCE;
use crate::traffic;

/// So many workers are forked one after the other, from the same state of the parent.
const BATCH: usize = 4;
/// In seconds.
const TTL: i64 = 5;
/// What the keys of the family begin with.
const PREFIX: &str = "family/";

/// Runs the family, and says what was wrong with it.
pub async fn run(seconds: u64, endpoints: impl IntoIterator<Item = String>) -> Result<Vec<Violation>> {
    let parent = Command::new(std::env::current_exe()?)
        .args(["fork", &seconds.to_string()])
        .args(endpoints)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .process_group(0)
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(seconds + 30), parent)
        .await
        .context("the family does not end")??;
    ensure!(
        output.status.success(),
        "the family's parent ended with {}",
        output.status
    );
    Ok(judge(&String::from_utf8_lossy(&output.stdout)))
}

/// What is wrong with the lines: leases that two were given, and all that the workers complain of.
fn judge(lines: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut holders = HashMap::new();
    for line in lines.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["granted", who, id] => {
                if let Some(other) = holders.insert(id, who) {
                    found.push(Violation::new(
                        "of one holder",
                        format!("lease {id} is that of {other} and {who}"),
                    ));
                }
            }
            _ => found.push(Violation::new("kept by its holder", line)),
        }
    }
    if holders.len() < BATCH {
        found.push(Violation::new(
            "ended",
            format!("only {} leases were granted", holders.len()),
        ));
    }
    found
}

/// Is the parent. Blocks.
pub fn parent(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let seconds = arguments.next().context("no seconds")?.parse()?;
    let endpoints = arguments.map(|text| text.parse::<Address>().map_err(anyhow::Error::msg));
    let endpoints: Vec<_> = endpoints.collect::<Result<_>>()?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let bridge = Bridge::new()?;
    let client = client(&endpoints);
    let taken = Bridge::new()?;
    let lease = perform(&taken, take(client.clone(), "parent".to_owned()))?;
    let mut number = 0;
    while Instant::now() < end {
        let mut workers = Vec::new();
        for _ in 0..BATCH {
            number += 1;
            workers.push(worker(number, &endpoints)?);
        }
        thread::sleep(Duration::from_millis(300));
        check(perform(
            &bridge,
            still_holds(client.clone(), "parent".to_owned(), lease),
        ));
        for worker in workers {
            waitpid(worker, None)?;
        }
    }
    Ok(())
}

/// Forks a worker. Every fourth leaves without a word.
#[allow(unsafe_code)]
fn worker(number: usize, endpoints: &[Address]) -> Result<Pid> {
    // SAFETY: the other threads are the library's, which is made for this; the child touches nothing else of theirs.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let done = Bridge::new()
                .map_err(Into::into)
                .and_then(|bridge| perform(&bridge, work(client(endpoints), number)));
            check(done);
            if number.is_multiple_of(BATCH) {
                let _ = kill(Pid::this(), Signal::SIGKILL);
            }
            std::process::exit(0);
        }
    }
}

/// A worker's life.
async fn work(client: Client, number: usize) -> Result<()> {
    let name = number.to_string();
    let id = take(client.clone(), name.clone()).await?;
    // Those of one batch end one after the other.
    for _ in 0..=number % BATCH {
        tokio::time::sleep(Duration::from_millis(200)).await;
        still_holds(client.clone(), name.clone(), id).await?;
    }
    if !number.is_multiple_of(BATCH) {
        client.revoke(LeaseRevokeRequest { id }, &client.options()).await?;
    }
    Ok(())
}

/// Takes a lease and puts a key under it.
async fn take(client: Client, name: String) -> Result<i64> {
    let grant = LeaseGrantRequest { ttl: TTL, id: 0 };
    let id = client.grant(grant, true, &client.options()).await?.id;
    println!("granted {name} {id}");
    let put = PutRequest {
        key: format!("{PREFIX}{name}").into(),
        lease: id,
        ..PutRequest::default()
    };
    client.put(put, &client.options()).await?;
    Ok(id)
}

/// Fails unless the key is there, under that lease.
async fn still_holds(client: Client, name: String, id: i64) -> Result<()> {
    let range = RangeRequest {
        key: format!("{PREFIX}{name}").into(),
        ..RangeRequest::default()
    };
    let held = client.get(range, &client.options()).await?.kvs;
    match &held[..] {
        [key] if key.lease == id => Ok(()),
        _ => bail!("the key of {name} under lease {id} is gone"),
    }
}

fn check(done: Result<()>) {
    if let Err(error) = done {
        println!("{error:#}");
    }
}

fn client(endpoints: &[Address]) -> Client {
    Client::new(Config {
        options: traffic::options(PATIENCE, 3),
        ..Config::new(endpoints.to_vec())
    })
}

/// Runs an operation on the client's runtime, and waits for it.
fn perform<T: Send + 'static>(
    bridge: &Bridge<Result<T>>,
    operation: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    bridge.submit(operation, || bail!("a panic"))?;
    loop {
        if let Some((_, result)) = bridge.take() {
            return result;
        }
        bridge.wait(None, None)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_lease_and_a_complaint_are_found() {
        let sound = "granted parent 1\ngranted 1 2\ngranted 2 3\ngranted 3 4\n";
        assert_eq!(judge(sound), []);
        assert_eq!(judge(&format!("{sound}granted 4 2")).len(), 1);
        assert_eq!(judge(&format!("{sound}the key of 1 under lease 2 is gone")).len(), 1);
        assert_eq!(judge("").len(), 1);
    }
}
