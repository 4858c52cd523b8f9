//! What a watch stream asks its server beside the stream: whether the store is still the one that was watched, whether
//! a refusal was meant, and whether its word on progress is good.
//!
//! In: the stream's connection and token. Out: answers, or the failure of the stream.

use bytes::Bytes;

use super::state::{History, Suspect};
use crate::etcd::error::Code;
use crate::etcd::failure::Failure;
use crate::etcd::pb::{RangeRequest, RangeResponse, Response, StatusRequest, StatusResponse};
use crate::etcd::servers::{RANGE, STATUS};
use crate::etcd::stream::Line;

/// Has another store taken the place of the one that was watched, an older backup? Then the revision at which it
/// stands. Where the witness was compacted or there is none, a store that was written on past what was seen may pass
/// for the one before.
pub(super) async fn gone_back(line: &Line, history: &History, key: Bytes) -> Result<Option<i64>, Failure> {
    let mut is_behind = false;
    if let Some(witness) = &history.witness {
        let then = RangeRequest {
            key: witness.key.clone(),
            revision: witness.revision,
            ..RangeRequest::default()
        };
        match read(line, then).await? {
            Read::Found(answer) => {
                let same = answer.kvs.first().is_some_and(|kv| witness.is(kv));
                let now = answer.revision();
                return Ok((!same || now < history.newest).then_some(now));
            }
            // It may be written on to there at any moment.
            Read::Failed(code) => is_behind = code == Code::OutOfRange,
        }
        let now = RangeRequest {
            key: witness.key.clone(),
            ..RangeRequest::default()
        };
        if let Read::Found(answer) = read(line, now).await? {
            let other = answer.kvs.first().is_some_and(|kv| !witness.may_precede(kv));
            let now = answer.revision();
            return Ok((is_behind || other || now < history.newest).then_some(now));
        }
    }
    let request = RangeRequest {
        key,
        count_only: true,
        ..RangeRequest::default()
    };
    Ok(match read(line, request).await? {
        Read::Found(answer) => Some(answer.revision()).filter(|now| is_behind || *now < history.newest),
        // What it stands at is not to be had.
        Read::Failed(_) => is_behind.then_some(history.newest),
    })
}

/// What became of a read.
enum Read {
    Found(RangeResponse),
    /// The store has decided that it cannot be read: compacted, in the future, or denied.
    Failed(Code),
}

async fn read(line: &Line, request: RangeRequest) -> Result<Read, Failure> {
    let decided = [Code::Compacted, Code::OutOfRange, Code::PermissionDenied];
    match line.call::<RangeResponse>(RANGE, &request).await {
        Ok(answer) => Ok(Read::Found(answer)),
        Err(failure) if is_word(&failure, &decided) => Ok(Read::Failed(failure.error.code)),
        Err(failure) => Err(failure),
    }
}

/// Is the failure one of these, and the server's own word? A proxy has pages with some of the same codes.
fn is_word(failure: &Failure, codes: &[Code]) -> bool {
    failure.status && codes.contains(&failure.error.code)
}

/// May the range be read with the stream's token? If so, the refusal was meant for another moment.
pub(super) async fn is_permitted(line: &Line, suspect: &Suspect) -> Result<bool, Failure> {
    let request = RangeRequest {
        key: suspect.first.clone(),
        range_end: suspect.end.clone(),
        // A user who may read the range hears that this is in the future, before anything is read.
        revision: i64::MAX,
        ..RangeRequest::default()
    };
    match line.call::<RangeResponse>(RANGE, &request).await {
        Err(failure) if is_word(&failure, &[Code::PermissionDenied]) => Ok(false),
        Err(failure) if !is_word(&failure, &[Code::OutOfRange]) => Err(failure),
        _ => Ok(true),
    }
}

/// Does `member`, at the other end of the stream, answer a request for progress only when all events up to that
/// revision have been sent? Servers before 3.4.25 and 3.5.8 run ahead of them.
pub(super) async fn knows_progress(line: &Line, member: u64) -> Result<bool, Failure> {
    match line.call::<StatusResponse>(STATUS, &StatusRequest {}).await {
        Ok(status) => {
            // Behind a proxy the response may be another member's.
            let same = status.header.map_or(0, |header| header.member_id) == member;
            Ok(same && is_at_least(&status.version))
        }
        // Only new servers refuse it to a user without the right to it.
        Err(failure) if is_word(&failure, &[Code::PermissionDenied]) => Ok(true),
        Err(failure) if is_word(&failure, &[Code::Unimplemented]) => Ok(false),
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
