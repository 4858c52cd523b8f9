//! Looks after the servers of a client while nobody asks: where they are, and which of them is to be asked first.
//!
//! In: the passage of time, and the word that a server has failed. Out: what `resolver` and `balancer` make of it. One
//! task, which the first connection of a client starts if there is anything to look after, and which ends with the
//! client.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::backoff;
use super::balancer::Balancer;
use super::config::CallOptions;
use super::servers::Servers;

/// What nothing has happened to is looked at again after so long.
const INTERVAL: Duration = Duration::from_secs(30);

/// What was looked at is looked at again no sooner than that, whatever happens.
const PAUSE: Duration = Duration::from_secs(1);

/// The same for name servers and the member list.
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// The background makes an attempt again in its own time.
const ONCE: CallOptions = CallOptions {
    retry: 0,
    ..CallOptions::DEFAULT
};

/// When something is to be looked at again.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    /// But not before that.
    earliest: Instant,
}

impl Due {
    fn now() -> Self {
        let now = Instant::now();
        Self { at: now, earliest: now }
    }

    fn after(interval: Duration, pause: Duration) -> Self {
        let now = Instant::now();
        Self {
            at: now + interval,
            earliest: now + pause,
        }
    }

    /// Something has happened.
    fn hurry(&mut self) {
        self.at = self.at.min(self.earliest);
    }

    fn is_over(self) -> bool {
        self.at <= Instant::now()
    }
}

/// The task.
pub(crate) async fn run(servers: Arc<Servers>) {
    servers.closed.run_until_cancelled(serve(&servers)).await;
}

async fn serve(servers: &Servers) {
    let (mut lookup, mut sync, mut balance) = (Due::now(), Due::now(), Due::now());
    let mut balancer = Balancer::default();
    let (mut failures, mut generation) = (0, servers.origins().generation());
    loop {
        servers.upkeep.looks();
        let now = servers.origins().generation();
        if now != std::mem::replace(&mut generation, now) {
            (lookup, sync, balance) = (Due::now(), Due::now(), Due::now());
        }
        let has_services = servers.origins().has_services();
        if has_services && lookup.is_over() {
            let found = servers.look_up().await;
            failures = if found.is_some() { 0 } else { failures + 1 };
            lookup = match found {
                Some(lifetime) => Due::after(lifetime, LONG_PAUSE),
                None if servers.endpoints.are_unresolved() => Due::after(INTERVAL, backoff::pause(failures)),
                None => Due::after(INTERVAL, LONG_PAUSE),
            };
        }
        // Before what takes longer: calls wait for it.
        servers.upkeep.looked();
        // Without a server there is nobody to ask.
        let is_found = !servers.endpoints.are_unresolved();
        if let Some(interval) = servers.sync.filter(|_| is_found && sync.is_over()) {
            // It tells of a failure itself, and is made again.
            let _ = servers.sync(&ONCE).await;
            sync = Due::after(backoff::at_least(interval), LONG_PAUSE.min(interval));
        }
        if is_found && balance.is_over() {
            balancer.look(servers).await;
            balance = Due::after(INTERVAL, PAUSE);
        }
        let next = [
            has_services.then_some(lookup.at),
            servers.sync.filter(|_| is_found).map(|_| sync.at),
            is_found.then_some(balance.at),
        ];
        let next = next.into_iter().flatten().min();
        tokio::select! {
            () = sleep_until(next.unwrap_or_else(|| Instant::now() + INTERVAL)) => continue,
            () = servers.endpoints.failed() => {}
            () = servers.upkeep.wanted() => {}
        }
        for due in [&mut lookup, &mut sync, &mut balance] {
            due.hurry();
        }
    }
}
