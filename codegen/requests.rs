//! What `src/etcd/pb.rs` says of each message that a client sends, and of those with a secret: they are wiped when they
//! are dropped.

use crate::schema::{Kind, Message, Schema};

/// Fields that hold a secret, in whatever message.
const SECRETS: [&str; 3] = ["password", "hashedPassword", "token"];

/// The implementations of `Request`, and of `Drop` for what holds a secret.
pub(crate) fn generate(schema: &Schema) -> String {
    let mut text = String::new();
    for (_, message) in schema.messages() {
        let wiped: String = secrets(message)
            .map(|field| format!("zeroize::Zeroize::zeroize(&mut self.{field});"))
            .collect();
        let path = &message.path;
        if message.name.ends_with("Request") {
            text += &format!(
                "impl Request for {path} {{ const IS_SECRET: bool = {}; }}\n",
                !wiped.is_empty()
            );
        }
        if !wiped.is_empty() {
            text += &format!("impl Drop for {path} {{ fn drop(&mut self) {{ {wiped} }} }}\n");
        }
    }
    text
}

/// Its fields that hold a secret, as they are called in Rust.
fn secrets(message: &Message) -> impl Iterator<Item = &str> {
    let secrets = message
        .fields
        .iter()
        .filter(|field| matches!(field.kind, Kind::Text) && SECRETS.contains(&field.name.as_str()));
    secrets.map(|field| field.rust.as_str())
}
