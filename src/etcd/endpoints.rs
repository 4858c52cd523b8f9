//! All servers of a client, in a list that can be replaced while calls are under way.
//!
//! In: addresses. Out: for each call a [`Route`], the order in which to ask the servers. Used on any thread.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::cause::Cause;
use super::endpoint::{Common, Endpoint};
use super::failure::Failure;
use super::pb::{ResponseHeader, StatusResponse};
use super::random;
use super::transport::address::Address;

/// All servers of a client. The one that answered last is asked first.
pub(crate) struct Endpoints {
    common: Arc<Common>,
    /// Held for the look only.
    list: Mutex<Arc<List>>,
    /// The cluster that they belong to; 0 before the first response.
    cluster_id: AtomicU64,
    /// The member that leads, as one has said last; 0 where none has.
    leader: AtomicU64,
    /// Whose servers these stand for, with connections of their own.
    whole: Option<Arc<Endpoints>>,
}

/// The servers as they are for a while, at least one.
pub(crate) struct List {
    endpoints: Vec<Arc<Endpoint>>,
    /// The place of the one that is asked first.
    current: AtomicUsize,
    /// The list that it stands for, of the same length.
    whole: Option<Arc<List>>,
}

impl List {
    /// What there is in `before` already stays as it is, also the one that is asked first. Else that is a random one,
    /// so that many clients spread.
    fn after(before: Option<&Self>, addresses: Vec<Address>, common: &Arc<Common>) -> Self {
        let endpoint = |address: Address| {
            let known = before.and_then(|before| before.find(&address));
            known.unwrap_or_else(|| Arc::new(Endpoint::new(address, common)))
        };
        let endpoints: Vec<_> = addresses.into_iter().map(endpoint).collect();
        let current = before.and_then(|before| {
            let current = before.current();
            endpoints.iter().position(|endpoint| Arc::ptr_eq(endpoint, current))
        });
        Self {
            current: AtomicUsize::new(current.unwrap_or_else(|| random::below(endpoints.len()))),
            endpoints,
            whole: None,
        }
    }

    /// One that stands for `whole`, with endpoints of its own. What there is in `before` already stays as it is.
    fn apart(before: Option<&Self>, whole: &Arc<Self>, closed: &CancellationToken) -> Self {
        let apart = |endpoint: &Arc<Endpoint>| {
            let known = before.and_then(|before| before.find(&endpoint.address));
            known.unwrap_or_else(|| Arc::new(endpoint.apart(closed)))
        };
        Self {
            endpoints: whole.endpoints.iter().map(apart).collect(),
            current: AtomicUsize::new(whole.place()),
            whole: Some(whole.clone()),
        }
    }

