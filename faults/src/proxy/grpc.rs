//! etcd's own proxy, `etcd grpc-proxy`, as a process before all members.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long it may take to listen.
const LIMIT: Duration = Duration::from_secs(10);

/// Killed when it is dropped.
pub struct GrpcProxy {
    pub port: u16,
    endpoints: String,
    process: Child,
}

impl GrpcProxy {
    /// A proxy before the members at these hosts and ports.
    pub async fn start(members: impl IntoIterator<Item = (String, u16)>) -> Result<Self> {
        let members = members.into_iter().map(|(host, port)| format!("{host}:{port}"));
        let endpoints = members.collect::<Vec<_>>().join(",");
        let port = crate::cluster::free_port()?;
        let mut proxy = Self {
            port,
            process: spawn(port, &endpoints)?,
            endpoints,
        };
        proxy.listens().await?;
        Ok(proxy)
    }

    /// SIGKILL; returns when the process is gone.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    /// Starts it again after it was killed, on the same port.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = spawn(self.port, &self.endpoints)?;
        self.listens().await
    }

    async fn listens(&mut self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if Instant::now() > deadline || self.process.try_wait()?.is_some() {
                bail!("etcd grpc-proxy does not start");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn spawn(port: u16, endpoints: &str) -> Result<Child> {
    let binary = std::env::var("ETCD").unwrap_or_else(|_| "etcd".to_owned());
    Command::new(&binary)
        .args(["grpc-proxy", "start"])
        .arg(format!("--endpoints={endpoints}"))
        .arg(format!("--listen-addr=127.0.0.1:{port}"))
        // Newer ones end where they cannot reach themselves at the address that they advertise.
        .arg(format!("--advertise-client-url=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the suite alone, which then ends it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {binary} grpc-proxy"))
}
