//! `client:stm(req)`: the native half of a transaction of code, which the Lua half runs.
//!
//! In: the reads and writes of the code. Out: at once what it sees; an operation where something must be read, and for
//! the commit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use mlua::prelude::*;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::call::{Call, Decoded, decode};
use super::failure::{self, Invalid};
use super::fields::{Decode, Fields};
use super::messages::{Header, key_range};
use super::operation::{Answer, Outcome, Unwritten, run};
use super::table::build;
use crate::bridge::Owned;
use crate::etcd::pb::{DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RangeResponse};
use crate::etcd::{self, Applied, CallOptions, Client, Code, Committed, Error, Isolation, Transaction, random};

/// What stands at the start of messages.
pub(super) const STM: &str = "stm";
const GET: &str = "stm.get";
const PUT: &str = "stm.put";
const DELETE: &str = "stm.delete";
const PREFETCH: &str = "stm.prefetch";
const COMMIT: &str = "stm.commit";

/// How often the code runs, where nothing else is said.
const TRIES: i64 = 100;

/// So many tries come without a pause, then with one of that at the most.
const AT_ONCE: i64 = 2;
const PAUSE: Duration = Duration::from_millis(50);

const ISOLATIONS: [&str; 2] = ["snapshot", "serializable"];

/// What `client:stm` takes.
struct Stm {
    isolation: Isolation,
    keys: Vec<Bytes>,
    tries: i64,
}

impl Decode for Stm {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        if !fields.has_function("apply")? {
            fields.missing::<()>("apply");
        }
        let isolation =
            [Isolation::Snapshot, Isolation::Serializable][fields.choice("isolation", &ISOLATIONS)? as usize];
        let keys = fields.keys("keys")?;
        let tries = match fields.optional_natural("tries")? {
            Some(0) => return Err(fields.field("tries", "must be at least 1")),
            tries => tries.map_or(TRIES, u64::cast_signed),
        };
        Ok(Self { isolation, keys, tries })
    }
}

/// As a call, for its options alone.
impl Call for Stm {
    const NAME: &'static str = STM;
    const REQUIRED: &'static [&'static str] = &["apply"];
    type Request = Self;
    type Response = ();

    fn writes(_: &Self) -> bool {
        true
    }

    async fn run(_: Client, _: Self, _: CallOptions) -> etcd::Result<()> {
        Ok(())
    }

    fn encode(_: &Lua, (): ()) -> LuaResult<LuaValue> {
        Ok(LuaNil)
    }
}

/// Makes the native half: `stm(request, more) -> transaction, tries, prefetch? | nil, message, info`.
pub(super) fn begin(lua: &Lua, client: &Client, request: LuaValue, more: &LuaValue) -> LuaResult<LuaMultiValue> {
    let Decoded { request, options, .. } = match decode::<Stm>(lua, client, request, more) {
        Ok(decoded) => decoded,
        Err(invalid) => return failure::invalid(lua, &invalid),
    };
    // Code that neither reads nor writes would find out never.
    if client.is_closed() {
        return failure::push(lua, STM, &Error::closed());
    }
    let prefetches = !request.keys.is_empty();
    let native = NativeTransaction {
        open: Some(Owned::new(Open {
            transaction: Arc::new(Mutex::new(Transaction::new(request.isolation))),
            client: client.clone(),
            options,
            keys: request.keys,
        })),
    };
    (native, request.tries, prefetches).into_lua_multi(lua)
}

/// The native half of a transaction.
#[derive(Default)]
pub(super) struct NativeTransaction {
    /// None in one that is made for its type alone.
    open: Option<Owned<Open>>,
}

struct Open {
    /// Of one coroutine, which makes one step after the other.
    transaction: Arc<Mutex<Transaction>>,
    client: Client,
    options: CallOptions,
    keys: Vec<Bytes>,
}

/// A read, without what a transaction decides itself.
struct Get(RangeRequest);

