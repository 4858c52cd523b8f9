//! The messages of the schema as Lua has them: fields with their types, what they mean, and what is added to etcd's.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use prost_types::FileDescriptorSet;
use silly_etcd::etcd::{RPCS, Rpc};

use crate::schema::{self, Kind, Schema};

/// Calls that are no row of the table: their name, request and response, and what they require.
const BY_HAND: [(&str, &str, &str, &[&str]); 4] = [
    ("txn", "TxnRequest", "TxnResponse", &[]),
    ("grant", "LeaseGrantRequest", "LeaseGrantResponse", &["TTL"]),
    ("keepalive", "LeaseKeepAliveRequest", "LeaseKeepAliveResponse", &["ID"]),
    ("watch", "WatchCreateRequest", "WatchResponse", &["key"]),
];
/// Calls that return an object, whose name is theirs.
const OBJECTS: [&str; 2] = ["keepalive", "watch"];
/// Messages whose class has another name than theirs.
const CLASSES: [(&str, &str); 7] = [
    ("lua.Options", "options"),
    ("ResponseHeader", "header"),
    ("KeyValue", "kv"),
    ("Compare", "txn.compare"),
    ("RequestOp", "txn.operation"),
    ("ResponseOp", "txn.result"),
    ("LeaseStatus", "leases.lease"),
];
/// Fields that Lua does not have: the client chooses what they say.
const HIDDEN: [(&str, &str); 2] = [("WatchCreateRequest", "watch_id"), ("WatchCreateRequest", "fragment")];

/// A call, with the names of its messages.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) request: String,
    pub(crate) response: String,
    pub(crate) required: &'static [&'static str],
    /// Its row of the table, if it is one.
    pub(crate) row: Option<&'static Rpc>,
}

/// A field, as Lua has it.
pub(crate) struct Field {
    pub(crate) name: String,
    /// Its type for a language server: `silly.store.etcd.kv[]`.
    pub(crate) class: String,
    /// Its type in words: `list of kv`.
    pub(crate) kind: String,
    pub(crate) is_optional: bool,
    /// What it means, in whole sentences.
    pub(crate) meaning: String,
    /// What holds where a request lacks it, or that it must be there.
    pub(crate) default: Option<String>,
}

pub(crate) struct Messages {
    schema: Schema,
    /// Message -> its full name. Those of `lua.proto` are in there as `lua.NAME`.
    full: BTreeMap<String, String>,
    /// The comments before fields: full name of the message and name of the field -> text.
    comments: BTreeMap<(String, String), String>,
    pub(crate) calls: Vec<Call>,
}

