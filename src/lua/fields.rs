//! Reads the fields of a request table, each checked for its type. What nobody asked for is an error at the end, and
//! after that what is missing: its name may be the one that is misspelt.
//!
//! In: a Lua value. Out: typed fields, or an [`Invalid`] that names the call and the field. The table is never
//! changed. Fields that it inherits through a metatable count, and a metamethod that raises is an outcome like any
//! other. In the place of a table there may be the one field that it must have.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use mlua::prelude::*;
use zeroize::Zeroizing;

use super::cdata::Cdata;
use super::failure::Invalid;
use super::options::OPTIONS;
use super::text::{excerpt, one_line};
use super::value::{self, Field, Value};
use super::{hint, integer, json};

/// What is wrong with a text of other bytes.
const NO_UTF8: &str = "must be UTF-8";

/// No server takes a list as long as that.
const MAX_ITEMS: usize = 1 << 16;

/// What can be read from the fields of a table.
pub(super) trait Decode: Sized {
    /// Asks for every field that it takes. Others are errors.
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid>;
}

/// It has no fields of its own.
impl Decode for () {
    fn decode(_: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(())
    }
}

/// A table that is being read.
pub(super) struct Fields<'a> {
    lua: &'a Lua,
    call: &'a str,
    place: Place<'a>,
    /// None where its one field stands in its place.
    table: Option<LuaTable>,
    /// What the table itself holds, so that most fields, which are absent, cost no look-up.
    own: Vec<Field>,
    /// How many of those were not asked for yet.
    unread: usize,
    inherits: bool,
    /// What has been asked for.
    known: Vec<&'static str>,
    /// Those that must be there.
    required: &'static [&'static str],
    /// The first field that must be there and is not.
    missing: Option<&'static str>,
}

/// Where a table lies in the request. It becomes a text, `success[1].put`, only where something is wrong.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// It is the whole, which is called so.
    Whole(&'static str),
    /// Under this name in the table that lies there.
    Field(&'a Place<'a>, &'static str),
    /// In the list of this name, as the item of this number.
    Item(&'a Place<'a>, &'static str, usize),
}

impl Place<'_> {
    /// The text for `name` in the table that lies here.
    fn of(&self, name: &str) -> String {
        match self {
            Place::Whole(_) => name.to_owned(),
            place => format!("{place}.{name}"),
        }
    }

    /// The text for the table that lies here, unless that is the whole.
    fn text(&self) -> Option<String> {
        match self {
            Place::Whole(_) => None,
            place => Some(place.to_string()),
        }
    }

    /// What the whole is called, around the table that lies here.
    fn whole(&self) -> &'static str {
        match self {
            Place::Whole(whole) => whole,
            Place::Field(place, _) | Place::Item(place, ..) => place.whole(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Whole(_) => Ok(()),
            Place::Field(place, name) => f.write_str(&place.of(name)),
            Place::Item(place, name, number) => write!(f, "{}[{number}]", place.of(name)),
        }
    }
}

/// A field that nobody asked for.
struct Unknown {
    hint: Option<String>,
    /// Its name, if it is one.
    text: Option<String>,
    key: LuaValue,
}

impl Unknown {
    /// Those with a hint first, then by name, so that a request always gets the same message.
    fn rank(&self) -> impl Ord {
        (self.hint.is_none(), self.text.is_none(), &self.text)
    }
}

/// What was not read, since something else was wrong before, may be a secret.
impl Drop for Fields<'_> {
    fn drop(&mut self) {
        for field in &mut self.own {
            std::mem::replace(&mut field.value, Value::Nil).wipe();
        }
    }
}

impl<'a> Fields<'a> {
    /// A longer time than anyone waits; the clocks can still add it.
    const FOREVER: Duration = Duration::from_secs(1_000_000_000);

    /// How long what waits for etcd to come does so, where nothing else is said.
    const WAIT: Duration = Duration::from_secs(5);

