//! The Maintenance service: the calls that are more than a request and a response.

use std::time::Duration;

use mlua::prelude::*;

use super::call::Call;
use super::failure::Invalid;
use super::fields::{Decode, Fields};
use super::read::Reader;
use super::table::{Encode, Table, build};
use crate::etcd::pb::{AlarmRequest, AlarmResponse, AlarmType};
use crate::etcd::{self, CallOptions, Client, Comparison, Defragmented, MemberHash, Piece, Snapshot, SnapshotTo};

/// Their names.
pub(super) const CALLS: [&str; 3] = [Disarm::NAME, Defragment::NAME, Compare::NAME];

/// How long a server may be silent between two pieces of a snapshot, where nothing else is said.
const IDLE: Duration = Duration::from_secs(30);

/// How long a member may take to defragment its store, where nothing else is said.
const DEFRAGMENTING: Duration = Duration::from_secs(300);

/// `alarms` asks for all that are raised.
impl Decode for AlarmRequest {
    fn decode(_: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self::default())
    }
}

/// `client.maintenance:disarm(req)`
pub(super) struct Disarm;

/// Which alarms end: those of a member, 0 for all, and of a type.
pub(super) struct Alarms {
    member_id: u64,
    alarm: AlarmType,
}

impl Decode for Alarms {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let alarm = fields.choice("alarm", &["NONE", "NOSPACE", "CORRUPT"])?;
        Ok(Self {
            member_id: fields.optional_id("memberID")?.unwrap_or(0).cast_unsigned(),
            alarm: AlarmType::try_from(alarm).unwrap_or_default(),
        })
    }
}

impl Call for Disarm {
    const NAME: &'static str = "maintenance.disarm";
    const BARE: bool = true;
    type Request = Alarms;
    type Response = AlarmResponse;

    fn writes(_: &Alarms) -> bool {
        true
    }

    async fn run(client: Client, request: Alarms, options: CallOptions) -> etcd::Result<AlarmResponse> {
        let Alarms { member_id, alarm } = request;
        client.maintenance().disarm(member_id, alarm, &options).await
    }

    fn encode(lua: &Lua, response: AlarmResponse) -> LuaResult<LuaValue> {
        build(lua, &response)
    }
}

/// `client.maintenance:defragment(req)`
pub(super) struct Defragment;

/// All members?
pub(super) struct All(bool);

impl Decode for All {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self(fields.flag("all")?))
    }
}

/// The members that were defragmented; none are named where it was one that was chosen.
pub(super) struct Defragmentation(Vec<Defragmented>);

impl Call for Defragment {
    const NAME: &'static str = "maintenance.defragment";
    const BARE: bool = true;
    type Request = All;
    type Response = Defragmentation;

    fn defaults(options: CallOptions) -> CallOptions {
        CallOptions {
            timeout: options.timeout.max(DEFRAGMENTING),
            ..options
        }
    }

    fn check(All(all): &All, options: &CallOptions) -> Result<(), (&'static str, &'static str)> {
        match (all, &options.endpoint) {
            (true, Some(_)) => Err(("endpoint", "excludes 'all'")),
            _ => Ok(()),
        }
    }

    fn writes(_: &All) -> bool {
        true
    }

    async fn run(client: Client, All(all): All, options: CallOptions) -> etcd::Result<Defragmentation> {
        let maintenance = client.maintenance();
        if all {
            return maintenance.defragment_all(&options).await.map(Defragmentation);
        }
        maintenance.defragment(&options).await?;
        Ok(Defragmentation(Vec::new()))
    }

    fn encode(lua: &Lua, response: Defragmentation) -> LuaResult<LuaValue> {
        build(lua, &response)
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Defragmentation {
    fn encode(&self, table: &mut Table) {
        table.messages(c"members", &self.0);
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Defragmented {
    fn encode(&self, table: &mut Table) {
        table.unsigned_id(c"ID", self.member_id);
        table.text(c"endpoint", &self.endpoint);
        table.integer(c"dbSize", self.db_size);
        table.integer(c"freed", self.freed);
        table.number(c"seconds", self.took.as_secs_f64());
    }
}

/// The native half of `client.maintenance:snapshot(req)`: the Lua half reads its pieces.
pub(super) struct TakeSnapshot;

impl Decode for SnapshotTo {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let file = fields.file()?;
        let chunk = fields.has_function("chunk")?;
        fields.has_function("progress")?;
        let idle = fields.seconds("idle")?.unwrap_or(IDLE);
        match (&file, chunk) {
            (Some(_), true) => return Err(fields.field("chunk", "excludes 'file'")),
            (None, true) => fields.spare("file"),
            _ => {}
        }
        Ok(Self { file, idle })
    }
}

impl Call for TakeSnapshot {
    const NAME: &'static str = "maintenance.snapshot";
    const REQUIRED: &'static [&'static str] = &["file"];
    type Request = SnapshotTo;
    type Response = Snapshot;

    fn writes(_: &SnapshotTo) -> bool {
        false
    }

    async fn run(client: Client, request: SnapshotTo, options: CallOptions) -> etcd::Result<Snapshot> {
        Ok(client.maintenance().snapshot(request, options))
    }

    fn encode(lua: &Lua, snapshot: Snapshot) -> LuaResult<LuaValue> {
        Reader::new(Self::NAME, snapshot, Snapshot::close).into_lua(lua)
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Piece {
    fn encode(&self, table: &mut Table) {
        match self {
            Self::Came { done, total, chunk } => {
                table.integer(c"done", done.cast_signed());
                table.integer(c"total", total.cast_signed());
                if let Some(chunk) = chunk {
                    table.bytes(c"chunk", chunk);
                }
            }
            Self::Complete(complete) => {
                table.integer(c"bytes", complete.bytes.cast_signed());
                table.text(c"sha256", &complete.sha256);
                table.text(c"version", &complete.version);
                table.number(c"seconds", complete.took.as_secs_f64());
                table.text(c"endpoint", &complete.endpoint);
            }
        }
    }
}

/// `client.maintenance:compare(req)`
pub(super) struct Compare;

impl Call for Compare {
    const NAME: &'static str = "maintenance.compare";
    const BARE: bool = true;
    type Request = ();
    type Response = Comparison;

    fn check((): &(), options: &CallOptions) -> Result<(), (&'static str, &'static str)> {
        match &options.endpoint {
            Some(_) => Err(("endpoint", "cannot be chosen here: all members are asked")),
            None => Ok(()),
        }
    }

    fn writes((): &()) -> bool {
        false
    }

    async fn run(client: Client, (): (), options: CallOptions) -> etcd::Result<Comparison> {
        client.maintenance().compare(&options).await
    }

    fn encode(lua: &Lua, response: Comparison) -> LuaResult<LuaValue> {
        build(lua, &response)
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Comparison {
    fn encode(&self, table: &mut Table) {
        table.flag(c"same", self.same);
        table.integer(c"revision", self.revision);
        table.messages(c"members", &self.members);
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for MemberHash {
    fn encode(&self, table: &mut Table) {
        table.unsigned_id(c"ID", self.member_id);
        table.text(c"endpoint", &self.endpoint);
        table.integer(c"hash", self.hash.into());
        table.integer(c"compact_revision", self.compact_revision);
    }
}