impl Decode for Get {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let (key, range_end) = key_range(fields)?;
        Ok(Self(RangeRequest {
            key,
            range_end,
            limit: fields.natural("limit")?,
            sort_order: fields.choice("sort_order", &["NONE", "ASCEND", "DESCEND"])?,
            sort_target: fields.choice("sort_target", &["KEY", "VERSION", "CREATE", "MOD", "VALUE"])?,
            keys_only: fields.flag("keys_only")?,
            ..RangeRequest::default()
        }))
    }
}

struct Put(PutRequest);

impl Decode for Put {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self(PutRequest {
            key: fields.bytes("key")?,
            value: fields.bytes("value")?,
            lease: fields.optional_id("lease")?.unwrap_or(0),
            ..PutRequest::default()
        }))
    }
}

struct Delete(DeleteRangeRequest);

impl Decode for Delete {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let (key, range_end) = key_range(fields)?;
        Ok(Self(DeleteRangeRequest {
            key,
            range_end,
            prev_kv: false,
        }))
    }
}

fn decoded<D: Decode>(
    lua: &Lua,
    name: &'static str,
    required: &'static [&'static str],
    request: LuaValue,
) -> Result<D, Invalid> {
    let mut fields = Fields::new(lua, name, required, request)?;
    let decoded = D::decode(&mut fields)?;
    fields.check()?;
    Ok(decoded)
}

impl NativeTransaction {
    fn open(&self) -> Option<&Open> {
        self.open.as_ref()?.get()
    }

    /// Does something with the transaction, which no operation is working on.
    fn with<T>(&self, f: impl FnOnce(&mut Transaction) -> T) -> Result<T, Error> {
        let open = self
            .open()
            .ok_or_else(|| Error::new(Code::Unavailable, "the process has forked"))?;
        let transaction = open.transaction.try_lock();
        let busy = |_| Error::new(Code::FailedPrecondition, "a transaction belongs to one coroutine");
        transaction.map_err(busy).map(|mut transaction| f(&mut transaction))
    }

    fn get(&self, lua: &Lua, request: LuaValue) -> LuaResult<LuaMultiValue> {
        let Get(request) = match decoded(lua, GET, &["key"], request) {
            Ok(request) => request,
            Err(invalid) => return failure::invalid(lua, &invalid),
        };
        match self.with(|transaction| transaction.seen(&request)) {
            Ok(Some(kvs)) => kvs_of(lua, kvs)?.into_lua_multi(lua),
            Ok(None) => false.into_lua_multi(lua),
            Err(error) => failure::push(lua, GET, &error),
        }
    }

    fn write<D: Decode>(
        &self,
        lua: &Lua,
        name: &'static str,
        required: &'static [&'static str],
        request: LuaValue,
        write: impl FnOnce(&mut Transaction, D),
    ) -> LuaResult<LuaMultiValue> {
        let request = match decoded(lua, name, required, request) {
            Ok(request) => request,
            Err(invalid) => return failure::invalid(lua, &invalid),
        };
        match self.with(|transaction| write(transaction, request)) {
            Ok(()) => true.into_lua_multi(lua),
            Err(error) => failure::push(lua, name, &error),
        }
    }

    /// Runs a step that asks a server.
    fn ask<F: Future<Output = etcd::Result<Step>> + Send + 'static>(
        &self,
        lua: &Lua,
        name: &'static str,
        step: impl FnOnce(Arc<Mutex<Transaction>>, Client, CallOptions) -> F,
    ) -> LuaResult<LuaMultiValue> {
        let Some(open) = self.open() else {
            return failure::forked(lua, name);
        };
        let step = step(open.transaction.clone(), open.client.clone(), open.options.clone());
        let asked = step.map(move |result| Box::new(Asked { name, result }) as Outcome);
        run(lua, name, asked.boxed())
    }
}

