//! The doors through which fuzzers drive the state machines and connections, and compare the readings of messages,
//! heads and records. Only there for them and for the tests.
//!
//! In: bytes, which most read as a list of steps. Out: a panic when a promise is broken.

pub use super::cache::fuzz::drive as cache;
pub use super::contender::fuzz::drive as contender;
pub use super::origins::fuzz::drive as records;
pub use super::received::fuzz::drive as messages;
pub use super::transport::connection::fuzz::drive as connection;
pub use super::transport::http2::fuzz::drive as http2;
pub use super::transport::http2::heads::drive as heads;
pub use super::watches::fuzz::drive as watches;

/// What is left of the bytes; zeros behind them.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl Input<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs what fuzzing has found worth keeping.
    fn run(target: &str, drive: fn(&[u8])) {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let inputs = files.map(|path| std::fs::read(path).unwrap());
        let runs = inputs.inspect(|input| drive(input)).count();
        assert!(runs > 0, "the corpus is empty");
    }

    #[test]
    fn corpus() {
        run("messages", messages);
        run("watches", watches);
        run("cache", cache);
        run("contender", contender);
        run("http2", http2);
        run("connection", connection);
        run("records", records);
        run("heads", heads);
    }
}
