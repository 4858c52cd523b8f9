//! The faults, one function per cell of the matrix. Each begins with the window and returns when it is over; what it
//! leaves broken is mended afterwards.

mod between;
mod store;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::cells::Cell;
use crate::check::Violation;
use crate::proxy::{Proxy, Weather};
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
        "proxy-cut" => cut(stage).await,
        "proxy-freeze" => freeze(stage).await,
        "proxy-delay" => delay(stage).await,
        "proxy-throttle" => throttle(stage).await,
        "proxy-truncate" => truncate(stage).await,
        "tls-garble" => garble(stage).await,
        "cut-leader" => isolate(stage, true).await?,
        "cut-follower" => isolate(stage, false).await?,
        "cut-clients" => hide(stage).await?,
        "proxy-silent" => silent(stage).await,
        "compaction" => compaction(stage).await?,
        "move-leader" => move_leader(stage).await?,
        "defrag" => defrag(stage).await?,
        "full" => full(stage).await?,
        "replace" => replace(stage).await?,
        "kill-client" => kill_client(stage).await?,
        "grpc-proxy" => between::grpc_proxy(stage).await?,
        "balancer" => between::balancer(stage).await?,
        "streams-1" => between::streams(stage).await,
        "slow-line" => between::slow_line(stage).await,
        "forgotten" => between::forgotten(stage).await?,
        "restore" => store::restore(stage).await?,
        "fork" => family(stage).await?,
        "revoke" => store::revoke(stage).await?,
        name => bail!("no fault is called {name}"),
    }
    stage.end().await;
    Ok(())
}

async fn kill(stage: &mut Stage, leader: bool) -> Result<()> {
    for moment in 0..stage.faults() {
        stage.fault(moment).await;
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
        stage.fault(moment).await;
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
        stage.fault(moment).await;
        let victim = stage.cluster.leader().await?;
        stage.cluster.members[victim].pause()?;
        sleep(stage.scaled(seconds)).await;
        stage.cluster.members[victim].resume()?;
    }
    Ok(())
}

async fn pause_follower(stage: &mut Stage) -> Result<()> {
    stage.fault(0).await;
    let victim = stage.cluster.follower().await?;
    stage.cluster.members[victim].pause()?;
    sleep(stage.scaled(10.0)).await;
    stage.cluster.members[victim].resume()
}

/// For longer than leases live.
async fn pause_all(stage: &mut Stage) -> Result<()> {
    stage.fault(0).await;
    for member in &stage.cluster.members {
        member.pause()?;
    }
    sleep(Duration::from_secs(8)).await;
    stage.cluster.members.iter().try_for_each(|member| member.resume())
}

/// Every connection, every 100 ms.
async fn cut(stage: &mut Stage) {
    stage.fault(0).await;
    while stage.lasts() {
        for proxy in &stage.front.proxies {
            proxy.cut();
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Two members fall silent, then all of them. Nothing is ever reset.
async fn silent(stage: &mut Stage) {
    let one = fastrand::usize(..3);
    let victims = [
        (vec![one, (one + 1) % 3], 5.0),
        (vec![0, 1, 2], 2.0),
        (vec![(one + 2) % 3], 5.0),
    ];
    for (moment, (victims, seconds)) in victims.into_iter().enumerate().take(stage.faults()) {
        stage.fault(moment).await;
        for victim in &victims {
            stage.front.proxies[*victim].weather(Weather::Silent);
        }
        sleep(stage.scaled(seconds)).await;
        for victim in &victims {
            stage.front.proxies[*victim].heal();
        }
    }
}

/// Every connection falls silent for good, as behind a router that has forgotten it. New ones are served.
async fn freeze(stage: &mut Stage) {
    stage.fault(0).await;
    stage.front.proxies.iter().for_each(Proxy::freeze);
    sleep(Duration::from_secs(16)).await;
}

/// Up to the present, every 200 ms. The store's history is read before.
async fn compaction(stage: &mut Stage) -> Result<()> {
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

async fn move_leader(stage: &mut Stage) -> Result<()> {
    stage.fault(0).await;
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

async fn defrag(stage: &mut Stage) -> Result<()> {
    for moment in 0..stage.faults() {
        stage.fault(moment).await;
        for member in &stage.cluster.members {
            member.control.defragment().await?;
        }
    }
    Ok(())
}

async fn delay(stage: &mut Stage) {
    stage.fault(0).await;
    let weather = Weather::Delay(Duration::from_millis(25), Duration::from_millis(125));
    stage.front.proxies.iter().for_each(|proxy| proxy.weather(weather));
    stage.end().await;
}

/// 10 kB a second for each connection and direction.
async fn throttle(stage: &mut Stage) {
    stage.fault(0).await;
    stage
        .front
        .proxies
        .iter()
        .for_each(|proxy| proxy.weather(Weather::Throttle(10_000)));
    stage.end().await;
}

/// Every connection ends after some bytes, mostly in the middle of a message.
async fn truncate(stage: &mut Stage) {
    stage.fault(0).await;
    while stage.lasts() {
        for proxy in &stage.front.proxies {
            proxy.truncate(Some(fastrand::usize(500..500_000)));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A byte now and then is another. Only under TLS can anybody tell.
async fn garble(stage: &mut Stage) {
    stage.fault(0).await;
    stage.front.proxies.iter().for_each(|proxy| proxy.garble(Some(200_000)));
    while stage.lasts() {
        sleep(Duration::from_millis(100)).await;
    }
}

/// One member alone, its clients still with it. The members need a while to find each other again.
async fn isolate(stage: &mut Stage, leader: bool) -> Result<()> {
    for moment in (0..stage.faults()).step_by(2) {
        stage.fault(moment).await;
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
        stage.fault(moment).await;
        let network = stage.network()?;
        victims.iter().try_for_each(|victim| network.hide(*victim, true))?;
        sleep(stage.scaled(5.0)).await;
        victims.iter().try_for_each(|victim| network.hide(*victim, false))?;
    }
    Ok(())
}

/// The store is full for a while, then emptied by the book.
async fn full(stage: &mut Stage) -> Result<()> {
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

/// A member is removed, and comes back as a new one.
async fn replace(stage: &mut Stage) -> Result<()> {
    stage.fault(0).await;
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
    stage.fault(0).await;
    let seconds = stage.scaled(20.0).as_secs();
    let found = fork::run(seconds, stage.cluster.endpoints()).await?;
    stage.violations.extend(found);
    Ok(())
}
