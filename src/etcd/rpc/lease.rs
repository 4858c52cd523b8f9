//! The Lease service: what is more than a row of the table.
//!
//! Renewal in the background is the work of the [`Keeper`]; what is granted or renewed here is handed to it.

mod grant;

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::etcd::backoff;
use crate::etcd::call::Kind;
use crate::etcd::client::Client;
use crate::etcd::clock::Moment;
use crate::etcd::config::CallOptions;
use crate::etcd::error::{Applied, Code, Error, Result};
use crate::etcd::leases::{KEEP_ALIVE, Renewals};
use crate::etcd::pb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use crate::etcd::stats::Method;

/// A renewal by a stream of one request.
const RENEW: Method = Method {
    name: "keepalive",
    path: KEEP_ALIVE,
};

/// The server's words for a lease that is not known.
const NOT_FOUND: &str = "etcdserver: requested lease not found";

impl Client {
    /// Ends a lease and deletes its keys. Its renewal stops at once, whatever the response.
    pub async fn revoke(&self, request: LeaseRevokeRequest, options: &CallOptions) -> Result<LeaseRevokeResponse> {
        self.parts.keeper.forget(request.id);
        self.call(request, options).await
    }

    /// What becomes of a lease that this client has just begun to renew.
    pub(crate) fn renewals(&self, id: i64) -> Result<Renewals> {
        let lost = || Error::new(Code::LeaseExpired, "the lease was lost as soon as it was there");
        self.parts.keeper.follow(id).ok_or_else(lost)
    }

    /// Ends a lease that nobody needs any more, however often that must be tried within `limit`. Where no server
    /// responds it ends with its TTL, as it is renewed no longer; so it does where the client is closed.
    pub(crate) async fn end_lease(&self, id: i64, limit: Duration) {
        let ending = async {
            let mut failures = 0;
            loop {
                match self.revoke(LeaseRevokeRequest { id }, &self.options()).await {
                    Err(error) if !matches!(error.code, Code::NotFound | Code::Closed | Code::PermissionDenied) => {}
                    _ => return,
                }
                sleep(backoff::pause(failures)).await;
                failures += 1;
            }
        };
        // Whether in time or not, that was it.
        let _ = timeout(limit, ending).await;
    }

    /// Renews a lease once; `renew` says whether it is renewed in the background from then on, which else stays as it
    /// is. Where it is, the [`Renewals`] tell what becomes of it, first this response. A lease that does not exist is
    /// [`Code::NotFound`].
    pub async fn keepalive(
        &self,
        request: LeaseKeepAliveRequest,
        renew: Option<bool>,
        options: &CallOptions,
    ) -> Result<(LeaseKeepAliveResponse, Option<Renewals>)> {
        let keeper = &self.parts.keeper;
        if renew == Some(false) {
            keeper.forget(request.id);
        }
        let (sent, renewed) = self.renew(request, options).await?;
        let kept = renew == Some(true) || keeper.keeps(renewed.id);
        Ok((renewed, kept.then(|| keeper.keep(renewed, sent))))
    }

    /// How long a lease still lives, in seconds; -1 for one that does not exist.
    pub async fn ttl(&self, request: LeaseTimeToLiveRequest, options: &CallOptions) -> Result<LeaseTimeToLiveResponse> {
        let mut response = self.call(request, options).await?;
        self.namespace.leave(&mut response);
        Ok(response)
    }

    /// Is some lease renewed in the background?
    pub fn renews(&self) -> bool {
        self.parts.keeper.is_busy()
    }

    /// Renews a lease once. With the response comes the moment when the request was sent.
    async fn renew(
        &self,
        request: LeaseKeepAliveRequest,
        options: &CallOptions,
    ) -> Result<(Moment, LeaseKeepAliveResponse)> {
        // A stream of one request has one response, like any call.
        let call = self
            .servers()
            .call::<LeaseKeepAliveResponse>(Kind::Renewal, RENEW, request, options);
        let answered = call.await?;
        let (sent, renewed) = (answered.sent, answered.response);
        if renewed.id != request.id {
            return Err(other_lease(request.id, renewed.id));
        }
        self.parts.keeper.answer(renewed, sent);
        match renewed.ttl {
            1.. => Ok((sent, renewed)),
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
