//! The faults of what stands between the clients and the members: other proxies, a balancer, a middlebox, a long line.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::check::Violation;
use crate::history::{Call, Outcome, Time};
use crate::proxy::{Http2Proxy, Proxy, Rules, Weather};
use crate::stage::{ROAMERS, Stage};

/// The proxy dies, and is back on the same port.
pub async fn grpc_proxy(stage: &mut Stage) -> Result<()> {
    for moment in 0..stage.faults() {
        let _fault = stage.fault(moment).await;
        let pause = stage.scaled(1.0);
        let proxy = stage.front.grpc.as_mut().context("this cell has no such proxy")?;
        proxy.kill().await?;
        sleep(pause).await;
        proxy.restart().await?;
    }
    Ok(())
}

/// One member after the other has no leader for a while; the balancer does not know.
pub async fn balancer(stage: &mut Stage) -> Result<()> {
    for moment in 0..stage.faults() {
        let _fault = stage.fault(moment).await;
        let victim = stage.cluster.follower().await?;
        let network = stage.network()?;
        network.isolate(victim, true)?;
        sleep(stage.scaled(6.0)).await;
        network.isolate(victim, false)?;
    }
    Ok(())
}

/// One stream at once on each connection, then two, then one again. Then answers stay out for a while, until the
/// connections break: who waited for a stream has not sent anything, and may go on with another connection.
pub async fn streams(stage: &mut Stage) {
    for (moment, limit) in [1, 2, 1].into_iter().enumerate().take(stage.faults()) {
        let _fault = stage.fault(moment).await;
        stage
            .front
            .http2
            .iter()
            .for_each(|proxy| proxy.rules(Rules::Streams(limit)));
        sleep(stage.scaled(2.0)).await;
        stage.front.http2.iter().for_each(Http2Proxy::hold);
        sleep(Duration::from_millis(300)).await;
        let cut = stage.now();
        stage.front.http2.iter().for_each(Http2Proxy::cut);
        // Let everybody notice.
        sleep(stage.scaled(2.0)).await;
        let found = unsent(&unanswered(stage, cut), limit as usize);
        stage.violations.extend(found);
    }
}

/// More calls are said to have been sent to one member than it allows at once, or one that was not is given up.
fn unsent(unanswered: &[Call], limit: usize) -> Vec<Violation> {
    let mut sent: HashMap<&str, usize> = HashMap::new();
    let wrong = unanswered.iter().filter(|call| match &call.outcome {
        Outcome::Unknown(text) => {
            // The endpoint stands at the end.
            let count = sent.entry(text.rsplit(' ').next().unwrap_or_default()).or_default();
            *count += 1;
            *count > limit
        }
        _ => true,
    });
    wrong
        .map(|call| Violation::new("unsent is sent again", call.to_string()))
        .collect()
}

/// The calls through the shared client that were under way then and were not answered.
fn unanswered(stage: &Stage, time: Time) -> Vec<Call> {
    let record = stage.record();
    let calls = record
        .calls
        .iter()
        .filter(|call| call.client < ROAMERS && call.revision().is_none());
    calls
        .filter(|call| (call.called..=call.returned).contains(&time))
        .cloned()
        .collect()
}

/// 20 kB a second for each connection and direction, and 2.5 s from a request to its answer.
pub async fn slow_line(stage: &mut Stage) {
    let _fault = stage.fault(0).await;
    let weather = Weather::Line {
        delay: Duration::from_millis(1250),
        rate: 20_000,
    };
    stage.front.proxies.iter().for_each(|proxy| proxy.weather(weather));
    stage.front.proxies.iter().for_each(Proxy::cut);
    stage.end().await;
}

/// While nobody calls, every connection is forgotten by something on its way. Whoever calls then is answered.
pub async fn forgotten(stage: &mut Stage) -> Result<()> {
    let fault = stage.fault(0).await;
    let rest = stage.rest().await;
    sleep(Duration::from_secs(1)).await;
    match &stage.cluster.network {
        Some(network) => {
            let mut members = stage.cluster.members.iter().enumerate();
            members.try_for_each(|(i, member)| network.forget(i, member.client_port))?;
        }
        None => stage.front.proxies.iter().for_each(Proxy::freeze),
    }
    // Longer than the interval at which clients ask whether a connection is alive.
    sleep(Duration::from_secs(11)).await;
    let woken = stage.now();
    drop(rest);
    drop(fault);
    sleep(Duration::from_secs(4)).await;
    stage.end().await;
    let unknown: Vec<_> = stage
        .record()
        .calls
        .iter()
        .filter(|call| call.called >= woken && matches!(call.outcome, Outcome::Unknown(_)))
        .map(|call| Violation::new("not sent into the void", call.to_string()))
        .collect();
    stage.violations.extend(unknown);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::doctor::{call, put};

    #[test]
    fn a_call_that_was_not_sent_but_given_up_is_found() {
        let ended = |outcome| call("k/a", put("x"), (1, 2), outcome);
        let sent = |endpoint| ended(Outcome::Unknown(format!("unavailable: broken ({endpoint})")));
        assert_eq!(unsent(&[sent("a:1"), sent("b:1")], 1), []);
        assert_eq!(unsent(&[sent("a:1"), sent("a:1")], 1).len(), 1);
        assert_eq!(unsent(&[ended(Outcome::Failed("unavailable".to_owned()))], 1).len(), 1);
    }
}