/// What has come of a step.
enum Step {
    /// It is done, or the code must run anew.
    Read(bool),
    Committed(Committed),
}

struct Asked {
    name: &'static str,
    result: etcd::Result<Step>,
}

impl Answer for Asked {
    fn unwritten(&self) -> Unwritten {
        let applied = match &self.result {
            Ok(Step::Committed(Committed::Yes(_))) => Applied::Maybe,
            Ok(_) => Applied::No,
            Err(error) => error.applied,
        };
        Unwritten {
            call: self.name,
            applied,
        }
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match self.result {
            Ok(Step::Read(goes_on)) => goes_on.into_lua_multi(lua),
            Ok(Step::Committed(Committed::Yes(header))) => build(lua, &Header(header))?.into_lua_multi(lua),
            Ok(Step::Committed(Committed::Again)) => false.into_lua_multi(lua),
            // To the program it is one call.
            Err(error) => failure::push(lua, if self.name == GET { GET } else { STM }, &error),
        }
    }
}

/// The list of keys as `client:get` has it in its response.
fn kvs_of(lua: &Lua, kvs: Vec<KeyValue>) -> LuaResult<LuaValue> {
    let response = RangeResponse {
        kvs,
        ..RangeResponse::default()
    };
    match build(lua, &response)?.as_table() {
        Some(table) => table.raw_get("kvs"),
        None => Ok(LuaNil),
    }
}

impl LuaUserData for NativeTransaction {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // get(request) -> kvs | false where something must be read first | nil, message, info
        methods.add_method("get", |lua, native, request: LuaValue| native.get(lua, request));

        // put(request), delete(request) -> true | nil, message, info
        methods.add_method("put", |lua, native, request: LuaValue| {
            native.write(lua, PUT, &[], request, |transaction, Put(put)| transaction.put(put))
        });
        methods.add_method("delete", |lua, native, request: LuaValue| {
            native.write(lua, DELETE, &["key"], request, |transaction, Delete(delete)| {
                transaction.delete(&delete);
            })
        });

        // restart(): the code runs once more
        methods.add_method("restart", |_, native, ()| {
            // Where somebody else is at work on it, that is told by the next step.
            let _ = native.with(Transaction::restart);
            Ok(())
        });

        // stm.get(request) -> id of an operation that reads | nil, message, info
        methods.add_method(GET, |lua, native, request: LuaValue| {
            let Get(request) = match decoded(lua, GET, &["key"], request) {
                Ok(request) => request,
                Err(invalid) => return failure::invalid(lua, &invalid),
            };
            native.ask(lua, GET, |transaction, client, options| async move {
                let mut transaction = transaction.lock().await;
                client
                    .stm_read(&mut transaction, &request, &options)
                    .await
                    .map(Step::Read)
            })
        });

        // stm.prefetch() -> id of an operation that reads the keys of the request together | nil, message, info
        methods.add_method(PREFETCH, |lua, native, ()| {
            let keys = native.open().map_or_else(Vec::new, |open| open.keys.clone());
            native.ask(lua, PREFETCH, |transaction, client, options| async move {
                let mut transaction = transaction.lock().await;
                client.stm_prefetch(&mut transaction, keys, &options).await?;
                Ok(Step::Read(true))
            })
        });

        // stm.commit(try) -> id of an operation that commits, and pauses where others were faster | nil, message, info
        methods.add_method(COMMIT, |lua, native, tries: i64| {
            native.ask(lua, COMMIT, move |transaction, client, options| async move {
                let mut transaction = transaction.lock().await;
                let committed = client.stm_commit(&mut transaction, &options).await?;
                if committed == Committed::Again && tries >= AT_ONCE {
                    sleep(PAUSE.mul_f64(random::fraction())).await;
                    // Old by now: who builds on it would lose again.
                    transaction.forget();
                }
                Ok(Step::Committed(committed))
            })
        });
    }
}
