//! The tables of the reference.

use std::fmt::Write;

use anyhow::Result;

use crate::messages::{Field, Messages};

/// What all requests may have beside.
const OPTIONS: &str = "`timeout`, `deadline`, `retry`, `retry_sleep`, `retry_unknown`";
/// The same of those that have no stream in common.
const OWN: &str = "`endpoint`, `headers`";
/// The fields of a range, which have a table of their own.
const RANGE: [&str; 4] = ["key", "prefix", "fromkey", "range_end"];

/// The table of a message's fields; `Range` and `Options` are those that many requests have.
pub(crate) fn table(messages: &Messages, name: &str) -> Result<String> {
    match name {
        "Range" => {
            let mut fields = messages.fields("DeleteRangeRequest")?;
            fields.retain(|field| RANGE.contains(&field.name.as_str()));
            Ok(request("field", &fields))
        }
        "Options" => {
            let mut fields = messages.fields("lua.Options")?;
            fields.extend(messages.fields("lua.Request")?);
            Ok(request("field", &fields))
        }
        _ if messages.is_request(name) => {
            let mut fields = messages.fields(name)?;
            if messages.is_range(name) {
                fields = folded(fields);
            }
            let called = messages.call(name).is_some();
            let mut text = request(if called { "field of `req`" } else { "field" }, &fields);
            if called {
                let own = match name {
                    "WatchCreateRequest"
                    | "lua.CacheRequest"
                    | "lua.RegisterRequest"
                    | "lua.DiscoverRequest"
                    | "lua.SessionRequest"
                    | "lua.LockRequest"
                    | "lua.CampaignRequest"
                    | "lua.ObserveRequest" => String::new(),
                    _ => format!(", {OWN}"),
                };
                let _ = writeln!(
                    text,
                    "| {OPTIONS}{own} | | | see [Retry and deadlines](errors.md#retry-and-deadlines) |"
                );
            }
            Ok(text)
        }
        _ => Ok(response(messages, name, &messages.fields(name)?)),
    }
}

/// With one line for what is a range.
fn folded(fields: Vec<Field>) -> Vec<Field> {
    let (range, rest): (Vec<_>, Vec<_>) = fields
        .into_iter()
        .partition(|field| RANGE.contains(&field.name.as_str()));
    let names: Vec<_> = range.iter().map(|field| field.name.as_str()).collect();
    let mut folded = vec![Field {
        name: names.join("`, `"),
        class: String::new(),
        kind: String::new(),
        is_text: false,
        is_optional: false,
        meaning: format!("{}; see [Keys](keys.md)", range[0].meaning.trim_end_matches('.')),
        default: Some("`key` is required".to_owned()),
    }];
    folded.extend(rest);
    folded
}

fn request(head: &str, fields: &[Field]) -> String {
    let mut text = format!("\n| {head} | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for field in fields {
        let default = field.default.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            field.name,
            field.kind,
            quoted(default),
            meaning(field)
        );
    }
    tidy(&text)
}

fn response(messages: &Messages, name: &str, fields: &[Field]) -> String {
    let head = if messages.calls.iter().any(|call| call.response == name) {
        "field of the response"
    } else {
        "field"
    };
    let mut text = format!("\n| {head} | type | meaning |\n| --- | --- | --- |\n");
    for field in fields {
        let optional = if field.is_optional { ", optional" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {}{optional} | {} |",
            field.name,
            field.kind,
            meaning(field)
        );
    }
    tidy(&text)
}

/// With empty cells as one writes them by hand, since neighbours overlap by their line.
fn tidy(text: &str) -> String {
    text.replace("|  |", "| |").replace("|  |", "| |")
}

/// One sentence stands without its full stop.
fn meaning(field: &Field) -> String {
    let text = match field.meaning.strip_suffix('.') {
        Some(text) if !text.contains(". ") => text,
        _ => &field.meaning,
    };
    quoted(text)
}

/// With strings of Lua as code, unless they are that already.
fn quoted(text: &str) -> String {
    text.split('`')
        .enumerate()
        .map(|(part, text)| match part % 2 {
            0 => text
                .split('"')
                .enumerate()
                .fold(String::new(), |made, (at, piece)| match at % 2 {
                    0 => made + piece,
                    _ => format!("{made}`\"{piece}\"`"),
                }),
            _ => format!("`{text}`"),
        })
        .collect()
}
