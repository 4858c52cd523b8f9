//! Reads the fields of a request table, each checked for its type; what nobody asked for is an error at the end.
//!
//! In: a Lua value. Out: typed fields, or an [`Invalid`] that names the call and the field. The table is never
//! changed. Fields that it inherits through a metatable count, and a metamethod that raises is an answer like any
//! other.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mlua::prelude::*;

use super::cdata::Cdata;
use super::failure::{Invalid, excerpt, one_line};
use super::integer;
use super::value::{self, Field, Value};
use crate::etcd::CallOptions;

/// No server takes a list as long as that.
const MAX_ITEMS: usize = 1 << 16;

/// A longer time than anyone waits; the clocks can still add it.
const FOREVER: Duration = Duration::from_secs(1_000_000_000);

/// A table that is being read.
pub(super) struct Fields<'a> {
    lua: &'a Lua,
    call: &'a str,
    place: Place<'a>,
    table: LuaTable,
    /// What the table itself holds, so that most fields, which are absent, cost no look-up.
    own: Vec<Field>,
    inherits: bool,
    /// What has been asked for.
    known: Vec<&'static str>,
}

/// Where a table lies in the request. It becomes a text, `success[1].put`, only where something is wrong.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// It is the request.
    Request,
    /// Under this name in the table that lies there.
    Field(&'a Place<'a>, &'static str),
    /// In the list of this name, as the item of this number.
    Item(&'a Place<'a>, &'static str, usize),
}

impl Place<'_> {
    /// The text for `name` in the table that lies here.
    fn of(&self, name: &str) -> String {
        match self {
            Place::Request => name.to_owned(),
            place => format!("{place}.{name}"),
        }
    }

    /// The text for the table that lies here, unless that is the request.
    fn text(&self) -> Option<String> {
        match self {
            Place::Request => None,
            place => Some(place.to_string()),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Request => Ok(()),
            Place::Field(place, name) => f.write_str(&place.of(name)),
            Place::Item(place, name, number) => write!(f, "{}[{number}]", place.of(name)),
        }
    }
}

impl<'a> Fields<'a> {
    /// The fields of a request of `call`.
    pub(super) fn new(lua: &'a Lua, call: &'a str, request: LuaValue) -> Result<Self, Invalid> {
        Self::open(lua, call, Place::Request, Value::new(lua, request))
    }

    /// The fields of the table `value` in the field `name`.
    pub(super) fn nested(&self, name: &'static str, value: Value) -> Result<Fields<'_>, Invalid> {
        Fields::open(self.lua, self.call, Place::Field(&self.place, name), value)
    }

    /// The fields of the table `value`, the item `number` of the list in the field `name`.
    pub(super) fn item(&self, name: &'static str, number: usize, value: LuaValue) -> Result<Fields<'_>, Invalid> {
        let place = Place::Item(&self.place, name, number);
        Fields::open(self.lua, self.call, place, Value::new(self.lua, value))
    }

    fn open(lua: &'a Lua, call: &'a str, place: Place<'a>, value: Value) -> Result<Self, Invalid> {
        let Value::Other(LuaValue::Table(table)) = value else {
            let field = place.text();
            let at = field
                .as_ref()
                .map(|field| format!("field '{field}' "))
                .unwrap_or_default();
            return Err(Invalid {
                message: format!("{call}: {at}must be a table, got {}", value.article()),
                field,
            });
        };
        let read = value::read(lua, &table);
        let mut fields = Self {
            lua,
            call,
            place,
            table,
            own: Vec::new(),
            inherits: false,
            known: Vec::with_capacity(24),
        };
        (fields.own, fields.inherits) = read.map_err(|error| fields.unreadable(&error))?;
        Ok(fields)
    }

    /// A field's value, nil if it is absent. To be asked for once.
    pub(super) fn value(&mut self, name: &'static str) -> Result<Value, Invalid> {
        debug_assert!(!self.known.contains(&name), "{name} was asked for before");
        self.known.push(name);
        let left = match self.own.iter_mut().find(|field| field.name.is(name)) {
            Some(field) => match std::mem::replace(&mut field.value, Value::Nil) {
                Value::Other(left) => left,
                value => return Ok(value),
            },
            None if self.inherits => self.table.get(name).map_err(|error| self.raised(name, &error))?,
            None => return Ok(Value::Nil),
        };
        Ok(Value::new(self.lua, left))
    }

    /// A byte string that must be there.
    pub(super) fn bytes(&mut self, name: &'static str) -> Result<Bytes, Invalid> {
        self.optional_bytes(name)?.ok_or_else(|| self.missing(name))
    }

    /// A byte string that may be absent.
    pub(super) fn optional_bytes(&mut self, name: &'static str) -> Result<Option<Bytes>, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(self.field(name, &format!("must be a string, got {}", other.article()))),
        }
    }

    /// A text that may be absent.
    pub(super) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, Invalid> {
        let text = self.optional_bytes(name)?.map(|text| String::from_utf8(text.into()));
        text.transpose().map_err(|_| self.field(name, "must be UTF-8"))
    }

    /// A boolean, false if absent.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Invalid> {
        Ok(self.optional_flag(name)?.unwrap_or(false))
    }

