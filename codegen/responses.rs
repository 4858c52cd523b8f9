//! What `src/etcd/pb.rs` says of each message that a server responds with: its header, its largest size, and what may
//! stand in it and in those that lie in it.

use std::collections::BTreeSet;

use heck::ToShoutySnakeCase;

use crate::schema::{Field, Kind, Message, Schema};

/// The implementations of `Response`, and the descriptors.
pub(crate) fn generate(schema: &Schema) -> String {
    let mut text = String::new();
    let mut sent = BTreeSet::new();
    for (full, message) in schema.messages() {
        if message.name.ends_with("Response") {
            schema.reach(full, &mut sent);
            if message.has("header") {
                text += &response(schema, message);
            }
        }
    }
    let mut names = Vec::new();
    let mut most = 0;
    for (place, full) in sent.into_iter().enumerate() {
        let message = schema.message(full);
        text += &descriptor(schema, message, place);
        most = most.max(message.fields.len());
        names.push(format!("&{}", name(message)));
    }
    text + &format!(
        "/// What may stand in each message that a server sends.
        pub const DESCRIPTORS: &[&Descriptor] = &[{}];\n",
        names.join(", ")
    ) + &format!("/// So many fields a message has at most.\npub const MOST_FIELDS: usize = {most};\n")
}

fn response(schema: &Schema, message: &Message) -> String {
    let limit = if is_small(schema, message) { "SMALL" } else { "LARGEST" };
    format!(
        "impl Response for {} {{
            const LIMIT: usize = {limit};
            fn header(&self) -> Option<&ResponseHeader> {{ self.header.as_ref() }}
        }}\n",
        message.path
    )
}

/// Does it hold numbers and short texts only?
fn is_small(schema: &Schema, message: &Message) -> bool {
    message.fields.iter().all(|field| match &field.kind {
        Kind::Bytes => false,
        Kind::Message(full) => !field.is_repeated && is_small(schema, schema.message(full)),
        _ => !field.is_repeated,
    })
}

fn descriptor(schema: &Schema, message: &Message, place: usize) -> String {
    let mut fields: Vec<_> = message.fields.iter().collect();
    fields.sort_by_key(|field| field.number);
    let fields: String = fields.into_iter().map(|of| field(schema, message, of)).collect();
    format!(
        "static {name}: Descriptor = Descriptor {{ place: {place}, is_union: {}, fields: &[{fields}] }};
        impl Described for {} {{ const DESCRIPTOR: &'static Descriptor = &{name}; }}\n",
        message.is_union,
        message.path,
        name = name(message)
    )
}

fn field(schema: &Schema, message: &Message, field: &Field) -> String {
    let (kind, rust) = match &field.kind {
        Kind::Bool => ("Bool".to_owned(), "bool"),
        Kind::Bytes => ("Bytes".to_owned(), "bytes::Bytes"),
        // No error is nil.
        Kind::Text if field.name == "error" => ("Problem".to_owned(), "String"),
        Kind::Text => ("Text".to_owned(), "String"),
        Kind::Integer => ("Integer".to_owned(), "i64"),
        Kind::Unsigned32 => ("Unsigned32".to_owned(), "u32"),
        Kind::Unsigned => ("Unsigned".to_owned(), "u64"),
        Kind::Id => ("Id".to_owned(), "i64"),
        Kind::UnsignedId => ("UnsignedId".to_owned(), "u64"),
        Kind::Enum(full) => (format!("Enum(&{:?})", schema.choices(full)), "i32"),
        Kind::Message(full) => {
            let inner = schema.message(full);
            (format!("Message(&{})", name(inner)), inner.path.as_str())
        }
        Kind::Number => panic!("{}: no rule for such a field of a response", field.name),
    };
    let many = match (field.is_repeated, &field.kind) {
        (false, _) => "None".to_owned(),
        (true, Kind::Bytes | Kind::Text | Kind::Message(_)) => format!("Some(size_of::<{rust}>())"),
        (true, _) => panic!("{}: no rule for many numbers in a response", field.name),
    };
    let (number, name) = (field.number, name_in_lua(message, field));
    format!("Field {{ number: {number}, name: {name:?}, kind: Kind::{kind}, many: {many} }},")
}

/// The response of an operation stands under the name of its call: `get` for `response_range`.
fn name_in_lua<'a>(message: &Message, field: &'a Field) -> &'a str {
    match field.name.strip_prefix("response_").filter(|_| message.is_union) {
        Some("range") => "get",
        Some("delete_range") => "delete",
        Some(name) => name,
        None => &field.name,
    }
}

/// What its descriptor is called.
fn name(message: &Message) -> String {
    message.path.to_shouty_snake_case()
}