impl Messages {
    /// Reads the schema in `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let files = protox::compile(["rpc.proto", "lua.proto"], [folder])?;
        let mut messages = Self {
            schema: Schema::new(&files),
            full: BTreeMap::new(),
            comments: comments(&files),
            calls: Vec::new(),
        };
        for (full, message) in messages.schema.messages() {
            let name = match full.strip_prefix('.') {
                Some(name) if name.starts_with("lua.") => name.to_owned(),
                _ => message.name.clone(),
            };
            messages.full.insert(name, full.clone());
        }
        for rpc in RPCS {
            let (request, response) = method(&files, rpc.path).with_context(|| format!("no method {}", rpc.path))?;
            messages.calls.push(Call {
                name: rpc.name,
                request,
                response,
                required: rpc.required,
                row: Some(rpc),
            });
        }
        for (name, request, response, required) in BY_HAND {
            messages.calls.push(Call {
                name,
                request: request.to_owned(),
                response: response.to_owned(),
                required,
                row: None,
            });
        }
        Ok(messages)
    }

    /// The call whose request the message is.
    pub(crate) fn call(&self, message: &str) -> Option<&Call> {
        self.calls.iter().find(|call| call.request == message)
    }

    /// Has the message both ends of a range of keys?
    pub(crate) fn is_range(&self, message: &str) -> bool {
        let message = self.schema.message(&self.full[message]);
        message.has("key") && message.has("range_end")
    }

    /// The fields of a message: `RangeRequest`, or `lua.Options`.
    pub(crate) fn fields(&self, message: &str) -> Result<Vec<Field>> {
        let full = self
            .full
            .get(message)
            .with_context(|| format!("no message {message}"))?;
        let mut fields = Vec::new();
        for field in &self.schema.message(full).fields {
            if !HIDDEN.contains(&(message, &field.name)) && field.name != "range_end" {
                fields.push(self.field(message, full, field));
            }
            if field.name == "key" && self.is_range(message) {
                fields.extend(self.fields("lua.Range")?);
                let end = self
                    .schema
                    .message(full)
                    .fields
                    .iter()
                    .find(|field| field.name == "range_end");
                fields.extend(end.map(|end| self.field(message, full, end)));
            }
        }
        if self.full.contains_key(&format!("lua.{message}")) {
            fields.extend(self.fields(&format!("lua.{message}"))?);
        }
        Ok(fields)
    }

    /// The messages that the fields of one name, in their order.
    pub(crate) fn inner(&self, message: &str) -> impl Iterator<Item = &str> {
        let fields = &self.schema.message(&self.full[message]).fields;
        fields.iter().filter_map(|field| match &field.kind {
            Kind::Message(full) => Some(self.schema.message(full).name.as_str()),
            _ => None,
        })
    }

    /// Is it one of several things? Then its class is written by hand.
    pub(crate) fn is_union(&self, message: &str) -> bool {
        ["RequestOp", "ResponseOp"].contains(&message)
    }

    fn field(&self, message: &str, full: &str, field: &schema::Field) -> Field {
        let (class, kind) = match &field.kind {
            Kind::Bool => ("boolean".to_owned(), "boolean".to_owned()),
            Kind::Bytes | Kind::Text => ("string".to_owned(), "string".to_owned()),
            Kind::Integer | Kind::Unsigned => ("integer".to_owned(), "integer".to_owned()),
            Kind::Number => ("number".to_owned(), "number".to_owned()),
            Kind::Id | Kind::UnsignedId => (prefixed("id"), "id".to_owned()),
            Kind::Enum(name) => {
                let choices = self.schema.choices(name).iter().map(|choice| format!("{choice:?}"));
                let choices: Vec<_> = choices.collect();
                let shown: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
                (choices.join("|"), shown.join(", "))
            }
            Kind::Message(inner) => {
                let class = self.class(&self.schema.message(inner).name);
                (
                    prefixed(&class),
                    class.rsplit('.').next().unwrap_or_default().to_owned(),
                )
            }
        };
        let (class, kind) = match (field.is_repeated, class.contains('|')) {
            (false, _) => (class, kind),
            (true, false) => (format!("{class}[]"), format!("list of {kind}")),
            (true, true) => (format!("({class})[]"), format!("list of {kind}")),
        };
        let text = self.comments.get(&(full.to_owned(), field.name.clone()));
        let (meaning, default) = parted(text.map_or("", String::as_str));
        let (is_optional, default) = self.presence(message, field, default);
        Field {
            name: field.name.clone(),
            class,
            kind,
            is_optional,
            meaning,
            default,
        }
    }

    /// May a field be absent, and what holds then?
    fn presence(&self, message: &str, field: &schema::Field, default: Option<String>) -> (bool, Option<String>) {
        match default.as_deref() {
            Some("required") => (false, default),
            Some(_) => (true, default),
            None if self
                .call(message)
                .is_some_and(|call| call.required.contains(&field.name.as_str())) =>
            {
                (false, Some("required".to_owned()))
            }
            None if self.is_request(message) => (true, None),
            None => {
                let inside = matches!(field.kind, Kind::Message(_)) && !field.is_repeated;
                let always = ["header", "kv"].contains(&field.name.as_str());
                (inside && !always || field.name == "error", None)
            }
        }
    }

    /// Is it, or a part of it, sent?
    pub(crate) fn is_request(&self, message: &str) -> bool {
        message.starts_with("lua.") || message == "Compare" || self.call(message).is_some()
    }

    /// The name of the class of a message, without what all have: `get.response`.
    pub(crate) fn class(&self, message: &str) -> String {
        for call in &self.calls {
            let object = OBJECTS.contains(&call.name);
            if call.request == message {
                return if object {
                    format!("{}.request", call.name)
                } else {
                    call.name.to_owned()
                };
            } else if call.response == message {
                return format!("{}.response", call.name);
            }
        }
        match CLASSES.iter().find(|(other, _)| *other == message) {
            Some((_, class)) => (*class).to_owned(),
            None => message.to_lowercase(),
        }
    }
}

/// A class by its whole name.
pub(crate) fn prefixed(class: &str) -> String {
    format!("silly.store.etcd.{class}")
}

/// A comment without its last sentence, where that says the default, and what it says.
fn parted(text: &str) -> (String, Option<String>) {
    let from = text.rfind(". ").map_or(0, |end| end + 2);
    let (before, last) = text.split_at(from);
    let last = last.trim_end_matches('.');
    match last.strip_prefix("Default ") {
        Some(default) => (before.trim_end().to_owned(), Some(default.to_owned())),
        None if last.starts_with("Required") => (before.trim_end().to_owned(), Some(last.to_lowercase())),
        None => (text.to_owned(), None),
    }
}

/// The comments before the fields.
fn comments(files: &FileDescriptorSet) -> BTreeMap<(String, String), String> {
    let mut comments = BTreeMap::new();
    for file in &files.file {
        for location in file.source_code_info.iter().flat_map(|info| &info.location) {
            // The numbers of `message_type` in a file and of `field` in a message.
            let [4, message, 2, field] = location.path[..] else {
                continue;
            };
            let (Ok(message), Ok(field)) = (usize::try_from(message), usize::try_from(field)) else {
                continue;
            };
            let message = &file.message_type[message];
            let lines: Vec<_> = location.leading_comments().lines().map(str::trim).collect();
            if !lines.is_empty() {
                let full = format!(".{}.{}", file.package(), message.name());
                comments.insert((full, message.field[field].name().to_owned()), lines.join(" "));
            }
        }
    }
    comments
}

/// The request and the response of the method at a path on the wire.
fn method(files: &FileDescriptorSet, path: &str) -> Option<(String, String)> {
    let (service, name) = path.trim_start_matches('/').split_once('/')?;
    let last = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
    for file in &files.file {
        for found in &file.service {
            if format!("{}.{}", file.package(), found.name()) == service {
                let method = found.method.iter().find(|method| method.name() == name)?;
                return Some((last(method.input_type()), last(method.output_type())));
            }
        }
    }
    None
}
