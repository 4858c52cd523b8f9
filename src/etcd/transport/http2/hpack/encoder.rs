//! The heads of requests. Those that one client sends differ in little, so a head that was sent before is a few bytes
//! that were kept.

use std::collections::VecDeque;

use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::{INDEXED, INSERTED, KNOWN, LENGTH, NEVER, OVERHEAD, PLAIN, RESIZED, TABLE};

/// What the heads of all requests of a connection say.
#[derive(Clone)]
pub(crate) struct Constant {
    pub(crate) scheme: &'static str,
    pub(crate) authority: String,
    /// Who asks.
    pub(crate) fields: HeaderMap,
}

/// What the head of a request says beside that, and beside the path.
#[derive(Clone, Copy, Default)]
pub(crate) struct Metadata<'a> {
    /// What many requests say alike.
    pub(crate) fields: [Option<(&'static str, &'a HeaderValue)>; 2],
    /// What this one says, also in place of a field that all have.
    pub(crate) more: Option<&'a HeaderMap>,
}

impl Metadata<'_> {
    /// The bytes of the values that are secret.
    pub(crate) fn secret(&self) -> usize {
        let fields = self.fields.iter().flatten().map(|(_, value)| *value);
        let more = self.more.into_iter().flat_map(HeaderMap::values);
        let secret = fields.chain(more).filter(|value| value.is_sensitive());
        secret.map(HeaderValue::len).sum()
    }
}

/// A head that needs nothing but the table as it is.
struct Kept {
    path: &'static str,
    fields: [Option<(&'static str, HeaderValue)>; 2],
    block: Zeroizing<Vec<u8>>,
}

impl Kept {
    fn is(&self, path: &str, metadata: &Metadata<'_>) -> bool {
        let kept = self
            .fields
            .each_ref()
            .map(|field| field.as_ref().map(|(name, value)| (*name, value)));
        self.path == path && kept == metadata.fields
    }
}

/// A few services, each with and without a leader; more are forgotten.
const KEPT: usize = 16;

/// Writes heads.
pub(crate) struct Encoder {
    constant: Constant,
    table: Table,
    kept: Vec<Kept>,
}

impl Encoder {
    pub(crate) fn new(constant: Constant) -> Self {
        Self {
            constant,
            table: Table::new(),
            kept: Vec::new(),
        }
    }

    /// The server has a table of so many bytes. Not all that it offers is used.
    pub(crate) fn resize(&mut self, limit: usize) {
        self.table.resize(limit.min(TABLE));
        self.kept.clear();
    }

    /// Writes the block of a head.
    pub(crate) fn encode(&mut self, path: &'static str, metadata: &Metadata<'_>, out: &mut Vec<u8>) {
        let kept = self.kept.iter().find(|kept| kept.is(path, metadata));
        if let Some(kept) = kept.filter(|_| metadata.more.is_none()) {
            out.extend_from_slice(&kept.block);
            return;
        }
        let start = out.len();
        if self.write(path, metadata, out) {
            self.kept.clear();
        } else if metadata.more.is_none() {
            if self.kept.len() == KEPT {
                self.kept.remove(0);
            }
            let own = |field: Option<(&'static str, &HeaderValue)>| field.map(|(name, value)| (name, value.clone()));
            self.kept.push(Kept {
                path,
                fields: metadata.fields.map(own),
                block: Zeroizing::new(out[start..].to_vec()),
            });
        }
    }

    /// Says whether that has changed the table.
    fn write(&mut self, path: &str, metadata: &Metadata<'_>, out: &mut Vec<u8>) -> bool {
        let Self { constant, table, .. } = self;
        let mut changes = table.tell_size(out);
        let mut say = |name: &str, value: &[u8], out: &mut Vec<u8>| changes |= table.say(name.as_bytes(), value, out);
        say(":method", b"POST", out);
        say(":scheme", constant.scheme.as_bytes(), out);
        say(":path", path.as_bytes(), out);
        say(":authority", constant.authority.as_bytes(), out);
        for (name, value) in &constant.fields {
            if !metadata.more.is_some_and(|more| more.contains_key(name)) {
                say(name.as_str(), value.as_bytes(), out);
            }
        }
        for (name, value) in metadata.fields.iter().flatten() {
            if value.is_sensitive() {
                literal(name.as_bytes(), value.as_bytes(), NEVER, out);
            } else {
                say(name, value.as_bytes(), out);
            }
        }
        for (name, value) in metadata.more.into_iter().flatten() {
            let kind = if value.is_sensitive() { NEVER } else { PLAIN };
            literal(name.as_str().as_bytes(), value.as_bytes(), kind, out);
        }
        changes
    }
}

/// What the server knows of what was said.
struct Table {
    /// The newest first, each a name and a value.
    said: VecDeque<(Vec<u8>, Vec<u8>)>,
    size: usize,
    limit: usize,
    /// The server is yet to hear of the limit, and of the smallest that it was meanwhile.
    resized: Option<usize>,
}

impl Table {
    fn new() -> Self {
        Self {
            said: VecDeque::new(),
            size: 0,
            limit: TABLE,
            resized: None,
        }
    }

    fn resize(&mut self, limit: usize) {
        if limit != self.limit {
            self.limit = limit;
            self.resized = Some(self.resized.map_or(limit, |least| least.min(limit)));
            self.shrink(limit);
        }
    }

    /// Says whether there was a new size to be told.
    fn tell_size(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(least) = self.resized.take() else { return false };
        for limit in [Some(least), (self.limit != least).then_some(self.limit)]
            .into_iter()
            .flatten()
        {
            integer(limit, RESIZED, out);
        }
        true
    }

    /// Writes a field that is worth remembering. Says whether that has changed the table.
    fn say(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) -> bool {
        let known = KNOWN.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let said = self.said.iter().map(|(name, value)| (&**name, &**value));
        if let Some(at) = known.chain(said).position(|field| field == (name, value)) {
            integer(at + 1, INDEXED, out);
            return false;
        }
        let size = name.len() + value.len() + OVERHEAD;
        if size > self.limit {
            literal(name, value, PLAIN, out);
            return false;
        }
        literal(name, value, INSERTED, out);
        self.shrink(self.limit - size);
        self.said.push_front((name.to_vec(), value.to_vec()));
        self.size += size;
        true
    }

    fn shrink(&mut self, limit: usize) {
        while self.size > limit {
            let Some((name, value)) = self.said.pop_back() else {
                return;
            };
            self.size -= name.len() + value.len() + OVERHEAD;
        }
    }
}

/// Writes a field as it is, with a name that may be known.
fn literal(name: &[u8], value: &[u8], kind: (u8, u32), out: &mut Vec<u8>) {
    match KNOWN.iter().position(|(known, _)| known.as_bytes() == name) {
        Some(at) => integer(at + 1, kind, out),
        None => {
            integer(0, kind, out);
            string(name, out);
        }
    }
    string(value, out);
}

fn string(string: &[u8], out: &mut Vec<u8>) {
    integer(string.len(), (0, LENGTH), out);
    out.extend_from_slice(string);
}

/// A number in the last bits of a byte that begins with `first`, and in those behind it where it is larger than that.
fn integer(mut number: usize, (first, bits): (u8, u32), out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if number < most {
        out.push(first | number as u8);
        return;
    }
    out.push(first | most as u8);
    number -= most;
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
