//! The faults of a proxy for each member that passes bytes: a network at its worst.

use std::time::Duration;

use tokio::time::sleep;

use crate::proxy::{Proxy, Weather};
use crate::stage::Stage;

/// Every connection, every 100 ms.
pub async fn cut(stage: &mut Stage) {
    let _fault = stage.fault(0).await;
    while stage.lasts() {
        for proxy in &stage.front.proxies {
            proxy.cut();
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Two members fall silent, then all of them. Nothing is ever reset.
pub async fn silent(stage: &mut Stage) {
    let one = fastrand::usize(..3);
    let victims = [
        (vec![one, (one + 1) % 3], 5.0),
        (vec![0, 1, 2], 2.0),
        (vec![(one + 2) % 3], 5.0),
    ];
    for (moment, (victims, seconds)) in victims.into_iter().enumerate().take(stage.faults()) {
        let _fault = stage.fault(moment).await;
        for victim in &victims {
            stage.front.proxies[*victim].weather(Weather::Silent);
        }
        sleep(stage.scaled(seconds)).await;
        for victim in &victims {
            stage.front.proxies[*victim].heal();
        }
    }
}

/// Every connection falls silent for good, as behind a router that has forgotten it. New ones are served.
pub async fn freeze(stage: &mut Stage) {
    let _fault = stage.fault(0).await;
    stage.front.proxies.iter().for_each(Proxy::freeze);
    sleep(Duration::from_secs(16)).await;
}

pub async fn delay(stage: &mut Stage) {
    let _fault = stage.fault(0).await;
    let weather = Weather::Delay(Duration::from_millis(25), Duration::from_millis(125));
    stage.front.proxies.iter().for_each(|proxy| proxy.weather(weather));
    stage.end().await;
}

/// 10 kB a second for each connection and direction.
pub async fn throttle(stage: &mut Stage) {
    let _fault = stage.fault(0).await;
    stage
        .front
        .proxies
        .iter()
        .for_each(|proxy| proxy.weather(Weather::Throttle(10_000)));
    stage.end().await;
}

/// Every connection ends after some bytes, mostly in the middle of a message.
pub async fn truncate(stage: &mut Stage) {
    let _fault = stage.fault(0).await;
    while stage.lasts() {
        for proxy in &stage.front.proxies {
            proxy.truncate(Some(fastrand::usize(500..500_000)));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A byte now and then is another. Only under TLS can anybody tell.
pub async fn garble(stage: &mut Stage) {
    let _fault = stage.fault(0).await;
    stage.front.proxies.iter().for_each(|proxy| proxy.garble(Some(200_000)));
    while stage.lasts() {
        sleep(Duration::from_millis(100)).await;
    }
}
