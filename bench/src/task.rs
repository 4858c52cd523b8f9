//! What a contender's program in Rust is told, and what it says.
//!
//! In: ENDPOINT OPERATION N CALLERS SECONDS, and lines on stdin. Out: `ready` when all is prepared, `done COUNT` when
//! the operation has been carried out, and `rested` after the seconds, if there are any. After each a line on stdin, or
//! its end, is awaited.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

#[derive(Clone)]
pub struct Task {
    pub endpoint: String,
    pub operation: String,
    pub n: usize,
    pub callers: usize,
    pub seconds: u64,
}

impl Task {
    pub fn read(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut next = || args.next().context("arguments: ENDPOINT OPERATION N CALLERS SECONDS");
        Ok(Self {
            endpoint: next()?,
            operation: next()?,
            n: next()?.parse()?,
            callers: next()?.parse()?,
            seconds: next()?.parse()?,
        })
    }
}

pub fn ready() -> Result<()> {
    say("ready")
}

pub fn done(count: usize) -> Result<()> {
    say(&format!("done {count}"))
}

/// Lets what has been made be for so long as the task says.
pub async fn rest(task: &Task) -> Result<()> {
    sleep(Duration::from_secs(task.seconds)).await;
    say("rested")
}

fn say(text: &str) -> Result<()> {
    println!("{text}");
    io::stdout().flush()?;
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
