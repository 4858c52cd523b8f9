//! What has to be known about a run besides its numbers: the machine and the versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cases::Mode;

/// Names and values; what cannot be found out is `-`. Here those of the machine and the tree.
pub fn machine(root: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("date", said(root, "date", &["+%F"])),
        ("revision", said(root, "git", &["describe", "--always", "--dirty"])),
        (
            "processor",
            format!("{}, {} cores", processor(), said(root, "nproc", &[])),
        ),
        ("system", said(root, "uname", &["-srm"])),
        (
            "load at the end",
            said(root, "cut", &["-d", " ", "-f", "1-3", "/proc/loadavg"]),
        ),
        ("Rust", said(root, "rustc", &["--version"])),
    ]
}

/// Those, and what the servers and the library are.
pub fn gather(root: &Path, lua: &str, mode: Mode) -> Vec<(&'static str, String)> {
    let etcd = std::env::var("ETCD").unwrap_or_else(|_| "etcd".into());
    let library = said(
        root,
        lua,
        &["-e", "print(package.searchpath('silly.store.etcd', package.cpath))"],
    );
    let size = fs::metadata(&library).map_or(0.0, |metadata| metadata.len() as f64 / f64::from(1 << 20));
    let mut facts = machine(root);
    facts.extend([
        ("etcd", said(root, &etcd, &["--version"])),
        ("library", format!("{size:.2} MiB")),
        (
            "rounds",
            format!("{}, of growth {}", mode.rounds()[0], mode.rounds()[1]),
        ),
    ]);
    facts
}

/// The release of etcd-client, and of what it is made of.
pub fn etcd_client() -> String {
    format!(
        "{}, with tonic {} and tokio {}",
        locked("etcd-client"),
        locked("tonic"),
        locked("tokio")
    )
}

/// What a program prints, if it succeeds; on stderr if there is nothing on stdout, as Lua 5.1 prints its version.
pub async fn printed(command: &mut tokio::process::Command) -> Result<String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("no {name}"))?;
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let beginning = || stderr.lines().map(str::trim).take(3).collect::<Vec<_>>().join(" ");
    ensure!(output.status.success(), "{}", beginning());
    Ok(if stdout.is_empty() { stderr } else { stdout })
}

/// The first line that a program prints.
pub fn said(root: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(root).output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    text.lines()
        .next()
        .map_or_else(|| "-".into(), |line| line.trim().to_owned())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "-".into(), |(_, name)| name.to_owned())
}

/// The version of a crate that this program was built with.
fn locked(name: &str) -> &'static str {
    let package = format!("name = \"{name}\"\nversion = \"");
    let rest = include_str!("../Cargo.lock")
        .split_once(&package)
        .map_or("-", |(_, rest)| rest);
    rest.split('"').next().unwrap_or(rest)
}
