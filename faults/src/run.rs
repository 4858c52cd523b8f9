//! One run: a cluster, the clients at work, a fault, and what the checks say of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::cells::{Cell, Way};
use crate::check::{lives, story};
use crate::cluster::Cluster;
use crate::faults;
use crate::front::Front;
use crate::history::{History, Record};
use crate::net::Network;
use crate::report::Row;
use crate::stage::{CALLERS, ROAMERS, SHORT, Stage};
use crate::story::Listeners;
use crate::traffic::Caller;
use crate::watchers::Goal;
use crate::{caches, entries, leases, lockers, picture, traffic, users, watchers};

/// How long the events that are still missing are waited for once all is well again.
const DRAIN: Duration = Duration::from_secs(30);

/// The number of the caller that calls at the end.
const CLOSER: usize = CALLERS;
/// All clients: the callers' and that one's, two of the holders, those of the entries and the lockers, two of the readers.
const CLIENTS: usize = CALLERS + 7;

/// Runs a cell and judges it.
pub async fn run(cell: &Cell, window: Duration) -> Result<Row> {
    let network = match cell.way {
        Way::Network | Way::Balancer => match Network::new(3) {
            Ok(network) => Some(network),
            Err(reason) => return Ok(Row::skipped(cell.name, format!("{reason:#}"))),
        },
        Way::Middlebox => Network::forgetful(3).ok(),
        _ => None,
    };
    let cluster = Cluster::start(cell, network).await?;
    let front = Front::start(cell.way, &cluster).await?;
    if cell.users {
        users::enable(&cluster).await?;
    }
    let history = Arc::new(History::new());
    let mut stage = Stage::new(cell, cluster, front, history.clone(), window);

    let stop = Arc::new(AtomicBool::new(false));
    let (goal, goals) = watch::channel(None);
    let (let_go, letting_go) = watch::channel(false);
    let mut listeners = Listeners::default();
    let mut callers = JoinSet::new();
    for (number, client) in stage.callers().into_iter().enumerate() {
        // One that is shared tells everybody's story.
        if !(cell.shared && (1..ROAMERS).contains(&number)) {
            listeners.hear(format!("caller {number}"), &client);
        }
        callers.spawn(Caller::new(number, client, history.clone()).run(stop.clone(), stage.turns()));
    }
    let mut lockers = JoinSet::new();
    let mut others = JoinSet::new();
    let holder = || stage.client(CLOSER, 0..3, cell.patience.max(leases::PATIENCE));
    let (holders, locker, entry) = (vec![holder(), holder()], holder(), holder());
    listeners.hear("holder 0", &holders[0]);
    listeners.hear("holder 1", &holders[1]);
    listeners.hear("lockers", &locker);
    listeners.hear("entries", &entry);
    lockers.spawn(lockers::run(locker, history.clone(), stop.clone()));
    others.spawn(entries::run(entry, history.clone(), letting_go.clone()));
    others.spawn(leases::run(holders, cell.ttl, history.clone(), letting_go));
    let mut readers = JoinSet::new();
    let reader = |number| stage.client(number, 0..3, cell.patience);
    let clients = vec![reader(0), reader(1)];
    listeners.hear("reader 0", &clients[0]);
    listeners.hear("reader 1", &clients[1]);
    readers.spawn(caches::run(clients[1].clone(), history.clone(), goals.clone()));
    readers.spawn(watchers::run(clients, cell.crowd, history.clone(), stop.clone(), goals));

    faults::run(cell, &mut stage).await?;
    stage.cluster.heal().await?;
    stage.front.heal();

    stop.store(true, Ordering::Relaxed);
    join(callers).await.context("the callers")?;
    join(lockers).await.context("the lockers")?;
    let client = stage.client(CLOSER, 0..3, cell.patience);
    listeners.hear("caller at the end", &client);
    let mut closer = Caller::new(CLOSER, client, history.clone());
    closer.read_all().await;
    let mut finished = None;
    for _ in 0..10 {
        finished = closer.finish().await;
        if finished.is_some() {
            break;
        }
    }
    let (put, delete) = finished.with_context(|| {
        let record = history.record();
        let last = record.calls.last().map(ToString::to_string).unwrap_or_default();
        format!("the healed cluster does not answer: {last}")
    })?;
    goal.send_replace(Some(Goal {
        put,
        delete,
        limit: Instant::now() + DRAIN,
    }));
    join(readers).await.context("the readers")?;
    let end = history.now();
    stage
        .reference
        .advance(&stage.cluster.members[0].control.clone())
        .await?;
    let_go.send_replace(true);
    join(others).await.context("the holders")?;

    let told = listeners.end().await?;
    let record: Record = std::mem::take(&mut *history.record());
    ensure!(record.leases.len() == leases::COUNT, "some leases are not recorded");
    picture::draw(cell.name, &record, end)?;
    let events = std::mem::take(&mut stage.reference.events);
    let past = std::mem::take(&mut stage.past);
    let lives = lives::tell(past, &record.calls, events, stage.compacted);
    let mut row = Row::judge(cell, &record, &lives, end, traffic::PREFIX);
    // A short run is a test among others, on a machine that has more to do.
    if window >= SHORT {
        row.judge_times(cell);
    }
    row.violations.append(&mut stage.violations);
    row.violations.extend(story::check(&told, &cell.story, &record));
    if cell.users {
        row.violations.extend(users::judge(
            &record,
            CLIENTS,
            stage.switched,
            users::logins(&stage.cluster).await?,
        ));
    }
    if !row.violations.is_empty() {
        eprintln!(
            "the record of {} is in {}",
            cell.name,
            row.save(&record, &lives, &told)?.display()
        );
    }
    Ok(row)
}

/// Waits for all tasks, and passes their panics on.
async fn join(tasks: JoinSet<()>) -> Result<()> {
    timeout(DRAIN * 2, tasks.join_all()).await.context("do not end")?;
    Ok(())
}
