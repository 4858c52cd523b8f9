//! The Maintenance service: what is more than a row of the table. Much of it is about one member: the leader, or each
//! in turn. Members are found among the endpoints of the client; addresses that the cluster names are not used.

mod checked;
mod snapshot;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
pub use snapshot::{Complete, Piece, Snapshot, SnapshotTo};

use super::{Maintenance, Service, Unary};
use crate::etcd::call::Kind;
use crate::etcd::config::CallOptions;
use crate::etcd::endpoint::Server;
use crate::etcd::error::{Applied, Code, Error, Result};
use crate::etcd::pb::alarm_request::AlarmAction;
use crate::etcd::pb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse, HashKvRequest,
    MemberListRequest, MoveLeaderRequest, MoveLeaderResponse, Response, StatusRequest, StatusResponse,
};
use crate::etcd::stats::Method;

const DISARM: Method = Method {
    name: "maintenance.disarm",
    ..AlarmRequest::RPC.method()
};
const DEFRAGMENT: Method = Method {
    name: "maintenance.defragment",
    path: "/etcdserverpb.Maintenance/Defragment",
};

/// How often a member is looked for, or compared, again: what was found may have changed meanwhile.
const ROUNDS: u32 = 5;

/// The pause before that.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of one member's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defragmented {
    /// The member.
    pub member_id: u64,
    /// Which of the endpoints it is.
    pub endpoint: Arc<str>,
    /// The bytes that its store takes now.
    pub db_size: i64,
    /// The bytes that it took more before.
    pub freed: i64,
    /// How long that took.
    pub took: Duration,
}

/// What the members have stored, as it was at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Is it the same on all of them?
    pub same: bool,
    /// The revision.
    pub revision: i64,
    /// One for each member.
    pub members: Vec<MemberHash>,
}

/// What one member has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberHash {
    /// The member.
    pub member_id: u64,
    /// Which of the endpoints it is.
    pub endpoint: Arc<str>,
    /// The hash of its keys.
    pub hash: u32,
    /// The revision before which it has forgotten the history.
    pub compact_revision: i64,
}

/// A member that has responded.
struct Found {
    /// Its place among the endpoints.
    at: usize,
    server: Server,
    status: StatusResponse,
}

impl Found {
    fn id(&self) -> u64 {
        self.status.header.as_ref().map_or(0, |header| header.member_id)
    }

    fn endpoint(&self) -> Arc<str> {
        self.server.0.name.clone()
    }

    fn leads(&self) -> bool {
        self.id() == self.status.leader
    }
}

impl Maintenance {
    /// What a member says of itself.
    pub async fn status(&self, request: StatusRequest, options: &CallOptions) -> Result<StatusResponse> {
        let status = self.client().call(request, options).await?;
        self.client().servers().endpoints.learn(&status);
        Ok(status)
    }

    /// Makes another member the leader. Only the leader does that: it is the one that is asked.
    pub async fn moveleader(&self, request: MoveLeaderRequest, options: &CallOptions) -> Result<MoveLeaderResponse> {
        if options.endpoint.is_some() {
            return self.client().call(request, options).await;
        }
        let mut round = 1;
        loop {
            let leader = self.leader(options).await?;
            match self.client().call(request, &options.at(&leader)).await {
                // It led when it was found.
                Err(error) if error.message.ends_with("not leader") && round < ROUNDS => round += 1,
                ended => return ended,
            }
        }
    }