    /// The fields of a request of `call`. Where one alone is `required` it may stand in the request's place.
    pub(super) fn new(
        lua: &'a Lua,
        call: &'a str,
        required: &'static [&'static str],
        request: LuaValue,
    ) -> Result<Self, Invalid> {
        Self::open(
            lua,
            call,
            Place::Whole("the request"),
            required,
            Value::new(lua, request),
        )
    }

    /// The fields of a request of `call` that was not given: none.
    pub(super) fn none(lua: &'a Lua, call: &'a str) -> Self {
        Self::empty(lua, call, Place::Whole("the request"), &[])
    }

    /// The fields of a request of `call` that are these, and in no table any more.
    pub(super) fn simple(lua: &'a Lua, call: &'a str, required: &'static [&'static str], own: Vec<Field>) -> Self {
        let place = Place::Whole("the request");
        let mut fields = Self::empty(lua, call, place, required);
        fields.unread = own.len();
        fields.own = own;
        fields
    }

    /// The lua_State that the values are from.
    pub(super) fn lua(&self) -> &'a Lua {
        self.lua
    }

    /// The fields of a configuration that `call` takes.
    pub(super) fn configuration(lua: &'a Lua, call: &'a str, conf: LuaValue) -> Result<Self, Invalid> {
        Self::open(lua, call, Place::Whole("the configuration"), &[], Value::new(lua, conf))
    }

    /// The fields of the table `value` in the field `name`. Where one alone is `required` it may stand in its place.
    pub(super) fn nested(
        &self,
        name: &'static str,
        required: &'static [&'static str],
        value: Value,
    ) -> Result<Fields<'_>, Invalid> {
        Fields::open(self.lua, self.call, Place::Field(&self.place, name), required, value)
    }

    /// The fields of the table `value`, the item `number` of the list in the field `name`.
    pub(super) fn item(&self, name: &'static str, number: usize, value: LuaValue) -> Result<Fields<'_>, Invalid> {
        let place = Place::Item(&self.place, name, number);
        Fields::open(self.lua, self.call, place, &[], Value::new(self.lua, value))
    }

    fn open(
        lua: &'a Lua,
        call: &'a str,
        place: Place<'a>,
        required: &'static [&'static str],
        value: Value,
    ) -> Result<Self, Invalid> {
        let mut fields = Self::empty(lua, call, place, required);
        match (value, required) {
            (Value::Other(LuaValue::Table(table)), _) => {
                let read = value::read(lua, &table);
                (fields.own, fields.inherits) = read.map_err(|error| fields.unreadable(&error))?;
                fields.unread = fields.own.len();
                fields.table = Some(table);
            }
            (value, [alone]) if !matches!(value, Value::Nil) => {
                fields.unread = 1;
                fields.own.push(Field::new(alone, value));
            }
            (value, _) => {
                let invalid = fields.no_table(&value);
                value.wipe();
                return Err(invalid);
            }
        }
        Ok(fields)
    }

    fn empty(lua: &'a Lua, call: &'a str, place: Place<'a>, required: &'static [&'static str]) -> Self {
        Self {
            lua,
            call,
            place,
            table: None,
            own: Vec::new(),
            unread: 0,
            inherits: false,
            known: Vec::with_capacity(24),
            required,
            missing: None,
        }
    }

    fn no_table(&self, value: &Value) -> Invalid {
        let field = self.place.text();
        let subject = field.as_ref().map(|field| format!("field '{field}'"));
        let alone = match self.required {
            [name] => format!(" or its '{name}'"),
            _ => String::new(),
        };
        Invalid {
            message: format!(
                "{}: {} must be a table{alone}, got {}",
                self.call,
                subject.as_deref().unwrap_or(self.place.whole()),
                value.article(),
            ),
            field,
        }
    }

    /// Does one field stand in the place of the table?
    pub(super) fn is_alone(&self) -> bool {
        self.table.is_none()
    }

    /// Is the field there? It still has to be asked for.
    pub(super) fn has(&self, name: &'static str) -> Result<bool, Invalid> {
        match (&self.table, self.own.iter().find(|field| field.name.is(name))) {
            (_, Some(field)) => Ok(!matches!(field.value, Value::Nil)),
            (Some(table), None) if self.inherits => {
                let value: LuaResult<LuaValue> = table.get(name);
                Ok(!value.map_err(|error| self.raised(name, &error))?.is_nil())
            }
            (_, None) => Ok(false),
        }
    }

    /// A field's value, nil if it is absent. To be asked for once.
    pub(super) fn value(&mut self, name: &'static str) -> Result<Value, Invalid> {
        debug_assert!(!self.known.contains(&name), "{name} was asked for before");
        self.known.push(name);
        let found = match self.unread {
            0 => None,
            _ => self.own.iter_mut().find(|field| field.name.is(name)),
        };
        let left = match (found, &self.table) {
            (Some(field), _) => {
                self.unread -= 1;
                match std::mem::replace(&mut field.value, Value::Nil) {
                    Value::Other(left) => left,
                    value => return Ok(value),
                }
            }
            (None, Some(table)) if self.inherits => table.get(name).map_err(|error| self.raised(name, &error))?,
            (None, _) => LuaNil,
        };
        if left.is_nil() && self.required.contains(&name) {
            self.missing.get_or_insert(name);
        }
        Ok(Value::new(self.lua, left))
    }

    /// The required field `name` need not be there after all.
    pub(super) fn spare(&mut self, name: &str) {
        self.missing = self.missing.filter(|missing| *missing != name);
    }

    /// Is something missing that must be there?
    pub(super) fn is_incomplete(&self) -> bool {
        self.missing.is_some()
    }

    /// What stands for a field that must be there and is not, until [`check`](Self::check) tells it.
    pub(super) fn missing<T: Default>(&mut self, name: &'static str) -> T {
        self.missing.get_or_insert(name);
        T::default()
    }

    /// A byte string that must be there.
    pub(super) fn bytes(&mut self, name: &'static str) -> Result<Bytes, Invalid> {
        Ok(self.optional_bytes(name)?.unwrap_or_else(|| self.missing(name)))
    }

    /// A byte string that may be absent.
    pub(super) fn optional_bytes(&mut self, name: &'static str) -> Result<Option<Bytes>, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            value => string(value).map(Some).map_err(|reason| self.field(name, &reason)),
        }
    }

    /// The same, which is not empty where it is there.
    pub(super) fn nonempty_bytes(&mut self, name: &'static str) -> Result<Option<Bytes>, Invalid> {
        match self.optional_bytes(name)? {
            Some(bytes) if bytes.is_empty() => Err(self.field(name, "must not be empty")),
            bytes => Ok(bytes),
        }
    }

    /// A text that may be absent.
    pub(super) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, Invalid> {
        let text = self.optional_bytes(name)?.map(utf8).transpose();
        text.map_err(|reason| self.field(name, &reason))
    }

    /// A text that may be absent and is wiped when it is dropped.
    pub(super) fn secret(&mut self, name: &'static str) -> Result<Option<Zeroizing<String>>, Invalid> {
        let Some(bytes) = self.optional_bytes(name)? else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes.into()).map(Zeroizing::new);
        text.map(Some).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            self.field(name, NO_UTF8)
        })
    }

    /// A list of texts, empty if absent.
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, Invalid> {
        self.strings(name, utf8)
    }

    /// A list of keys, empty if absent.
    pub(super) fn keys(&mut self, name: &'static str) -> Result<Vec<Bytes>, Invalid> {
        self.strings(name, Ok)
    }

    fn strings<T>(&mut self, name: &'static str, read: impl Fn(Bytes) -> Result<T, String>) -> Result<Vec<T>, Invalid> {
        let mut texts = Vec::new();
        for (at, item) in self.list(name)?.into_iter().enumerate() {
            let text = string(Value::new(self.lua, item)).and_then(&read);
            texts.push(text.map_err(|reason| self.field(&format!("{name}[{}]", at + 1), &reason))?);
        }
        Ok(texts)
    }

    /// A message in a table of its own that may be absent.
    pub(super) fn message<M: Decode>(&mut self, name: &'static str) -> Result<Option<M>, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            value => self.decoded(name, &[], value).map(Some),
        }
    }

    /// The message in the table `value` in the field `name`. Where one field alone is `required` it may stand in its
    /// place.
    pub(super) fn decoded<M: Decode>(
        &self,
        name: &'static str,
        required: &'static [&'static str],
        value: Value,
    ) -> Result<M, Invalid> {
        let mut fields = self.nested(name, required, value)?;
        let message = M::decode(&mut fields)?;
        fields.check()?;
        Ok(message)
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

    /// Is there a function? It is for the Lua half to call.
    pub(super) fn has_function(&mut self, name: &'static str) -> Result<bool, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(false),
            Value::Other(LuaValue::Function(_)) => Ok(true),
            other => Err(self.field(name, &format!("must be a function, got {}", other.article()))),
        }
    }

    /// Anything that has a form in JSON; it may be absent.
    pub(super) fn json(&mut self, name: &'static str) -> Result<Option<serde_json::Value>, Invalid> {
        let json = match self.value(name)? {
            Value::Nil => return Ok(None),
            Value::Text(text) => utf8(text).map(serde_json::Value::String),
            Value::Other(value) => json::value(&value),
            Value::Cdata(_) => Err("a cdata has no JSON form".to_owned()),
        };
        json.map(Some).map_err(|reason| self.field(name, &reason))
    }

    /// An int64 that must be there.
    pub(super) fn integer(&mut self, name: &'static str) -> Result<i64, Invalid> {
        Ok(self.optional_integer(name)?.unwrap_or_else(|| self.missing(name)))
    }

    /// An int64 that may be absent.
    pub(super) fn optional_integer(&mut self, name: &'static str) -> Result<Option<i64>, Invalid> {
        self.whole(name, integer::int64)
    }

    /// The 64 bits of an id that must be there, as an int64 or a uint64.
    pub(super) fn id(&mut self, name: &'static str) -> Result<i64, Invalid> {
        Ok(self.optional_id(name)?.unwrap_or_else(|| self.missing(name)))
    }

    /// The 64 bits of an id that may be absent.
    pub(super) fn optional_id(&mut self, name: &'static str) -> Result<Option<i64>, Invalid> {
        self.whole(name, |value| {
            integer::id(value).map_err(|reason| match value {
                Value::Other(LuaValue::Table(_)) => format!("{reason} (did you mean its field 'ID'?)"),
                _ => reason,
            })
        })
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

    /// One of `names` that must be there; its number, none where it is missing.
    pub(super) fn required_choice(&mut self, name: &'static str, names: &[&str]) -> Result<Option<i32>, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(self.missing(name)),
            value => self.number(name, &value, names).map(Some),
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
        match self.value(name)? {
            Value::Nil => Ok(Vec::new()),
            value => self.items(name, value),
        }
    }

    /// A list that must be there.
    pub(super) fn required_list(&mut self, name: &'static str) -> Result<Vec<LuaValue>, Invalid> {
        match self.value(name)? {
            Value::Nil => Ok(self.missing(name)),
            value => self.items(name, value),
        }
    }

    fn items(&self, name: &str, value: Value) -> Result<Vec<LuaValue>, Invalid> {
        let Value::Other(LuaValue::Table(list)) = value else {
            return Err(self.field(name, &format!("must be a list, got {}", value.article())));
        };
        let length = list.raw_len();
        if length > MAX_ITEMS {
            return Err(self.field(name, "has too many items"));
        }
        let mut items = vec![LuaNil; length];
        let mut other = None;
        let read = list.for_each(|key: LuaValue, value: LuaValue| {
            let slot = match key {
                LuaValue::Integer(i) => usize::try_from(i).ok().and_then(|i| items.get_mut(i.wrapping_sub(1))),
                _ => None,
            };
            match slot {
                Some(slot) => *slot = value,
                None => other = Some(key),
            }
            Ok(())
        });
        read.map_err(|error| self.raised(name, &error))?;
        let problem = match other {
            Some(key) => format!("has {}", self.key(&key).1),
            None => match items.iter().position(LuaValue::is_nil) {
                Some(at) => format!("lacks [{}]", at + 1),
                None => return Ok(items),
            },
        };
        Err(self.field(
            name,
            &format!("must be a list, with the keys 1 to n only, but {problem}"),
        ))
    }

    /// A number of seconds, fractions allowed, that may be absent.
    pub(super) fn seconds(&mut self, name: &'static str) -> Result<Option<Duration>, Invalid> {
        match self.patience(name)? {
            Some(Duration::ZERO) => Err(self.field(name, "must be more than 0 seconds")),
            seconds => Ok(seconds),
        }
    }

    /// The same, where 0 is not to wait at all.
    pub(super) fn patience(&mut self, name: &'static str) -> Result<Option<Duration>, Invalid> {
        let value = self.value(name)?;
        seconds(&value).map_err(|reason| self.field(name, &reason))
    }

    /// How long to wait for etcd to come: the field `wait`.
    pub(super) fn wait(&mut self) -> Result<Duration, Invalid> {
        Ok(self.patience("wait")?.unwrap_or(Self::WAIT))
    }

    /// The most keys of a page, which has `default` of them where nothing is said.
    pub(super) fn page(&mut self, default: i64) -> Result<i64, Invalid> {
        match self.optional_natural("page")? {
            Some(0) => Err(self.field("page", "must be more than 0 keys")),
            page => Ok(page.map_or(default, u64::cast_signed)),
        }
    }

    /// A path that may be absent: the field `file`.
    pub(super) fn file(&mut self) -> Result<Option<PathBuf>, Invalid> {
        match self.optional_text("file")? {
            Some(file) if file.is_empty() || file.contains(char::is_control) => {
                Err(self.field("file", "must be a path"))
            }
            file => Ok(file.map(PathBuf::from)),
        }
    }

    /// A whole number of milliseconds that may be absent.
    pub(super) fn milliseconds(&mut self, name: &'static str) -> Result<Option<Duration>, Invalid> {
        let given = self.optional_natural(name);
        let given = given.map_err(|invalid| invalid.with("in milliseconds"))?;
        Ok(given.map(|given| Duration::from_millis(given).min(Self::FOREVER)))
    }

    /// A whole number of seconds that must be there.
    pub(super) fn whole_seconds(&mut self, name: &'static str) -> Result<i64, Invalid> {
        self.integer(name).map_err(|invalid| invalid.with("in seconds"))
    }

    /// All fields have been asked for: an error if the table has others, or lacks one that must be there.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        self.check_by(|_| None)
    }

    /// The same, where `advice` knows what to say of some names that are unknown here.
    pub(super) fn check_by(&self, advice: impl Fn(&str) -> Option<String>) -> Result<(), Invalid> {
        let is_known = |field: &Field| self.known.iter().any(|name| field.name.is(name));
        if !self.own.iter().all(is_known) {
            return Err(match self.unknown(advice)? {
                Some(unknown) => self.refused(unknown),
                None => self.error("has changed while it was read"),
            });
        }
        match self.missing {
            Some(name) => Err(self.at(name, &format!("missing field '{name}'"))),
            None => Ok(()),
        }
    }

    /// An error that one of `names` must be there, or about the field that somebody meant to be one.
    pub(super) fn none_of(&self, names: &[&str]) -> Invalid {
        match self.unknown(|_| None) {
            Ok(Some(unknown)) if unknown.hint.is_some() => self.refused(unknown),
            _ => self.error(&format!("must have one of {}", names.join(", "))),
        }
    }

    /// The field that was not asked for and of which most can be said.
    fn unknown(&self, advice: impl Fn(&str) -> Option<String>) -> Result<Option<Unknown>, Invalid> {
        let Some(table) = &self.table else { return Ok(None) };
        let mut first: Option<Unknown> = None;
        let read = table.for_each(|key: LuaValue, _: LuaValue| {
            if self.known.iter().any(|name| is(&key, name)) {
                return Ok(());
            }
            let text = key.as_string().map(|text| text.to_string_lossy());
            let hint = match &text {
                Some(text) => advice(text).or_else(|| self.hint(text)),
                None => self.missing.filter(|_| key == LuaValue::Integer(1)).map(hint::meant),
            };
            let unknown = Unknown { hint, text, key };
            if first.as_ref().is_none_or(|first| unknown.rank() < first.rank()) {
                first = Some(unknown);
            }
            Ok(())
        });
        read.map_err(|error| self.unreadable(&error))?;
        Ok(first)
    }

    fn hint(&self, name: &str) -> Option<String> {
        match self.place {
            Place::Whole(_) => None,
            place => OPTIONS
                .contains(&name)
                .then(|| format!("it belongs in {} itself", place.whole())),
        }
        .or_else(|| hint::of(name, &self.known))
    }

    fn refused(&self, Unknown { hint, key, .. }: Unknown) -> Invalid {
        let more = match (hint, self.missing) {
            (Some(hint), _) => format!(" ({hint})"),
            (None, Some(name)) => format!(", and '{name}' is missing"),
            (None, None) => String::new(),
        };
        let (name, shown) = self.key(&key);
        self.at(&name, &format!("unknown field {shown}{more}"))
    }

    /// A key as `info.field` and as messages have it.
    fn key(&self, key: &LuaValue) -> (String, String) {
        match key {
            LuaValue::String(text) => {
                let text = text.to_string_lossy();
                let shown = format!("'{}'", excerpt(&text));
                (text, shown)
            }
            key => {
                let text = match key {
                    LuaValue::Other(_) => Cdata::read(self.lua, key).name,
                    key => key.to_string().unwrap_or_else(|_| key.type_name().to_owned()),
                };
                let shown = format!("[{}]", excerpt(&text));
                (text, shown)
            }
        }
    }

    /// An error about one field: `put: field 'key' must be ...`.
    pub(super) fn field(&self, name: &str, reason: &str) -> Invalid {
        self.at(name, &format!("field '{name}' {reason}"))
    }

    /// An error about the table itself.
    pub(super) fn error(&self, reason: &str) -> Invalid {
        let field = self.place.text();
        let place = field.as_deref().unwrap_or(self.place.whole());
        Invalid {
            message: format!("{}: {place} {reason}", self.call),
            field,
        }
    }

    /// An error about an argument behind the request of `call`.
    pub(super) fn second(lua: &Lua, call: &str, more: &LuaValue) -> Invalid {
        let got = Value::new(lua, more.clone()).article();
        Invalid {
            message: format!("{call}: takes one argument, got {got} as well: all fields belong in one table"),
            field: None,
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

/// A byte string.
fn string(value: Value) -> Result<Bytes, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("must be a string, got {}", other.article())),
    }
}

fn utf8(text: Bytes) -> Result<String, String> {
    String::from_utf8(text.into()).map_err(|_| NO_UTF8.to_owned())
}

/// A number of seconds that is not negative, or nil. Infinity, and what comes near it, is as good as no limit.
pub(super) fn seconds(value: &Value) -> Result<Option<Duration>, String> {
    let seconds = match value {
        Value::Nil => return Ok(None),
        Value::Other(LuaValue::Integer(seconds)) => Some(*seconds as f64),
        Value::Other(LuaValue::Number(seconds)) => Some(*seconds),
        Value::Cdata(cdata) => cdata.integer.map(|seconds| seconds as f64),
        _ => None,
    };
    let seconds = seconds.ok_or_else(|| format!("must be a number of seconds, got {}", value.article()))?;
    if seconds >= Fields::FOREVER.as_secs_f64() {
        return Ok(Some(Fields::FOREVER));
    }
    let duration = Duration::try_from_secs_f64(seconds);
    duration
        .map(Some)
        .map_err(|_| format!("is no number of seconds: {seconds}"))
}
