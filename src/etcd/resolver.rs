//! Finds out where the servers of a client are: asks DNS for services, and the cluster for its members.
//!
//! In: what the `origins` are to know. Out: the same, and the list of all servers that follows. An address that a member
//! gives is tried before it is used, for many give `localhost`. DNS has no say in whether connections are encrypted: the
//! records that are asked for are those of servers which are as the program says. Runs on the runtime.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::call::{CONNECT_LIMIT, Kind};
use super::cause::Cause;
use super::config::CallOptions;
use super::endpoint::Endpoint;
use super::error::{Code, Error, Result};
use super::failure::Failure;
use super::journal::{Level, Record};
use super::origins::lifetime;
use super::pb::{Member, MemberListRequest, MemberListResponse};
use super::servers::{Authorized, Servers};
use super::stats::Method;
use super::transport::address::{Address, Service};
use super::transport::deadline::Deadline;
use super::transport::grpc::{HalfClose, pack, unary};

const MEMBERS: Method = Method {
    name: "cluster.members",
    path: "/etcdserverpb.Cluster/MemberList",
};

/// How long name servers may take for one service.
const DNS_LIMIT: Duration = Duration::from_secs(10);

impl Servers {
    /// Looks up all services. Returns for how long what it has found is true; nothing where not all were found.
    pub(super) async fn look_up(&self) -> Option<Duration> {
        let services = self.origins().services();
        let found = join_all(services.iter().map(|service| self.look_up_one(service))).await;
        self.publish();
        found.into_iter().min().flatten().map(lifetime)
    }

    async fn look_up_one(&self, service: &Service) -> Option<Duration> {
        let is_encrypted = self.endpoints.are_encrypted();
        let record = service.record(is_encrypted);
        let dns = self.endpoints.dns();
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
        // One at a time: what was found last is true.
        let _turn = self.syncing.lock().await;
        let request = MemberListRequest { linearizable: true };
        let listed = self
            .call::<MemberListResponse>(Kind::Read, MEMBERS, request, options)
            .await;
        let listed = listed.inspect_err(|error| {
            self.stats.journal.tell(Level::Warn, || Record::of("unsynced", error));
        })?;
        let cluster_id = listed.response.header.unwrap_or_default().cluster_id;
        let mut addresses = Vec::new();
        for address in listed.response.members.iter().flat_map(|member| self.addresses(member)) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let tried = join_all(addresses.iter().map(|address| self.leads_to(cluster_id, address))).await;
        let mut tried = tried.into_iter();
        addresses.retain(|_| tried.next().unwrap_or(false));
        self.origins().members(addresses);
        self.publish();
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
        if self.origins().is_of_member(address) || self.endpoints.find(address).is_some() {
            return true;
        }
        let endpoint = self.endpoints.candidate(address);
        match self.ask_cluster(&endpoint).await {
            Ok(id) if id == cluster_id => true,
            tried => {
                let error = match tried {
                    Ok(_) => Failure::new(&endpoint.name, &Cause::Foreign).error,
                    Err(failure) => failure.error,
                };
                self.stats.journal.tell(Level::Warn, || {
                    let text = format!("a member's address is not used: {}", error.message);
                    Record {
                        message: text,
                        ..Record::of("member_refused", &error)
                    }
                });
                false
            }
        }
    }

    /// The cluster that a server belongs to. Nobody logs in at one that is of another: it is asked without that first, which
    /// is enough where users are not asked for, and in etcd before 3.5.29.
    async fn ask_cluster(&self, endpoint: &Endpoint) -> std::result::Result<u64, Failure> {
        let unreachable = |cause: Cause| Failure::new(&endpoint.name, &cause);
        let connection = timeout(CONNECT_LIMIT, endpoint.connect(None)).await;
        let connection = connection.map_err(|_| unreachable(Cause::ConnectTimeout(CONNECT_LIMIT)))?;
        let connection = connection.map_err(|error| unreachable(Cause::Unreachable(error)))?;
        let stranger = Authorized {
            connection,
            token: None,
        };
        match cluster(&stranger).await {
            Err(Cause::Status(..)) => {
                let authorized = self.connect_and_login(endpoint, CONNECT_LIMIT, None).await?;
                cluster(&authorized).await
            }
            told => told,
        }
        .map_err(unreachable)
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
        self.upkeep.hurry();
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

    /// Turns to a server that is preferred, where one is asked first that is not, as soon as one can be reached.
    pub(super) async fn settle(&self) {
        let list = self.endpoints.list();
        if !list.is_second_best() {
            return;
        }
        for endpoint in list.preferred() {
            if self.connect_and_login(endpoint, CONNECT_LIMIT, None).await.is_ok() {
                return list.prefer(endpoint);
            }
        }
    }
}

/// The cluster that a server says it belongs to.
async fn cluster(authorized: &Authorized) -> std::result::Result<u64, Cause> {
    let connection = &authorized.connection;
    let deadline = Deadline::within(connection.patience(CONNECT_LIMIT));
    let request = || {
        (
            authorized.metadata(false, None),
            pack(&MemberListRequest { linearizable: false }),
        )
    };
    let answer = unary::<MemberListResponse>(connection, MEMBERS.path, HalfClose::Request, deadline, request);
    Ok(answer.await?.header.unwrap_or_default().cluster_id)
}
