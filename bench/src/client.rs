//! The contender in Rust: the crate etcd-client on a current-thread runtime.
//!
//! In: as for every contender, see README.md. Everything runs on one thread.

mod growth;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{Client, Compare, CompareOp, GetOptions, Txn, TxnOp, WatchOptions, WatchStream};
use tokio::task::JoinSet;

use crate::data;
use crate::task::{Task, done, ready};

/// Does what the task says.
pub async fn run(task: Task) -> Result<()> {
    match &task.operation[..] {
        "first" => first(&task).await,
        "replay" => replay(&task).await,
        "fanout" => fanout(&task).await,
        "events" => growth::events(&task).await,
        "leases" => growth::leases(&task).await,
        "watches" => growth::watches(&task).await,
        "clients" => growth::clients(&task).await,
        "idle" => growth::idle(&task).await,
        "parked" => growth::parked(&task).await,
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
    done(read(&mut stream, task.n).await?)
}

/// Makes a watch, on a stream of its own.
async fn watch(client: &mut Client, key: String) -> Result<WatchStream> {
    let mut stream = client.watch(key, None).await?;
    ensure!(stream.message().await?.context("the watch has ended")?.created());
    Ok(stream)
}

/// Makes a watch of each of `count` keys, all on one stream.
async fn watch_all(client: &mut Client, prefix: &str, count: usize) -> Result<WatchStream> {
    let mut stream = watch(client, data::key(prefix, 1)).await?;
    for number in 2..=count {
        stream.watch(data::key(prefix, number), None).await?;
    }
    for _ in 2..=count {
        ensure!(stream.message().await?.context("the watch has ended")?.created());
    }
    Ok(stream)
}

/// Reads so many events.
async fn read(stream: &mut WatchStream, n: usize) -> Result<usize> {
    let mut count = 0;
    while count < n {
        count += stream.message().await?.context("the watch has ended")?.events().len();
    }
    Ok(count)
}

/// `callers` watches, and one writer.
async fn fanout(task: &Task) -> Result<()> {
    let mut client = connect(task).await?;
    let mut stream = watch_all(&mut client, "bench/fan/", task.callers).await?;
    ready()?;
    let writer = async {
        let value = data::value(data::SMALL);
        for number in 0..task.n {
            let key = data::key("bench/fan/", number % task.callers + 1);
            client.put(key, &value[..], None).await?;
        }
        anyhow::Ok(())
    };
    let (count, ()) = tokio::try_join!(read(&mut stream, task.n), writer)?;
    done(count)
}
