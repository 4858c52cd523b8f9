//! The hand on a member's controls, past the client under test: tonic's own channel and the generated clients.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use silly_etcd::etcd::pb::alarm_request::AlarmAction;
use silly_etcd::etcd::pb::auth_client::AuthClient;
use silly_etcd::etcd::pb::cluster_client::ClusterClient;
use silly_etcd::etcd::pb::kv_client::KvClient;
use silly_etcd::etcd::pb::maintenance_client::MaintenanceClient;
use silly_etcd::etcd::pb::{
    AlarmRequest, AlarmType, AuthenticateRequest, CompactionRequest, DefragmentRequest, MemberAddRequest,
    MemberRemoveRequest, MoveLeaderRequest, PutRequest, RangeRequest, SnapshotRequest, StatusRequest, StatusResponse,
};
use silly_etcd::etcd::range;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

pub const LIMIT: Duration = Duration::from_secs(10);

/// The token of the user in whose name it acts, once there is one.
type Token = Arc<Mutex<Option<AsciiMetadataValue>>>;

/// A connection to one member that is not under test.
#[derive(Clone)]
pub struct Control {
    /// Host and port.
    pub endpoint: String,
    channel: Authorized,
    token: Token,
}

/// A connection that carries the token.
pub type Authorized = InterceptedService<Channel, Authorize>;

/// Adds the token to calls.
#[derive(Clone)]
pub struct Authorize(Token);

impl Interceptor for Authorize {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = token {
            request.metadata_mut().insert("token", token);
        }
        Ok(request)
    }
}

impl Control {
    pub fn new(host: &str, port: u16) -> Result<Self> {
        let endpoint = format!("{host}:{port}");
        let channel = Endpoint::from_shared(format!("http://{endpoint}"))?;
        let channel = channel.connect_timeout(Duration::from_millis(500)).connect_lazy();
        let token = Token::default();
        Ok(Self {
            endpoint,
            channel: InterceptedService::new(channel, Authorize(token.clone())),
            token,
        })
    }

    pub fn channel(&self) -> Authorized {
        self.channel.clone()
    }

    fn maintenance(&self) -> MaintenanceClient<Authorized> {
        MaintenanceClient::new(self.channel.clone())
    }

    /// Acts in a user's name from now on.
    pub async fn login(&self, user: &str, password: &str) -> Result<()> {
        // A login with a token that is none any more is refused.
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let request = AuthenticateRequest {
            name: user.to_owned(),
            password: password.to_owned(),
        };
        let answer = timeout(LIMIT, AuthClient::new(self.channel.clone()).authenticate(request)).await??;
        let token = answer.into_inner().token.parse()?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(())
    }

    /// The sum of one of the member's metrics, over the lines with all these labels.
    pub async fn counted(&self, metric: &str, labels: &[&str]) -> Result<usize> {
        let mut socket = TcpStream::connect(&self.endpoint).await?;
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut page = String::new();
        timeout(LIMIT, socket.read_to_string(&mut page)).await??;
        let labelled = |line: &&str| labels.iter().all(|label| line.contains(&format!("=\"{label}\"")));
        let lines = page.lines().filter(|line| line.starts_with(metric)).filter(labelled);
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        Ok(counts.sum())
    }

    /// What the member says of itself.
    pub async fn status(&self) -> Result<StatusResponse> {
        let mut client = self.maintenance();
        let answer = timeout(Duration::from_millis(500), client.status(StatusRequest {})).await;
        Ok(answer??.into_inner())
    }

    /// Gives the space of what was forgotten back. The member answers nobody else meanwhile.
    pub async fn defragment(&self) -> Result<()> {
        timeout(LIMIT, self.maintenance().defragment(DefragmentRequest {})).await??;
        Ok(())
    }

    /// Hands the leadership of this member to another.
    pub async fn move_leader(&self, target: u64) -> Result<()> {
        let request = MoveLeaderRequest { target_id: target };
        timeout(LIMIT, self.maintenance().move_leader(request)).await??;
        Ok(())
    }

    /// Forgets what was before a revision; `physical`: and waits until it is gone.
    pub async fn compact(&self, revision: i64, physical: bool) -> Result<()> {
        let request = CompactionRequest { revision, physical };
        timeout(LIMIT, KvClient::new(self.channel.clone()).compact(request)).await??;
        Ok(())
    }

    /// The store's revision now.
    pub async fn revision(&self) -> Result<i64> {
        let request = RangeRequest {
            key: "revision".into(),
            count_only: true,
            ..RangeRequest::default()
        };
        let answer = timeout(LIMIT, KvClient::new(self.channel.clone()).range(request)).await??;
        Ok(answer.into_inner().header.context("no header")?.revision)
    }

    /// Its number in the cluster.
    pub async fn id(&self) -> Result<u64> {
        Ok(self.status().await?.header.context("no header")?.member_id)
    }

    /// Removes a member.
    pub async fn remove(&self, id: u64) -> Result<()> {
        let mut client = ClusterClient::new(self.channel.clone());
        timeout(LIMIT, client.member_remove(MemberRemoveRequest { id })).await??;
        Ok(())
    }

    /// Adds a member that is to be started then.
    pub async fn add(&self, peer_url: String) -> Result<()> {
        let mut client = ClusterClient::new(self.channel.clone());
        let request = MemberAddRequest {
            peer_ur_ls: vec![peer_url],
            is_learner: false,
        };
        timeout(LIMIT, client.member_add(request)).await??;
        Ok(())
    }

    /// Writes until the store is full.
    pub async fn fill(&self) -> Result<()> {
        let mut client = KvClient::new(self.channel.clone());
        let put = PutRequest {
            key: "fill".into(),
            value: vec![b'x'; 1 << 20].into(),
            ..PutRequest::default()
        };
        loop {
            match timeout(LIMIT, client.put(put.clone())).await? {
                Ok(_) => {}
                Err(status) if status.code() == Code::ResourceExhausted => return Ok(()),
                Err(status) => return Err(status.into()),
            }
        }
    }

    /// Lets a store that was full take writes again.
    pub async fn disarm(&self) -> Result<()> {
        let alarm = |action: AlarmAction, member_id| AlarmRequest {
            action: action.into(),
            member_id,
            alarm: AlarmType::Nospace.into(),
        };
        let raised = timeout(LIMIT, self.maintenance().alarm(alarm(AlarmAction::Get, 0))).await??;
        for member in raised.into_inner().alarms {
            let request = alarm(AlarmAction::Deactivate, member.member_id);
            timeout(LIMIT, self.maintenance().alarm(request)).await??;
        }
        Ok(())
    }

    /// A backup of the store, as etcdctl takes one.
    pub async fn snapshot(&self) -> Result<Vec<u8>> {
        let mut answers = self.maintenance().snapshot(SnapshotRequest {}).await?.into_inner();
        let mut backup = Vec::new();
        while let Some(part) = timeout(LIMIT, answers.message()).await?? {
            backup.extend_from_slice(&part.blob);
        }
        Ok(backup)
    }

    /// How many keys begin with `prefix`.
    pub async fn count(&self, prefix: &'static str) -> Result<i64> {
        let (key, range_end) = range::prefix(prefix.into());
        let request = RangeRequest {
            key,
            range_end,
            count_only: true,
            ..RangeRequest::default()
        };
        let answer = timeout(LIMIT, KvClient::new(self.channel.clone()).range(request)).await??;
        Ok(answer.into_inner().count)
    }
}
