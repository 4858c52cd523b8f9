//! Grants: one lease each, even if a response is lost on the way.
//!
//! In: a TTL and perhaps an id. Out: the server's response; the keeper renews the lease from then on. Where no id is
//! named, the client draws one, so that a grant whose response was lost can be repeated. Runs on the runtime.

use crate::etcd::call::Kind;
use crate::etcd::client::Client;
use crate::etcd::clock::Moment;
use crate::etcd::config::CallOptions;
use crate::etcd::error::{Applied, Code, Error, Result};
use crate::etcd::pb::{LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseTimeToLiveRequest};
use crate::etcd::random;
use crate::etcd::stats::Method;

use super::{NOT_FOUND, other_lease};

const GRANT: Method = Method {
    name: "grant",
    path: "/etcdserverpb.Lease/LeaseGrant",
};

/// The server's words for a lease id that is taken.
const EXISTS: &str = "etcdserver: lease already exists";

/// How many ids are drawn. That a second one is needed is as good as impossible.
const DRAWS: u32 = 4;

/// The longest minimum of a TTL that a server can be configured to have, in seconds: one and a half times its longest
/// election timeout. What is asked for below the minimum is granted as the minimum.
const LONGEST_MINIMUM: i64 = 75;

/// A lease that was granted.
struct Granted {
    answer: LeaseGrantResponse,
    /// The seconds that were left of it to a request sent at `sent`.
    left: i64,
    sent: Moment,
}

impl Client {
    /// Creates a lease; `renew` has it renewed in the background from then on. Where the request names no id, the
    /// client chooses one, so that a grant whose response was lost can be repeated and still makes one lease. There is
    /// none where the response has an `error`.
    pub async fn grant(
        &self,
        request: LeaseGrantRequest,
        renew: bool,
        options: &CallOptions,
    ) -> Result<LeaseGrantResponse> {
        let Granted { answer, left, sent } = match request.id {
            0 => self.grant_new(request.ttl, options).await?,
            _ => self.grant_as(Kind::Grant, request, options).await?,
        };
        if answer.error.is_empty() {
            self.parts.keeper.found(answer.id, sent);
            if renew {
                let (header, id, ttl) = (answer.header, answer.id, left);
                self.parts.keeper.keep(LeaseKeepAliveResponse { header, id, ttl }, sent);
            }
        }
        Ok(answer)
    }

    /// Creates a lease under an id that nobody has.
    async fn grant_new(&self, ttl: i64, options: &CallOptions) -> Result<Granted> {
        let mut draws = 0;
        loop {
            draws += 1;
            let request = LeaseGrantRequest { ttl, id: draw()? };
            let error = match self.grant_as(Kind::Idempotent, request, options).await {
                Err(error) if error.message == EXISTS => error,
                answer => return answer,
            };
            // Only an attempt whose response was lost can have made it.
            if error.applied == Applied::Maybe
                && let Some(granted) = self.granted(request, options).await?
            {
                return Ok(granted);
            }
            if draws == DRAWS {
                return Err(error);
            }
        }
    }

    async fn grant_as(&self, kind: Kind, request: LeaseGrantRequest, options: &CallOptions) -> Result<Granted> {
        let answered = self
            .servers()
            .call::<LeaseGrantResponse>(kind, GRANT, request, options)
            .await?;
        let (sent, answer) = (answered.sent, answered.response);
        if answer.error.is_empty() && answer.id != request.id {
            return Err(other_lease(request.id, answer.id));
        }
        let left = answer.ttl;
        Ok(Granted { answer, left, sent })
    }

    /// What an earlier attempt of `request` was granted; `None` where the lease is somebody else's.
    async fn granted(&self, request: LeaseGrantRequest, options: &CallOptions) -> Result<Option<Granted>> {
        // The lease may have been granted, whatever becomes of the question about it.
        let unclear = |error| Error {
            applied: Applied::Maybe,
            ..error
        };
        let sent = Moment::now();
        let id = request.id;
        let found = self.ttl(LeaseTimeToLiveRequest { id, keys: false }, options).await;
        let found = found.map_err(unclear)?;
        if found.ttl <= 0 {
            return Err(unclear(Error::new(Code::NotFound, NOT_FOUND)));
        }
        let answer = LeaseGrantResponse {
            header: found.header,
            id,
            ttl: found.granted_ttl,
            error: String::new(),
        };
        let left = found.ttl;
        Ok(grants(request.ttl, found.granted_ttl).then_some(Granted { answer, left, sent }))
    }
}

/// Does a server that is asked for a TTL of `asked` seconds grant `granted`?
fn grants(asked: i64, granted: i64) -> bool {
    granted == asked || (asked..=LONGEST_MINIMUM).contains(&granted)
}

/// An id at random.
fn draw() -> Result<i64> {
    Ok((random::unique("a lease id")?.cast_signed() & i64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_drawn_from_all_positive_numbers() {
        let drawn: Vec<_> = (0..64).map(|_| draw().unwrap()).collect();
        assert!(drawn.iter().all(|id| *id > 0));
        assert!(drawn.iter().any(|id| *id > i64::MAX / 2), "the upper half");
        assert!(drawn.iter().any(|id| id % 2 == 0) && drawn.iter().any(|id| id % 2 == 1));
    }

    #[test]
    fn a_server_grants_what_was_asked_or_its_minimum() {
        for (asked, granted, possible) in [
            (60, 60, true),
            (1, 2, true),
            (-1, 2, true),
            (60, 75, true),
            (60, 59, false),
            (60, 76, false),
            (600, 75, false),
            (600, 601, false),
        ] {
            assert_eq!(grants(asked, granted), possible, "{asked} {granted}");
        }
    }
}
