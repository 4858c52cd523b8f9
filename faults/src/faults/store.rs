//! The faults of the store itself.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::check::lives::Past;
use crate::stage::Stage;

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
