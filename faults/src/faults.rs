//! The faults, one function per cell of the matrix. Each begins with the window and returns when it is over; what it
//! leaves broken is mended afterwards.

mod between;
mod members;
mod store;
mod weather;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::cells::Cell;
use crate::check::Violation;
use crate::stage::Stage;
use crate::{fork, hold};

/// Makes the faults of a cell, for as long as the window lasts.
pub async fn run(cell: &Cell, stage: &mut Stage) -> Result<()> {
    match cell.name {
        // In the second no connection lasts, from the beginning.
        "none" | "goaway" => {}
        "kill-leader" => kill(stage, true).await?,
        "kill-follower" => kill(stage, false).await?,
        "kill-all" => kill_all(stage).await?,
        "pause-leader" => pause_leader(stage).await?,
        "pause-follower" => pause_follower(stage).await?,
        "pause-all" => pause_all(stage).await?,
        "proxy-cut" => weather::cut(stage).await,
        "proxy-freeze" => weather::freeze(stage).await,
        "proxy-delay" => weather::delay(stage).await,
        "proxy-throttle" => weather::throttle(stage).await,
        "proxy-truncate" => weather::truncate(stage).await,
        "tls-garble" => weather::garble(stage).await,
        "cut-leader" => isolate(stage, true).await?,
        "cut-follower" => isolate(stage, false).await?,
        "cut-clients" => hide(stage).await?,
        "proxy-silent" => weather::silent(stage).await,
        "compaction" => store::compaction(stage).await?,
        "move-leader" => move_leader(stage).await?,
        "defrag" => store::defrag(stage).await?,
        "full" => store::full(stage).await?,
        "replace" => replace(stage).await?,
        "members" => members::run(stage).await?,
        "kill-client" => kill_client(stage).await?,
        "grpc-proxy" => between::grpc_proxy(stage).await?,
        "balancer" => between::balancer(stage).await?,
        "streams-1" => between::streams(stage).await,
        "slow-line" => between::slow_line(stage).await,
        "forgotten" => between::forgotten(stage).await?,
        "restore" => store::restore(stage).await?,
        "fork" => family(stage).await?,
        "revoke" => store::revoke(stage).await?,
        "login" => store::login(stage).await?,
        name => bail!("no fault is called {name}"),
    }
    stage.end().await;
    Ok(())
}

async fn kill(stage: &mut Stage, leader: bool) -> Result<()> {
    for moment in 0..stage.faults() {
        let _fault = stage.fault(moment).await;
        let victim = if leader {
            stage.cluster.leader().await?
        } else {
            stage.cluster.follower().await?
        };
        stage.cluster.members[victim].kill().await?;
        sleep(stage.scaled(2.0)).await;
        stage.cluster.members[victim].start()?;
    }
    Ok(())
}

async fn kill_all(stage: &mut Stage) -> Result<()> {
    for moment in 0..stage.faults() {
        let _fault = stage.fault(moment).await;
        for member in &mut stage.cluster.members {
            member.kill().await?;
        }
        sleep(stage.scaled(1.0)).await;
        for member in &mut stage.cluster.members {
            member.start()?;
        }
    }
    Ok(())
}

async fn pause_leader(stage: &mut Stage) -> Result<()> {
    for (moment, seconds) in [4.0, 1.0, 4.0].into_iter().enumerate().take(stage.faults()) {
        let _fault = stage.fault(moment).await;
        let victim = stage.cluster.leader().await?;
        stage.cluster.members[victim].pause()?;
        sleep(stage.scaled(seconds)).await;
        stage.cluster.members[victim].resume()?;
    }
    Ok(())
}

async fn pause_follower(stage: &mut Stage) -> Result<()> {
    let _fault = stage.fault(0).await;
    let victim = stage.cluster.follower().await?;
    stage.cluster.members[victim].pause()?;
    sleep(stage.scaled(10.0)).await;
    stage.cluster.members[victim].resume()
}

