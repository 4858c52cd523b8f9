//! Time under the control of a test: it stands still until the test moves it, while sockets work as ever. Deadlines and
//! pauses of minutes cost nothing then, and none ends early because the machine is busy.

use std::pin::pin;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::advance;

/// What a test may take by the clock on the wall: one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Small against every deadline and pause of a client.
const STEP: Duration = Duration::from_millis(5);

/// Runs a test on a runtime of its own.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let (ended, end) = mpsc::channel::<()>();
        // As long as a blocking task runs, tokio does not move its clock forward when it is idle.
        let guard = spawn_blocking(move || end.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout));
        tokio::select! {
            () = test => {}
            hangs = guard => assert!(!hangs.unwrap(), "the test hangs"),
        }
        drop(ended);
    });
}

/// Lets time pass until `event` happens. The sockets are served between any two steps.
pub(crate) async fn until<T>(event: impl Future<Output = T>) -> T {
    let mut event = pin!(event);
    loop {
        tokio::select! {
            biased;
            happened = &mut event => return happened,
            () = idle() => advance(STEP).await,
        }
    }
}

/// Lets everything run that can, and looks at the sockets.
pub(crate) async fn idle() {
    // By way of another thread, so that the operating system gets its turn.
    spawn_blocking(|| {}).await.unwrap();
    yield_now().await;
}
