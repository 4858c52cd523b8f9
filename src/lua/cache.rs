//! `client:cache(req)`: the native halves of a cache, of a view of it, and of what follows its changes.
//!
//! In: requests. Out: at once what is here; an operation where a read must wait. The tables are written straight from
//! the replica, under its lock.

mod peek;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use mlua::prelude::*;

use super::call::Call;
use super::failure::{self, Invalid};
use super::fields::{Decode, Fields, seconds};
use super::messages::{key_range, name};
use super::operation::{Answer, Outcome, Unwritten, run};
use super::read::{self, Reader};
use super::table::{Encode, Push, Table, build};
use super::value::Value;
use crate::bridge::Owned;
use crate::etcd::pb::{KeyValue, RangeRequest, RangeResponse};
use crate::etcd::{
    self, Applied, Cache, CacheRequest, CacheStatus, CallOptions, Changed, Changes, Client, Error, KeyRange, Query,
    range,
};

/// What stands at the start of messages.
const GET: &str = "cache.get";
const VALUE: &str = "cache.value";
const KVS: &str = "cache.kvs";
const CHANGES: &str = "cache.changes";

/// The most keys of a page of a load, where nothing else is said.
const PAGE: i64 = 10_000;

impl Decode for CacheRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let (key, range_end) = key_range(fields)?;
        let wait = fields.wait()?;
        let file = fields.file()?;
        // The Lua half calls it.
        fields.has_function("decode")?;
        let page = fields.page(PAGE)?;
        Ok(Self {
            key,
            range_end,
            wait,
            page,
            file,
        })
    }
}

impl Call for CacheRequest {
    const NAME: &'static str = "cache";
    const REQUIRED: &'static [&'static str] = &["key"];
    const SHARED: Option<&'static str> = Some("all caches of a range share a replica");
    type Request = Self;
    type Response = Cache;

    fn writes(_: &Self) -> bool {
        false
    }

    async fn run(client: Client, request: Self, options: CallOptions) -> etcd::Result<Cache> {
        client.cache(request, options).await
    }

    fn encode(lua: &Lua, cache: Cache) -> LuaResult<LuaValue> {
        NativeCache::new(cache).into_lua(lua)
    }
}

/// `client:discover(req)`: the cache of those who are registered under a name.
pub(super) struct Discover {
    name: Bytes,
    cache: CacheRequest,
    /// The seconds without etcd after which nobody is known any more.
    limit: Option<f64>,
}

/// The same where all that is said is that there are some: the TTL of a registration, where nothing else is said.
const LIMIT: f64 = 10.0;

impl Decode for Discover {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let name = name(fields)?;
        let (key, range_end) = range::prefix([&*name, b"/"].concat().into());
        let cache = CacheRequest {
            key,
            range_end,
            wait: fields.wait()?,
            page: PAGE,
            file: fields.file()?,
        };
        let limit = match fields.value("stale")? {
            Value::Nil | Value::Other(LuaValue::Boolean(true)) => None,
            Value::Other(LuaValue::Boolean(false)) => Some(LIMIT),
            value => match seconds(&value) {
                Ok(Some(limit)) => Some(limit.as_secs_f64()),
                _ => {
                    return Err(fields.field(
                        "stale",
                        &format!("must be a boolean or seconds, got {}", value.article()),
                    ));
                }
            },
        };
        Ok(Self { name, cache, limit })
    }
}

impl Call for Discover {
    const NAME: &'static str = "discover";
    const REQUIRED: &'static [&'static str] = &["name"];
    const SHARED: Option<&'static str> = CacheRequest::SHARED;
    type Request = Self;
    type Response = (Bytes, Option<f64>, Cache);

    fn writes(_: &Self) -> bool {
        false
    }

    async fn run(client: Client, request: Self, options: CallOptions) -> etcd::Result<Self::Response> {
        let cache = client.cache(request.cache, options).await?;
        Ok((request.name, request.limit, cache))
    }

    fn encode(lua: &Lua, (name, limit, cache): Self::Response) -> LuaResult<LuaValue> {
        let made = lua.create_table()?;
        made.raw_set("name", lua.create_string(&name)?)?;
        made.raw_set("limit", limit)?;
        made.raw_set("native", NativeCache::new(cache))?;
        made.into_lua(lua)
    }
}

/// A read of a cache.
struct Read {
    query: Query,
    /// As it is in the cluster now.
    is_linearizable: bool,
    /// Once the replica has had this revision.
    min_revision: i64,
    /// How long it waits for either.
    wait: Duration,
}

impl Decode for Read {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let request = RangeRequest::decode(fields)?;
        if request.revision != 0 {
            return Err(fields.field("revision", "is not kept here: ask client:get"));
        }
        Ok(Self {
            query: Query::new(request),
            is_linearizable: fields.flag("linearizable")?,
            min_revision: fields.natural("min_revision")?,
            wait: fields.wait()?,
        })
    }
}

