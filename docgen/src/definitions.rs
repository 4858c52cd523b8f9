//! The part of the definitions of types that follows from the schema.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::messages::{Call, Field, Messages, prefixed};
use anyhow::Result;

/// The classes of all requests and responses, and of what is in them.
pub(crate) fn classes(messages: &Messages) -> Result<String> {
    let mut text = "--- How a call behaves that fails. Requests override the client's own.\n".to_owned();
    let mut seen = BTreeSet::new();
    add(messages, "lua.Options", &mut seen, &mut text)?;
    text += "--- What every request may say beside what it is for.\n";
    add(messages, "lua.Request", &mut seen, &mut text)?;
    for call in &messages.calls {
        for message in [&call.request, &call.response] {
            add(messages, message, &mut seen, &mut text)?;
        }
    }
    Ok(text)
}

/// The class of a message, and those of what is in it.
fn add(messages: &Messages, message: &str, seen: &mut BTreeSet<String>, text: &mut String) -> Result<()> {
    if messages.is_union(message) || !seen.insert(message.to_owned()) {
        return Ok(());
    }
    let options = match message {
        "lua.Request" => ": silly.store.etcd.options",
        _ if messages.call(message).is_some() => ": silly.store.etcd.request",
        _ => "",
    };
    let _ = writeln!(text, "---@class {}{options}", prefixed(&messages.class(message)));
    for field in messages.fields(message)? {
        *text += &line(&field);
    }
    text.push('\n');
    for inner in messages.inner(message) {
        add(messages, inner, seen, text)?;
    }
    Ok(())
}

fn line(field: &Field) -> String {
    let mark = if field.is_optional { "?" } else { "" };
    let default = match field.default.as_deref() {
        None | Some("required") => String::new(),
        Some(default) if default.starts_with("required") => format!("Required{}.", &default["required".len()..]),
        Some(default) => format!("Default {default}."),
    };
    let said = format!(
        "---@field {}{mark} {} {} {default}",
        field.name, field.class, field.meaning
    );
    format!("{}\n", said.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The methods of the client, or of one of its services, that are not written by hand.
pub(crate) fn calls(messages: &Messages, service: Option<&str>) -> Result<String> {
    let mut text = String::new();
    for call in &messages.calls {
        let (of, name) = match call.name.split_once('.') {
            Some((of, name)) => (Some(of), name),
            None => (None, call.name),
        };
        if of == service && !call.doc.is_empty() {
            let function = format!("{}:{name}", of.unwrap_or("client"));
            text += &method(messages, call, &function)?;
        }
    }
    Ok(text)
}

fn method(messages: &Messages, call: &Call, function: &str) -> Result<String> {
    let request = prefixed(&messages.class(&call.request));
    let response = prefixed(&messages.class(&call.response));
    let nodiscard = if call.writes { "" } else { "---@nodiscard\n" };
    let fields = messages.fields(&call.request)?;
    // What a call requires alone may stand in the place of the table.
    let alone = match call.required[..] {
        [] => "?".to_owned(),
        [name] => match fields.iter().find(|field| field.name == name) {
            Some(field) if field.class == "integer" => format!("|integer|string or the `{name}` alone"),
            Some(field) => format!("|{} or the `{name}` alone", field.class),
            None => String::new(),
        },
        _ => String::new(),
    };
    Ok(format!(
        "---{}
---@async
{nodiscard}---@param req {request}{alone}
---@return {response}? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload {response}
---@return_overload nil, string, silly.store.etcd.info
function {function}(req) end

",
        call.doc
    ))
}
