//! The files of the Lua half as a list in Rust: module, name of the chunk, text.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The Lua half.
pub(crate) const FOLDER: &str = "lua/silly/store/etcd";

/// The list of the files in the checkout at `root`.
pub(crate) fn generate(root: &Path) -> Result<String, Box<dyn Error>> {
    let mut files = Vec::new();
    list(&root.join(FOLDER), "", &mut files)?;
    let mut text = format!("const FILES: [(&str, &str, &str); {}] = [\n", files.len());
    for (path, place) in files {
        let module = path.trim_end_matches(".lua").replace('/', ".");
        let (module, chunk) = (
            format!("silly.store.etcd.{module}"),
            format!("@silly/store/etcd/{path}"),
        );
        writeln!(text, "({module:?}, {chunk:?}, include_str!({place:?})),")?;
    }
    text.push_str("];\n");
    Ok(text)
}

/// Adds the files below `folder`, by their paths from the root of the Lua half, to `files`. Definitions of types are no
/// part of a program.
fn list(folder: &Path, path: &str, files: &mut Vec<(String, String)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| format!("{name:?} is not UTF-8"))?;
        let path = format!("{path}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), files)?;
        } else if path.ends_with(".lua") && !path.ends_with(".d.lua") {
            let place = entry.path().into_os_string().into_string();
            files.push((path, place.map_err(|place| format!("{place:?} is not UTF-8"))?));
        }
    }
    files.sort();
    Ok(())
}
