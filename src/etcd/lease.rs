//! The Lease service: grant, revoke, ttl, leases, keepalive.
//!
//! Renewal in the background is the work of the [`Keeper`]; what is granted or renewed here is handed to it.

mod keeper;

pub(crate) use keeper::Keeper;
pub use keeper::Renewals;

use super::call::Kind;
use super::client::Client;
use super::clock::Moment;
use super::config::CallOptions;
use super::error::{Applied, Code, Error, Result};
use super::pb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
const TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
const LEASES: &str = "/etcdserverpb.Lease/LeaseLeases";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// The server's words for a lease id that is taken, and for one that is not known.
const EXISTS: &str = "etcdserver: lease already exists";
const NOT_FOUND: &str = "etcdserver: requested lease not found";

impl Client {
    /// Creates a lease; `renew` has it renewed in the background from then on. Where the request names no id, the
    /// client chooses one, so that a grant whose answer was lost can be repeated and still makes one lease. There is none
    /// where the answer has an `error`.
    pub async fn grant(
        &self,
        mut request: LeaseGrantRequest,
        renew: bool,
        options: &CallOptions,
    ) -> Result<LeaseGrantResponse> {
        let chosen = request.id == 0;
        if chosen {
            request.id = (super::random::bits() >> 1).max(1).cast_signed();
        }
        let id = request.id;
        let kind = if chosen { Kind::Idempotent } else { Kind::Write };
        let answered = self.cluster().call::<LeaseGrantResponse>(kind, GRANT, request, options);
        let answered = answered
            .await
            .map(|answered| (answered.sent.unwrap_or_else(Moment::now), answered.response));
        let (sent, ttl, granted) = match answered {
            Err(error) if chosen && error.message == EXISTS => {
                // The lease was granted, whatever becomes of the question about it.
                let granted = self.granted(id, options).await;
                granted.map_err(|error| Error {
                    applied: Applied::Maybe,
                    ..error
                })?
            }
            answer => answer.map(|(sent, granted)| (sent, granted.ttl, granted))?,
        };
        if !granted.error.is_empty() {
            return Ok(granted);
        }
        if granted.id != id {
            return Err(other_lease(id, granted.id));
        }
        self.parts.keeper.found(id);
        if renew {
            let header = granted.header;
            self.parts.keeper.keep(LeaseKeepAliveResponse { header, id, ttl }, sent);
        }
        Ok(granted)
    }

    /// The answer of a grant whose own answer was lost, and the seconds that are left of the lease.
    async fn granted(&self, id: i64, options: &CallOptions) -> Result<(Moment, i64, LeaseGrantResponse)> {
        let sent = Moment::now();
        let found = self.ttl(LeaseTimeToLiveRequest { id, keys: false }, options).await?;
        if found.ttl <= 0 {
            return Err(Error::new(Code::NotFound, NOT_FOUND));
        }
        let granted = LeaseGrantResponse {
            header: found.header,
            id,
            ttl: found.granted_ttl,
            error: String::new(),
        };
        Ok((sent, found.ttl, granted))
    }

    /// Ends a lease and deletes its keys. Its renewal stops at once, whatever the answer.
    pub async fn revoke(&self, request: LeaseRevokeRequest, options: &CallOptions) -> Result<LeaseRevokeResponse> {
        self.parts.keeper.forget(request.id);
        self.call(Kind::Write, REVOKE, request, options).await
    }

    /// How long a lease still lives, in seconds; -1 for one that does not exist.
    pub fn ttl(
        &self,
        request: LeaseTimeToLiveRequest,
        options: &CallOptions,
    ) -> impl Future<Output = Result<LeaseTimeToLiveResponse>> {
        self.call(Kind::Read, TIME_TO_LIVE, request, options)
    }

    /// All leases of the cluster.
    pub fn leases(&self, options: &CallOptions) -> impl Future<Output = Result<LeaseLeasesResponse>> {
        self.call(Kind::Read, LEASES, LeaseLeasesRequest {}, options)
    }

    /// Renews a lease once; `renew` has it renewed in the background from then on. Where it is, the [`Renewals`] tell
    /// what becomes of it, first this answer. A lease that does not exist is [`Code::NotFound`].
    pub async fn keepalive(
        &self,
        request: LeaseKeepAliveRequest,
        renew: bool,
        options: &CallOptions,
    ) -> Result<(LeaseKeepAliveResponse, Option<Renewals>)> {
        let (sent, renewed) = self.renew(request, options).await?;
        let keeper = &self.parts.keeper;
        let kept = renew || keeper.keeps(renewed.id);
        Ok((renewed, kept.then(|| keeper.keep(renewed, sent))))
    }

    /// Renews a lease once. With the answer comes the moment when the request was sent.
    async fn renew(
        &self,
        request: LeaseKeepAliveRequest,
        options: &CallOptions,
    ) -> Result<(Moment, LeaseKeepAliveResponse)> {
        // A stream of one request has one answer, like any call.
        let call = self
            .cluster()
            .call::<LeaseKeepAliveResponse>(Kind::Renewal, KEEP_ALIVE, request, options);
        let answered = call.await?;
        let (sent, renewed) = (answered.sent.unwrap_or_else(Moment::now), answered.response);
        if renewed.id != request.id {
            return Err(other_lease(request.id, renewed.id));
        }
        match renewed.ttl {
            1.. => {
                self.parts.keeper.found(renewed.id);
                Ok((sent, renewed))
            }
            _ => Err(Error::new(Code::NotFound, NOT_FOUND)),
        }
    }
}

/// The answer to a request for one lease is about another.
fn other_lease(asked: i64, answered: i64) -> Error {
    let text = format!("the server answered lease {asked} with {answered}");
    Error {
        applied: Applied::Maybe,
        ..Error::new(Code::Protocol, text)
    }
}
