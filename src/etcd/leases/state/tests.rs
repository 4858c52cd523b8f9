//! The leases under a simulated clock, by streams whose answers are given by hand or after a fixed time.

mod alone;
mod life;
mod line;
mod patience;
mod random;

use super::*;

const TTL: i64 = 9;

fn at(start: Moment, seconds: u64) -> Moment {
    start + Duration::from_secs(seconds)
}

fn answer(id: i64, ttl: i64) -> LeaseKeepAliveResponse {
    LeaseKeepAliveResponse { id, ttl, header: None }
}

/// Leases that were granted at the start, and the stream that renews them.
fn kept(ids: &[i64]) -> (Leases, u64, Moment) {
    let (mut leases, start) = (Leases::default(), Moment::now());
    for id in ids {
        leases.keep(answer(*id, TTL), start);
    }
    let stream = leases.open();
    (leases, stream, start)
}

fn lost_with(news: &watch::Receiver<News>) -> Option<Error> {
    match &*news.borrow() {
        News::Lost(reason) => Some(reason.clone()),
        News::Renewed(_) => None,
    }
}
