//! What a watch stream asks its server beside the stream: whether the store is still the one that was watched, whether a
//! refusal was meant, and whether its word on progress is good.
//!
//! In: the stream's connection and token. Out: answers, or the failure of the stream.

use bytes::Bytes;

use super::state::{History, Suspect};
use crate::etcd::error::Code;
use crate::etcd::failure::Failure;
use crate::etcd::pb::{RangeRequest, RangeResponse, Response, StatusRequest, StatusResponse};
use crate::etcd::stream::Line;

const RANGE: &str = "/etcdserverpb.KV/Range";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// Has another store taken the place of the one that was watched, an older backup? Then the revision at which it stands.
/// Of a witness that was compacted, and where there is none, only the revision speaks: a store that was written on past
/// what was seen is not told from the one before.
pub(super) async fn gone_back(line: &Line, history: &History, key: Bytes) -> Result<Option<i64>, Failure> {
    if let Some((key, revision)) = &history.witness {
        let request = RangeRequest {
            key: key.clone(),
            revision: *revision,
            keys_only: true,
            ..RangeRequest::default()
        };
        match line.call::<RangeResponse>(RANGE, &request).await {
            Ok(answer) => {
                let same = answer.kvs.first().is_some_and(|kv| kv.mod_revision == *revision);
                let now = answer.revision();
                return Ok((!same || now < history.newest).then_some(now));
            }
            // Compacted, in the future, or denied.
            Err(failure) if is_answer(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    let request = RangeRequest {
        key,
        count_only: true,
        ..RangeRequest::default()
    };
    match line.call::<RangeResponse>(RANGE, &request).await {
        Ok(answer) => Ok((answer.revision() < history.newest).then(|| answer.revision())),
        Err(failure) if is_answer(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Did the store decide, rather than anything on the way to it?
fn is_answer(failure: &Failure) -> bool {
    matches!(
        failure.error.code,
        Code::Compacted | Code::OutOfRange | Code::PermissionDenied
    )
}

/// May the range be read with the stream's token? If so, the refusal was meant for another moment.
pub(super) async fn is_permitted(line: &Line, suspect: &Suspect) -> Result<bool, Failure> {
    let request = RangeRequest {
        key: suspect.first.clone(),
        range_end: suspect.end.clone(),
        // Whoever may read the range hears that this is in the future, before anything is read.
        revision: i64::MAX,
        ..RangeRequest::default()
    };
    match line.call::<RangeResponse>(RANGE, &request).await {
        Err(failure) if failure.error.code == Code::PermissionDenied => Ok(false),
        Err(failure) if failure.error.code != Code::OutOfRange => Err(failure),
        _ => Ok(true),
    }
}

/// Does the server answer a request for progress only when all events up to that revision have been sent? Servers before
/// 3.4.25 and 3.5.8 run ahead of them.
pub(super) async fn knows_progress(line: &Line) -> Result<bool, Failure> {
    match line.call::<StatusResponse>(STATUS, &StatusRequest {}).await {
        Ok(status) => Ok(is_at_least(&status.version)),
        // Only new servers refuse it to whoever has no right to it.
        Err(failure) if failure.error.code == Code::PermissionDenied => Ok(true),
        Err(failure) if failure.error.code == Code::Unimplemented => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn is_at_least(version: &str) -> bool {
    let mut numbers = version
        .split(['.', '-', '+'])
        .map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(3), Some(4), Some(patch)) => patch >= 25,
        (Some(3), Some(5), Some(patch)) => patch >= 8,
        (Some(3), Some(minor), Some(_)) => minor >= 6,
        (Some(major), Some(_), Some(_)) => major > 3,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_whose_progress_runs_ahead_are_known() {
        for good in [
            "3.4.25",
            "3.4.36",
            "3.5.8",
            "3.5.30",
            "3.6.0",
            "3.6.0-rc.1",
            "3.7.1",
            "4.0.0",
        ] {
            assert!(is_at_least(good), "{good}");
        }
        for bad in ["3.3.27", "3.4.23", "3.5.1", "3.5.7", "2.3.8", "", "unknown", "3.5"] {
            assert!(!is_at_least(bad), "{bad}");
        }
    }
}
