//! The tokio runtime of this process, started by the first operation, that lives as long as the process.
//!
//! In: futures, from any thread. After a fork the child must not touch what it inherited: a runtime without its
//! thread, locks in any state. It leaves that as it lies and starts its own.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::thread;

use once_cell::sync::OnceCell;

use super::driver::Driver;
use super::process::generation;
use super::signals::Blocked;

/// The runtime of the process that loaded the library. Those of its forked children hang on `child`.
static RUNTIME: OnceCell<Runtime> = OnceCell::new();

pub(super) struct Runtime {
    process: u32,
    driver: Arc<Driver>,
    /// The runtime of a forked child, in that child's memory only.
    child: OnceCell<&'static Runtime>,
}

impl Runtime {
    /// The runtime of this process, started now if there is none.
    pub(super) fn get() -> io::Result<&'static Self> {
        let process = generation();
        let mut runtime = RUNTIME.get_or_try_init(Self::start)?;
        while runtime.process != process {
            runtime = runtime
                .child
                .get_or_try_init(|| Self::start().map(|child| &*Box::leak(Box::new(child))))?;
        }
        Ok(runtime)
    }

    /// The runtime of this process, if there is one.
    pub(super) fn started() -> Option<&'static Self> {
        let process = generation();
        let mut runtime = RUNTIME.get()?;
        while runtime.process != process {
            runtime = runtime.child.get()?;
        }
        Some(runtime)
    }

    fn start() -> io::Result<Self> {
        let driver = Arc::new(Driver::new()?);
        let own = driver.clone();
        let _blocked = Blocked::all()?;
        thread::Builder::new()
            .name("silly-etcd".to_owned())
            .spawn(move || own.serve())?;
        Ok(Self {
            process: generation(),
            driver,
            child: OnceCell::new(),
        })
    }
}

impl Deref for Runtime {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        &self.driver
    }
}
