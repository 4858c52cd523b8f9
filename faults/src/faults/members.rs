//! The members change, all by the client under test: the leader is removed, comes back as a learner, is promoted and leads
//! again; then every store is defragmented.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use silly_etcd::etcd::pb::{
    MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, MoveLeaderRequest,
};
use silly_etcd::etcd::{CallOptions, Client, Error};
use tokio::time::{Instant, sleep};

use crate::check::Violation;
use crate::stage::Stage;

/// The number of the client: it is nobody's else.
const NUMBER: usize = 0;

/// How long one call may take, and how long a cluster may refuse a change: until its members have known each other for
/// some seconds, or a learner has caught up.
const PATIENCE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);

pub async fn run(stage: &mut Stage) -> Result<()> {
    let _fault = stage.fault(0).await;
    let client = stage.client(NUMBER, 0..3, PATIENCE);
    let options = client.options();
    let (leader, other) = (stage.cluster.leader().await?, stage.cluster.follower().await?);
    let id = stage.cluster.members[leader].control.id().await?;
    // Not of the leader: it goes before it has responded.
    let endpoint = stage.cluster.endpoints()[other].parse().map_err(anyhow::Error::msg)?;
    let elsewhere = CallOptions {
        endpoint: client.endpoint(&endpoint),
        ..options.clone()
    };
    let request = MemberRemoveRequest { id };
    in_time(async || client.cluster().remove(request, &elsewhere).await).await?;
    let member = &mut stage.cluster.members[leader];
    member.kill().await?;
    member.forget()?;

    let request = MemberAddRequest {
        peer_ur_ls: vec![member.peer_url()],
        is_learner: true,
    };
    let added = in_time(async || client.cluster().add(request.clone(), &options).await).await?;
    let id = added.member.context("no member was added")?.id;
    stage.cluster.members[leader].start()?;
    let request = MemberPromoteRequest { id };
    in_time(async || client.cluster().promote(request, &options).await).await?;
    let request = MoveLeaderRequest { target_id: id };
    in_time(async || client.maintenance().moveleader(request, &options).await).await?;
    let defragmented = in_time(async || client.maintenance().defragment_all(&options).await).await?;
    judge(stage, &client, id, defragmented.last().map(|last| last.member_id)).await
}

/// Calls until it succeeds: a change that the cluster refuses at first, or that a lost response leaves open. One that
/// has happened already is refused as such.
async fn in_time<T>(call: impl AsyncFn() -> Result<T, Error>) -> Result<T> {
    let began = Instant::now();
    loop {
        match call().await {
            Ok(done) => return Ok(done),
            Err(error) if began.elapsed() > LIMIT => bail!("{error}"),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// All three vote, and the last that was defragmented is the one that leads.
async fn judge(stage: &mut Stage, client: &Client, leader: u64, last: Option<u64>) -> Result<()> {
    let request = MemberListRequest { linearizable: true };
    let listed = client.cluster().members(request, &client.options()).await?.members;
    let voters = listed.iter().filter(|member| !member.is_learner).count();
    if voters != 3 || last != Some(leader) {
        let text = format!("{voters} of {} members vote; {last:?} was the last", listed.len());
        stage.violations.push(Violation::new("members", text));
    }
    Ok(())
}
