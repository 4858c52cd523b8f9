//! What clients count, for the page and the types.

use std::fmt::Write;

use silly_etcd::etcd::{Family, METRICS};

/// The fields of `silly.store.etcd.stats`.
pub(crate) fn fields() -> String {
    METRICS.iter().fold(String::new(), |mut text, family| {
        let of = match family.kind {
            "histogram" => "silly.store.etcd.histogram",
            _ if family.name.ends_with("_seconds") => "number",
            _ => "integer",
        };
        let mut class = of.to_owned();
        for _ in family.labels {
            class = format!("table<string, {class}>");
        }
        // What there is nothing of has no number.
        let optional = if family.name == "lease_margin_seconds" { "?" } else { "" };
        let _ = writeln!(
            text,
            "---@field {}{optional} {class} {}",
            family.name,
            lower(family.help)
        );
        text
    })
}

/// The table of the page.
pub(crate) fn table() -> String {
    let head = "| name | kind | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    METRICS.iter().fold(
        head,
        |mut text,
         Family {
             name,
             kind,
             labels,
             help,
         }| {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(
                text,
                "| `{name}` | {kind} | {} | {} |",
                labels.join(", "),
                help.trim_end_matches('.')
            );
            text
        },
    )
}

fn lower(help: &str) -> String {
    let help = help.trim_end_matches('.');
    let (first, rest) = help.split_at(1);
    first.to_lowercase() + rest
}
