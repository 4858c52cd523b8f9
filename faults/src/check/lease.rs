//! The leases: none that a server could renew is lost, every loss is reported in time, and a lost one is not used.

use std::collections::HashMap;

use super::{Truth, Violation};
use crate::history::{Lease, Time};

/// A loss is reported at the latest so long after the TTL.
const GRACE: Time = 1_000_000_000;

/// All that is wrong with a lease that was followed until `end`.
pub fn check(lease: &Lease, truth: Truth<'_>, end: Time) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut fail = |property, text: String| found.push(Violation::new(property, format!("{}: {text}", lease.key)));
    let last = lease.renewed.last().copied().unwrap_or(0);
    let mut expired = truth
        .events
        .iter()
        .filter(|event| event.key == lease.key && event.content.is_none());
    match (&lease.lost, expired.next()) {
        (Some((time, reason)), _) if is_served(truth, last, *time, lease.ttl / 2) => fail("kept alive", reason.clone()),
        (None, Some(event)) => fail(
            "reported",
            format!("expired at revision {}, and nobody said so", event.revision),
        ),
        _ => {}
    }
    // The request was sent before its answer came, so the report is due earlier than this.
    let due = last + lease.ttl + GRACE;
    let reported = lease.lost.as_ref().map_or(end, |(time, _)| *time);
    if reported > due {
        let late = (reported - due) as f64 / 1e9;
        fail("in time", format!("no news for {late:.1} s more than TTL + 1 s"));
    }
    if let Some(pair) = lease
        .renewed
        .windows(2)
        .find(|pair| pair[1] - pair[0] > lease.ttl + GRACE)
    {
        let silent = (pair[1] - pair[0]) as f64 / 1e9;
        fail("in time", format!("renewed after {silent:.1} s of silence"));
    }
    if lease.used_after {
        fail("not used", "a write under the lost lease was answered".to_owned());
    }
    found
}

/// All leases that were given to two holders.
pub fn shared(leases: &[Lease]) -> Vec<Violation> {
    let mut holders = HashMap::new();
    let granted = leases.iter().filter(|lease| lease.id != 0);
    let shared = granted.filter_map(|lease| {
        let other = holders.insert(lease.id, &lease.key)?;
        Some(Violation::new(
            "of one holder",
            format!("{}: it is the lease of {other} too", lease.key),
        ))
    });
    shared.collect()
}

/// Did the cluster answer somebody in every `gap` of that time? Then it could have renewed a lease.
fn is_served(truth: Truth<'_>, from: Time, to: Time, gap: Time) -> bool {
    let answered = truth
        .calls
        .iter()
        .filter(|call| call.revision().is_some())
        .map(|call| call.returned);
    let mut moments: Vec<_> = answered
        .filter(|time| (from..=to).contains(time))
        .chain([from, to])
        .collect();
    moments.sort_unstable();
    moments.windows(2).all(|pair| pair[1] - pair[0] < gap)
}

#[cfg(test)]
mod tests {
    use super::super::doctor;
    use super::*;
    use crate::history::{Action, Event};

    const SECOND: Time = 1_000_000_000;

    fn sound() -> Lease {
        Lease {
            id: 7,
            ttl: 5 * SECOND,
            key: "lease/0".to_owned(),
            renewed: vec![0, 2 * SECOND, 4 * SECOND],
            lost: None,
            used_after: false,
        }
    }

    /// `served`: somebody is answered twice a second.
    fn violated(lease: &Lease, events: &[Event], end: Time, served: bool) -> Vec<&'static str> {
        let read = |time| doctor::call("k", Action::Get, (time - 1, time), doctor::ok(1, None));
        let calls: Vec<_> = (1..40).filter(|_| served).map(|i| read(i * SECOND / 2)).collect();
        let truth = Truth {
            calls: &calls,
            events,
            compacted: 0,
        };
        check(lease, truth, end)
            .into_iter()
            .map(|violation| violation.property)
            .collect()
    }

    #[test]
    fn a_sound_lease_passes() {
        assert_eq!(violated(&sound(), &[], 6 * SECOND, true), [""; 0]);
    }

    #[test]
    fn l1_a_lost_lease_is_found() {
        let lost = Lease {
            lost: Some((9 * SECOND, "gone".to_owned())),
            ..sound()
        };
        assert_eq!(violated(&lost, &[], 9 * SECOND, true), ["kept alive"]);
        assert_eq!(violated(&lost, &[], 9 * SECOND, false), [""; 0]);
    }

    #[test]
    fn l2_an_expiry_that_is_not_reported_is_found() {
        let events = doctor::events("lease/0", &["held", ""]);
        assert_eq!(violated(&sound(), &events, 6 * SECOND, false), ["reported"]);
    }

    #[test]
    fn l2_a_late_report_is_found() {
        let lost = Lease {
            lost: Some((11 * SECOND, "gone".to_owned())),
            ..sound()
        };
        assert_eq!(violated(&lost, &[], 11 * SECOND, false), ["in time"]);
    }

    #[test]
    fn l2_silence_is_found() {
        assert_eq!(violated(&sound(), &[], 11 * SECOND, true), ["in time"]);
        let late = Lease {
            renewed: vec![0, 7 * SECOND],
            ..sound()
        };
        assert_eq!(violated(&late, &[], 8 * SECOND, true), ["in time"]);
    }

    #[test]
    fn l2_a_use_after_the_loss_is_found() {
        let lost = Lease {
            lost: Some((9 * SECOND, "gone".to_owned())),
            used_after: true,
            ..sound()
        };
        assert_eq!(violated(&lost, &[], 9 * SECOND, false), ["not used"]);
    }

    #[test]
    fn a_shared_lease_is_found() {
        let other = |id| Lease {
            id,
            key: "lease/1".to_owned(),
            ..sound()
        };
        assert_eq!(shared(&[sound(), other(8)]), []);
        assert_eq!(shared(&[sound(), other(7)]).len(), 1);
        assert_eq!(shared(&[other(0), other(0)]), []);
    }
}
