//! The contender in Rust: the crate etcd-client on a current-thread runtime.
//!
//! In: as for every contender, see README.md. Everything runs on one thread.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{Client, Compare, CompareOp, GetOptions, LeaseGrantOptions, Txn, TxnOp, WatchOptions};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::data;
use crate::task::{Task, done, ready};

/// Leases are granted by so many callers.
const GRANTERS: usize = 64;

/// Does what the task says.
pub async fn run(task: Task) -> Result<()> {
    match &task.operation[..] {
        "first" => first(&task).await,
        "replay" => replay(&task).await,
        "fanout" => fanout(&task).await,
        "renew" => renew(&task).await,
        "idle" => idle(&task).await,
        "parked" => parked(&task).await,
        _ => calls(&task).await,
    }
}

async fn connect(task: &Task) -> Result<Client> {
    Ok(Client::connect([&task.endpoint], None).await?)
}

/// `n` calls by `callers` tasks, each of which makes its calls one after another.
async fn calls(task: &Task) -> Result<()> {
    let client = connect(task).await?;
    share(&client, task, task.n / 10).await?;
    ready()?;
    share(&client, task, task.n).await?;
    done(task.n)
}

async fn share(client: &Client, task: &Task, n: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    for caller in 0..task.callers {
        let (mut client, task) = (client.clone(), task.clone());
        tasks.spawn(async move {
            let (key, value) = (data::key("bench/put/", caller), data::value(data::SMALL));
            for _ in (caller..n).step_by(task.callers) {
                call(&mut client, &task.operation, &key, &value).await?;
            }
            Ok(())
        });
    }
    joined(tasks).await
}

async fn joined(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn call(client: &mut Client, operation: &str, key: &str, value: &str) -> Result<()> {
    match operation {
        "put" => drop(client.put(key, value, None).await?),
        "get" => {
            let response = client.get(data::ONE, None).await?;
            ensure!(response.kvs()[0].value().len() == data::SMALL);
        }
        "range" => {
            let response = client.get(data::MANY, Some(GetOptions::new().with_prefix())).await?;
            ensure!(response.kvs().len() == data::MANY_KEYS);
        }
        "large" => {
            let response = client.get(data::LARGE, None).await?;
            ensure!(response.kvs()[0].value().len() == data::LARGE_SIZE);
        }
        "txn" => {
            let txn = Txn::new()
                .when([Compare::version(data::ONE, CompareOp::Greater, 0)])
                .and_then([
                    TxnOp::put(key, value, None),
                    TxnOp::get(data::ONE, None),
                    TxnOp::delete("bench/none", None),
                ]);
            ensure!(client.txn(txn).await?.op_responses().len() == 3);
        }
        _ => bail!("no operation {operation}"),
    }
    Ok(())
}

async fn first(task: &Task) -> Result<()> {
    ready()?;
    call(&mut connect(task).await?, "get", "", "").await?;
    done(1)
}

async fn replay(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    call(&mut client, "get", "", "").await?;
    ready()?;
    let options = WatchOptions::new().with_prefix().with_start_revision(1);
    let mut stream = client.watch(data::REPLAY, Some(options)).await?;
    let mut count = 0;
    while count < task.n {
        count += stream.message().await?.context("the watch has ended")?.events().len();
    }
    done(count)
}

/// `callers` watches on one stream, and one writer.
async fn fanout(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    let key = |number| data::key("bench/fan/", number % task.callers);
    let mut stream = client.watch(key(0), None).await?;
    for number in 0..task.callers {
        ensure!(stream.message().await?.context("the watch has ended")?.created());
        if number + 1 < task.callers {
            stream.watch(key(number + 1), None).await?;
        }
    }
    let reader = async {
        let mut count = 0;
        while count < task.n {
            count += stream.message().await?.context("the watch has ended")?.events().len();
        }
        Ok(count)
    };
    ready()?;
    let writer = async {
        let value = data::value(data::SMALL);
        for number in 0..task.n {
            client.put(key(number), &value[..], None).await?;
        }
        anyhow::Ok(())
    };
    let (count, ()) = tokio::try_join!(reader, writer)?;
    done(count)
}

/// Grants `n` leases, and renews them when a third of their TTL is over. The crate has a stream for each.
async fn leases(client: &Client, n: usize, ttl: u64) -> Result<()> {
    let mut tasks = JoinSet::new();
    for granter in 0..GRANTERS {
        let mut client = client.clone();
        tasks.spawn(async move {
            for number in (granter..n).step_by(GRANTERS) {
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

async fn renew(task: &Task) -> Result<()> {
    let client = connect(task).await?;
    leases(&client, task.n, data::RENEW_TTL).await?;
    ready()?;
    sleep(Duration::from_secs(task.seconds)).await;
    done(task.n)
}

/// `n` watches and `n` leases, and nothing to do.
async fn idle(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    leases(&client, task.n, data::IDLE_TTL).await?;
    let mut stream = client.watch(data::key("bench/idle/", 0), None).await?;
    for number in 1..task.n {
        stream.watch(data::key("bench/idle/", number), None).await?;
    }
    for _ in 0..task.n {
        ensure!(stream.message().await?.context("the watch has ended")?.created());
    }
    tokio::spawn(async move { while let Ok(Some(_)) = stream.message().await {} });
    ready()?;
    sleep(Duration::from_secs(task.seconds)).await;
    done(task.n)
}

async fn parked(task: &Task) -> Result<()> {
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
