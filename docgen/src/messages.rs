//! The messages of the schema as Lua has them: fields with their types, what they mean, and what is added to etcd's.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use prost_types::FileDescriptorSet;
use silly_etcd::etcd::RPCS;

use crate::schema::{self, Kind, Schema};

/// Calls that are no row of the table: their name, request and response, what they require, and what they do, where
/// the definition of the method is not written by hand.
const BY_HAND: [(&str, &str, &str, &[&str], &str); 20] = [
    ("txn", "TxnRequest", "TxnResponse", &[], ""),
    ("grant", "LeaseGrantRequest", "LeaseGrantResponse", &["TTL"], ""),
    (
        "keepalive",
        "LeaseKeepAliveRequest",
        "LeaseKeepAliveResponse",
        &["ID"],
        "",
    ),
    ("watch", "WatchCreateRequest", "WatchResponse", &["key"], ""),
    ("scan", "lua.ScanRequest", "RangeResponse", &["key"], ""),
    ("cache", "lua.CacheRequest", "RangeResponse", &["key"], ""),
    (
        "register",
        "lua.RegisterRequest",
        "RangeResponse",
        &["name", "addr"],
        "",
    ),
    ("discover", "lua.DiscoverRequest", "RangeResponse", &["name"], ""),
    ("session", "lua.SessionRequest", "RangeResponse", &[], ""),
    ("lock", "lua.LockRequest", "RangeResponse", &["name"], ""),
    ("campaign", "lua.CampaignRequest", "RangeResponse", &["name"], ""),
    ("stm", "lua.StmRequest", "RangeResponse", &["apply"], ""),
    (
        "leader",
        "lua.LeaderRequest",
        "lua.LeaderResponse",
        &["name"],
        " Who leads under a name, or holds the lock of that name.",
    ),
    ("observe", "lua.ObserveRequest", "RangeResponse", &["name"], ""),
    (
        "swap",
        "lua.SwapRequest",
        "lua.SwapResponse",
        &["key", "mod_revision"],
        " Changes a key if it is still as it was, else returns what is there.",
    ),
    (
        "increment",
        "lua.IncrementRequest",
        "lua.IncrementResponse",
        &["key"],
        " Adds to a number, however many others do so.",
    ),
    (
        "maintenance.disarm",
        "lua.DisarmRequest",
        "AlarmResponse",
        &[],
        " Ends alarms, and returns those that were raised.",
    ),
    (
        "maintenance.defragment",
        "lua.DefragmentRequest",
        "lua.DefragmentResponse",
        &[],
        " Gives the free space of a member's store back to its file system.",
    ),
    (
        "maintenance.snapshot",
        "lua.SnapshotRequest",
        "lua.SnapshotResponse",
        &["file"],
        " Copies the whole store of a member, to a file or to a function.",
    ),
    (
        "maintenance.compare",
        "lua.CompareRequest",
        "lua.CompareResponse",
        &[],
        " Compares what all members have stored.",
    ),
];
/// Those of them that change nothing.
const READS: [&str; 8] = [
    "watch",
    "scan",
    "cache",
    "discover",
    "leader",
    "observe",
    "maintenance.compare",
    "maintenance.snapshot",
];
/// Calls that return an object, whose name is theirs.
const OBJECTS: [&str; 7] = ["keepalive", "watch", "scan", "cache", "session", "lock", "leader"];
/// Messages whose class has another name than theirs.
const CLASSES: [(&str, &str); 14] = [
    ("lua.Request", "request"),
    ("lua.Options", "options"),
    ("ResponseHeader", "header"),
    ("KeyValue", "kv"),
    ("Compare", "txn.compare"),
    ("RequestOp", "txn.operation"),
    ("ResponseOp", "txn.result"),
    ("LeaseStatus", "leases.lease"),
    ("Permission", "auth.permission"),
    ("Member", "cluster.member"),
    ("AlarmMember", "maintenance.alarm"),
    ("DowngradeInfo", "maintenance.status.downgrade"),
    ("lua.Defragmented", "maintenance.defragment.member"),
    ("lua.Hashed", "maintenance.compare.member"),
];
/// Fields that Lua does not have.
const HIDDEN: [(&str, &str); 12] = [
    ("WatchCreateRequest", "watch_id"),
    ("WatchCreateRequest", "fragment"),
    // Lua has others for these.
    ("AuthUserAddRequest", "options"),
    ("AuthUserRevokeRoleRequest", "name"),
    ("AuthRoleGrantPermissionRequest", "name"),
    ("AuthRoleGrantPermissionRequest", "perm"),
    ("MemberListRequest", "linearizable"),
    ("AlarmRequest", "action"),
    ("AlarmRequest", "memberID"),
    ("AlarmRequest", "alarm"),
    // Servers make it themselves, and take no other.
    ("AuthUserAddRequest", "hashedPassword"),
    ("AuthUserChangePasswordRequest", "hashedPassword"),
];
/// Fields of another type than the schema has: for a language server, and in words.
const TYPES: [(&str, &str, &str, &str); 20] = [
    ("lua.RangeResponse", "values", "table<string, string>", "table"),
    ("lua.PutRequest", "once", "silly.store.etcd.session", "session"),
    ("lua.DeleteRangeRequest", "once", "silly.store.etcd.session", "session"),
    ("lua.TxnRequest", "once", "silly.store.etcd.session", "session"),
    ("lua.SwapRequest", "once", "silly.store.etcd.session", "session"),
    ("lua.IncrementRequest", "once", "silly.store.etcd.session", "session"),
    ("lua.RegisterRequest", "metadata", "any", "anything that JSON has"),
    ("lua.DiscoverRequest", "stale", "boolean|number", "boolean or number"),
    (
        "lua.StmRequest",
        "apply",
        "fun(tx: silly.store.etcd.tx): any, string?",
        "function",
    ),
    (
        "lua.StmRequest",
        "isolation",
        "\"snapshot\"|\"serializable\"",
        "`\"snapshot\"` or `\"serializable\"`",
    ),
    ("lua.LockRequest", "session", "silly.store.etcd.session", "session"),
    ("lua.LockRequest", "resume", "silly.store.etcd.place", "table"),
    (
        "lua.LockRequest",
        "mode",
        "\"read\"|\"write\"",
        "`\"read\"` or `\"write\"`",
    ),
    ("lua.CampaignRequest", "session", "silly.store.etcd.session", "session"),
    ("lua.CampaignRequest", "resume", "silly.store.etcd.place", "table"),
    ("lua.CacheRequest", "decode", "fun(value: string): any", "function"),
    ("lua.SnapshotRequest", "chunk", "fun(bytes: string)", "function"),
    (
        "lua.SnapshotRequest",
        "progress",
        "fun(done: integer, total: integer)",
        "function",
    ),
    ("lua.Options", "headers", "table<string, string>", "table"),
    (
        "Compare",
        "result",
        "\"EQUAL\"|\"GREATER\"|\"LESS\"|\"NOT_EQUAL\"|\"=\"|\">\"|\"<\"|\"!=\"",
        "`\"EQUAL\"`, `\"GREATER\"`, `\"LESS\"`, `\"NOT_EQUAL\"`",
    ),
];

