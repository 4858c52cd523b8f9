//! Finds out where the servers of a client are: asks DNS for services, and the cluster for its members.
//!
//! In: what the `origins` are to know. Out: the same, and the list of all servers that follows. An address that a member
//! gives is tried before it is used, for many give `localhost`. DNS has no say in whether connections are encrypted: the
//! records that are asked for are those of servers which are as the program says. Runs on the runtime.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{timeout, timeout_at};

use super::call::{CONNECT_LIMIT, Kind};
use super::cause::Cause;
use super::config::{Balance, CallOptions};
use super::endpoint::Endpoint;
use super::error::{Code, Error, Result};
use super::journal::{Level, Record};
use super::pb::{Member, MemberListRequest, MemberListResponse, RangeRequest, RangeResponse};
use super::received::Receive;
use super::servers::{Authorized, RANGE, Servers};
use super::stats::Method;
use super::transport::address::{Address, Service};

const MEMBERS: Method = Method {
    name: "cluster.members",
    path: "/etcdserverpb.Cluster/MemberList",
};

/// A record is believed for so long at least, since many say 0, and no longer than that.
const SHORTEST_TTL: Duration = Duration::from_secs(30);
const LONGEST_TTL: Duration = Duration::from_secs(3600);

/// How long name servers may take for one service.
const DNS_LIMIT: Duration = Duration::from_secs(10);

impl Servers {
    /// Looks up all services. Returns for how long what it has found is true; nothing where not all were found.
    pub(super) async fn look_up(&self) -> Option<Duration> {
        let services = self.origins().services();
        let found = join_all(services.iter().map(|service| self.look_up_one(service))).await;
        self.publish();
        let ttl = found.into_iter().min().flatten()?;
        Some(ttl.clamp(SHORTEST_TTL, LONGEST_TTL))
    }

    async fn look_up_one(&self, service: &Service) -> Option<Duration> {
        let is_encrypted = self.endpoints.are_encrypted();
        let record = service.record(is_encrypted);
        let dns = &self.endpoints.common().dns;
        let reason = match timeout(DNS_LIMIT, dns.service(&record)).await {
            Ok(Ok((targets, ttl))) if !targets.is_empty() => {
                self.origins().found(service, targets);
                return Some(ttl);
            }
            Ok(Ok(_)) => {
                let other = timeout(DNS_LIMIT, dns.service(&service.record(!is_encrypted))).await;
                match (other, is_encrypted) {
                    (Ok(Ok((targets, _))), false) if !targets.is_empty() => {
                        format!("DNS has no {record}, and one of servers with TLS: the client needs 'tls'")
                    }
                    (Ok(Ok((targets, _))), true) if !targets.is_empty() => {
                        format!("DNS has no {record}, and one of servers without TLS, which are not used")
                    }
                    _ => format!("DNS has no {record}"),
                }
            }
            Ok(Err(error)) => format!("{record} could not be looked up: {error}"),
            Err(_) => format!("{record} could not be looked up within {} s", DNS_LIMIT.as_secs()),
        };
        self.stats.journal.tell(Level::Warn, || {
            Record::new("unresolved", &reason).at(&service.to_string().into())
        });
        self.origins().failed(service, &reason);
        None
    }

    /// Asks the cluster for its members, and uses those addresses of theirs that lead to it. Learners, and members that
    /// were never started, serve nobody.
    pub(super) async fn sync(&self, options: &CallOptions) -> Result<()> {
        let end = options.deadline;
        let synced = self.closed.run_until_cancelled(async {
            match end {
                None => self.ask_members(options).await,
                Some(end) => match timeout_at(end, self.ask_members(options)).await {
                    Ok(asked) => asked,
                    Err(_) => Err(Error::new(
                        Code::DeadlineExceeded,
                        "the members' addresses were not tried in time",
                    )),
                },
            }
        });
        match synced.await {
            // What is tried while the client is closed fails.
            Some(synced) if !self.closed.is_cancelled() => synced,
            _ => Err(Error::closed()),
        }
    }

    async fn ask_members(&self, options: &CallOptions) -> Result<()> {
        // One at a time: what was found last is true.
        let _turn = self.syncing.lock().await;
        let generation = self.origins().generation();
        let request = MemberListRequest { linearizable: true };
        let listed = self
            .call::<MemberListResponse>(Kind::Read, MEMBERS, request, options)
            .await;
        let listed = listed.inspect_err(|error| {
            self.stats.journal.tell(Level::Warn, || Record::of("unsynced", error));
        })?;
        // etcd's proxy responds without a header.
        let cluster_id = match listed.response.header.unwrap_or_default().cluster_id {
            0 => self.endpoints.cluster_id(),
            id => id,
        };
        let mut addresses = Vec::new();
        for address in listed.response.members.iter().flat_map(|member| self.addresses(member)) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let tried = join_all(addresses.iter().map(|address| self.leads_to(cluster_id, address))).await;
        let mut tried = tried.into_iter();
        addresses.retain(|_| tried.next().unwrap_or(false));
        self.origins().members(generation, addresses);
        self.publish();
        self.settle().await;
        Ok(())
    }

