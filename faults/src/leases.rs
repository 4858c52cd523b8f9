//! The holders: each keeps a lease with a key on it, and records what is heard of the lease.

use std::sync::Arc;
use std::time::Duration;

use silly_etcd::etcd::pb::{LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest};
use silly_etcd::etcd::{CallOptions, Client, Readable};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::history::{History, Lease};
use crate::traffic;

/// In seconds.
pub const TTL: i64 = 5;
pub const COUNT: usize = 10;

/// The holders have time: only the leases are under test.
pub const OPTIONS: CallOptions = CallOptions {
    timeout: Duration::from_secs(5),
    ..traffic::OPTIONS
};

/// What the keys on leases begin with: nothing else is written there.
pub const PREFIX: &str = "lease/";

/// Keeps leases until `stop`. Returns their record when all are let go.
pub async fn run(clients: Vec<Client>, history: Arc<History>, stop: watch::Receiver<bool>) {
    let mut holders = JoinSet::new();
    for i in 0..COUNT {
        let client = clients[i % clients.len()].clone();
        holders.spawn(hold(i, client, history.clone(), stop.clone()));
    }
    while let Some(ended) = holders.join_next().await {
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
}

async fn hold(number: usize, client: Client, history: Arc<History>, mut stop: watch::Receiver<bool>) {
    let grant = LeaseGrantRequest { ttl: TTL, id: 0 };
    // The run has not begun to fail yet.
    let granted = client.grant(grant, true, &OPTIONS).await.expect("a lease");
    let key = format!("{PREFIX}{number}");
    let put = PutRequest {
        key: key.clone().into(),
        value: "held".into(),
        lease: granted.id,
        ..PutRequest::default()
    };
    client.put(put.clone(), &OPTIONS).await.expect("a key on the lease");
    let renew = LeaseKeepAliveRequest { id: granted.id };
    let (_, renewals) = client.keepalive(renew, true, &OPTIONS).await.expect("a renewal");
    let renewals = renewals.expect("renewal in the background");
    let mut lease = Lease {
        ttl: Duration::from_secs(TTL.unsigned_abs())
            .as_nanos()
            .try_into()
            .expect("a TTL"),
        key,
        renewed: vec![history.now()],
        lost: None,
        used_after: false,
    };
    loop {
        let news = tokio::select! {
            news = renewals.read() => news,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match news {
            Ok(_) => lease.renewed.push(history.now()),
            Err(reason) => {
                lease.lost = Some((history.now(), reason.to_string()));
                lease.used_after = client.put(put, &OPTIONS).await.is_ok();
                break;
            }
        }
    }
    history.record().leases.push(lease);
}