/// A call, with the names of its messages.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) request: String,
    pub(crate) response: String,
    pub(crate) required: &'static [&'static str],
    /// What it does; empty where its method is defined by hand.
    pub(crate) doc: &'static str,
    /// May it change something?
    pub(crate) writes: bool,
}

/// A field, as Lua has it.
pub(crate) struct Field {
    pub(crate) name: String,
    /// Its type for a language server: `silly.store.etcd.kv[]`.
    pub(crate) class: String,
    /// Its type in words: `list of kv`.
    pub(crate) kind: String,
    /// Is it a text, in UTF-8, and not any bytes?
    pub(crate) is_text: bool,
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
                doc: rpc.doc,
                writes: rpc.writes(),
            });
        }
        for (name, request, response, required, doc) in BY_HAND {
            messages.calls.push(Call {
                name,
                request: request.to_owned(),
                response: response.to_owned(),
                required,
                doc,
                writes: !READS.contains(&name),
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
        let fields = self.schema.message(&self.full[message]);
        self.is_request(message) && fields.has("key") && fields.has("range_end")
    }

    /// The fields of a message: `RangeRequest`, or `lua.Options`.
    pub(crate) fn fields(&self, message: &str) -> Result<Vec<Field>> {
        let full = self
            .full
            .get(message)
            .with_context(|| format!("no message {message}"))?;
        let mut fields = Vec::new();
        for field in &self.schema.message(full).fields {
            let is_end = field.name == "range_end" && self.is_range(message);
            if !HIDDEN.contains(&(message, &field.name)) && !is_end {
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
        let hidden = HIDDEN.iter().filter(move |(of, _)| *of == message);
        let hidden: Vec<_> = hidden.map(|(_, name)| *name).collect();
        fields.iter().filter_map(move |field| match &field.kind {
            Kind::Message(full) if !hidden.contains(&field.name.as_str()) => Some(self.name(full)),
            _ => None,
        })
    }

    /// The message of this full name, as it is named here: `RangeRequest`, or `lua.Options`.
    fn name(&self, full: &str) -> &str {
        let found = self.full.iter().find(|(_, other)| *other == full);
        found.map_or("", |(name, _)| name)
    }

    /// Is it one of several things? Then its class is written by hand.
    pub(crate) fn is_union(&self, message: &str) -> bool {
        ["RequestOp", "ResponseOp"].contains(&message)
    }

    fn field(&self, message: &str, full: &str, field: &schema::Field) -> Field {
        let other = TYPES
            .iter()
            .find(|(of, name, ..)| (*of, *name) == (message, &field.name));
        let (class, kind) = match &field.kind {
            _ if other.is_some() => other.map_or_else(Default::default, |(_, _, class, kind)| {
                ((*class).to_owned(), (*kind).to_owned())
            }),
            Kind::Bool => ("boolean".to_owned(), "boolean".to_owned()),
            Kind::Bytes | Kind::Text => ("string".to_owned(), "string".to_owned()),
            Kind::Integer | Kind::Unsigned32 | Kind::Unsigned => ("integer".to_owned(), "integer".to_owned()),
            Kind::Number => ("number".to_owned(), "number".to_owned()),
            Kind::Id | Kind::UnsignedId => (prefixed("id"), "id".to_owned()),
            Kind::Enum(name) => {
                let choices = self.schema.choices(name).iter().map(|choice| format!("{choice:?}"));
                let choices: Vec<_> = choices.collect();
                let shown: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
                (choices.join("|"), shown.join(", "))
            }
            Kind::Message(inner) => {
                let class = self.class(self.name(inner));
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
        let text = text.map_or("", String::as_str);
        let (meaning, default) = parted(text);
        let (is_optional, default) = self.presence(message, field, text, default);
        Field {
            name: field.name.clone(),
            class,
            kind,
            is_text: matches!(field.kind, Kind::Text),
            is_optional,
            meaning,
            default,
        }
    }

    /// May a field be absent, and what holds then?
    fn presence(
        &self,
        message: &str,
        field: &schema::Field,
        text: &str,
        default: Option<String>,
    ) -> (bool, Option<String>) {
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
                let always = match field.name.as_str() {
                    "header" => !text.starts_with("Absent"),
                    "kv" => !message.starts_with("lua."),
                    _ => false,
                };
                (inside && !always || field.name == "error", None)
            }
        }
    }

    /// Is it, or a part of it, sent?
    pub(crate) fn is_request(&self, message: &str) -> bool {
        message == "Compare"
            || self.call(message).is_some()
            || message.starts_with("lua.") && !self.is_response(message)
    }

    /// Is it, or a part of it, one of Lua's own responses?
    fn is_response(&self, message: &str) -> bool {
        let answers = self.calls.iter().map(|call| call.response.as_str());
        let mut own = answers.filter(|answer| answer.starts_with("lua."));
        own.any(|answer| answer == message || self.inner(answer).any(|inner| inner == message))
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