    /// Where a member listens for clients that are as this one is.
    fn addresses(&self, member: &Member) -> Vec<Address> {
        if member.is_learner || member.name.is_empty() {
            return Vec::new();
        }
        let is_encrypted = self.endpoints.are_encrypted();
        let fits = |url: &&String| Address::encryption(url) == Some(is_encrypted);
        let parsed = member.client_ur_ls.iter().filter(fits).map(|url| url.parse());
        parsed.filter_map(std::result::Result::ok).collect()
    }

    /// Does an address lead to this cluster? That it does is known of one that has led there before.
    async fn leads_to(&self, cluster_id: u64, address: &Address) -> bool {
        let is_known = |known: Arc<Endpoint>| cluster_id != 0 && known.cluster_id() == cluster_id;
        if self.origins().is_of_member(address) || self.endpoints.find(address).is_some_and(is_known) {
            return true;
        }
        let problem = match self.try_address(cluster_id, address).await {
            Ok(()) => return true,
            Err(problem) => problem,
        };
        if self.origins().refuse(address) {
            self.stats.journal.tell(Level::Warn, || {
                let text = format!("a member's address is not used: {problem}");
                Record::new("member_refused", text).at(&address.to_string().into())
            });
        }
        false
    }

    async fn try_address(&self, cluster_id: u64, address: &Address) -> std::result::Result<(), String> {
        // A cluster id is no proof: clusters that were started alike have the same one.
        let is_local = |endpoint: &Arc<Endpoint>| endpoint.address.is_local();
        if address.is_local() && !self.endpoints.list().all().iter().any(is_local) {
            return Err("it leads to the client's own machine, and no server of the client is there".to_owned());
        }
        match self.ask_cluster(&self.endpoints.candidate(address)).await {
            Ok(id) if id == cluster_id && id != 0 => Ok(()),
            Ok(0) => Err("the server does not tell which cluster it belongs to".to_owned()),
            Ok(_) => Err(Cause::Foreign.message()),
            Err(cause) => Err(cause.message()),
        }
    }

    /// The cluster that a server belongs to. Nobody logs in there: it gets a token that there is, if it asks for one, and
    /// no password.
    async fn ask_cluster(&self, endpoint: &Endpoint) -> std::result::Result<u64, Cause> {
        let connection = timeout(CONNECT_LIMIT, endpoint.connect(None)).await;
        let connection = connection.map_err(|_| Cause::ConnectTimeout(CONNECT_LIMIT))?;
        let mut authorized = Authorized {
            connection: connection.map_err(Cause::Unreachable)?,
            token: None,
        };
        let request = MemberListRequest { linearizable: false };
        let told = match authorized
            .ask::<MemberListResponse>(MEMBERS.path, false, &request)
            .await
        {
            Err(Cause::Status(..)) if self.login.present().flatten().is_some() => {
                authorized.token = self.login.present().flatten();
                authorized.ask(MEMBERS.path, false, &request).await
            }
            told => told,
        };
        Ok(told?.header.unwrap_or_default().cluster_id)
    }

    /// Other addresses, in the place of those that the program has given before.
    pub(super) fn configure(&self, addresses: Vec<Address>) -> Result<()> {
        if self.closed.is_cancelled() {
            return Err(Error::closed());
        }
        if addresses.is_empty() {
            return Err(Error::new(Code::InvalidArgument, "there must be at least one endpoint"));
        }
        self.origins().configure(addresses);
        self.publish();
        if self.needs_upkeep() {
            self.upkeep.hurry();
        }
        Ok(())
    }

    /// Has the list of all servers be what follows from their origins.
    fn publish(&self) {
        // Under the lock, so that the last word is the list.
        let origins = self.origins();
        if self.endpoints.replace(origins.entries()) {
            let text = format!("the servers are now {}", self.endpoints);
            self.stats.journal.tell(Level::Info, || Record::new("endpoints", text));
        }
    }

    /// Turns to a server that is preferred, where one is asked first that is not, as soon as one serves.
    pub(super) async fn settle(&self) {
        let list = self.endpoints.list();
        if !list.is_second_best() || matches!(self.balance, Balance::Leader | Balance::Nearest) {
            return;
        }
        for endpoint in list.preferred() {
            if self.serves(endpoint).await {
                return list.prefer(endpoint);
            }
        }
    }

    /// Does a server serve: has it not failed of late, and does it answer a read that takes a quorum? To deny that is to
    /// serve.
    pub(super) async fn serves(&self, endpoint: &Arc<Endpoint>) -> bool {
        if endpoint.is_suspect() {
            return false;
        }
        let Ok(authorized) = self.connect_and_login(endpoint, CONNECT_LIMIT, None).await else {
            return false;
        };
        match authorized.ask::<RangeResponse>(RANGE, true, &probe(false)).await {
            Ok(response) => self.endpoints.recognise(endpoint, &response.head()).is_ok(),
            Err(cause) => is_denied(&cause),
        }
    }
}

/// A read that shows whether a member serves. Its key need not exist.
pub(super) fn probe(serializable: bool) -> RangeRequest {
    RangeRequest {
        key: "health".into(),
        serializable,
        count_only: true,
        ..RangeRequest::default()
    }
}

/// Has the server answered that the user may not read?
pub(super) fn is_denied(cause: &Cause) -> bool {
    matches!(cause, Cause::Status(..)) && cause.verdict().code == Code::PermissionDenied
}
