//! Who drives, and who is told to.

use std::future::{pending, ready};

use tokio::task::yield_now;

use super::*;

/// Was the own thread rung for since the last look?
fn rung(driver: &Driver) -> bool {
    let rung = driver.bell.wait(Some(Duration::ZERO), None).unwrap();
    driver.bell.lower();
    rung
}

/// Waits for what another thread does.
fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "what is awaited does not come"
        );
        thread::yield_now();
    }
}

#[test]
fn a_turn_that_ends_rings_for_those_who_sleep() {
    let driver = Driver::new().unwrap();
    driver.turn(ready(()));
    assert!(!rung(&driver), "nobody sleeps");
    driver.sleep();
    assert!(rung(&driver), "somebody must drive");
    driver.turn(ready(()));
    assert!(rung(&driver), "somebody must drive again");
    driver.woken();
    driver.turn(ready(()));
    assert!(!rung(&driver), "nobody sleeps any more");
}

#[test]
fn the_own_thread_lets_go_when_the_last_sleeper_is_woken() {
    let driver = Arc::new(Driver::new().unwrap());
    let own = driver.clone();
    thread::spawn(move || own.serve());
    driver.sleep();
    until(|| driver.turn(ready(())).is_none());
    driver.woken();
    // It takes over again where no Lua thread drives for a while, as may happen on a busy machine.
    until(|| {
        driver.sleep();
        driver.woken();
        driver.turn(ready(())).is_some()
    });
}

#[test]
fn the_own_thread_drives_on_while_somebody_sleeps() {
    let driver = Driver::new().unwrap();
    driver.sleep();
    driver.sleep();
    driver.woken();
    let mut let_go = Box::pin(driver.let_go.notified());
    let context = &mut Context::from_waker(Waker::noop());
    assert!(let_go.as_mut().poll(context).is_pending(), "one sleeps still");
    driver.woken();
    assert!(let_go.as_mut().poll(context).is_ready());
}

#[test]
fn a_burst_of_submissions_wakes_the_taker_once() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let driver = Driver::new().unwrap();
    let tokio = driver.tokio.lock().unwrap();
    let _context = tokio.runtime.enter();
    let mut tick = pin!(sleep(Duration::ZERO));
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = count.clone().into();
    let operations = Mutex::default();
    driver.submitted.begin();
    for batch in 1..=2 {
        let before = count.0.load(Ordering::SeqCst);
        for _ in 0..10 {
            driver.spawn(Box::pin(pending()));
        }
        // Nobody takes the first batch yet.
        assert_eq!(count.0.load(Ordering::SeqCst) - before, batch - 1);
        let polled = driver
            .submitted
            .poll(&operations, tick.as_mut(), &mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        assert_eq!(operations.lock().unwrap().len(), 10 * batch);
    }
}

#[test]
fn a_submission_wakes_nobody_where_nobody_drives() {
    let driver = Driver::new().unwrap();
    driver.turn(yield_now());
    let (done, finished) = tokio::sync::oneshot::channel();
    driver.spawn(Box::pin(async move { done.send(()).unwrap() }));
    let waker = driver.submitted.taker.take().expect("it was woken");
    driver.submitted.taker.register(&waker);
    driver.turn(async move { finished.await.unwrap() });
}

#[test]
fn one_that_waits_is_left_alone_until_it_is_woken() {
    let driver = Driver::new().unwrap();
    let (done, finished) = tokio::sync::oneshot::channel();
    let (bring, brought) = tokio::sync::oneshot::channel::<()>();
    driver.spawn_asleep(Box::pin(async move {
        brought.await.unwrap();
        done.send(()).unwrap();
    }));
    driver.turn(yield_now());
    assert!(driver.submitted.batch().tasks.is_empty());
    assert!(driver.tokio.lock().unwrap().operations.lock().unwrap().is_empty());
    driver.spawn(Box::pin(async move { bring.send(()).unwrap() }));
    driver.turn(async move { finished.await.unwrap() });
    assert!(driver.submitted.batch().asleep.is_empty());
}

#[test]
fn one_that_need_not_wait_is_done_at_once() {
    let driver = Driver::new().unwrap();
    let ended = Arc::new(());
    let held = ended.clone();
    driver.spawn_asleep(Box::pin(async move { drop(held) }));
    assert_eq!(Arc::strong_count(&ended), 1);
    assert!(driver.submitted.batch().asleep.is_empty());
}

#[test]
fn one_that_is_woken_while_it_is_polled_goes_on() {
    let driver = Driver::new().unwrap();
    let (done, finished) = tokio::sync::oneshot::channel();
    driver.spawn_asleep(Box::pin(async move {
        yield_once().await;
        done.send(()).unwrap();
    }));
    driver.turn(async move { finished.await.unwrap() });
}

#[test]
fn one_that_was_woken_ends_with_the_tokio_that_it_began_on() {
    let driver = Driver::new().unwrap();
    let ended = Arc::new(());
    let held = ended.clone();
    let (bring, brought) = tokio::sync::oneshot::channel::<()>();
    driver.spawn_asleep(Box::pin(async move {
        let _held = held;
        let _ = brought.await;
        pending().await
    }));
    bring.send(()).unwrap();
    let (done, finished) = tokio::sync::oneshot::channel();
    driver.spawn(Box::pin(async move { done.send(()).unwrap() }));
    driver.turn(async { panic!("on purpose") });
    assert_eq!(Arc::strong_count(&ended), 1, "it has ended");
    // One that had not begun goes on with the next.
    driver.turn(async move { finished.await.unwrap() });
}

/// Wakes its task before it waits.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn operations_end_with_a_tokio_that_breaks() {
    struct Breaks;
    impl Drop for Breaks {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let driver = Driver::new().unwrap();
    let ended = Arc::new(());
    for spawn in [Driver::spawn, Driver::spawn_asleep] {
        let held = ended.clone();
        let waiting = async move {
            let _held = held;
            pending().await
        };
        spawn(&driver, Box::pin(waiting));
    }
    let breaks = Breaks;
    driver.spawn(Box::pin(async move { drop(breaks) }));
    driver.turn(pending());
    assert_eq!(Arc::strong_count(&ended), 1, "its operations have ended");
    let (done, finished) = tokio::sync::oneshot::channel();
    driver.spawn(Box::pin(async move { done.send(()).unwrap() }));
    driver.turn(async move { finished.await.unwrap() });
}
