//! The compiled schema, as the generators see it: messages by name, each with its fields and where it is in Rust.

use std::collections::{BTreeMap, BTreeSet};

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// All messages and enums of the schema, by their full names: `.etcdserverpb.RangeRequest`.
pub(crate) struct Schema {
    messages: BTreeMap<String, Message>,
    enums: BTreeMap<String, Vec<String>>,
}

pub(crate) struct Message {
    /// Without its package: `RangeRequest`.
    pub(crate) name: String,
    /// From `src/etcd/pb.rs`: `etcdserverpb::RangeRequest`.
    pub(crate) path: String,
    pub(crate) fields: Vec<Field>,
    /// Has it a oneof? That no rule covers.
    pub(crate) is_union: bool,
}

pub(crate) struct Field {
    /// As etcd spells it, and so does Lua: `peerURLs`.
    pub(crate) name: String,
    /// As prost spells it: `peer_ur_ls`.
    pub(crate) rust: String,
    pub(crate) number: i32,
    pub(crate) is_repeated: bool,
    pub(crate) kind: Kind,
}

/// What a field holds, as far as this schema has it.
pub(crate) enum Kind {
    Bool,
    Bytes,
    Text,
    /// A signed number.
    Integer,
    /// An unsigned number of 32 bits.
    Unsigned32,
    /// An unsigned number.
    Unsigned,
    /// A number with a fraction.
    Number,
    /// A signed id: one of 64 bits, not counted with.
    Id,
    /// An unsigned id.
    UnsignedId,
    /// An enum, by its full name.
    Enum(String),
    /// A message, by its full name.
    Message(String),
}

impl Schema {
    pub(crate) fn new(files: &FileDescriptorSet) -> Self {
        let mut schema = Self {
            messages: BTreeMap::new(),
            enums: BTreeMap::new(),
        };
        for file in &files.file {
            let package = file.package();
            for enumeration in &file.enum_type {
                schema.add_enum(&format!(".{package}"), enumeration);
            }
            for message in &file.message_type {
                let full = format!(".{package}.{}", message.name());
                for enumeration in &message.enum_type {
                    schema.add_enum(&full, enumeration);
                }
                schema.messages.insert(full, Message::new(package, message));
            }
        }
        schema
    }

    /// All messages, with their full names.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (&String, &Message)> {
        self.messages.iter()
    }

    /// The message of this full name.
    pub(crate) fn message(&self, full: &str) -> &Message {
        &self.messages[full]
    }

    /// The names in an enum, by their numbers.
    pub(crate) fn choices(&self, full: &str) -> &[String] {
        &self.enums[full]
    }

    /// Adds the message `full`, and those in it, to `found`.
    pub(crate) fn reach<'a>(&'a self, full: &'a str, found: &mut BTreeSet<&'a str>) {
        if found.insert(full) {
            for field in &self.message(full).fields {
                if let Kind::Message(inner) = &field.kind {
                    self.reach(inner, found);
                }
            }
        }
    }

    fn add_enum(&mut self, scope: &str, enumeration: &EnumDescriptorProto) {
        let full = format!("{scope}.{}", enumeration.name());
        for (number, value) in (0..).zip(&enumeration.value) {
            assert_eq!(value.number(), number, "{full}: numbers from 0 on, without gaps");
        }
        let names = enumeration.value.iter().map(|value| value.name().to_owned());
        self.enums.insert(full, names.collect());
    }
}

impl Message {
    fn new(package: &str, message: &DescriptorProto) -> Self {
        Self {
            name: message.name().to_owned(),
            path: format!("{package}::{}", message.name().to_upper_camel_case()),
            fields: message.field.iter().map(Field::new).collect(),
            is_union: !message.oneof_decl.is_empty(),
        }
    }

    /// Has it a field of this name?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }
}

impl Field {
    fn new(field: &FieldDescriptorProto) -> Self {
        let rust = match field.name().to_snake_case() {
            keyword if keyword == "type" => format!("r#{keyword}"),
            name => name,
        };
        Self {
            name: field.name().to_owned(),
            rust,
            number: field.number(),
            is_repeated: field.label() == Label::Repeated,
            kind: Kind::new(field),
        }
    }
}

impl Kind {
    fn new(field: &FieldDescriptorProto) -> Self {
        match (field.r#type(), is_id(field.name())) {
            (Type::Bool, _) => Self::Bool,
            (Type::Bytes, _) => Self::Bytes,
            (Type::String, _) => Self::Text,
            (Type::Int64, false) => Self::Integer,
            (Type::Int64, true) => Self::Id,
            (Type::Uint32, false) => Self::Unsigned32,
            (Type::Uint64, false) => Self::Unsigned,
            (Type::Uint64, true) => Self::UnsignedId,
            (Type::Double, _) => Self::Number,
            (Type::Enum, _) => Self::Enum(field.type_name().to_owned()),
            (Type::Message, _) => Self::Message(field.type_name().to_owned()),
            (other, _) => panic!("{}: no rule for {other:?}", field.name()),
        }
    }
}

/// Is a field of this name an id? The terms of raft have always been given like ids.
fn is_id(name: &str) -> bool {
    ["ID", "_id"].iter().any(|end| name.ends_with(end)) || ["lease", "leader", "raft_term", "raftTerm"].contains(&name)
}
