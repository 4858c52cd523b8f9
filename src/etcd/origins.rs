//! Where the addresses of a client's servers come from, and what follows from all of that together.
//!
//! In: the program's addresses, the records of a service, the addresses of members. Out: the list of all servers. No
//! input and no output of its own.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzz;

use std::sync::Arc;

use super::random;
use super::transport::address::{Address, Service};
use super::transport::dns::Target;

/// Where an address is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The program.
    Conf,
    /// A record of a service.
    Srv,
    /// A member.
    Member,
}

impl Source {
    /// Its name in Lua.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conf => "conf",
            Self::Srv => "srv",
            Self::Member => "member",
        }
    }
}

/// A server to be in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) address: Address,
    pub(crate) source: Source,
    /// Those with the lowest are preferred.
    pub(crate) rank: u32,
    /// The name that its certificate must have, where that is not the host's.
    pub(crate) identity: Option<Arc<str>>,
}

impl Entry {
    pub(super) fn new(address: Address, source: Source, rank: u32) -> Self {
        Self {
            address,
            source,
            rank,
            identity: None,
        }
    }
}

/// What is known.
#[derive(Debug)]
pub(crate) struct Origins {
    configured: Vec<Address>,
    /// What was found last of each service of these, in the order in which its servers are to be asked.
    found: Vec<(Service, Vec<Target>)>,
    members: Vec<Address>,
    /// Why a service was not found when it was looked up last.
    failures: Vec<(Service, Arc<str>)>,
    /// The servers that there were before the program gave other addresses, until all services of these were found.
    previous: Vec<Entry>,
    /// How often the program has given others. What was asked before is of no interest then.
    generation: u64,
    /// The addresses of members that were not used.
    refused: Vec<Address>,
}

impl Origins {
    /// `configured` is not empty.
    pub(crate) fn new(configured: Vec<Address>) -> Self {
        Self {
            configured,
            found: Vec::new(),
            members: Vec::new(),
            failures: Vec::new(),
            previous: Vec::new(),
            generation: 0,
            refused: Vec::new(),
        }
    }

    /// The program gives other addresses. What members have said may be of another cluster.
    pub(crate) fn configure(&mut self, configured: Vec<Address>) {
        let previous = self.entries();
        self.configured = configured;
        self.generation += 1;
        self.members.clear();
        self.failures.clear();
        self.refused.clear();
        self.previous.clear();
        let configured = &self.configured;
        self.found
            .retain(|(service, _)| configured.contains(&Address::Srv(service.clone())));
        if !self.are_found() {
            self.previous = previous;
            self.previous.retain(|entry| !matches!(entry.address, Address::Srv(_)));
        }
    }

    /// The services among the program's addresses.
    pub(crate) fn services(&self) -> Vec<Service> {
        let service = |address: &Address| match address {
            Address::Srv(service) => Some(service.clone()),
            Address::Tcp { .. } | Address::Unix(_) => None,
        };
        self.configured.iter().filter_map(service).collect()
    }

    /// Were all services found?
    fn are_found(&self) -> bool {
        let is_found = |service: &Service| self.found.iter().any(|(known, _)| known == service);
        self.services().iter().all(is_found)
    }

    /// How often the program has given other addresses.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// An address of a member is not used. Says whether that is new.
    pub(crate) fn refuse(&mut self, address: &Address) -> bool {
        let is_new = !self.refused.contains(address);
        if is_new {
            self.refused.push(address.clone());
        }
        is_new
    }

    /// Are there services among them?
    pub(crate) fn has_services(&self) -> bool {
        self.configured.iter().any(|address| matches!(address, Address::Srv(_)))
    }

    /// A service was not found.
    pub(crate) fn failed(&mut self, service: &Service, reason: &str) {
        self.failures.retain(|(known, _)| known != service);
        self.failures.push((service.clone(), reason.into()));
    }

    /// Why a service was not found.
    pub(crate) fn reason(&self, service: &Service) -> Arc<str> {
        let failure = self.failures.iter().find(|(known, _)| known == service);
        failure.map_or_else(
            || "no name server has responded yet".into(),
            |(_, reason)| reason.clone(),
        )
    }

