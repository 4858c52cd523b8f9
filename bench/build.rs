//! Compiles the etcd schema in `proto/` for the canned server.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../proto");
    let schema = protox::compile(["rpc.proto"], ["../proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .bytes(".")
        .compile_fds(schema)?;
    Ok(())
}
