//! The build script. It compiles the etcd schema in `proto/` (with protox, so that no protoc is needed), writes what
//! follows from it by rule (`requests`, `responses`, `codecs`, `since`), lists the Lua half (`embedded`), and keeps the library mapped once
//! Lua has loaded it: `lua_close` unloads C modules while tokio threads still run their code.
//!
//! In: `proto/`, `lua/silly/store/etcd/`. Out: files in `OUT_DIR`, which `src/etcd/pb.rs`, `src/lua/messages.rs` and
//! `src/lua/embed.rs` include.

#![forbid(unsafe_code)]

mod codecs;
mod embedded;
mod requests;
mod responses;
mod schema;
mod since;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    println!("cargo:rerun-if-changed=codegen");
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["rpc.proto", "lock.proto", "election.proto"], ["proto"])?;
    let schema = schema::Schema::new(&files);
    fs::write(out.join("requests.rs"), requests::generate(&schema))?;
    fs::write(out.join("responses.rs"), responses::generate(&schema))?;
    fs::write(out.join("since.rs"), since::generate(&files))?;
    fs::write(out.join("codecs.rs"), codecs::generate(&schema))?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .bytes(".")
        .compile_fds(files)?;

    println!("cargo:rerun-if-changed={}", embedded::FOLDER);
    let root = env::var("CARGO_MANIFEST_DIR")?;
    fs::write(out.join("embedded.rs"), embedded::generate(Path::new(&root))?)?;

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
