//! Texts of others, as messages show them.

use mlua::prelude::*;

/// The beginning of a text, in one line, as messages show it.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

/// The first line of a Lua error, without its traceback.
pub(super) fn one_line(error: &LuaError) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("runtime error: ").unwrap_or(line).to_owned()
}
