//! What is signalled, and how often, whatever comes between a result and its signal.

use super::*;

fn readable<T>(completed: &Completed<T>) -> bool {
    completed.wake.wait(Some(Duration::ZERO), None).unwrap()
}

/// A result whose signal is still on its way.
fn pushed(completed: &Completed<u8>, id: u64) -> Signal {
    completed.results().push(id, 0)
}

#[test]
fn a_burst_is_signalled_once() {
    let completed = Completed::new().unwrap();
    completed.descriptor();
    for id in 1..=3 {
        completed.give(&pushed(&completed, id));
    }
    assert_eq!(completed.wake.lower(), 1);
}

#[test]
fn a_descriptor_that_nobody_watches_is_not_raised() {
    let completed = Completed::new().unwrap();
    completed.give(&pushed(&completed, 1));
    assert!(!readable(&completed));
    completed.descriptor();
    assert!(
        readable(&completed),
        "whoever begins to watch it hears of what is there"
    );
}

#[test]
fn a_signal_that_comes_after_its_result_was_taken_is_lowered() {
    let completed = Completed::new().unwrap();
    completed.descriptor();
    let late = pushed(&completed, 1);
    assert!(completed.take().is_some() && completed.take().is_none());
    completed.give(&late);
    assert!(readable(&completed));
    assert!(completed.take().is_none());
    assert!(!readable(&completed), "the host would look again and again");
}

#[test]
fn a_late_signal_counts_for_what_was_pushed_meanwhile() {
    let completed = Completed::new().unwrap();
    completed.descriptor();
    let late = pushed(&completed, 1);
    assert!(completed.take().is_some() && completed.take().is_none());
    completed.give(&pushed(&completed, 2));
    completed.give(&late);
    assert!(readable(&completed));
    assert!(completed.take().is_some() && completed.take().is_none());
    assert!(!readable(&completed));
    completed.give(&pushed(&completed, 3));
    assert!(readable(&completed));
}

#[test]
fn a_sleeping_thread_is_signalled_once() {
    let completed = Completed::new().unwrap();
    assert!(completed.results().await_as(LuaThread::Sleeps));
    let first = pushed(&completed, 1);
    assert!(first.raise && first.woken);
    let second = pushed(&completed, 2);
    assert!(!second.raise && !second.woken, "it is awake");
}

#[test]
fn a_thread_that_drives_is_told_without_a_system_call() {
    let completed = Completed::new().unwrap();
    completed.descriptor();
    assert!(completed.results().await_as(LuaThread::Drives));
    let signal = pushed(&completed, 1);
    assert!(signal.arrived && !signal.raise && signal.ring.is_none());
    assert!(!completed.results().await_as(LuaThread::Drives), "there is a result");
}
