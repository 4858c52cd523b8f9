//! What the contender in Rust makes many of: leases, watches, clients, calls that are not answered.
//!
//! In: the task. Out: as for every operation; what is made stays until the program ends, and rests for as long as the
//! task says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_client::{Client, GetOptions, LeaseGrantOptions};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{call, connect, joined, read, watch, watch_all};
use crate::data;
use crate::task::{Task, done, ready, rest};

/// So many events the server makes at a time, to as many watches if there are so many.
const LUMP: usize = 100;
/// By so many tasks leases, watches and clients are made.
const MAKERS: usize = 64;

/// Makes a watch of each of `count` keys, with a stream and a task that reads it, which calls `take` with the number of
/// events.
async fn watch_each(client: &Client, count: usize, take: impl Fn(usize) + Clone + Send + 'static) -> Result<()> {
    let mut tasks = JoinSet::new();
    for maker in 0..MAKERS {
        let (mut client, take) = (client.clone(), take.clone());
        tasks.spawn(async move {
            for number in (maker..count).step_by(MAKERS) {
                let mut stream = watch(&mut client, data::key(data::WATCHED, number)).await?;
                let take = take.clone();
                tokio::spawn(async move {
                    while let Some(response) = stream.message().await? {
                        take(response.events().len());
                    }
                    anyhow::Ok(())
                });
            }
            Ok(())
        });
    }
    joined(tasks).await
}

/// `callers` watches with a reader each, and events that the server makes: one for each as a warm-up.
pub async fn events(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    let awaited = Arc::new((AtomicUsize::new(0), Notify::new()));
    let take = {
        let awaited = awaited.clone();
        move |count| {
            if awaited.0.fetch_sub(count, Relaxed) == count {
                awaited.1.notify_one();
            }
        }
    };
    watch_each(&client, task.callers, take).await?;
    let mut make = async |n: usize| {
        for made in (0..n).step_by(LUMP) {
            let lump = LUMP.min(n - made);
            awaited.0.store(lump, Relaxed);
            let limit = GetOptions::new().with_limit(lump as i64);
            client.get(data::EVENTS, Some(limit)).await?;
            awaited.1.notified().await;
        }
        anyhow::Ok(())
    };
    make(task.callers).await?;
    ready()?;
    make(task.n).await?;
    done(task.n)
}

/// Grants `n` leases, and renews them when a third of their TTL is over. The crate has a stream for each.
async fn grant(client: &Client, n: usize, ttl: u64) -> Result<()> {
    let mut tasks = JoinSet::new();
    for granter in 0..MAKERS {
        let mut client = client.clone();
        tasks.spawn(async move {
            for number in (granter..n).step_by(MAKERS) {
                let id = (1 << 32) + number as i64 + i64::from(std::process::id()) * (1 << 33);
                let options = LeaseGrantOptions::new().with_id(id);
                client.lease_grant(ttl as i64, Some(options)).await?;
                let (mut keeper, mut stream) = client.lease_keep_alive(id).await?;
                tokio::spawn(async move {
                    let mut due = interval(Duration::from_secs(ttl) / 3);
                    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    due.tick().await;
                    loop {
                        due.tick().await;
                        keeper.keep_alive().await?;
                        stream.message().await?.context("the stream has ended")?;
                    }
                    #[allow(unreachable_code)]
                    anyhow::Ok(())
                });
            }
            Ok(())
        });
    }
    joined(tasks).await
}

pub async fn leases(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    call(&mut client, "get", "", "").await?;
    ready()?;
    grant(&client, task.n, data::RENEW_TTL).await?;
    done(task.n)?;
    rest(task).await
}

/// `n` watches with a reader each.
pub async fn watches(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    call(&mut client, "get", "", "").await?;
    ready()?;
    watch_each(&client, task.n, |_| ()).await?;
    done(task.n)?;
    rest(task).await
}

/// `n` clients, each of which has made a call.
pub async fn clients(task: &Task) -> Result<()> {
    ready()?;
    let mut makers = JoinSet::new();
    for maker in 0..MAKERS {
        let task = task.clone();
        makers.spawn(async move {
            let mut clients = Vec::new();
            for _ in (maker..task.n).step_by(MAKERS) {
                let mut client = connect(&task).await?;
                call(&mut client, "get", "", "").await?;
                clients.push(client);
            }
            anyhow::Ok(clients)
        });
    }
    let mut clients = Vec::new();
    while let Some(made) = makers.join_next().await {
        clients.extend(made??);
    }
    done(clients.len())?;
    rest(task).await
}

/// `n` watches and `n` leases, and nothing to do.
pub async fn idle(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    ready()?;
    grant(&client, task.n, data::IDLE_TTL).await?;
    let mut stream = watch_all(&mut client, "bench/idle/", task.n).await?;
    tokio::spawn(async move { read(&mut stream, usize::MAX).await });
    done(task.n)?;
    rest(task).await
}

pub async fn parked(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    call(&mut client, "get", "", "").await?;
    ready()?;
    for _ in 0..task.n {
        let mut client = client.clone();
        tokio::spawn(async move { client.get(data::PARKED, None).await.map(drop) });
    }
    let all = GetOptions::new().with_limit(task.n as i64);
    client.get(data::ALL_PARKED, Some(all)).await?;
    done(task.n)
}
