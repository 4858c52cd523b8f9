//! What `src/etcd/pb.rs` says of each message that a server responds with: its header, its largest size, and what it
//! may hold many of.

use std::collections::BTreeSet;

use heck::ToShoutySnakeCase;

use crate::schema::{Field, Kind, Message, Schema};

/// The implementations of `Response`, and the shapes of what can hold many of something.
pub(crate) fn generate(schema: &Schema) -> String {
    let mut text = String::new();
    let mut sent = BTreeSet::new();
    for (full, message) in schema.messages() {
        if message.name.ends_with("Response") && message.has("header") {
            text += &response(schema, full, message);
            schema.reach(full, &mut sent);
        }
    }
    for full in sent {
        if grows(schema, full, &mut Vec::new()) {
            text += &shape(schema, schema.message(full));
        }
    }
    text
}

fn response(schema: &Schema, full: &str, message: &Message) -> String {
    let limit = if is_small(schema, message) { "SMALL" } else { "LARGEST" };
    format!(
        "impl Response for {} {{
            const LIMIT: usize = {limit};
            const SHAPE: Option<&'static Shape> = {};
            fn header(&self) -> Option<&ResponseHeader> {{ self.header.as_ref() }}
        }}\n",
        message.path,
        shape_of(schema, full)
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

/// Can it hold many of something, or what it holds? `around` are the messages that it lies in.
fn grows<'a>(schema: &'a Schema, full: &'a str, around: &mut Vec<&'a str>) -> bool {
    if around.contains(&full) {
        return false;
    }
    around.push(full);
    let grows = schema.message(full).fields.iter().any(|field| match &field.kind {
        Kind::Message(inner) => field.is_repeated || grows(schema, inner, around),
        Kind::Bytes | Kind::Text => field.is_repeated,
        // Packed numbers take hardly more than on the wire.
        _ => false,
    });
    around.pop();
    grows
}

/// The shape of a message that grows.
fn shape(schema: &Schema, message: &Message) -> String {
    let entries: Vec<_> = message.fields.iter().filter_map(|field| entry(schema, field)).collect();
    let name = name(message);
    format!("static {name}: Shape = Shape(&[{}]);\n", entries.join(", "))
}

/// Number, size in memory, and what is in it.
fn entry(schema: &Schema, field: &Field) -> Option<String> {
    let (rust, inner) = match &field.kind {
        Kind::Message(full) => (schema.message(full).path.as_str(), shape_of(schema, full)),
        Kind::Bytes => ("bytes::Bytes", "None".to_owned()),
        Kind::Text => ("String", "None".to_owned()),
        _ => return None,
    };
    let size = if field.is_repeated {
        format!("size_of::<{rust}>()")
    } else {
        "0".to_owned()
    };
    (field.is_repeated || inner != "None").then(|| format!("({}, {size}, {inner})", field.number))
}

/// The shape of the message `full`, as an expression.
fn shape_of(schema: &Schema, full: &str) -> String {
    match grows(schema, full, &mut Vec::new()) {
        true => format!("Some(&{})", name(schema.message(full))),
        false => "None".to_owned(),
    }
}

/// What its shape is called.
fn name(message: &Message) -> String {
    message.path.to_shouty_snake_case()
}
