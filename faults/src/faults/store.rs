//! The faults of the store itself.

use std::time::Duration;

use anyhow::{Context, Result};
use silly_etcd::etcd::Readable;
use silly_etcd::etcd::pb::{AuthDisableRequest, AuthEnableRequest, LeaseGrantRequest, LeaseKeepAliveRequest};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::check::Violation;
use crate::check::lives::Past;
use crate::history::Time;
use crate::proxy::Proxy;
use crate::stage::Stage;
use crate::{leases, users};

/// Of a lease that gets lost, in seconds.
const TTL: i64 = 5;
/// Its loss must be reported by then, after the store is back.
const LIMIT: Duration = Duration::from_secs(10);

/// A permission is taken and given back. Connections break meanwhile, so that watches have to ask for it again.
pub async fn revoke(stage: &mut Stage) -> Result<()> {
    for moment in 0..stage.faults() {
        let _fault = stage.fault(moment).await;
        let from = stage.now();
        stage.record().taken.push((from, Time::MAX / 2));
        users::take(&stage.cluster).await?;
        sleep(stage.scaled(1.0)).await;
        stage.front.proxies.iter().for_each(Proxy::cut);
        sleep(stage.scaled(3.0)).await;
        users::give(&stage.cluster).await?;
        let until = stage.now();
        if let Some(taken) = stage.record().taken.last_mut() {
            taken.1 = until;
        }
    }
    Ok(())
}

/// Authentication is switched off and on again by the client under test.
pub async fn login(stage: &mut Stage) -> Result<()> {
    let root = users::root(stage);
    let options = root.options();
    for moment in 0..stage.faults() {
        let _fault = stage.fault(moment).await;
        root.auth().disable(AuthDisableRequest {}, &options).await?;
        sleep(stage.scaled(2.0)).await;
        root.auth().enable(AuthEnableRequest {}, &options).await?;
        stage.switched += 1;
        users::login(&stage.cluster).await?;
    }
    Ok(())
}

/// All members die, and come back with an older backup. The first time it lacks much, so that the store is far behind
/// what the clients have seen when they are back; the second time little, so that it is soon past that.
pub async fn restore(stage: &mut Stage) -> Result<()> {
    for (moment, written_on) in [stage.scaled(4.0), Duration::from_millis(200)]
        .into_iter()
        .enumerate()
        .take(stage.faults())
    {
        let fault = stage.fault(moment).await;
        let kept = stage.cluster.backup().await?;
        let orphan = orphan(stage).await?;
        sleep(written_on).await;
        // What is under way when the store dies could be part of either life.
        let rest = stage.rest().await;
        let control = stage.cluster.members[0].control.clone();
        stage.reference.advance(&control).await?;
        for member in &mut stage.cluster.members {
            member.kill().await?;
        }
        stage.cluster.restore().await?;
        let events = std::mem::take(&mut stage.reference).events;
        let until = stage.now();
        stage.past.push(Past { until, kept, events });
        stage.record().restored.push(until);
        drop(rest);
        for member in &mut stage.cluster.members {
            member.start()?;
        }
        drop(fault);
        let wrong = match timeout(LIMIT, orphan).await {
            Ok(lost) => (lost? < until).then(|| Violation::new("kept alive", "a lease was lost before its store was")),
            Err(_) => Some(Violation::new("reported", "nobody said that the backup lacks a lease")),
        };
        stage.violations.extend(wrong);
    }
    Ok(())
}

/// Takes a lease that the backup does not know. The task says when its loss was reported.
async fn orphan(stage: &Stage) -> Result<JoinHandle<Time>> {
    let client = stage.client(0, 0..3, leases::PATIENCE);
    let history = stage.history();
    let grant = LeaseGrantRequest { ttl: TTL, id: 0 };
    let id = client.grant(grant, true, &client.options()).await?.id;
    let (_, renewals) = client
        .keepalive(LeaseKeepAliveRequest { id }, Some(true), &client.options())
        .await?;
    let renewals = renewals.context("no renewal in the background")?;
    Ok(tokio::spawn(async move {
        while renewals.read().await.is_ok() {}
        // Without its client it would end.
        drop(client);
        history.now()
    }))
}

/// Up to the present, every 200 ms. The store's history is read before.
pub async fn compaction(stage: &mut Stage) -> Result<()> {
    let _fault = stage.fault(0).await;
    while stage.lasts() {
        let control = stage.cluster.members[0].control.clone();
        stage.reference.advance(&control).await?;
        control.compact(stage.reference.revision, false).await?;
        stage.compacted = stage.reference.revision;
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

pub async fn defrag(stage: &mut Stage) -> Result<()> {
    for moment in 0..stage.faults() {
        let _fault = stage.fault(moment).await;
        for member in &stage.cluster.members {
            member.control.defragment().await?;
        }
    }
    Ok(())
}

/// The store is full for a while, then emptied by the book.
pub async fn full(stage: &mut Stage) -> Result<()> {
    let _fault = stage.fault(0).await;
    let control = stage.cluster.members[0].control.clone();
    control.fill().await?;
    sleep(stage.scaled(8.0)).await;
    stage.reference.advance(&control).await?;
    control.compact(stage.reference.revision, true).await?;
    stage.compacted = stage.reference.revision;
    for member in &stage.cluster.members {
        member.control.defragment().await?;
    }
    control.disarm().await
}