    /// A service is served there. Nowhere is no news: a name server that has lost the records takes no server away.
    pub(crate) fn found(&mut self, service: &Service, targets: Vec<Target>) {
        if targets.is_empty() || !self.services().contains(service) {
            return;
        }
        self.failures.retain(|(known, _)| known != service);
        let known = self.found.iter_mut().find(|(known, _)| known == service);
        match known {
            // The order stays, so that nothing changes where nothing is new.
            Some((_, before)) if sorted(before) == sorted(&targets) => {}
            Some((_, before)) => *before = shuffled(targets),
            None => self.found.push((service.clone(), shuffled(targets))),
        }
        if self.are_found() {
            self.previous.clear();
        }
    }

    /// The members listen there, as was asked when the program had given other addresses so often.
    pub(crate) fn members(&mut self, generation: u64, members: Vec<Address>) {
        if generation == self.generation {
            self.refused.retain(|address| !members.contains(address));
            self.members = members;
        }
    }

    /// Is it known of a member that it listens there?
    pub(crate) fn is_of_member(&self, address: &Address) -> bool {
        self.members.contains(address)
    }

    /// All servers, those first that are preferred: what members say, then what the program says or has looked up. A
    /// service of which nothing was found is in the list itself. The list is never empty.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let last = u32::from(!self.members.is_empty());
        let member = |address: &Address| Entry::new(address.clone(), Source::Member, 0);
        let mut entries: Vec<_> = self.members.iter().map(member).collect();
        for address in &self.configured {
            let Address::Srv(service) = address else {
                entries.push(Entry::new(address.clone(), Source::Conf, last));
                continue;
            };
            match self.found.iter().find(|(known, _)| known == service) {
                Some((_, targets)) => entries.extend(of_service(service, targets, last)),
                None => entries.push(Entry::new(address.clone(), Source::Srv, last)),
            }
        }
        let last_of_all = |entry: &Entry| Entry {
            rank: u32::MAX,
            ..entry.clone()
        };
        entries.extend(self.previous.iter().map(last_of_all));
        // Stable, so that those of one rank keep their order.
        entries.sort_by_key(|entry| entry.rank);
        let mut seen = Vec::new();
        entries.retain(|entry| {
            let is_new = !seen.contains(&entry.address);
            seen.push(entry.address.clone());
            is_new
        });
        entries
    }
}

fn of_service(service: &Service, targets: &[Target], last: u32) -> impl Iterator<Item = Entry> {
    let lowest = targets.first().map_or(0, |target| target.priority);
    targets.iter().map(move |target| {
        let address = Address::Tcp {
            host: target.host.clone(),
            port: target.port,
        };
        let rank = last + u32::from(target.priority - lowest);
        Entry {
            identity: identity(&service.domain, &target.host),
            ..Entry::new(address, Source::Srv, rank)
        }
    })
}

/// The name that the certificate of a host must have, where it is not the host's own: who can forge DNS could name a host
/// of his own, which has a good certificate. So a host outside of the domain must be trusted by the domain's name.
fn identity(domain: &str, host: &str) -> Option<Arc<str>> {
    let is_inside = host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    (!is_inside).then(|| domain.into())
}

fn sorted(targets: &[Target]) -> Vec<Target> {
    let mut targets = targets.to_vec();
    targets.sort();
    targets
}

/// By their priority and, where that is the same, at random by their weight, as RFC 2782 has it.
fn shuffled(targets: Vec<Target>) -> Vec<Target> {
    let mut drawn: Vec<_> = targets
        .into_iter()
        .map(|target| (draw(target.weight), target))
        .collect();
    drawn.sort_by(|(a, first), (b, second)| first.priority.cmp(&second.priority).then(a.total_cmp(b)));
    drawn.into_iter().map(|(_, target)| target).collect()
}

