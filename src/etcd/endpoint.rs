//! The servers of a client, each with at most one connection, made when first needed and made anew after it broke.
//!
//! In: the configured addresses. Out: for each call a [`Route`], the order in which to try them. Runs on the runtime.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use tokio::time::Instant;

use super::address::Address;
use super::backoff;
use super::connection::{ConnectError, Connection};
use super::tls::Tls;

type Connecting = Shared<BoxFuture<'static, Result<Connection, Refusal>>>;

/// Why a server could not be reached, and how long to take that for an answer.
type Refusal = (ConnectError, Instant);

/// One server.
pub(crate) struct Endpoint {
    /// How messages name it.
    pub(crate) name: Arc<str>,
    address: Address,
    tls: Option<Arc<Tls>>,
    /// Held for the look only, never across an await.
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// The connection, made or in the making. Callers that find it in the making wait for the same attempt.
    connecting: Option<Connecting>,
    /// How often in a row it could not be made.
    failures: u32,
}

impl Endpoint {
    fn new(address: Address, tls: Option<Arc<Tls>>) -> Self {
        Self {
            name: address.to_string().into(),
            address,
            tls,
            slot: Mutex::default(),
        }
    }

    /// The connection to this server, made now if there is none that lives. A server that has just refused is not
    /// asked again at once, however many calls want it.
    pub(crate) async fn connect(&self) -> Result<Connection, ConnectError> {
        let connecting = {
            let mut slot = self.slot();
            let state = slot.connecting.as_ref().map(|connecting| match connecting.peek() {
                None => State::Usable,
                Some(Ok(connection)) if connection.is_closed() => State::Lost,
                Some(Err((_, until))) if *until <= Instant::now() => State::Refused,
                Some(_) => State::Usable,
            });
            match state {
                Some(State::Usable) => {}
                Some(State::Refused) => slot.failures = slot.failures.saturating_add(1),
                Some(State::Lost) | None => slot.failures = 0,
            }
            if !matches!(state, Some(State::Usable)) {
                slot.connecting = None;
            }
            let failures = slot.failures;
            slot.connecting.get_or_insert_with(|| self.open(failures)).clone()
        };
        connecting.await.map_err(|(error, _)| error)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, failures: u32) -> Connecting {
        let (address, tls) = (self.address.clone(), self.tls.clone());
        let opening = async move {
            let opened = Connection::open(&address, tls.as_deref()).await;
            opened.map_err(|error| (error, Instant::now() + backoff::pause(failures)))
        };
        opening.boxed().shared()
    }
}

/// What is known of a connection.
enum State {
    /// It lives, is in the making, or could not be made a moment ago.
    Usable,
    /// It could not be made a while ago.
    Refused,
    /// It has ended.
    Lost,
}

/// All servers of a client. The one that answered last is asked first.
pub(crate) struct Endpoints {
    list: Vec<Endpoint>,
    current: AtomicUsize,
}

impl Endpoints {
    /// `addresses` is not empty. The first call of each client goes to a random one, so that many clients spread.
    pub(crate) fn new(addresses: Vec<Address>, tls: Option<Arc<Tls>>) -> Self {
        let current = AtomicUsize::new(fastrand::usize(..addresses.len().max(1)));
        Self {
            list: addresses
                .into_iter()
                .map(|address| Endpoint::new(address, tls.clone()))
                .collect(),
            current,
        }
    }

    /// Lets go of all connections. Each ends with the last call on it.
    pub(crate) fn disconnect(&self) {
        for endpoint in &self.list {
            endpoint.slot().connecting = None;
        }
    }

    /// Is there more than one?
    pub(crate) fn are_several(&self) -> bool {
        self.list.len() > 1
    }

    /// The order in which one call tries the servers.
    pub(crate) fn route(&self) -> Route<'_> {
        let first = self.current.load(Ordering::Relaxed) % self.list.len();
        Route {
            endpoints: self,
            at: first,
            untried: self.list.len() - 1,
        }
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, endpoint) in self.list.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", endpoint.name)?;
        }
        Ok(())
    }
}

/// One call's way through the servers.
pub(crate) struct Route<'a> {
    endpoints: &'a Endpoints,
    at: usize,
    untried: usize,
}

impl<'a> Route<'a> {
    /// The server to ask now.
    pub(crate) fn endpoint(&self) -> &'a Endpoint {
        &self.endpoints.list[self.at]
    }

    /// The server answered: later calls start with it.
    pub(crate) fn keep(&self) {
        self.endpoints.current.store(self.at, Ordering::Relaxed);
    }

    /// Counts all other servers as untried again.
    pub(crate) fn restart(&mut self) {
        self.untried = self.endpoints.list.len() - 1;
    }

    /// Goes on to the next server. Says whether this call has not asked it yet.
    pub(crate) fn advance(&mut self) -> bool {
        self.at = (self.at + 1) % self.endpoints.list.len();
        let untried = self.untried > 0;
        self.untried = self.untried.saturating_sub(1);
        untried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(count: usize) -> Endpoints {
        let address = |i: usize| Address::Tcp {
            host: "h".to_owned(),
            port: i as u16 + 1,
        };
        Endpoints::new((0..count).map(address).collect(), None)
    }

    #[test]
    fn a_route_visits_each_server_once_before_it_repeats_one() {
        let endpoints = endpoints(3);
        let mut route = endpoints.route();
        let mut seen = vec![route.endpoint().name.clone()];
        while route.advance() {
            seen.push(route.endpoint().name.clone());
        }
        seen.sort();
        assert_eq!(seen, ["h:1", "h:2", "h:3"].map(Arc::from));
        assert!(!route.advance());
    }

    #[test]
    fn the_server_that_answered_is_asked_first() {
        let endpoints = endpoints(3);
        let mut route = endpoints.route();
        route.advance();
        route.keep();
        assert_eq!(endpoints.route().endpoint().name, route.endpoint().name);
    }
}