/// For longer than leases live.
async fn pause_all(stage: &mut Stage) -> Result<()> {
    let _fault = stage.fault(0).await;
    for member in &stage.cluster.members {
        member.pause()?;
    }
    sleep(Duration::from_secs(8)).await;
    stage.cluster.members.iter().try_for_each(|member| member.resume())
}

async fn move_leader(stage: &mut Stage) -> Result<()> {
    let _fault = stage.fault(0).await;
    while stage.lasts() {
        let (leader, next) = (stage.cluster.leader().await?, stage.cluster.follower().await?);
        let members = &stage.cluster.members;
        let target = members[next].control.id().await?;
        // The leadership may have moved by itself.
        let _ = members[leader].control.move_leader(target).await;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// One member alone, its clients still with it. The members need a while to find each other again.
async fn isolate(stage: &mut Stage, leader: bool) -> Result<()> {
    for moment in (0..stage.faults()).step_by(2) {
        let _fault = stage.fault(moment).await;
        let victim = if leader {
            stage.cluster.leader().await?
        } else {
            stage.cluster.follower().await?
        };
        let network = stage.network()?;
        network.isolate(victim, true)?;
        sleep(stage.scaled(5.0)).await;
        network.isolate(victim, false)?;
    }
    Ok(())
}

/// One member, then another, then two are silent for the clients and well otherwise.
async fn hide(stage: &mut Stage) -> Result<()> {
    let one = fastrand::usize(..3);
    let victims = [vec![one], vec![(one + 1) % 3], vec![one, (one + 2) % 3]];
    for (moment, victims) in victims.into_iter().enumerate().take(stage.faults()) {
        let _fault = stage.fault(moment).await;
        let network = stage.network()?;
        victims.iter().try_for_each(|victim| network.hide(*victim, true))?;
        sleep(stage.scaled(5.0)).await;
        victims.iter().try_for_each(|victim| network.hide(*victim, false))?;
    }
    Ok(())
}

/// A member is removed, and comes back as a new one.
async fn replace(stage: &mut Stage) -> Result<()> {
    let _fault = stage.fault(0).await;
    let victim = stage.cluster.follower().await?;
    let control = stage.cluster.members[stage.cluster.leader().await?].control.clone();
    let id = stage.cluster.members[victim].control.id().await?;
    // The cluster refuses until its members have known each other for some seconds.
    while control.remove(id).await.is_err() {
        sleep(Duration::from_millis(500)).await;
    }
    sleep(stage.scaled(3.0)).await;
    let member = &mut stage.cluster.members[victim];
    member.kill().await?;
    member.forget()?;
    while control.add(member.peer_url()).await.is_err() {
        sleep(Duration::from_millis(500)).await;
    }
    member.start()
}

/// Another client, a process of its own, goes away without a word. Its leases end by themselves.
async fn kill_client(stage: &mut Stage) -> Result<()> {
    let mut holder = hold::start(stage.cluster.endpoints()).await?;
    // Long enough to tell that it renewed them.
    sleep(Duration::from_secs(hold::TTL.unsigned_abs() + 2)).await;
    let control = stage.cluster.members[0].control.clone();
    let held = control.count(hold::PREFIX).await?;
    let _fault = stage.begin();
    holder.kill().await?;
    let killed = Instant::now();
    let due = Duration::from_secs(hold::TTL.unsigned_abs() + 1);
    let mut left = held;
    while left > 0 && killed.elapsed() < due {
        sleep(Duration::from_millis(50)).await;
        left = control.count(hold::PREFIX).await?;
    }
    if held != hold::COUNT || left != 0 {
        let text =
            format!("{held} leases of the client were alive when it was killed, {left} were 1 s after their TTL");
        stage.violations.push(Violation::new("ended", text));
    }
    Ok(())
}

/// A process with a client forks workers with clients of their own, from the first moment on.
async fn family(stage: &mut Stage) -> Result<()> {
    let _fault = stage.fault(0).await;
    let seconds = stage.scaled(20.0).as_secs();
    let found = fork::run(seconds, stage.cluster.endpoints()).await?;
    stage.violations.extend(found);
    Ok(())
}
