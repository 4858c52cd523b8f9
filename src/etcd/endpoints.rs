//! All servers of a client, in a list that can be replaced while calls are under way.
//!
//! In: entries, those first that are preferred. Out: for each call a [`Route`], the order in which to ask the servers.
//! Used on any thread.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::cause::Cause;
use super::endpoint::{Common, Endpoint};
use super::failure::Failure;
use super::origins::{Entry, Source};
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
    /// One has failed: it is time to look which is to be asked first, and whether there are others.
    failed: Arc<Notify>,
    /// There are others now.
    replaced: Notify,
    /// Counts the reads that go round.
    turns: AtomicUsize,
    /// Whose servers these stand for, with connections of their own.
    whole: Option<Arc<Endpoints>>,
}

/// The servers as they are for a while, at least one.
pub(crate) struct List {
    endpoints: Vec<Arc<Endpoint>>,
    /// What each was made from. Of those that stand for others there is nothing.
    entries: Vec<Entry>,
    /// So many at the beginning are preferred.
    preferred: usize,
    /// The place of the one that is asked first.
    current: AtomicUsize,
    /// The list that it stands for, of the same length.
    whole: Option<Arc<List>>,
}

impl List {
    /// What there is in `before` already stays as it is, also the one that is asked first. Else that is a random one of
    /// the preferred, so that many clients spread; or the first, where records say which.
    fn after(before: Option<&Self>, entries: Vec<Entry>, common: &Arc<Common>) -> Self {
        let endpoint = |entry: &Entry| {
            let known = before.and_then(|before| before.made_from(entry));
            known.unwrap_or_else(|| Arc::new(Endpoint::new(entry, common)))
        };
        let endpoints: Vec<_> = entries.iter().map(endpoint).collect();
        let current = before.and_then(|before| {
            let current = before.current();
            endpoints.iter().position(|endpoint| Arc::ptr_eq(endpoint, current))
        });
        let preferred = entries.iter().take_while(|entry| entry.rank == entries[0].rank).count();
        let first = || {
            let first = match entries[0].source {
                Source::Srv => 0,
                Source::Conf | Source::Member => random::below(preferred),
            };
            // A service that is still to be looked up is no server.
            let is_server = |place: &usize| endpoints[*place].service().is_none();
            (first..endpoints.len())
                .chain(0..first)
                .find(is_server)
                .unwrap_or(first)
        };
        Self {
            current: AtomicUsize::new(current.unwrap_or_else(first)),
            endpoints,
            entries,
            preferred,
            whole: None,
        }
    }

    fn made_from(&self, entry: &Entry) -> Option<Arc<Endpoint>> {
        let is_same = |other: &Entry| other.address == entry.address && other.identity == entry.identity;
        let place = self.entries.iter().position(is_same)?;
        Some(self.endpoints[place].clone())
    }

    /// One that stands for `whole`, with endpoints of its own. What there is in `before` already stays as it is.
    fn apart(before: Option<&Self>, whole: &Arc<Self>, common: &Arc<Common>) -> Self {
        let apart = |endpoint: &Arc<Endpoint>| {
            let known = before.and_then(|before| before.endpoints.iter().find(|own| own.stands_for(endpoint)));
            known.cloned().unwrap_or_else(|| Arc::new(endpoint.apart(common)))
        };
        Self {
            endpoints: whole.endpoints.iter().map(apart).collect(),
            entries: Vec::new(),
            preferred: whole.preferred,
            current: AtomicUsize::new(whole.place()),
            whole: Some(whole.clone()),
        }
    }

