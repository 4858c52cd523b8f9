//! Who gets a stream, and when.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::etcd::transport::liveness::Pace;

fn connection(limit: usize) -> Arc<State> {
    let state = State::new(Pace::default(), Arc::default());
    state.gate.limit(limit);
    Arc::new(state)
}

fn call(state: &Arc<State>) -> Option<Permit> {
    Permit::at_once(state, Purpose::Call)
}

/// Somebody who has begun to wait.
fn waiting(state: &Arc<State>, purpose: Purpose) -> BoxFuture<'_, Option<Permit>> {
    let mut waiting = Permit::wait(state, purpose).boxed();
    assert!((&mut waiting).now_or_never().is_none());
    waiting
}

fn woken(waiting: &mut BoxFuture<'_, Option<Permit>>) -> Option<Option<Permit>> {
    waiting.now_or_never()
}

#[test]
fn there_are_as_many_permits_as_streams() {
    let state = connection(2);
    let (first, second) = (call(&state), call(&state));
    assert!(first.is_some() && second.is_some() && call(&state).is_none());
    drop(first);
    assert!(call(&state).is_some());
}

#[test]
fn nobody_is_overtaken() {
    let state = connection(1);
    let permit = call(&state);
    let (mut first, mut second) = (waiting(&state, Purpose::Call), waiting(&state, Purpose::Call));
    drop(permit);
    assert!(call(&state).is_none());
    assert!(woken(&mut second).is_none());
    let permit = woken(&mut first).unwrap();
    assert!(woken(&mut second).is_none());
    drop(permit);
    assert!(woken(&mut second).unwrap().is_some());
}

#[test]
fn whoever_gives_up_passes_his_turn_on() {
    let state = connection(1);
    for polled in [false, true] {
        let permit = call(&state);
        let (mut first, mut second) = (waiting(&state, Purpose::Call), waiting(&state, Purpose::Call));
        drop(permit);
        if polled {
            drop(woken(&mut first));
        }
        drop(first);
        assert!(woken(&mut second).unwrap().is_some());
    }
    assert!(call(&state).is_some());
}

#[test]
fn a_higher_limit_lets_all_pass_that_it_has_room_for() {
    let state = connection(0);
    let mut three = [(); 3].map(|()| waiting(&state, Purpose::Call));
    state.gate.limit(2);
    let permits: Vec<_> = three.iter_mut().filter_map(woken).collect();
    assert_eq!((permits.len(), permits.iter().flatten().count()), (2, 2));
}

#[test]
fn nobody_waits_for_streams_that_last_or_on_a_connection_that_is_given_up() {
    let state = connection(1);
    let permit = call(&state);
    let (mut watch, mut other) = (waiting(&state, Purpose::Watches), waiting(&state, Purpose::Call));
    drop(permit);
    let _watch = woken(&mut watch).unwrap().unwrap();
    assert!(woken(&mut other).unwrap().is_none());

    let state = connection(0);
    let mut call = waiting(&state, Purpose::Call);
    state.liveness.retire();
    assert!(woken(&mut call).unwrap().is_none());
}

#[test]
fn what_holds_the_streams_is_told() {
    let state = connection(3);
    let _held = [Purpose::Call, Purpose::Watches, Purpose::Leases].map(|purpose| Permit::at_once(&state, purpose));
    assert_eq!(
        state.gate.describe(),
        "the server allows 3 streams at once on a connection: 1 for calls, 1 for watches, 1 for leases"
    );
    assert_eq!(
        connection(1).gate.describe(),
        "the server allows 1 stream at once on a connection: none in use"
    );
}