    /// Ends alarms: of one member or, where that is 0, of all; of one type or, where there is none, of both. Returns
    /// those that were raised.
    pub async fn disarm(&self, member_id: u64, alarm: AlarmType, options: &CallOptions) -> Result<AlarmResponse> {
        let mut raised: AlarmResponse = self.client().call(AlarmRequest::default(), options).await?;
        let meant = |raised: &AlarmMember| {
            [0, raised.member_id].contains(&member_id) && (alarm == AlarmType::None || raised.alarm() == alarm)
        };
        raised.alarms.retain(meant);
        let mut done = Vec::new();
        for alarm in &raised.alarms {
            let request = AlarmRequest {
                action: AlarmAction::Deactivate.into(),
                member_id: alarm.member_id,
                alarm: alarm.alarm,
            };
            let servers = self.client().servers();
            let ended = servers.call::<AlarmResponse>(Kind::Idempotent, DISARM, request, options);
            let ended = ended.await.map_err(|error| after(&done, error))?;
            raised.header = ended.response.header;
            done.push(format!("{} of {:x}", alarm.alarm().as_str_name(), alarm.member_id));
        }
        Ok(raised)
    }

    /// Gives the space that a member's store has free back to its file system. The member serves nobody meanwhile, so
    /// other calls go elsewhere. Which member must be said where there are several.
    pub async fn defragment(&self, options: &CallOptions) -> Result<DefragmentResponse> {
        let servers = self.client().servers();
        match &options.endpoint {
            Some(Server(endpoint)) => servers.endpoints.avoid(endpoint),
            None if servers.endpoints.are_several() => {
                let text = "the client has several endpoints: name one as 'endpoint', or give 'all'";
                return Err(Error::new(Code::InvalidArgument, text));
            }
            None => {}
        }
        let request = DefragmentRequest {};
        let call = servers.call::<DefragmentResponse>(Kind::Write, DEFRAGMENT, request, options);
        Ok(call.await?.response)
    }

    /// Does so to one member after the other, the leader last, and waits each time until the member serves again. Ends
    /// with the first failure. All members must be among the endpoints.
    pub async fn defragment_all(&self, options: &CallOptions) -> Result<Vec<Defragmented>> {
        let mut members = self.all(options).await?;
        members.sort_by_key(|member| (member.leads(), member.at));
        let (mut done, mut names) = (Vec::new(), Vec::new());
        for member in members {
            let began = Instant::now();
            let options = options.at(&member.server);
            self.defragment(&options).await.map_err(|error| after(&names, error))?;
            let took = began.elapsed();
            let endpoint = member.endpoint();
            names.push(endpoint.to_string());
            self.client()
                .serves(&options)
                .await
                .map_err(|error| after(&names, error))?;
            let now = self.status(StatusRequest {}, &options).await;
            let now = now.map_err(|error| after(&names, error))?;
            done.push(Defragmented {
                member_id: now.header.as_ref().map_or(0, |header| header.member_id),
                endpoint,
                db_size: now.db_size,
                freed: member.status.db_size - now.db_size,
                took,
            });
        }
        Ok(done)
    }

    /// Compares what all members have stored, as it was at one revision. All must be among the endpoints.
    pub async fn compare(&self, options: &CallOptions) -> Result<Comparison> {
        let mut round = 1;
        loop {
            let members = self.all(options).await?;
            // The newest that all of them have.
            let revision = members.iter().map(|member| member.status.revision()).min();
            let revision = revision.unwrap_or_default();
            let compared = match self.compare_at(revision, &members, options).await {
                // The newest revision is that of a compaction, and can be hashed as the present one only.
                Err(error) if error.code == Code::Compacted => self.compare_at(0, &members, options).await,
                compared => compared,
            }?;
            if compared.is_level() && compared.revision == revision {
                return Ok(compared);
            }
            let text = "the members change or compact at different moments, and so cannot be compared";
            self.again(&mut round, options, Error::new(Code::Aborted, text)).await?;
        }
    }

