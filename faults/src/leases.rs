//! The holders: each keeps a lease with a key on it, and records what is heard of the lease.

use std::sync::Arc;
use std::time::Duration;

use silly_etcd::etcd::pb::{LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest};
use silly_etcd::etcd::{Client, Error, Readable, Renewals};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::history::{History, Lease};

pub const COUNT: usize = 10;

/// The holders have time: only the leases are under test.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What the keys on leases begin with: nothing else is written there.
pub const PREFIX: &str = "lease/";

/// Keeps leases until `stop`. Returns their record when all are let go.
pub async fn run(clients: Vec<Client>, ttl: i64, history: Arc<History>, stop: watch::Receiver<bool>) {
    let mut holders = JoinSet::new();
    for i in 0..COUNT {
        let client = clients[i % clients.len()].clone();
        holders.spawn(hold(i, client, ttl, history.clone(), stop.clone()));
    }
    holders.join_all().await;
}

async fn hold(number: usize, client: Client, ttl: i64, history: Arc<History>, mut stop: watch::Receiver<bool>) {
    let mut lease = Lease {
        id: 0,
        ttl: u64::try_from(ttl).unwrap_or(0) * 1_000_000_000,
        key: format!("{PREFIX}{number}"),
        renewed: vec![history.now()],
        lost: None,
        used_after: false,
    };
    // The run has not begun to fail yet.
    match begin(&client, ttl, &mut lease).await {
        Ok(renewals) => {
            lease.renewed = vec![history.now()];
            follow(&client, &renewals, &history, &mut lease, &mut stop).await;
        }
        Err(reason) => lease.lost = Some((history.now(), reason.to_string())),
    }
    history.record().leases.push(lease);
}

/// Takes a lease with a key on it, and says where its renewals can be read.
async fn begin(client: &Client, ttl: i64, lease: &mut Lease) -> Result<Renewals, Error> {
    let options = client.options();
    let grant = LeaseGrantRequest { ttl, id: 0 };
    lease.id = client.grant(grant, true, &options).await?.id;
    client.put(put(lease), &options).await?;
    let renew = LeaseKeepAliveRequest { id: lease.id };
    let (_, renewals) = client.keepalive(renew, Some(true), &options).await?;
    Ok(renewals.expect("renewal in the background"))
}

/// Notes what is heard of a lease, until it is lost or `stop`.
async fn follow(
    client: &Client,
    renewals: &Renewals,
    history: &History,
    lease: &mut Lease,
    stop: &mut watch::Receiver<bool>,
) {
    loop {
        let news = tokio::select! {
            news = renewals.read() => news,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match news {
            Ok(_) => lease.renewed.push(history.now()),
            Err(reason) => {
                lease.lost = Some((history.now(), reason.to_string()));
                lease.used_after = client.put(put(lease), &client.options()).await.is_ok();
                return;
            }
        }
    }
}

fn put(lease: &Lease) -> PutRequest {
    PutRequest {
        key: lease.key.clone().into(),
        value: "held".into(),
        lease: lease.id,
        ..PutRequest::default()
    }
}
