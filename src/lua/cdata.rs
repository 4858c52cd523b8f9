//! What LuaJIT's FFI makes. Its 64-bit integers are of that kind: `42LL`, `0x2aULL`.
//!
//! In: a value that is of no type of Lua's own. Out: its C type by name, and its number if it is a 64-bit integer. The
//! FFI library is asked for the type, and the number is read from memory: no metamethod of the value's runs.

use mlua::ffi;
use mlua::prelude::*;

use super::text::excerpt;

/// A value of the FFI.
pub(super) struct Cdata {
    /// `cdata<int64_t>`, or `cdata` alone where the type cannot be found out.
    pub(super) name: String,
    /// Its number, exactly, if it is an int64 or a uint64.
    pub(super) integer: Option<i128>,
}

/// Where the functions of the FFI library are kept that tell types.
const FUNCTIONS: &str = "silly.store.etcd.ctypes";

/// Remembers how to tell types, before a program can have put something else in the place of that.
pub(super) fn prepare(lua: &Lua) -> LuaResult<()> {
    let globals = lua.globals();
    if !globals.raw_get::<LuaValue>("jit")?.is_table() {
        return Ok(());
    }
    let require: LuaFunction = globals.get("require")?;
    let library: LuaTable = require.call("ffi")?;
    let type_of: LuaFunction = library.get("typeof")?;
    let show = metamethod(lua, type_of.call("int64_t")?)?;
    lua.set_named_registry_value(FUNCTIONS, lua.create_sequence_from([type_of, show])?)
}

/// `__tostring` of a type, whatever `getmetatable` says.
#[allow(unsafe_code)]
fn metamethod(lua: &Lua, kind: LuaValue) -> LuaResult<LuaFunction> {
    // SAFETY: there is room for two values more, and nothing is held that an error would leave behind.
    unsafe {
        lua.exec_raw(kind, |state| {
            if ffi::lua_getmetatable(state, 1) != 0 {
                ffi::lua_pushstring(state, c"__tostring".as_ptr());
                ffi::lua_rawget(state, -2);
            }
            ffi::lua_replace(state, 1);
            ffi::lua_settop(state, 1);
        })
    }
}

impl Cdata {
    pub(super) fn read(lua: &Lua, value: &LuaValue) -> Self {
        look(lua, value).unwrap_or_else(|_| Self {
            name: "cdata".to_owned(),
            integer: None,
        })
    }
}

#[allow(unsafe_code)]
fn look(lua: &Lua, value: &LuaValue) -> LuaResult<Cdata> {
    let functions: LuaTable = lua.named_registry_value(FUNCTIONS)?;
    let (type_of, show): (LuaFunction, LuaFunction) = (functions.raw_get(1)?, functions.raw_get(2)?);
    let shown: LuaString = show.call(type_of.call::<LuaValue>(value)?)?;
    let name = excerpt(&shown.to_string_lossy()).replacen("ctype", "cdata", 1);
    let Some(signed) = is_signed(&name) else {
        return Ok(Cdata { name, integer: None });
    };
    // A type is a value too, and passes for one of its own kind. Numbers have no metamethods but the library's.
    let shown: LuaString = show.call(value)?;
    if shown.as_bytes().starts_with(b"ctype") {
        let name = shown.to_string_lossy();
        return Ok(Cdata { name, integer: None });
    }
    let content = value.to_pointer();
    // SAFETY: of a number of this type these are its eight bytes, and `value` keeps them alive.
    let integer = unsafe {
        match signed {
            true => content.cast::<i64>().read_unaligned().into(),
            false => content.cast::<u64>().read_unaligned().into(),
        }
    };
    let integer = Some(integer);
    Ok(Cdata { name, integer })
}

/// Is this an int64, or a uint64, or neither?
fn is_signed(name: &str) -> Option<bool> {
    let mut words = name.strip_prefix("cdata<")?.strip_suffix('>')?.split(' ');
    let kind = words.next_back()?;
    let qualified = words.all(|word| ["const", "volatile"].contains(&word));
    match kind {
        "int64_t" if qualified => Some(true),
        "uint64_t" if qualified => Some(false),
        _ => None,
    }
}
