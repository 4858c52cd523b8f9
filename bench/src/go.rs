//! Builds the contender in Go: with the clientv3 that `go/go.mod` pins, or, where its modules cannot be had, with that
//! of Debian.
//!
//! In: the folder of the tree, a `go` on PATH. Out: the program, and which clientv3 is in it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;
use tokio::time::timeout;

use crate::facts::printed;

/// How long the modules may take to come and to be compiled.
const PATIENCE: Duration = Duration::from_secs(300);

const MODULE: &str = "go.etcd.io/etcd/client/v3";
/// The import path in Debian's package, which is older than the module's.
const DEBIAN_PATH: &str = "go.etcd.io/etcd/clientv3";
const DEBIAN_PACKAGE: &str = "golang-etcd-server-dev";
const DEBIAN_SOURCES: &str = "/usr/share/gocode";

pub struct Built {
    pub program: PathBuf,
    /// The release of clientv3.
    pub release: String,
    /// Where it comes from.
    pub source: String,
}

pub async fn build(root: &Path) -> Result<Built> {
    let folder = root.join("bench/go");
    let program = env::current_exe()?.with_file_name("bench-go");
    match with_modules(&folder, &program).await {
        Ok(built) => Ok(built),
        Err(error) => with_debian(&folder, program)
            .await
            .with_context(|| format!("neither with the modules of go.mod ({error:#}) nor with {DEBIAN_PACKAGE}")),
    }
}

async fn with_modules(folder: &Path, program: &Path) -> Result<Built> {
    let build = ["build".as_ref(), "-o".as_ref(), program.as_os_str(), ".".as_ref()];
    timeout(PATIENCE, printed(Command::new("go").args(build).current_dir(folder)))
        .await
        .context("go build takes too long")??;
    let list = ["list", "-m", "-f", "{{.Version}}", MODULE];
    let release = printed(Command::new("go").args(list).current_dir(folder)).await?;
    Ok(Built {
        program: program.to_owned(),
        release: release.trim_start_matches('v').to_owned(),
        source: "the module".into(),
    })
}

async fn with_debian(folder: &Path, program: PathBuf) -> Result<Built> {
    let query = ["-W", "-f", "${Version}", DEBIAN_PACKAGE];
    let version = printed(Command::new("dpkg-query").args(query)).await?;
    let source = fs::read_to_string(folder.join("client.go"))?.replace(MODULE, DEBIAN_PATH);
    let file = program.with_extension("go");
    fs::write(&file, source)?;
    printed(
        Command::new("go")
            .args(["build", "-o"])
            .args([&program, &file])
            .env("GO111MODULE", "off")
            .env("GOPATH", DEBIAN_SOURCES),
    )
    .await?;
    Ok(Built {
        program,
        release: version.split('-').next().unwrap_or_default().to_owned(),
        source: format!("Debian's {DEBIAN_PACKAGE} {version}"),
    })
}
