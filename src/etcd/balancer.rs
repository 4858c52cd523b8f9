//! Which server is asked first.
//!
//! In: the policy, and what the servers say of themselves. Out: the order of the list, from the one that is asked first.
//! Whatever the policy, a call whose server fails goes on to the next, and nothing is asked here that a call would wait
//! for. Runs on the runtime.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::call::CONNECT_LIMIT;
use super::config::Balance;
use super::endpoint::Endpoint;
use super::endpoints::List;
use super::pb::{RangeResponse, StatusRequest, StatusResponse};
use super::received::Receive;
use super::resolver::{is_denied, probe};
use super::servers::{Authorized, RANGE, STATUS, Servers};

/// So often in a row a server is measured: one answer may stand behind others.
const PROBES: usize = 3;

/// A server must be nearer by so much of the way for calls to move there.
const HYSTERESIS: f64 = 0.2;

/// What a balancer remembers from one look to the next: how far the servers are, by their names.
#[derive(Default)]
pub(crate) struct Balancer(HashMap<Arc<str>, Duration>);

impl Balancer {
    /// Looks which server is to be asked first, and has calls begin there.
    pub(crate) async fn look(&mut self, servers: &Servers) {
        match servers.balance {
            Balance::Sticky => servers.settle().await,
            Balance::Leader => lead(servers).await,
            Balance::Nearest => self.approach(servers).await,
            Balance::Spread => {
                let list = servers.endpoints.list();
                // So that reads can go there without a wait.
                join_all(list.all().iter().map(|endpoint| reach(servers, endpoint))).await;
                servers.settle().await;
            }
        }
    }

    /// Turns to the nearest server.
    async fn approach(&mut self, servers: &Servers) {
        let list = servers.endpoints.list();
        let measured = join_all(list.all().iter().map(|endpoint| distance(servers, endpoint))).await;
        let before = std::mem::take(&mut self.0);
        let mut nearest: Option<(&Arc<Endpoint>, Duration)> = None;
        for (endpoint, measured) in list.all().iter().zip(measured) {
            let Some(measured) = measured else { continue };
            let smoothed = before
                .get(&endpoint.name)
                .map_or(measured, |before| (*before + measured) / 2);
            self.0.insert(endpoint.name.clone(), smoothed);
            if nearest.is_none_or(|(_, least)| smoothed < least) {
                nearest = Some((endpoint, smoothed));
            }
        }
        let Some((nearest, least)) = nearest else { return };
        let current = self.0.get(&list.current().name);
        let is_nearer = current.is_none_or(|current| least < current.mul_f64(1.0 - HYSTERESIS));
        // Who answers at once out of its own store need not serve.
        if is_nearer && servers.serves(nearest).await {
            list.prefer(nearest);
        }
    }
}

/// Turns to the leader: asks the server that calls begin with who that is, and the others where it does not know, or
/// nobody knows which of them it is.
async fn lead(servers: &Servers) {
    let list = servers.endpoints.list();
    let current = list.current();
    let told = status(servers, current).await;
    if told.as_ref().is_some_and(leads) {
        return;
    }
    let leader = told.map_or(0, |status| status.leader);
    let known = list
        .all()
        .iter()
        .find(|endpoint| leader != 0 && endpoint.member_id() == leader);
    if let Some(endpoint) = known
        && status(servers, endpoint).await.as_ref().is_some_and(leads)
    {
        return prefer(&list, endpoint);
    }
    let told = join_all(list.all().iter().map(|endpoint| status(servers, endpoint))).await;
    let told = list.all().iter().zip(told);
    let leaders = told.filter_map(|(endpoint, status)| status.filter(leads).map(|status| (endpoint, status)));
    if let Some((endpoint, _)) = leaders.max_by_key(|(_, status)| status.raft_term) {
        prefer(&list, endpoint);
    }
}

/// Turns to a server, unless it has failed of late.
fn prefer(list: &List, endpoint: &Arc<Endpoint>) {
    if !endpoint.is_suspect() {
        list.prefer(endpoint);
    }
}

fn leads(status: &StatusResponse) -> bool {
    let member_id = status.header.unwrap_or_default().member_id;
    member_id != 0 && member_id == status.leader
}

/// What a server says of itself, if it does.
async fn status(servers: &Servers, endpoint: &Arc<Endpoint>) -> Option<StatusResponse> {
    let authorized = reach(servers, endpoint).await?;
    let status: StatusResponse = authorized.ask(STATUS, false, &StatusRequest {}).await.ok()?;
    // One of another cluster is no server of this client.
    servers.endpoints.recognise(endpoint, &status.head()).ok()?;
    servers.endpoints.learn(&status);
    Some(status)
}

/// How long a server takes to answer, if it does and has not failed of late.
async fn distance(servers: &Servers, endpoint: &Arc<Endpoint>) -> Option<Duration> {
    if endpoint.is_suspect() {
        return None;
    }
    let authorized = reach(servers, endpoint).await?;
    let mut least = None;
    for _ in 0..PROBES {
        let began = Instant::now();
        match authorized.ask::<RangeResponse>(RANGE, true, &probe(true)).await {
            Ok(response) => servers.endpoints.recognise(endpoint, &response.head()).ok()?,
            // That is an answer.
            Err(cause) if is_denied(&cause) => {}
            Err(_) => return None,
        }
        let took = began.elapsed();
        least = Some(least.map_or(took, |least: Duration| least.min(took)));
    }
    least
}

async fn reach(servers: &Servers, endpoint: &Arc<Endpoint>) -> Option<Authorized> {
    servers.connect_and_login(endpoint, CONNECT_LIMIT, None).await.ok()
}