    /// Only this one.
    fn of(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoints: vec![endpoint],
            entries: Vec::new(),
            preferred: 1,
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

    /// Is one asked first that is not among the preferred?
    pub(crate) fn is_second_best(&self) -> bool {
        self.place() >= self.preferred
    }

    /// Those that are preferred, in the order in which calls may turn to them: that of the records or, where there are
    /// none, a random one, so that many clients spread.
    pub(crate) fn preferred(&self) -> Vec<&Arc<Endpoint>> {
        let mut preferred: Vec<_> = self.endpoints[..self.preferred].iter().collect();
        if self.source(0) != Source::Srv {
            preferred.rotate_left(random::below(self.preferred));
        }
        preferred
    }

    /// Later calls start with this one.
    pub(crate) fn prefer(&self, endpoint: &Arc<Endpoint>) {
        if let Some(place) = self.position(endpoint) {
            self.current.store(place, Ordering::Relaxed);
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Where the address of the one at this place is from.
    pub(crate) fn source(&self, place: usize) -> Source {
        self.entries.get(place).map_or(Source::Conf, |entry| entry.source)
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
    /// `entries` are not empty.
    pub(crate) fn new(entries: Vec<Entry>, common: Common) -> Self {
        let common = Arc::new(common);
        Self {
            list: Mutex::new(Arc::new(List::after(None, entries, &common))),
            common,
            cluster_id: AtomicU64::new(0),
            leader: AtomicU64::new(0),
            failed: Arc::default(),
            replaced: Notify::new(),
            turns: AtomicUsize::new(0),
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
            list: Mutex::new(Arc::new(List::apart(None, &self.list(), &common))),
            common,
            cluster_id: AtomicU64::new(self.cluster_id.load(Ordering::Relaxed)),
            leader: AtomicU64::new(0),
            failed: self.failed.clone(),
            replaced: Notify::new(),
            turns: AtomicUsize::new(0),
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
            *list = Arc::new(List::apart(Some(&list), &whole, &self.common));
        }
        list.clone()
    }

    fn slot(&self) -> MutexGuard<'_, Arc<List>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the servers are these, of which there is at least one. Those that are known keep their connections;
    /// what is under way on others goes on, but for what would do so for ever. Says whether anything has changed.
    pub(crate) fn replace(&self, entries: Vec<Entry>) -> bool {
        let (before, now) = {
            let mut list = self.slot();
            if list.entries == entries {
                return false;
            }
            let now = Arc::new(List::after(Some(&list), entries, &self.common));
            (std::mem::replace(&mut *list, now.clone()), now)
        };
        for endpoint in &before.endpoints {
            if now.position(endpoint).is_none() {
                endpoint.remove();
            }
        }
        self.replaced.notify_waiters();
        true
    }

    /// What all of them have in common.
    pub(crate) fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// Are connections to them encrypted?
    pub(crate) fn are_encrypted(&self) -> bool {
        self.common.tls.is_some()
    }

    /// Is no server known, but where to look for them?
    pub(crate) fn are_unresolved(&self) -> bool {
        self.list()
            .endpoints
            .iter()
            .all(|endpoint| endpoint.service().is_some())
    }

    /// A server that may become one of them.
    pub(crate) fn candidate(&self, address: &Address) -> Endpoint {
        // What becomes of it is told by who tries it.
        let common = Common {
            stats: Arc::default(),
            ..(*self.common).clone()
        };
        Endpoint::at(address.clone(), None, &Arc::new(common))
    }

    /// Waits until there are others.
    pub(crate) async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// Waits until one has failed.
    pub(crate) async fn failed(&self) {
        self.failed.notified().await;
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
        // A member that knows of none says nothing of others.
        if status.leader != 0 {
            self.leader.store(status.leader, Ordering::Relaxed);
        }
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
            has_moved: false,
            stays: only.is_some(),
            is_quiet: only.is_some(),
            list,
        }
    }

    /// The same for a read that any member may answer: of the servers that are connected each one has its turn. What
    /// becomes of it says nothing of where others should begin.
    pub(crate) fn round(&self) -> Route<'_> {
        let mut route = self.route(None);
        let count = route.list.endpoints.len();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let mut places = (0..count).map(|i| turn.wrapping_add(i) % count);
        let is_fit = |endpoint: &Endpoint| endpoint.connection().is_some() && !endpoint.is_suspect();
        if let Some(at) = places.find(|at| is_fit(&route.list.endpoints[*at])) {
            route.at = at;
            route.is_quiet = true;
        }
        route
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
    /// It did not begin with this one.
    has_moved: bool,
    /// It goes to one server.
    stays: bool,
    /// It says nothing of where others should begin.
    is_quiet: bool,
}

impl Route<'_> {
    /// The server to ask now.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.list.endpoints[self.at]
    }

    /// The server answered: later calls start with it, unless they did before.
    pub(crate) fn keep(&self) {
        if !self.is_quiet && self.has_moved {
            self.endpoints.list().prefer(self.endpoint());
        }
    }

    /// The server failed: later calls start with the next one, unless one of them has found a better by now.
    pub(crate) fn leave(&self) {
        if !self.is_quiet {
            self.endpoints.avoid(self.endpoint());
        }
        self.endpoint().lapsed();
        self.endpoints.failed.notify_one();
    }

    /// Counts all other servers as untried again.
    pub(crate) fn restart(&mut self) {
        self.untried = self.list.endpoints.len() - 1;
    }

    /// Is the server to ask now still to be looked up?
    pub(crate) fn is_unresolved(&self) -> bool {
        self.endpoint().service().is_some()
    }

    /// Goes on to a server that need not be looked up, if there is one.
    pub(crate) fn pass_unresolved(&mut self) {
        self.refresh();
        while self.is_unresolved() && self.advance() {}
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
        self.has_moved = true;
        let untried = self.untried > 0;
        self.untried = self.untried.saturating_sub(1);
        untried
    }

    /// Turns to the servers that have taken the place of those that it knows, if there are such.
    pub(crate) fn refresh(&mut self) -> bool {
        if self.stays {
            return false;
        }
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
