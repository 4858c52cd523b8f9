//! How requests are read from Lua tables, and which messages can be written into one: what follows from the schema by
//! rule. What does not is in
//! `src/lua/messages.rs`.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::schema::{Field, Kind, Message, Schema};

/// Requests that are read by hand: they take more, or other fields than the message has.
const BY_HAND: [&str; 13] = [
    "PutRequest",
    "TxnRequest",
    "WatchCreateRequest",
    "LeaseGrantRequest",
    "LeaseKeepAliveRequest",
    "AuthUserAddRequest",
    "AuthUserChangePasswordRequest",
    "AuthUserRevokeRoleRequest",
    "AuthRoleGrantPermissionRequest",
    "MemberAddRequest",
    "MemberUpdateRequest",
    "MemberListRequest",
    "AlarmRequest",
];

/// The implementations of `Encode` for what servers send, and of `Decode` for requests.
pub(crate) fn generate(schema: &Schema) -> String {
    let mut text = String::new();
    let (mut sent, mut requested) = (BTreeSet::new(), BTreeSet::new());
    for (full, message) in schema.messages() {
        if message.name.ends_with("Response") {
            schema.reach(full, &mut sent);
        } else if message.name.ends_with("Request") && !message.is_union && !BY_HAND.contains(&message.name.as_str()) {
            schema.reach(full, &mut requested);
        }
    }
    let sent: String = sent
        .into_iter()
        .map(|full| format!("pb::{} ", schema.message(full).path))
        .collect();
    text += &format!("sent! {{ {sent} }}\n");
    for full in requested {
        text += &decode(schema, schema.message(full));
    }
    text
}

fn decode(schema: &Schema, message: &Message) -> String {
    let is_range = message.has("key") && message.has("range_end");
    let mut fields = String::new();
    for field in &message.fields {
        let _ = match (is_range, field.name.as_str()) {
            (true, "key" | "range_end") => writeln!(fields, "{},", field.rust),
            _ => writeln!(fields, "{}: {},", field.rust, reader(schema, field)),
        };
    }
    let range = if is_range {
        "let (key, range_end) = key_range(fields)?;"
    } else {
        ""
    };
    let argument = if fields.is_empty() { "_" } else { "fields" };
    format!(
        "impl Decode for pb::{} {{
            fn decode({argument}: &mut Fields<'_>) -> Result<Self, Invalid> {{
                {range}
                Ok(Self {{ {fields} }})
            }}
        }}\n",
        message.path
    )
}

/// How a field is read. What must be there the table of calls says.
fn reader(schema: &Schema, field: &Field) -> String {
    let name = &field.name;
    match (&field.kind, field.is_repeated) {
        (Kind::Bool, false) => format!("fields.flag({name:?})?"),
        (Kind::Bytes, false) => format!("fields.optional_bytes({name:?})?.unwrap_or_default()"),
        (Kind::Text, false) => format!("fields.optional_text({name:?})?.unwrap_or_default()"),
        (Kind::Text, true) => format!("fields.texts({name:?})?"),
        (Kind::Integer, false) => format!("fields.natural({name:?})?"),
        (Kind::Id, false) => format!("fields.optional_id({name:?})?.unwrap_or(0)"),
        (Kind::UnsignedId, false) => format!("fields.optional_id({name:?})?.unwrap_or(0).cast_unsigned()"),
        (Kind::Enum(full), false) => format!("fields.choice({name:?}, &{:?})?", schema.choices(full)),
        (Kind::Message(_), false) => format!("fields.message({name:?})?"),
        _ => panic!("{name}: no rule for such a field of a request"),
    }
}
