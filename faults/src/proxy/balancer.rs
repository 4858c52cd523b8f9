//! One address before several members, as of a balancer that knows TCP only: each new connection goes to the next
//! member, whether that one is well or not.

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Gone, with its connections, when it is dropped.
pub struct Balancer {
    pub port: u16,
    task: AbortHandle,
}

impl Balancer {
    /// A balancer before hosts and ports.
    pub async fn start(targets: Vec<(String, u16)>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", crate::cluster::free_port()?)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(serve(listener, targets)).abort_handle();
        Ok(Self { port, task })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, targets: Vec<(String, u16)>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    for target in targets.into_iter().cycle() {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(client, target));
    }
}

async fn connection(mut client: TcpStream, target: (String, u16)) -> Option<()> {
    let mut server = TcpStream::connect(target).await.ok()?;
    client.set_nodelay(true).ok()?;
    server.set_nodelay(true).ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
