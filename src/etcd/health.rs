//! `health`: does each server serve, now?
//!
//! In: nothing but the options. Out: for each server whether it has answered a read that takes a quorum, how long that
//! took, and the alarms that are raised. All servers are asked at once. Runs on the runtime.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, join3};
use tokio::time::{Instant, timeout};

use super::client::Client;
use super::config::CallOptions;
use super::endpoint::Server;
use super::error::{Code, Error, Result};
use super::pb::{AlarmMember, AlarmRequest, StatusRequest};
use super::resolver::probe;

/// Whether the servers of a client serve.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Do all of them?
    pub healthy: bool,
    /// One for each server.
    pub endpoints: Vec<EndpointHealth>,
}

/// Whether one server serves.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointHealth {
    /// How messages name it.
    pub endpoint: Arc<str>,
    /// It has answered, and no alarm is raised.
    pub healthy: bool,
    /// How long the answer took, or the failure.
    pub took: Duration,
    /// Why it does not serve.
    pub error: Option<Error>,
    /// The alarms that it knows of.
    pub alarms: Vec<AlarmMember>,
}

impl Client {
    /// Asks each server, or the one of the options, whether it serves.
    pub async fn health(&self, options: &CallOptions) -> Result<Health> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let servers = match &options.endpoint {
            Some(server) => vec![server.clone()],
            None => {
                let mut route = self.servers().endpoints.route(None);
                // What is not found in time is told as any server is.
                let _ = timeout(options.timeout, self.servers().resolve(&mut route)).await;
                let list = self.servers().endpoints.list();
                list.all().iter().cloned().map(Server).collect()
            }
        };
        let endpoints = join_all(servers.iter().map(|server| self.health_of(server, options))).await;
        Ok(Health {
            healthy: endpoints.iter().all(|endpoint| endpoint.healthy),
            endpoints,
        })
    }

    async fn health_of(&self, server: &Server, options: &CallOptions) -> EndpointHealth {
        let options = options.once_at(server);
        let began = Instant::now();
        let serves = async { (self.serves(&options).await, began.elapsed()) };
        let maintenance = self.maintenance();
        let alarms = maintenance.alarms(AlarmRequest::default(), &options);
        // What it says of itself is kept for `endpoints`. A user may have no right to ask, which says nothing of health.
        let status = maintenance.status(StatusRequest {}, &options);
        let ((served, took), alarms, _) = join3(serves, alarms, status).await;
        let (alarms, unknown) = match alarms {
            Ok(response) => (response.alarms, None),
            // Nor has the right to see them.
            Err(error) if error.code == Code::PermissionDenied => (Vec::new(), None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let error = served.err().or(unknown);
        EndpointHealth {
            endpoint: server.0.name.clone(),
            healthy: error.is_none() && alarms.is_empty(),
            took,
            error,
            alarms,
        }
    }

    /// Does a member serve, as these options say which? A user who may not read the key learns that from one that does.
    pub(super) async fn serves(&self, options: &CallOptions) -> Result<()> {
        match self.get(probe(false), options).await {
            Err(error) if error.code != Code::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }
}