/// The response to a read that has waited, none where it waited in vain.
struct Got(etcd::Result<Option<RangeResponse>>);

impl Answer for Got {
    fn unwritten(&self) -> Unwritten {
        Unwritten {
            call: GET,
            applied: Applied::No,
        }
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match &self.0 {
            Ok(None) => read::timeout(lua),
            Ok(Some(response)) => give(lua, GET, Ok(response)),
            Err(error) => failure::push(lua, GET, error),
        }
    }
}

/// The table of what there is, or why there is none.
fn give(lua: &Lua, call: &str, found: Result<&impl Push, &Error>) -> LuaResult<LuaMultiValue> {
    match found {
        Ok(found) => build(lua, found)?.into_lua_multi(lua),
        Err(error) => failure::push(lua, call, error),
    }
}

/// The native half of a cache.
#[derive(Default)]
pub(super) struct NativeCache {
    /// None in one that was closed, and in one that is made for its type alone.
    open: RefCell<Option<Owned<Open>>>,
}

/// A cache that Lua has forgotten is closed, though operations of it may be under way.
struct Open(Arc<Cache>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Why there is no cache.
enum Absent {
    Closed,
    Forked,
}

impl Absent {
    fn push(&self, lua: &Lua, call: &str) -> LuaResult<LuaMultiValue> {
        match self {
            Self::Closed => failure::push(lua, call, &Cache::closed()),
            Self::Forked => failure::forked(lua, call),
        }
    }
}

impl NativeCache {
    fn new(cache: Cache) -> Self {
        let open = Some(Owned::new(Open(Arc::new(cache))));
        Self {
            open: RefCell::new(open),
        }
    }

    fn cache(&self) -> Result<Arc<Cache>, Absent> {
        let open = self.open.borrow();
        let owned = open.as_ref().ok_or(Absent::Closed)?;
        owned.get().map(|open| open.0.clone()).ok_or(Absent::Forked)
    }

    /// What `use_it` makes of the cache, for the call of this name; or why there is none.
    fn with(
        &self,
        lua: &Lua,
        call: &str,
        use_it: impl FnOnce(Arc<Cache>) -> LuaResult<LuaMultiValue>,
    ) -> LuaResult<LuaMultiValue> {
        match self.cache() {
            Ok(cache) => use_it(cache),
            Err(absent) => absent.push(lua, call),
        }
    }

    /// What is here, or false where it must be waited for.
    fn look(lua: &Lua, cache: &Cache, request: LuaValue) -> LuaResult<LuaMultiValue> {
        match decode(lua, request) {
            Err(invalid) => failure::invalid(lua, &invalid),
            Ok(read) if read.waits(cache) => false.into_lua_multi(lua),
            Ok(read) => give(lua, GET, cache.get(&read.query).as_ref()),
        }
    }

    /// The same as an operation.
    fn get(lua: &Lua, cache: Arc<Cache>, request: LuaValue) -> LuaResult<LuaMultiValue> {
        let read = match decode(lua, request) {
            Err(invalid) => return failure::invalid(lua, &invalid),
            Ok(read) => read,
        };
        let got = async move {
            let got = match read.is_linearizable {
                true => cache.get_linearizable(&read.query, read.wait).await,
                false => cache.get_from(&read.query, read.min_revision, read.wait).await,
            };
            Box::new(Got(got)) as Outcome
        };
        run(lua, GET, got.boxed())
    }

    /// Why the function that `peek` has made returned false.
    fn value(lua: &Lua, cache: &Cache, key: LuaValue) -> LuaResult<LuaMultiValue> {
        match Value::new(lua, key).bytes("key").and_then(|key| cache.check(key)) {
            Ok(()) => true.into_lua_multi(lua),
            Err(error) => failure::push(lua, VALUE, &error),
        }
    }

    /// What reads the keys of a prefix, or all, one after another.
    fn view(lua: &Lua, cache: &Cache, prefix: LuaValue) -> LuaResult<LuaMultiValue> {
        let range = match Value::new(lua, prefix) {
            Value::Nil => Ok(cache.range()),
            prefix => prefix.bytes("prefix").map(|prefix| {
                let (key, end) = range::prefix(prefix);
                KeyRange { key, end }
            }),
        };
        match range.and_then(|range| cache.view(&range)) {
            Ok(kvs) => View(RefCell::new(kvs.into_iter())).into_lua_multi(lua),
            Err(error) => failure::push(lua, KVS, &error),
        }
    }

    /// The native half of what follows the changes.
    fn changes(lua: &Lua, cache: &Cache, request: LuaValue) -> LuaResult<LuaMultiValue> {
        let follow = match follow(lua, request) {
            Ok(follow) => follow,
            Err(invalid) => return failure::invalid(lua, &invalid),
        };
        let range = follow.range.unwrap_or_else(|| cache.range());
        match cache.changes(range, follow.initial) {
            Ok(changes) => Reader::new(CHANGES, changes, Changes::close).into_lua_multi(lua),
            Err(error) => failure::push(lua, CHANGES, &error),
        }
    }
}

fn decode(lua: &Lua, request: LuaValue) -> Result<Read, Invalid> {
    let mut fields = Fields::new(lua, GET, &["key"], request)?;
    let read = Read::decode(&mut fields)?;
    fields.check()?;
    Ok(read)
}

/// Which changes are followed.
#[derive(Default)]
struct Follow {
    /// None for all.
    range: Option<KeyRange>,
    initial: bool,
}

fn follow(lua: &Lua, request: LuaValue) -> Result<Follow, Invalid> {
    if request.is_nil() {
        return Ok(Follow::default());
    }
    let mut fields = Fields::new(lua, CHANGES, &[], request)?;
    let initial = fields.flag("initial")?;
    let is_part = ["key", "prefix", "fromkey", "range_end"]
        .iter()
        .try_fold(false, |any, name| Ok(any | fields.has(name)?))?;
    let range = match is_part {
        true => {
            let (key, end) = key_range(&mut fields)?;
            Some(KeyRange { key, end })
        }
        false => None,
    };
    fields.check()?;
    Ok(Follow { range, initial })
}

impl Read {
    /// Must it be waited for?
    fn waits(&self, cache: &Cache) -> bool {
        self.is_linearizable || cache.is_behind(self.min_revision)
    }
}

impl LuaUserData for NativeCache {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // look(request) -> table | nil, message, info | false where it must be waited for
        methods.add_method("look", |lua, native, request: LuaValue| {
            native.with(lua, GET, |cache| Self::look(lua, &cache, request))
        });

        // get(request) -> id of an operation that waits | nil, message, info
        methods.add_method(GET, |lua, native, request: LuaValue| {
            native.with(lua, GET, |cache| Self::get(lua, cache, request))
        });

        // peek() -> function | nil, message, info
        methods.add_method("peek", |lua, native, ()| {
            native.with(lua, VALUE, |cache| peek::function(lua, &cache)?.into_lua_multi(lua))
        });

        // value(key) -> nil, message, info | true where it is known after all
        methods.add_method("value", |lua, native, key: LuaValue| {
            native.with(lua, VALUE, |cache| Self::value(lua, &cache, key))
        });

        // version() -> a number, the same while nothing has changed; 0 before the first load, and in a forked child
        methods.add_method("version", |_, cache, ()| {
            Ok(cache.cache().map_or(0.0, |cache| cache.version() as f64))
        });

        // view(prefix?) -> view | nil, message, info
        methods.add_method("view", |lua, native, prefix: LuaValue| {
            native.with(lua, KVS, |cache| Self::view(lua, &cache, prefix))
        });

        // changes(request?) -> reader | nil, message, info
        methods.add_method("changes", |lua, native, request: LuaValue| {
            native.with(lua, CHANGES, |cache| Self::changes(lua, &cache, request))
        });

        // status() -> table | nil, message, info
        methods.add_method("status", |lua, cache, ()| match cache.cache() {
            Ok(cache) => build(lua, &cache.status())?.into_lua_multi(lua),
            Err(Absent::Closed) => build(lua, &CacheStatus::CLOSED)?.into_lua_multi(lua),
            Err(absent) => absent.push(lua, "cache.status"),
        });

        methods.add_method("close", |_, cache, ()| {
            cache.open.take();
            Ok(())
        });
    }
}

/// Keys as they were when it was made.
#[derive(Default)]
pub(super) struct View(RefCell<std::vec::IntoIter<Arc<KeyValue>>>);

impl LuaUserData for View {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // next() -> kv | nil
        methods.add_method("next", |lua, view, ()| {
            let next = view.0.borrow_mut().next();
            next.map(|kv| build(lua, &*kv)).transpose()
        });
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for CacheStatus {
    fn encode(&self, table: &mut Table) {
        table.text(c"state", self.state.name());
        table.integer(c"revision", self.revision);
        table.integer(c"keys", self.keys as i64);
        table.integer(c"bytes", self.bytes as i64);
        table.number(c"lag", self.lag.as_secs_f64());
        table.integer(c"loads", self.loads.cast_signed());
        if let Some(message) = &self.message {
            table.text(c"message", message);
        }
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Changed {
    fn encode(&self, table: &mut Table) {
        table.integer(c"revision", self.revision);
        table.messages(c"events", &self.events);
        table.flag(c"reloaded", self.reloaded);
    }
}
