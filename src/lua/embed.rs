//! The Lua half of the module, embedded so that one file is a complete installation.
//!
//! Each file becomes loadable under its own name through `package.preload`, so they `require` one another as usual.

use mlua::prelude::*;

/// One file of `lua/silly/store/etcd/`: module name, chunk name, source.
macro_rules! file {
    ($module:literal, $path:literal) => {
        (
            concat!("silly.store.etcd.", $module),
            concat!("@silly/store/etcd/", $path),
            include_str!(concat!("../../lua/silly/store/etcd/", $path)),
        )
    };
}

const FILES: [(&str, &str, &str); 20] = [
    file!("await", "await.lua"),
    file!("checker", "checker.lua"),
    file!("client", "client.lua"),
    file!("module", "module.lua"),
    file!("keepalive", "keepalive.lua"),
    file!("loop", "loop.lua"),
    file!("loops.copas", "loops/copas.lua"),
    file!("loops.coroutines", "loops/coroutines.lua"),
    file!("loops.cqueues", "loops/cqueues.lua"),
    file!("loops.eco", "loops/eco.lua"),
    file!("loops.luv", "loops/luv.lua"),
    file!("loops.neovim", "loops/neovim.lua"),
    file!("loops.openresty", "loops/openresty.lua"),
    file!("loops.silly", "loops/silly.lua"),
    file!("loops.skynet", "loops/skynet.lua"),
    file!("loops.standalone", "loops/standalone.lua"),
    file!("loops.tarantool", "loops/tarantool.lua"),
    file!("protect", "protect.lua"),
    file!("read", "read.lua"),
    file!("watch", "watch.lua"),
];

/// Makes the Lua half, and the core that it is built on, loadable.
pub(super) fn provide(lua: &Lua, core: LuaValue) -> LuaResult<()> {
    let package: LuaTable = lua.globals().get("package")?;
    let loaded: LuaTable = package.get("loaded")?;
    let preload: LuaTable = package.get("preload")?;
    loaded.set("silly.store.etcd.core", core)?;
    for (module, chunk, source) in FILES {
        let load = lua
            .create_function(move |lua, _: LuaMultiValue| lua.load(source).set_name(chunk).call::<LuaValue>(module))?;
        preload.set(module, load)?;
    }
    Ok(())
}

/// Loads the Lua half: what `require "silly.store.etcd"` returns.
pub(super) fn load(lua: &Lua) -> LuaResult<LuaValue> {
    let require: LuaFunction = lua.globals().get("require")?;
    require.call("silly.store.etcd.module")
}
