//! When a lease is asked for, how long it lives, and which answers decide about it.

use super::*;

#[test]
fn a_lease_is_renewed_after_a_third_of_its_ttl() {
    let (mut leases, stream, start) = kept(&[7]);
    assert_eq!(leases.due(at(start, 2)).next, Some(at(start, 3)));
    assert_eq!(leases.due(at(start, 3)).shared, [7]);
    leases.renewed(stream, answer(7, TTL), at(start, 3));
    assert_eq!(leases.due(at(start, 4)).next, Some(at(start, 6)));
}

#[test]
fn leases_that_were_granted_together_are_renewed_one_after_another() {
    let ids: Vec<_> = (0..90).map(|n| n * (i64::MAX / 90)).collect();
    let (mut leases, _, start) = kept(&ids);
    let mut renewed = Vec::new();
    for tenth in 20..=30 {
        renewed.push(leases.due(start + Duration::from_millis(100 * tenth)).shared.len());
    }
    assert_eq!(renewed.iter().sum::<usize>(), 90);
    assert!(renewed.iter().all(|count| *count <= 10), "{renewed:?}");
}

#[test]
fn its_life_is_counted_from_the_send() {
    let (mut leases, stream, start) = kept(&[7]);
    assert_eq!(leases.due(at(start, 3)).shared, [7]);
    leases.renewed(stream, answer(7, TTL), at(start, 8));
    assert!(leases.check(7, at(start, 11)).is_ok());
    assert!(leases.check(7, at(start, 12)).is_err());
}

#[test]
fn it_ends_with_its_ttl_or_at_the_servers_word() {
    let (mut leases, stream, start) = kept(&[7]);
    leases.due(at(start, 9));
    assert!(leases.is_empty());

    leases.keep(answer(8, TTL), start);
    leases.due(at(start, 3));
    leases.renewed(stream, answer(8, 0), at(start, 4));
    assert!(leases.is_empty() && leases.schedule.is_empty());
}

#[test]
fn a_lost_lease_stays_lost_until_the_server_has_it_again() {
    let (mut leases, _, start) = kept(&[7]);
    let news = leases.keep(answer(7, TTL), start);
    leases.due(at(start, 9));
    assert_eq!(lost_with(&news).unwrap().code, Code::LeaseExpired);
    assert_eq!(leases.check(7, at(start, 9)).unwrap_err().code, Code::LeaseExpired);
    leases.keep(answer(7, TTL), at(start, 10));
    assert!(leases.check(7, at(start, 10)).is_ok());
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let (mut leases, stream, start) = kept(&[7]);
    leases.renewed(stream, answer(1, 5), start);
    leases.renewed(stream, answer(7, 1_000_000), start);
    leases.renewed(stream, answer(7, 0), start);
    leases.renewed(stream + 1, answer(7, 0), start);
    assert_eq!(leases.by_id[&7].end(), at(start, 9));
}

#[test]
fn an_older_answer_is_news_and_neither_shortens_a_life_nor_ends_it() {
    for ttl in [1, TTL, 60, 0, -1] {
        let (mut leases, stream, start) = kept(&[7]);
        leases.due(at(start, 3));
        // Asked for by hand, and answered sooner.
        let mut news = leases.keep(answer(7, TTL), at(start, 4));
        news.mark_unchanged();
        leases.renewed(stream, answer(7, ttl), at(start, 5));
        assert_eq!(leases.by_id[&7].end(), at(start, 13), "{ttl}");
        assert!(lost_with(&news).is_none());
        assert_eq!(news.has_changed().unwrap(), ttl > 0);
    }
}

#[test]
fn a_lease_that_is_kept_twice_lives_as_long_as_the_newer_answer_says() {
    let (mut leases, _, start) = kept(&[]);
    let first = leases.keep(answer(7, TTL), at(start, 2));
    let second = leases.keep(answer(7, TTL), at(start, 1));
    assert_eq!(leases.by_id[&7].end(), at(start, 11));
    leases.forget(7);
    assert!(lost_with(&first).is_some() && lost_with(&second).is_some());
    assert!(leases.is_empty() && leases.schedule.is_empty());
}

#[test]
fn the_answer_to_a_request_of_a_former_life_does_not_end_a_lease_that_was_granted_again() {
    let (mut leases, stream, start) = kept(&[7]);
    leases.due(at(start, 3));
    leases.forget(7);
    leases.keep(answer(7, TTL), at(start, 4));
    leases.renewed(stream, answer(7, 0), at(start, 5));
    assert!(leases.keeps(7));
    // The next one is about this life.
    assert_eq!(leases.due(at(start, 7)).shared, [7]);
    leases.renewed(stream, answer(7, 0), at(start, 8));
    assert!(!leases.keeps(7));
}

#[test]
fn a_request_of_a_former_life_that_is_never_answered_does_not_hide_silence() {
    let (mut leases, _, start) = kept(&[7]);
    leases.due(at(start, 3));
    leases.forget(7);
    leases.keep(answer(7, TTL), at(start, 4));
    assert_eq!(leases.due(at(start, 7)).shared, [7]);
    assert!(leases.due(at(start, 9)).silent.is_some());
}

#[test]
fn the_servers_ttl_counts_even_if_it_is_another_than_was_granted() {
    for (ttl, life) in [(5, 5), (60, 60), (i64::MAX, 9_000_000_000)] {
        let (mut leases, stream, start) = kept(&[7]);
        leases.due(at(start, 3));
        leases.renewed(stream, answer(7, ttl), at(start, 3));
        assert_eq!(leases.by_id[&7].end(), at(start, 3 + life), "{ttl}");
        let next = leases.due(at(start, 3)).next.unwrap();
        assert_eq!(next, at(start, 3) + Duration::from_secs(life) / 3, "{ttl}");
    }
}

#[test]
fn a_grant_that_lives_no_second_is_lost() {
    for ttl in [0, -1, i64::MIN] {
        let (mut leases, _, start) = kept(&[]);
        let news = leases.keep(answer(7, ttl), start);
        assert!(lost_with(&news).is_some(), "{ttl}");
        assert!(leases.is_empty() && leases.schedule.is_empty());
    }
}

#[test]
fn a_lease_that_is_kept_after_the_end_of_all_is_lost() {
    let (mut leases, _, start) = kept(&[7]);
    leases.end_all(&Error::closed());
    let news = leases.keep(answer(8, TTL), start);
    assert_eq!(lost_with(&news), Some(Error::closed()));
    assert!(leases.is_empty() && leases.schedule.is_empty());
}

#[test]
fn after_a_suspend_a_lease_is_lost_or_asked_for_at_once() {
    let (mut leases, _, start) = kept(&[7]);
    assert_eq!(leases.due(at(start, 8)).shared, [7]);
    let (mut leases, _, start) = kept(&[7]);
    assert!(leases.due(at(start, 3600)).shared.is_empty());
    assert!(leases.check(7, at(start, 3600)).is_err());
}
