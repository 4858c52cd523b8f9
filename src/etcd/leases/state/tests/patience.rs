//! Answers that take long: who else is asked meanwhile, and what becomes of the answers.

use super::line::Line;
use super::*;

#[test]
fn another_stream_is_asked_before_the_lease_is_lost() {
    let (mut leases, _, start) = kept(&[7]);
    leases.due(at(start, 3));
    assert!(leases.due(at(start, 4)).silent.is_none());
    assert_eq!(leases.due(at(start, 5)).silent, Some(Duration::from_secs(2)));
    leases.leave(at(start, 5));
    leases.open();
    assert_eq!(leases.due(at(start, 5)).shared, [7]);
}

#[test]
fn three_servers_are_asked_before_a_lease_is_lost_and_not_hundreds_for_a_long_one() {
    for (ttl, streams) in [(3, 3), (9, 3), (60, 6), (3600, 12), (9_000_000_000, 33)] {
        let mut line = Line::new(&[ttl], |_| None);
        line.run(ttl.unsigned_abs() + 1);
        assert!(line.leases.is_empty());
        assert_eq!(line.asked.len(), streams, "{ttl}");
    }
}

#[test]
fn leases_live_for_ever_on_a_line_where_each_answer_takes_three_seconds() {
    for ttl in 5..=9 {
        let mut line = Line::new(&[ttl], |_| Some(Duration::from_secs(3)));
        line.run(600);
        assert!(line.leases.check(ttl, line.now).is_ok(), "{ttl}");
        assert!(line.asked.len() < 10, "{ttl}: {:?}", line.asked);
    }
}

#[test]
fn leases_of_all_lengths_share_one_stream_on_a_slow_line() {
    let ttls = [5, 6, 7, 8, 9, 20, 60, 600];
    let mut line = Line::new(&ttls, |_| Some(Duration::from_secs(3)));
    line.run(3600);
    assert!(ttls.iter().all(|ttl| line.leases.check(*ttl, line.now).is_ok()));
    assert!(line.asked.len() < 10, "{:?}", line.asked);
}

#[test]
fn a_stream_that_falls_silent_is_left_on_a_slow_line_too() {
    // Every second one is silent for ever.
    let delay = |stream| (stream % 2 == 0).then_some(Duration::from_secs(1));
    let mut line = Line::new(&[9], delay);
    line.run(600);
    assert!(line.leases.check(9, line.now).is_ok());
}

#[test]
fn a_late_answer_on_an_earlier_stream_counts_from_its_own_request() {
    let (mut leases, old, start) = kept(&[7]);
    leases.due(at(start, 3));
    leases.due(at(start, 5));
    leases.leave(at(start, 5));
    let new = leases.open();
    leases.due(at(start, 5));
    leases.renewed(old, answer(7, TTL), at(start, 8));
    assert_eq!(leases.by_id[&7].end(), at(start, 12));
    leases.renewed(new, answer(7, TTL), at(start, 9));
    assert_eq!(leases.by_id[&7].end(), at(start, 14));
}

#[test]
fn an_earlier_stream_owes_until_its_answers_count_no_longer() {
    let (mut leases, old, start) = kept(&[7, 8]);
    leases.due(at(start, 3));
    leases.leave(at(start, 5));
    let new = leases.open();
    leases.due(at(start, 5));
    assert!(leases.owes(old, at(start, 5)));
    leases.renewed(new, answer(7, TTL), at(start, 6));
    assert!(leases.owes(old, at(start, 6)), "for the other lease");
    let over = at(start, 9);
    assert!(!leases.owes(old, over), "it is over");
    leases.forget(8);
    assert!(!leases.owes(old, at(start, 6)), "it was revoked");
}

#[test]
fn of_many_silent_streams_the_oldest_is_given_up() {
    let (mut leases, oldest, start) = kept(&[7]);
    leases.due(at(start, 3));
    let mut streams = vec![oldest];
    for _ in 0..4 {
        leases.leave(at(start, 5));
        streams.push(leases.open());
        leases.due(at(start, 5));
        assert!(streams.iter().all(|stream| leases.owes(*stream, at(start, 5))));
    }
    leases.leave(at(start, 5));
    leases.open();
    assert!(!leases.owes(oldest, at(start, 5)));
    assert!(leases.owes(streams[1], at(start, 5)));
}

#[test]
fn a_stream_whose_answers_keep_coming_is_kept_though_one_lease_is_slow() {
    let (mut leases, stream, start) = kept(&[7, 8]);
    leases.due(at(start, 3));
    leases.renewed(stream, answer(8, TTL), at(start, 4));
    let due = leases.due(start + Duration::from_millis(4600));
    assert!(due.silent.is_none() && due.alone.is_empty());
    // Nothing more has come since.
    assert!(leases.due(start + Duration::from_millis(5600)).silent.is_some());
}

#[test]
fn a_lease_that_is_never_answered_among_others_is_asked_for_alone_in_time() {
    let (mut leases, stream, start) = kept(&[7]);
    leases.keep(answer(60, 60), start);
    let mut alone = None;
    for tenth in 30..90 {
        let now = start + Duration::from_millis(100 * tenth);
        // Others are answered all the time.
        leases.streams.ask(60, now);
        leases.renewed(stream, answer(60, 60), now);
        let due = leases.due(now);
        assert!(due.silent.is_none());
        if due.alone.contains(&7) {
            alone = alone.or(Some(now));
        }
    }
    assert!(alone.is_some_and(|alone| alone <= at(start, 7)), "{alone:?}");
}

#[test]
fn what_a_broken_stream_left_unanswered_is_due_at_once() {
    let (mut leases, stream, start) = kept(&[7]);
    leases.keep(answer(8, 60), start);
    leases.due(at(start, 3));
    leases.close(stream, false, at(start, 4));
    leases.open();
    assert_eq!(leases.due(at(start, 4)).shared, [7]);
}

#[test]
fn a_server_that_leaves_out_answers_never_lengthens_a_life() {
    let (mut leases, stream, start) = kept(&[7]);
    leases.due(at(start, 3));
    // The same stream was asked again, and answers once.
    leases.due(at(start, 6));
    leases.renewed(stream, answer(7, TTL), at(start, 7));
    assert_eq!(leases.by_id[&7].end(), at(start, 12));
}

#[test]
fn what_a_server_leaves_unanswered_takes_no_more_memory_for_ever() {
    let (mut streams, mut answers, start) = (Streams::default(), 0, Moment::now());
    let stream = streams.open();
    (0..1000).for_each(|second| streams.ask(7, at(start, second)));
    while streams.answer(stream, 7, start).is_some() {
        answers += 1;
    }
    assert!(answers < 20, "{answers}");
}
