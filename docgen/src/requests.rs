//! The fields of all requests as a table of Lua, for specs and fuzz targets.

use std::fmt::Write;

use anyhow::Result;

use crate::messages::{Call, Messages};

/// A line for each call: its name, what it requires, and its fields with what they hold.
pub(crate) fn requests(messages: &Messages) -> Result<String> {
    messages.calls.iter().map(|call| request(messages, call)).collect()
}

fn request(messages: &Messages, call: &Call) -> Result<String> {
    let required: Vec<_> = call.required.iter().map(|name| format!(" {name:?}")).collect();
    let mut fields = String::new();
    for field in messages.fields(&call.request)? {
        let kind = match field.class.as_str() {
            choices if choices.starts_with('"') => format!("{{ {} }}", choices.replace('|', ", ")),
            "string" if field.is_text => "\"text\"".to_owned(),
            list if list.ends_with("[]") => "\"list\"".to_owned(),
            class => format!("{:?}", class.rsplit('.').next().unwrap_or_default()),
        };
        let _ = writeln!(fields, "\t\t\t{} = {kind},", field.name);
    }
    let fields = if fields.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{\n{fields}\t\t}}")
    };
    let name = match call.name {
        name if name.contains('.') => format!("[{name:?}]"),
        name => name.to_owned(),
    };
    Ok(format!(
        "\t{name} = {{\n\t\twrites = {},\n\t\trequired = {{{} }},\n\t\tfields = {fields},\n\t}},\n",
        call.writes,
        required.join(",")
    ))
}