    /// Only this one.
    fn of(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoints: vec![endpoint],
            current: AtomicUsize::new(0),
            whole: None,
        }
    }

    fn find(&self, address: &Address) -> Option<Arc<Endpoint>> {
        let found = self.endpoints.iter().find(|endpoint| endpoint.address == *address);
        found.cloned()
    }

    fn position(&self, endpoint: &Arc<Endpoint>) -> Option<usize> {
        self.endpoints.iter().position(|other| Arc::ptr_eq(other, endpoint))
    }

    fn place(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// The one that is asked first.
    pub(crate) fn current(&self) -> &Arc<Endpoint> {
        &self.endpoints[self.place()]
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Later calls do not start with the server at this place, if there is another.
    fn avoid(&self, place: usize) {
        let next = (place + 1) % self.endpoints.len();
        // Who has found a better one is right.
        let _ = self
            .current
            .compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Endpoints {
    /// `addresses` is not empty.
    pub(crate) fn new(addresses: Vec<Address>, common: Common) -> Self {
        let common = Arc::new(common);
        Self {
            list: Mutex::new(Arc::new(List::after(None, addresses, &common))),
            common,
            cluster_id: AtomicU64::new(0),
            leader: AtomicU64::new(0),
            whole: None,
        }
    }

    /// The same servers, also when they are replaced, and the same one first, with connections of their own.
    pub(crate) fn apart(self: &Arc<Self>, closed: &CancellationToken) -> Self {
        let common = Arc::new(Common {
            closed: closed.clone(),
            ..(*self.common).clone()
        });
        Self {
            list: Mutex::new(Arc::new(List::apart(None, &self.list(), closed))),
            common,
            cluster_id: AtomicU64::new(self.cluster_id.load(Ordering::Relaxed)),
            leader: AtomicU64::new(0),
            whole: Some(self.clone()),
        }
    }

    /// The servers as they are now.
    pub(crate) fn list(&self) -> Arc<List> {
        let Some(whole) = &self.whole else {
            return self.slot().clone();
        };
        let whole = whole.list();
        let mut list = self.slot();
        if !list.whole.as_ref().is_some_and(|known| Arc::ptr_eq(known, &whole)) {
            *list = Arc::new(List::apart(Some(&list), &whole, &self.common.closed));
        }
        list.clone()
    }

    fn slot(&self) -> MutexGuard<'_, Arc<List>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the servers are those at these addresses, of which there is at least one. Those that are known keep
    /// their connections; what is under way on others goes on, but for what would do so for ever.
    pub(crate) fn replace(&self, addresses: Vec<Address>) {
        let (before, now) = {
            let mut list = self.slot();
            let now = Arc::new(List::after(Some(&list), addresses, &self.common));
            (std::mem::replace(&mut *list, now.clone()), now)
        };
        for endpoint in &before.endpoints {
            if now.position(endpoint).is_none() {
                endpoint.remove();
            }
        }
    }

    /// Lets go of all connections, for good. Each ends with the last call on it.
    pub(crate) fn disconnect(&self) {
        for endpoint in &self.list().endpoints {
            endpoint.disconnect();
        }
    }

    /// Is there more than one?
    pub(crate) fn are_several(&self) -> bool {
        self.list().endpoints.len() > 1
    }

    /// Sees `endpoint` respond with `header`. A server of another cluster than the others is in the list by mistake,
    /// and what it says is not good data; a cluster that was replaced as a whole is the new one.
    pub(crate) fn recognise(&self, endpoint: &Endpoint, header: &ResponseHeader) -> Result<(), Failure> {
        endpoint.responded(header);
        let cluster_id = header.cluster_id;
        if cluster_id == 0 || cluster_id == self.cluster_id() {
            return Ok(());
        }
        let agrees = |other: &Arc<Endpoint>| [0, cluster_id].contains(&other.cluster_id()) || other.is_gone();
        if !self.list().endpoints.iter().all(agrees) {
            return Err(Failure::new(&endpoint.name, &Cause::Foreign));
        }
        self.cluster_id.store(cluster_id, Ordering::Relaxed);
        Ok(())
    }

    /// The cluster that the servers belong to; 0 before the first response.
    pub(crate) fn cluster_id(&self) -> u64 {
        self.cluster_id.load(Ordering::Relaxed)
    }

    /// A member has said this of itself: all servers that were this member when they last responded are of its version.
    pub(crate) fn learn(&self, status: &StatusResponse) {
        let header = status.header.unwrap_or_default();
        let is_it = |endpoint: &&Arc<Endpoint>| header.member_id != 0 && endpoint.member_id() == header.member_id;
        for endpoint in self.list().endpoints.iter().filter(is_it) {
            endpoint.is_of(&status.version);
        }
        self.leader.store(status.leader, Ordering::Relaxed);
    }

    /// The member that leads, as far as is known; 0 where it is not.
    pub(crate) fn leader(&self) -> u64 {
        self.leader.load(Ordering::Relaxed)
    }

    /// The order in which one call asks the servers: all of them, or `only` this one.
    pub(crate) fn route(&self, only: Option<&Arc<Endpoint>>) -> Route<'_> {
        let list = match only {
            None => self.list(),
            Some(only) => {
                // Of those that have connections of their own, the one that stands for it.
                let own = self.whole.as_ref().and_then(|_| self.find(&only.address));
                Arc::new(List::of(own.unwrap_or_else(|| only.clone())))
            }
        };
        Route {
            endpoints: self,
            at: list.place(),
            untried: list.endpoints.len() - 1,
            stays: only.is_some(),
            list,
        }
    }

    /// The server at this address.
    pub(crate) fn find(&self, address: &Address) -> Option<Arc<Endpoint>> {
        self.list().find(address)
    }

    /// Later calls do not start with this server, if there is another.
    pub(crate) fn avoid(&self, endpoint: &Arc<Endpoint>) {
        let list = self.list();
        if let Some(place) = list.position(endpoint) {
            list.avoid(place);
        }
    }

    /// The server that stands so many places behind this one, or behind the first where it is none any longer.
    pub(crate) fn behind(&self, endpoint: &Arc<Endpoint>, places: usize) -> Arc<Endpoint> {
        let list = self.list();
        let place = list.position(endpoint).unwrap_or_else(|| list.place());
        list.endpoints[(place + places) % list.endpoints.len()].clone()
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, endpoint) in self.list().endpoints.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", endpoint.name)?;
        }
        Ok(())
    }
}

/// One call's way through the servers.
pub(crate) struct Route<'a> {
    endpoints: &'a Endpoints,
    list: Arc<List>,
    at: usize,
    untried: usize,
    /// It goes to one server, and says nothing of where others should.
    stays: bool,
}

impl Route<'_> {
    /// The server to ask now.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.list.endpoints[self.at]
    }

    /// The server answered: later calls start with it.
    pub(crate) fn keep(&self) {
        if !self.stays {
            self.list.current.store(self.at, Ordering::Relaxed);
        }
    }

    /// The server failed: later calls start with the next one, unless one of them has found a better by now.
    pub(crate) fn leave(&self) {
        if !self.stays {
            self.list.avoid(self.at);
        }
    }

    /// Counts all other servers as untried again.
    pub(crate) fn restart(&mut self) {
        self.untried = self.list.endpoints.len() - 1;
    }

    /// Does it lead to one server only?
    pub(crate) fn is_single(&self) -> bool {
        self.list.endpoints.len() == 1
    }

    /// Have all servers been asked?
    pub(crate) fn is_exhausted(&self) -> bool {
        self.untried == 0
    }

    /// Goes on to the next server, or to the first of others that have taken their place. Says whether this call has
    /// not asked it yet.
    pub(crate) fn advance(&mut self) -> bool {
        if self.stays {
            return false;
        }
        if self.refresh() {
            return true;
        }
        self.at = (self.at + 1) % self.list.endpoints.len();
        let untried = self.untried > 0;
        self.untried = self.untried.saturating_sub(1);
        untried
    }

    /// Turns to the servers that have taken the place of those that it knows, if there are such.
    fn refresh(&mut self) -> bool {
        let list = self.endpoints.list();
        if Arc::ptr_eq(&list, &self.list) {
            return false;
        }
        self.at = list.place();
        self.untried = list.endpoints.len() - 1;
        self.list = list;
        true
    }
}

#[cfg(test)]
mod tests;
