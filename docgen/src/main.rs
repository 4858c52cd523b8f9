//! `make docs`: writes what the schema says of requests and responses, and what clients count, into the definitions of
//! types, the pages of the reference and a list for specs, between marks: `docs: NAME` and `docs: end`, each a comment on
//! a line of its own.
//!
//! In: `proto/` with its comments, the table of calls, the files that have marks. Out: the same files. With `--check`
//! none is written, and it fails where one would change.

mod definitions;
mod messages;
mod metrics;
mod pages;
mod requests;
#[path = "../../codegen/schema.rs"]
#[allow(dead_code, reason = "the build script uses the rest")]
mod schema;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use messages::Messages;

/// Files with marks, beside the pages.
const FILES: [&str; 2] = ["library/silly.store.etcd.d.lua", "spec/support/schema.lua"];
const PAGES: &str = "docs/reference";

fn main() -> Result<()> {
    let check = env::args().any(|argument| argument == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let messages = Messages::read(&root.join("proto"))?;
    let mut files: Vec<_> = FILES.iter().map(PathBuf::from).collect();
    for entry in fs::read_dir(root.join(PAGES))? {
        files.push(Path::new(PAGES).join(entry?.file_name()));
    }
    for file in files {
        let path = root.join(&file);
        let old = fs::read_to_string(&path)?;
        let new = fill(&old, &messages).with_context(|| file.display().to_string())?;
        if old == new {
            continue;
        }
        ensure!(
            !check,
            "{} is not what the schema says: run `make docs`",
            file.display()
        );
        fs::write(&path, new)?;
        println!("{}", file.display());
    }
    Ok(())
}

/// A text with what stands between its marks written anew.
fn fill(text: &str, messages: &Messages) -> Result<String> {
    let mut filled = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        filled += line;
        filled.push('\n');
        let Some(name) = mark(line) else { continue };
        match name {
            "classes" => filled += &definitions::classes(messages)?,
            "calls" => filled += &definitions::calls(messages, None)?,
            service @ ("auth" | "cluster" | "maintenance") => filled += &definitions::calls(messages, Some(service))?,
            "stats" => filled += &metrics::fields(),
            "metrics" => {
                filled.push('\n');
                filled += &metrics::table();
                filled.push('\n');
            }
            "requests" => filled += &requests::requests(messages)?,
            message => {
                filled += &pages::table(messages, message)?;
                filled.push('\n');
            }
        }
        let Some(end) = lines.find(|line| mark(line) == Some("end")) else {
            bail!("the mark '{name}' has no end");
        };
        filled += end;
        filled.push('\n');
    }
    Ok(filled)
}

/// The name in a mark: `-- docs: NAME` in Lua, `<!-- docs: NAME -->` in a page.
fn mark(line: &str) -> Option<&str> {
    let comment = match line.strip_prefix("<!-- ") {
        Some(comment) => comment.strip_suffix(" -->")?,
        None => line.strip_prefix("-- ")?,
    };
    comment.strip_prefix("docs: ")
}