    /// A boolean that may be absent.
    pub(super) fn optional_flag(&mut self, name: &'static str) -> Result<Option<bool>, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            Value::Other(LuaValue::Boolean(flag)) => Ok(Some(flag)),
            other => Err(self.field(name, &format!("must be a boolean, got {}", other.article()))),
        }
    }

    /// An int64 that must be there.
    pub(super) fn integer(&mut self, name: &'static str) -> Result<i64, Invalid> {
        self.optional_integer(name)?.ok_or_else(|| self.missing(name))
    }

    /// An int64 that may be absent.
    pub(super) fn optional_integer(&mut self, name: &'static str) -> Result<Option<i64>, Invalid> {
        self.whole(name, integer::int64)
    }

    /// The 64 bits of an id that must be there, as an int64 or a uint64.
    pub(super) fn id(&mut self, name: &'static str) -> Result<i64, Invalid> {
        self.optional_id(name)?.ok_or_else(|| self.missing(name))
    }

    /// The 64 bits of an id that may be absent.
    pub(super) fn optional_id(&mut self, name: &'static str) -> Result<Option<i64>, Invalid> {
        self.whole(name, integer::id)
    }

    fn whole(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<i64, String>,
    ) -> Result<Option<i64>, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            value => read(&value).map(Some).map_err(|reason| self.field(name, &reason)),
        }
    }

    /// An int64 that is not negative, 0 if absent: what etcd takes for "not given".
    pub(super) fn natural(&mut self, name: &'static str) -> Result<i64, Invalid> {
        Ok(self.optional_natural(name)?.unwrap_or(0).cast_signed())
    }

    /// An int64 that is not negative and must be there.
    pub(super) fn required_natural(&mut self, name: &'static str) -> Result<i64, Invalid> {
        let value = self.optional_natural(name)?.ok_or_else(|| self.missing(name))?;
        Ok(value.cast_signed())
    }

    /// An int64 that is not negative and may be absent.
    pub(super) fn optional_natural(&mut self, name: &'static str) -> Result<Option<u64>, Invalid> {
        let value = self.optional_integer(name)?;
        let natural = value.map(|value| {
            let negative = || self.field(name, &format!("must not be negative, got {value}"));
            u64::try_from(value).map_err(|_| negative())
        });
        natural.transpose()
    }

    /// One of `names`; its number, 0 if absent.
    pub(super) fn choice(&mut self, name: &'static str, names: &[&str]) -> Result<i32, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(0),
            value => self.number(name, &value, names),
        }
    }

    /// One of `names` that must be there; its number.
    pub(super) fn required_choice(&mut self, name: &'static str, names: &[&str]) -> Result<i32, Invalid> {
        match self.value(name)? {
            Value::Nil => Err(self.missing(name)),
            value => self.number(name, &value, names),
        }
    }

    /// The number of the name that `item`, of the list in the field `name`, is.
    pub(super) fn chosen(&self, name: &str, item: LuaValue, names: &[&str]) -> Result<i32, Invalid> {
        self.number(name, &Value::new(self.lua, item), names)
    }

    fn number(&self, name: &str, value: &Value, names: &[&str]) -> Result<i32, Invalid> {
        let same = |name: &&str| matches!(value, Value::Text(text) if text == name.as_bytes());
        let found = names.iter().position(same);
        found.map(|at| at as i32).ok_or_else(|| {
            let got = match value {
                Value::Text(text) => format!("'{}'", excerpt(&String::from_utf8_lossy(text))),
                other => other.article(),
            };
            self.field(name, &format!("must be one of {}, got {got}", names.join(", ")))
        })
    }

    /// A list, empty if absent.
    pub(super) fn list(&mut self, name: &'static str) -> Result<Vec<LuaValue>, Invalid> {
        let list = match self.value(name)? {
            Value::Nil => return Ok(Vec::new()),
            Value::Other(LuaValue::Table(list)) => list,
            other => return Err(self.field(name, &format!("must be a list, got {}", other.article()))),
        };
        let length = list.raw_len();
        if length > MAX_ITEMS {
            return Err(self.field(name, "has too many items"));
        }
        let mut items = vec![LuaNil; length];
        let read = list.for_each(|key: LuaValue, value: LuaValue| {
            let slot = match key {
                LuaValue::Integer(i) => usize::try_from(i).ok().and_then(|i| items.get_mut(i.wrapping_sub(1))),
                _ => None,
            };
            let slot = slot.ok_or_else(|| LuaError::runtime("it is not a list"))?;
            *slot = value;
            Ok(())
        });
        if read.is_err() || items.contains(&LuaNil) {
            return Err(self.field(name, "must be a list, with the keys 1 to n only"));
        }
        Ok(items)
    }

    /// A number of seconds, fractions allowed, that may be absent.
    pub(super) fn seconds(&mut self, name: &'static str) -> Result<Option<Duration>, Invalid> {
        let value = self.value(name)?;
        match seconds(&value) {
            Ok(duration) if duration == Some(Duration::ZERO) => Err(self.field(name, "must be more than 0 seconds")),
            answer => answer.map_err(|reason| self.field(name, &reason)),
        }
    }

    /// A whole number of milliseconds that may be absent.
    fn milliseconds(&mut self, name: &'static str) -> Result<Option<Duration>, Invalid> {
        let given = self.optional_natural(name).map_err(|invalid| Invalid {
            message: format!("{} (in milliseconds)", invalid.message),
            ..invalid
        })?;
        Ok(given.map(|given| Duration::from_millis(given).min(FOREVER)))
    }

    /// The fields that every call takes, over the client's `defaults`.
    pub(super) fn options(&mut self, defaults: CallOptions) -> Result<CallOptions, Invalid> {
        let timeout = self.seconds("timeout")?;
        let retry = self.optional_natural("retry")?;
        let sleep = self.milliseconds("retry_sleep")?;
        Ok(CallOptions {
            timeout: timeout.unwrap_or(defaults.timeout),
            retry: retry.map_or(defaults.retry, |retry| u32::try_from(retry).unwrap_or(u32::MAX)),
            retry_sleep: sleep.unwrap_or(defaults.retry_sleep),
            retry_unknown: self.optional_flag("retry_unknown")?.unwrap_or(defaults.retry_unknown),
        })
    }

    /// All fields have been asked for: an error if the table has others.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        let is_known = |field: &Field| self.known.iter().any(|name| field.name.is(name));
        if self.own.iter().all(is_known) {
            return Ok(());
        }
        let mut unknown = None;
        let read = self.table.for_each(|key: LuaValue, _: LuaValue| {
            if unknown.is_none() && !self.known.iter().any(|name| is(&key, name)) {
                unknown = Some(key);
            }
            Ok(())
        });
        read.map_err(|error| self.unreadable(&error))?;
        let Some(key) = unknown else {
            return Err(self.error("has changed while it was read"));
        };
        let LuaValue::String(key) = key else {
            let shown = match &key {
                LuaValue::Other(_) => Cdata::read(self.lua, &key).name,
                key => key.to_string().unwrap_or_else(|_| key.type_name().to_owned()),
            };
            return Err(self.at(&shown, &format!("unknown field [{}]", excerpt(&shown))));
        };
        let key = key.to_string_lossy();
        let distance = |name: &&&str| strsim::damerau_levenshtein(&key.to_lowercase(), &name.to_lowercase());
        let nearest = self
            .known
            .iter()
            .filter(|name| name.len().abs_diff(key.len()) <= 3)
            .min_by_key(distance)
            .filter(|name| distance(name) <= 3 && distance(name) * 2 <= key.len() + 1);
        let hint = nearest
            .map(|name| format!(" (did you mean '{name}'?)"))
            .unwrap_or_default();
        Err(self.at(&key, &format!("unknown field '{}'{hint}", excerpt(&key))))
    }

    /// An error about one field: `put: field 'key' must be ...`.
    pub(super) fn field(&self, name: &str, reason: &str) -> Invalid {
        self.at(name, &format!("field '{name}' {reason}"))
    }

    /// An error about a field that must be there.
    pub(super) fn missing(&self, name: &str) -> Invalid {
        self.at(name, &format!("missing field '{name}'"))
    }

    /// An error about the table itself.
    pub(super) fn error(&self, reason: &str) -> Invalid {
        let field = self.place.text();
        let place = field.as_deref().unwrap_or("the request");
        Invalid {
            message: format!("{}: {place} {reason}", self.call),
            field,
        }
    }

    fn unreadable(&self, error: &LuaError) -> Invalid {
        self.error(&format!("could not be read: {}", one_line(error)))
    }

    fn raised(&self, name: &str, error: &LuaError) -> Invalid {
        self.at(name, &format!("field '{name}' could not be read: {}", one_line(error)))
    }

    fn at(&self, name: &str, text: &str) -> Invalid {
        let place = self.place.text().map(|place| format!("{place}: ")).unwrap_or_default();
        Invalid {
            message: format!("{}: {place}{text}", self.call),
            field: Some(self.place.of(name)),
        }
    }
}

/// Is `value` the string `text`?
fn is(value: &LuaValue, text: &str) -> bool {
    matches!(value, LuaValue::String(string) if *string == text)
}

/// A number of seconds that is not negative, or nil.
pub(super) fn seconds(value: &Value) -> Result<Option<Duration>, String> {
    let seconds = match value {
        Value::Nil => return Ok(None),
        Value::Other(LuaValue::Integer(seconds)) => Some(*seconds as f64),
        Value::Other(LuaValue::Number(seconds)) => Some(*seconds),
        Value::Cdata(cdata) => cdata.integer.map(|seconds| seconds as f64),
        _ => None,
    };
    let seconds = seconds.ok_or_else(|| format!("must be a number of seconds, got {}", value.article()))?;
    Duration::try_from_secs_f64(seconds)
        .map(|duration| Some(duration.min(FOREVER)))
        .map_err(|_| format!("is no number of seconds: {seconds}"))
}