/// How long it takes until something happens that does so at random, `weight` times in a while: of several the first is
/// each one with the chance that its weight gives it. One without weight comes last, mostly.
fn draw(weight: u16) -> f64 {
    let weight = f64::from(weight).max(0.01);
    -(1.0 - random::fraction()).max(f64::MIN_POSITIVE).ln() / weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn target(priority: u16, weight: u16, host: &str) -> Target {
        Target {
            priority,
            weight,
            host: host.to_owned(),
            port: 1,
        }
    }

    fn service() -> Service {
        Service {
            domain: "example.com".to_owned(),
            cluster: None,
        }
    }

    fn shown(origins: &Origins) -> Vec<String> {
        let entries = origins.entries();
        let show = |entry: &Entry| format!("{} {} {}", entry.address, entry.source.name(), entry.rank);
        entries.iter().map(show).collect()
    }

    #[test]
    fn members_come_first_and_what_the_program_says_is_never_thrown_away() {
        let mut origins = Origins::new(vec![address("a:1"), address("b:1")]);
        assert_eq!(shown(&origins), ["a:1 conf 0", "b:1 conf 0"]);
        origins.members(0, vec![address("c:1"), address("b:1")]);
        assert_eq!(shown(&origins), ["c:1 member 0", "b:1 member 0", "a:1 conf 1"]);
        assert!(origins.is_of_member(&address("b:1")) && !origins.is_of_member(&address("a:1")));
        origins.members(0, Vec::new());
        assert_eq!(shown(&origins), ["a:1 conf 0", "b:1 conf 0"]);
        origins.members(0, vec![address("c:1")]);
        origins.configure(vec![address("d:1")]);
        // What was asked before that says nothing now.
        origins.members(0, vec![address("c:1")]);
        assert_eq!(shown(&origins), ["d:1 conf 0"]);
        origins.members(1, vec![address("c:1")]);
        assert_eq!(shown(&origins), ["c:1 member 0", "d:1 conf 1"]);
    }

    #[test]
    fn a_service_stands_for_itself_until_it_was_found_and_is_not_lost_again() {
        let mut origins = Origins::new(vec![Address::Srv(service()), address("z:1")]);
        assert_eq!(shown(&origins), ["srv://example.com srv 0", "z:1 conf 0"]);
        origins.found(&service(), vec![target(20, 1, "b"), target(10, 1, "a")]);
        let known = ["a:1 srv 0", "z:1 conf 0", "b:1 srv 10"];
        assert_eq!(shown(&origins), known);
        origins.found(&service(), Vec::new());
        assert_eq!(shown(&origins), known);
        origins.found(&service(), vec![target(5, 1, "c")]);
        assert_eq!(shown(&origins), ["c:1 srv 0", "z:1 conf 0"]);
        origins.configure(vec![address("z:1")]);
        origins.found(&service(), vec![target(5, 1, "c")]);
        assert_eq!(shown(&origins), ["z:1 conf 0"]);
        // The servers that there are stay until others are found.
        origins.configure(vec![Address::Srv(service())]);
        let before = ["srv://example.com srv 0", "z:1 conf 4294967295"];
        assert_eq!(shown(&origins), before);
        origins.found(&service(), vec![target(5, 1, "c")]);
        assert_eq!(shown(&origins), ["c:1 srv 0"]);
    }

    #[test]
    fn the_same_records_leave_the_order_as_it_is() {
        let mut origins = Origins::new(vec![Address::Srv(service())]);
        let targets: Vec<_> = (0..20).map(|i| target(1, 1, &format!("h{i}"))).collect();
        origins.found(&service(), targets.clone());
        let before = shown(&origins);
        for _ in 0..20 {
            origins.found(&service(), targets.clone());
            assert_eq!(shown(&origins), before);
        }
    }

    #[test]
    fn weight_is_obeyed_within_a_priority() {
        let mut first = 0;
        for _ in 0..1000 {
            let order = shuffled(vec![target(2, 9, "c"), target(1, 10, "a"), target(1, 90, "b")]);
            assert_eq!(order[2].host, "c");
            first += usize::from(order[0].host == "b");
        }
        assert!((800..980).contains(&first), "{first}");
    }

    #[test]
    fn a_host_outside_of_the_domain_must_be_trusted_by_the_domains_name() {
        for (host, name) in [
            ("example.com", None),
            ("a.example.com", None),
            ("a.b.example.com", None),
            ("badexample.com", Some("example.com")),
            ("example.com.evil.net", Some("example.com")),
        ] {
            assert_eq!(identity("example.com", host).as_deref(), name, "{host}");
        }
    }
}
