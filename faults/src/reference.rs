//! The history of the store as the store tells it, to which everything is compared.

use anyhow::{Context, Result, bail};
use silly_etcd::etcd::pb::watch_client::WatchClient;
use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{WatchCreateRequest, WatchRequest};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::control::{Control, LIMIT};
use crate::history::Event;

/// Every event of the store from revision 1 on, as far as it has been read.
#[derive(Default)]
pub struct Reference {
    pub events: Vec<Event>,
    /// All up to this revision has been read.
    pub revision: i64,
}

impl Reference {
    /// Reads on up to what the store holds now.
    pub async fn advance(&mut self, control: &Control) -> Result<()> {
        let target = control.revision().await?;
        if target <= self.revision {
            return Ok(());
        }
        let read = timeout(LIMIT * 3, self.read(control, target)).await;
        read.context("the store does not tell its history")?
    }

    async fn read(&mut self, control: &Control, target: i64) -> Result<()> {
        let create = WatchCreateRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            start_revision: self.revision + 1,
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        let (requests, mut outgoing) = mpsc::channel(1);
        requests
            .send(WatchRequest {
                request_union: Some(RequestUnion::CreateRequest(create)),
            })
            .await?;
        let mut service = WatchClient::new(control.channel()).max_decoding_message_size(usize::MAX);
        let outgoing = futures_util::stream::poll_fn(move |cx| outgoing.poll_recv(cx));
        let mut answers = service.watch(outgoing).await?.into_inner();
        while self.revision < target {
            let answer = answers.message().await?.context("the reference watch ended")?;
            if answer.canceled {
                bail!(
                    "the reference watch was cancelled: {} {}",
                    answer.compact_revision,
                    answer.cancel_reason
                );
            }
            self.events.extend(answer.events.into_iter().map(Event::from));
            self.revision = self.events.last().map_or(self.revision, |event| event.revision);
        }
        Ok(())
    }
}
