//! The Lease service: what is more than a row of the table.
//!
//! Renewal in the background is the work of the [`Keeper`]; what is granted or renewed here is handed to it.

mod grant;

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

/// The server's words for a lease that is not known.
const NOT_FOUND: &str = "etcdserver: requested lease not found";

impl Client {
    /// Ends a lease and deletes its keys. Its renewal stops at once, whatever the response.
    pub async fn revoke(&self, request: LeaseRevokeRequest, options: &CallOptions) -> Result<LeaseRevokeResponse> {
        self.parts.keeper.forget(request.id);
        self.call(request, options).await
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
            .call::<LeaseKeepAliveResponse>(Kind::Renewal, KEEP_ALIVE, request, options);
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
