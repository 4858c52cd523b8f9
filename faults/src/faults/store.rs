//! The faults of the store itself.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::check::lives::Past;
use crate::history::Time;
use crate::proxy::Proxy;
use crate::stage::Stage;
use crate::users;

/// A permission is taken and given back. Connections break meanwhile, so that watches have to ask for it again.
pub async fn revoke(stage: &mut Stage) -> Result<()> {
    for moment in 0..stage.faults() {
        stage.fault(moment).await;
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

/// All members die, and come back with an older backup. The first time it lacks much, so that the store is far behind
/// what the clients have seen when they are back; the second time little, so that it is soon past that.
pub async fn restore(stage: &mut Stage) -> Result<()> {
    for (moment, written_on) in [stage.scaled(4.0), Duration::from_millis(200)]
        .into_iter()
        .enumerate()
        .take(stage.faults())
    {
        stage.fault(moment).await;
        let kept = stage.cluster.backup().await?;
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
    }
    Ok(())
}

/// Up to the present, every 200 ms. The store's history is read before.
pub async fn compaction(stage: &mut Stage) -> Result<()> {
    stage.fault(0).await;
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
        stage.fault(moment).await;
        for member in &stage.cluster.members {
            member.control.defragment().await?;
        }
    }
    Ok(())
}

/// The store is full for a while, then emptied by the book.
pub async fn full(stage: &mut Stage) -> Result<()> {
    stage.fault(0).await;
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
