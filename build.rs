//! Compiles the etcd schema in `proto/` (with protox, so that no protoc is needed), lists the Lua half for `src/lua/embed.rs`,
//! and keeps the library mapped once Lua has loaded it: `lua_close` unloads C modules while tokio threads still run
//! their code.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The Lua half.
const LUA: &str = "lua/silly/store/etcd";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(["rpc.proto", "lock.proto", "election.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .bytes(".")
        .compile_fds(schema)?;
    println!("cargo:rerun-if-changed={LUA}");
    let mut files = Vec::new();
    list(&Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(LUA), "", &mut files)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("embedded.rs"), embedded(&files)?)?;

    match env::var("CARGO_CFG_TARGET_OS")?.as_str() {
        "macos" => {
            // The symbols of Lua come from the program that loads the library.
            println!("cargo:rustc-cdylib-link-arg=-undefined");
            println!("cargo:rustc-cdylib-link-arg=dynamic_lookup");
        }
        "windows" => {}
        _ => println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete"),
    }
    Ok(())
}

/// Adds the files below `folder`, by their paths from the root of the Lua half, to `files`.
fn list(folder: &Path, path: &str, files: &mut Vec<(String, String)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| format!("{name:?} is no UTF-8"))?;
        let path = format!("{path}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), files)?;
        } else if path.ends_with(".lua") {
            let place = entry.path().into_os_string().into_string();
            files.push((path, place.map_err(|place| format!("{place:?} is no UTF-8"))?));
        }
    }
    files.sort();
    Ok(())
}

/// The list as Rust.
fn embedded(files: &[(String, String)]) -> Result<String, Box<dyn Error>> {
    let mut list = format!("const FILES: [(&str, &str, &str); {}] = [\n", files.len());
    for (path, place) in files {
        let module = path.trim_end_matches(".lua").replace('/', ".");
        let (module, chunk) = (
            format!("silly.store.etcd.{module}"),
            format!("@silly/store/etcd/{path}"),
        );
        writeln!(list, "({module:?}, {chunk:?}, include_str!({place:?})),")?;
    }
    list.push_str("];\n");
    Ok(list)
}
