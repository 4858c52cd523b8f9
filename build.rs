//! Compiles the etcd schema in `proto/` (with protox, so that no protoc is needed) and keeps the library mapped
//! once Lua has loaded it: `lua_close` unloads C modules while tokio threads still run their code.

use std::env;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(["rpc.proto", "lock.proto", "election.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .bytes(".")
        .compile_fds(schema)?;

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
