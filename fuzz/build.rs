//! Links the Lua that the library expects of its host.

fn main() {
    println!("cargo:rustc-link-lib=lua5.4");
}
