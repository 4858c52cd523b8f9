//! Histories with one thing wrong each.

use super::super::doctor::{call, content, events, ok, put};
use super::*;

const KEY: &str = "k/a";

/// put x, read x, put y (unknown, took effect), read y, delete, read nothing; a failed put and a refused swap.
fn sound() -> (Vec<Call>, Vec<Event>) {
    let swap = |expected, value: &str| Action::Swap {
        expected,
        value: value.to_owned(),
    };
    let x = || content("x", 2, 2, 1);
    let y = || content("y", 2, 3, 2);
    let calls = vec![
        call(KEY, put("x"), (10, 20), ok(2, None)),
        call(KEY, Action::Get, (30, 40), ok(2, x())),
        call(KEY, put("y"), (50, 60), Outcome::Unknown(String::new())),
        call(KEY, put("z"), (50, 60), Outcome::Failed(String::new())),
        call(KEY, put("never"), (50, 60), Outcome::Unknown(String::new())),
        call(KEY, Action::Get, (55, 60), ok(2, x())),
        call(KEY, Action::Get, (70, 80), ok(3, y())),
        call(KEY, swap(2, "w"), (82, 85), ok(3, y())),
        call(KEY, Action::Delete, (90, 100), ok(4, y())),
        call(KEY, Action::Get, (110, 120), ok(4, None)),
    ];
    (calls, events(KEY, &["x", "y", ""]))
}

fn violated(calls: &[Call], events: &[Event]) -> Vec<&'static str> {
    let truth = Truth {
        calls,
        events,
        compacted: 0,
    };
    let mut properties: Vec<_> = check(truth, "k/")
        .into_iter()
        .map(|violation| violation.property)
        .collect();
    properties.dedup();
    properties
}

#[test]
fn a_sound_history_passes() {
    let (calls, events) = sound();
    assert_eq!(violated(&calls, &events), [""; 0]);
}

#[test]
fn c8_a_stale_read_is_found() {
    let (mut calls, events) = sound();
    calls[9].outcome = ok(4, content("y", 2, 3, 2));
    assert_eq!(violated(&calls, &events), ["linearizable"]);
}

#[test]
fn c8_a_value_that_comes_back_is_found() {
    let (mut calls, events) = sound();
    let mut late = calls[5].clone();
    (late.called, late.returned) = (83, 84);
    late.outcome = ok(3, content("x", 2, 2, 1));
    calls.push(late);
    assert_eq!(violated(&calls, &events), ["linearizable"]);
}

#[test]
fn c8_a_wrong_version_is_found() {
    let (mut calls, events) = sound();
    calls[6].outcome = ok(3, content("y", 2, 3, 3));
    assert_eq!(violated(&calls, &events), ["linearizable"]);
}

#[test]
fn c8_a_swap_that_should_have_written_is_found() {
    let (mut calls, events) = sound();
    calls[7].action = Action::Swap {
        expected: 3,
        value: "w".to_owned(),
    };
    assert_eq!(violated(&calls, &events), ["linearizable"]);
}

#[test]
fn c8_a_revision_that_goes_back_is_found() {
    let (mut calls, events) = sound();
    calls[9].outcome = ok(3, None);
    assert_eq!(violated(&calls, &events), ["real time"]);
}

#[test]
fn c8_a_torn_read_is_found() {
    let (mut calls, events) = sound();
    calls[6].keys.push("k/b".to_owned());
    if let Outcome::Ok { found, .. } = &mut calls[6].outcome {
        found.push(None);
    }
    assert_eq!(violated(&calls, &events), ["atomic"]);
}

#[test]
fn c9_a_serializable_read_may_be_old() {
    let (mut calls, events) = sound();
    calls.push(call(
        KEY,
        Action::SerializableGet,
        (130, 140),
        ok(3, content("y", 2, 3, 2)),
    ));
    assert_eq!(violated(&calls, &events), [""; 0]);
}

#[test]
fn c9_but_not_differ_from_its_revision() {
    let (mut calls, events) = sound();
    calls.push(call(
        KEY,
        Action::SerializableGet,
        (130, 140),
        ok(4, content("y", 2, 3, 2)),
    ));
    assert_eq!(violated(&calls, &events), ["replayed"]);
}

#[test]
fn c1_a_lost_write_is_found() {
    let (mut calls, events) = sound();
    calls.push(call(KEY, put("v"), (130, 140), ok(5, None)));
    assert_eq!(violated(&calls, &events), ["not lost"]);
}

#[test]
fn c1_a_lost_delete_is_found() {
    let (calls, mut events) = sound();
    events.pop();
    assert_eq!(violated(&calls, &events), ["not lost"]);
}

#[test]
fn c1_a_failed_write_that_happened_is_found() {
    let (mut calls, events) = sound();
    calls[2].outcome = Outcome::Failed(String::new());
    assert!(violated(&calls, &events).contains(&"failed means no"));
}

#[test]
fn c2_a_write_applied_twice_is_found() {
    let (calls, _) = sound();
    let events = events(KEY, &["x", "y", "", "y"]);
    assert_eq!(violated(&calls, &events), ["written once"]);
}

#[test]
fn c2_a_delete_applied_twice_is_found() {
    let (mut calls, _) = sound();
    calls.push(call(KEY, put("u"), (130, 140), ok(5, None)));
    let events = events(KEY, &["x", "y", "", "u", ""]);
    assert_eq!(violated(&calls, &events), ["asked for"]);
}

#[test]
fn c2_a_counter_above_its_tries_is_found() {
    let key = "k/counter/a";
    let swap = Action::Swap {
        expected: 0,
        value: "2 a".to_owned(),
    };
    let mut tried = call(key, swap, (10, 20), ok(2, None));
    if let Outcome::Ok { swapped, found, .. } = &mut tried.outcome {
        *swapped = true;
        found.clear();
    }
    assert_eq!(violated(&[tried], &events(key, &["2 a"])), ["counted"]);
}

#[test]
fn a_write_that_nobody_made_is_found() {
    let (calls, mut events) = sound();
    events.push(Event {
        key: "k/b".to_owned(),
        revision: 5,
        content: content("?", 5, 5, 1),
        previous: None,
    });
    assert_eq!(violated(&calls, &events), ["asked for"]);
}

#[test]
fn an_unknown_delete_may_take_effect_late() {
    let (mut calls, _) = sound();
    calls.push(call(KEY, put("u"), (130, 140), ok(5, None)));
    calls.push(call(KEY, Action::Delete, (10, 15), Outcome::Unknown(String::new())));
    let events = events(KEY, &["x", "y", "", "u", ""]);
    assert_eq!(violated(&calls, &events), [""; 0]);
}
