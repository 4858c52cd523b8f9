//! `client:stats()`, `client:metrics()` and `etcd.metrics()`: what clients tell of themselves, as a table and as text.
//!
//! In: clients, and what each is called. Out: of one client a table for each family, nested by its labels; of several
//! the text that Prometheus reads. It is asked for now and then, so that mlua's own tables will do.

use mlua::prelude::*;

use super::operation::bridge;
use crate::etcd::{Client, METRICS, Number, Sample, Spread, lua_samples, text};

/// What the lua_State tells.
fn of_state(lua: &Lua) -> LuaResult<Vec<Sample>> {
    let (queue, wakeups) = bridge(lua)?.load();
    Ok(lua_samples(queue, wakeups))
}

/// `client:stats()`: by the names of the families numbers, or tables of them by their labels. A histogram is a table.
pub(super) fn table(lua: &Lua, client: &Client) -> LuaResult<LuaTable> {
    let stats = lua.create_table()?;
    for family in METRICS.iter().filter(|family| !family.labels.is_empty()) {
        stats.raw_set(family.name, lua.create_table()?)?;
    }
    for Sample { family, labels, number } in client.samples().into_iter().chain(of_state(lua)?) {
        let mut names = vec![METRICS[family].name];
        names.extend(labels.iter().map(String::as_str));
        let [outer @ .., last] = &names[..] else { continue };
        let mut table = stats.clone();
        for name in outer {
            table = match table.raw_get::<Option<LuaTable>>(*name)? {
                Some(inner) => inner,
                None => {
                    let inner = lua.create_table()?;
                    table.raw_set(*name, &inner)?;
                    inner
                }
            };
        }
        table.raw_set(*last, value(lua, &number)?)?;
    }
    Ok(stats)
}

fn value(lua: &Lua, number: &Number) -> LuaResult<LuaValue> {
    match number {
        Number::Count(count) => count.into_lua(lua),
        Number::Revision(revision) => revision.into_lua(lua),
        Number::Seconds(seconds) => seconds.into_lua(lua),
        Number::Spread(spread) => histogram(lua, spread)?.into_lua(lua),
    }
}

fn histogram(lua: &Lua, spread: &Spread) -> LuaResult<LuaTable> {
    let buckets = lua.create_table()?;
    for (bound, count) in Spread::bounds().iter().zip(&spread.counts) {
        let bucket = lua.create_table()?;
        bucket.raw_set("le", *bound)?;
        bucket.raw_set("count", *count)?;
        buckets.raw_push(bucket)?;
    }
    let histogram = lua.create_table()?;
    histogram.raw_set("count", spread.count())?;
    histogram.raw_set("sum", spread.sum)?;
    histogram.raw_set("buckets", buckets)?;
    Ok(histogram)
}

/// The text of several clients, each with its name, and of the lua_State that they are in.
pub(super) fn metrics<'a>(lua: &Lua, clients: impl Iterator<Item = (&'a str, &'a Client)>) -> LuaResult<String> {
    let of_clients =
        clients.flat_map(|(name, client)| client.samples().into_iter().map(move |sample| (Some(name), sample)));
    let of_state = of_state(lua)?.into_iter().map(|sample| (None, sample));
    Ok(text(of_clients.chain(of_state).collect()))
}