    /// The same at this revision, or each at its present one: then the `revision` is 0 unless that is the same.
    async fn compare_at(&self, revision: i64, found: &[Found], options: &CallOptions) -> Result<Comparison> {
        let hashes = join_all(found.iter().map(|member| async {
            let options = options.at(&member.server);
            let answer = self.hashkv(HashKvRequest { revision }, &options).await?;
            let hash = MemberHash {
                member_id: member.id(),
                endpoint: member.endpoint(),
                hash: answer.hash,
                compact_revision: answer.compact_revision,
            };
            Ok((hash, answer.revision()))
        }));
        let hashes: Vec<_> = hashes.await.into_iter().collect::<Result<_>>()?;
        let (members, revisions): (Vec<MemberHash>, Vec<i64>) = hashes.into_iter().unzip();
        let present = revisions.first().copied().unwrap_or_default();
        let agree = revisions.iter().all(|other| *other == present);
        Ok(Comparison {
            same: members.windows(2).all(|pair| pair[0].hash == pair[1].hash),
            revision: match revision {
                0 if agree => present,
                revision => revision,
            },
            members,
        })
    }

    /// The leader among the endpoints.
    async fn leader(&self, options: &CallOptions) -> Result<Server> {
        let mut round = 1;
        loop {
            let found = self.members(options).await?;
            let leader = found.iter().filter(|member| member.leads());
            if let Some(leader) = leader.max_by_key(|member| member.status.raft_term) {
                return Ok(leader.server.clone());
            }
            let text = "none of the endpoints is the leader's";
            let error = Error::new(Code::FailedPrecondition, text);
            self.again(&mut round, options, error).await?;
        }
    }

    /// Waits for another round; fails with `error` where there were enough of them.
    async fn again(&self, round: &mut u32, options: &CallOptions, error: Error) -> Result<()> {
        if *round == ROUNDS {
            return Err(error);
        }
        *round += 1;
        self.client().servers().pause(PAUSE, options, error).await
    }

    /// All members of the cluster that vote; an error where one is not among the endpoints, or does not respond.
    /// Learners, and members that were never started, serve no such requests.
    async fn all(&self, options: &CallOptions) -> Result<Vec<Found>> {
        let request = MemberListRequest { linearizable: true };
        let listed = self.client().cluster().members(request, options).await?;
        let mut found = self.members(options).await?;
        // Two endpoints may be one member.
        found.sort_by_key(|member| (member.id(), member.at));
        found.dedup_by_key(|member| member.id());
        let mut voters = listed.members;
        voters.retain(|member| !member.is_learner && !member.name.is_empty());
        found.retain(|found| voters.iter().any(|voter| voter.id == found.id()));
        for member in voters {
            if !found.iter().any(|found| found.id() == member.id) {
                let text = format!(
                    "the member {:x} ('{}') does not respond at any of the endpoints",
                    member.id, member.name
                );
                return Err(Error::new(Code::FailedPrecondition, text));
            }
        }
        Ok(found)
    }

    /// The endpoints that respond; an error where none does, as often as `options` say.
    async fn members(&self, options: &CallOptions) -> Result<Vec<Found>> {
        match self.respond(options).await {
            Err(_) => {
                self.status(StatusRequest {}, options).await?;
                self.respond(options).await
            }
            found => found,
        }
    }

    /// The endpoints that respond now; an error where none does.
    async fn respond(&self, options: &CallOptions) -> Result<Vec<Found>> {
        let list = self.client().servers().endpoints.list();
        let asked = list.all().iter().enumerate().map(|(at, endpoint)| async move {
            let server = Server(endpoint.clone());
            let status = self.status(StatusRequest {}, &options.once_at(&server)).await?;
            Ok(Found { at, server, status })
        });
        let mut found = Vec::new();
        let mut failure = None;
        for asked in join_all(asked).await {
            match asked {
                Ok(member) => found.push(member),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}

impl Comparison {
    /// Do all members remember the same history? A hash is of what is remembered.
    fn is_level(&self) -> bool {
        let revisions = |pair: &[MemberHash]| pair[0].compact_revision == pair[1].compact_revision;
        self.members.windows(2).all(revisions)
    }
}

/// The error that ends what was `done` to these before.
fn after(done: &[String], error: Error) -> Error {
    if done.is_empty() {
        return error;
    }
    Error {
        message: format!("{}; done before: {}", error.message, done.join(", ")),
        applied: Applied::Maybe,
        from_server: false,
        ..error
    }
}
