//! What a client tells of itself in numbers: those that it has counted, and those that it has now.
//!
//! In: a client. Out: samples, each a number of a [`Family`] with its labels; and the text of them that Prometheus
//! reads. Looks at each part of the client for a moment, on any thread.

use std::fmt::{Display, Write};

use bytes::Bytes;

use super::client::Client;
use super::journal::shortened;
use super::range::{KeyRange, prefix};
use super::stats::Spread;

/// Numbers of one meaning.
#[derive(Debug)]
pub struct Family {
    /// Its name, without what all have in front.
    pub name: &'static str,
    /// What Prometheus calls its kind: `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What its samples are told apart by.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
}

/// A number.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// How many.
    Count(u64),
    /// A revision.
    Revision(i64),
    /// How long, in seconds.
    Seconds(f64),
    /// How long each took.
    Spread(Spread),
}

/// A number with what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its place among [`METRICS`].
    pub family: usize,
    /// One for each label.
    pub labels: Vec<String>,
    /// The number.
    pub number: Number,
}

macro_rules! metrics {
    ($($place:ident $name:literal $kind:ident [$($label:literal),*] $help:literal)*) => {
        /// All families, in the order in which they are told.
        pub const METRICS: &[Family] = &[$(Family {
            name: $name,
            kind: stringify!($kind),
            labels: &[$($label),*],
            help: $help,
        }),*];

        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "names of constants")]
        enum Place {
            $($place),*
        }

        $(const $place: usize = Place::$place as usize;)*
    };
}

metrics! {
    CALLS "calls_total" counter ["call", "code"] "Calls that have ended, by what has come of them."
    SECONDS "call_seconds" histogram ["call"] "How long calls took, all attempts and pauses together."
    INFLIGHT "calls_inflight" gauge ["call"] "Calls under way."
    ATTEMPTS "attempts_total" counter ["call", "why"] "Attempts of calls, by why they were made."
    UNKNOWN "writes_unknown_total" counter ["call"] "Failed writes that may have happened."
    CONNECTIONS "connections_total" counter ["endpoint", "result"] "Attempts to connect, by what has come of them."
    CONNECTED "connected" gauge ["endpoint"] "Whether there is a connection."
    RTT "connection_rtt_seconds" gauge ["endpoint"] "The round trip of the connection, as it was measured last."
    BYTES "bytes_total" counter ["endpoint", "direction"] "Bytes of HTTP/2 that were sent and received."
    LOGINS "logins_total" counter ["result"] "Logins, by what has come of them."
    LEASES "leases" gauge [] "Leases that are renewed."
    MARGIN "lease_margin_seconds" gauge [] "How long the lease still lives that ends first, if no renewal is answered."
    RENEWALS "renewals_total" counter [] "Renewals that were answered."
    LEASES_LOST "leases_lost_total" counter ["reason"] "Leases that were renewed and are lost."
    WATCHES "watches" gauge ["state"] "Watches."
    EVENTS "events_total" counter [] "Events that watches have received."
    RESUMES "watch_resumes_total" counter [] "Watches that went on after a break or a pause."
    ENDS "watch_ends_total" counter ["reason"] "Watches that have ended by themselves."
    BACKLOG "watch_backlog_bytes" gauge [] "Bytes of events that nobody has read yet."
    LOCKS "locks_held" gauge [] "Locks and leaderships that are held."
    LOCK_WAIT "lock_wait_seconds" histogram [] "How long was waited for those that were got."
    LOCKS_LOST "locks_lost_total" counter ["reason"] "Locks and leaderships that were lost, not given up."
    CACHE_KEYS "cache_keys" gauge ["cache"] "Keys in a cache."
    CACHE_REVISION "cache_revision" gauge ["cache"] "The revision that a cache has all of."
    CACHE_LAG "cache_lag_seconds" gauge ["cache"] "For how long a cache has been stale; 0 while it is current."
    CACHE_LOADS "cache_loads_total" counter ["cache"] "How often a cache was loaded as a whole."
    REGISTRATIONS "registrations" gauge [] "Registrations that are kept."
    REGISTRATIONS_LOST "registrations_lost_total" counter [] "How often a registration was not there any more."
    QUEUE "lua_queue" gauge [] "Results that wait for the Lua thread."
    WAKEUPS "lua_wakeups_total" counter [] "How often the Lua thread was told of results."
}

/// What all names have in front in the text.
const PREFIX: &str = "etcd_client_";

/// What the client tells of itself.
#[derive(Default)]
struct Samples(Vec<Sample>);

impl Samples {
    fn add(&mut self, family: usize, labels: &[&dyn Display], number: Number) {
        let labels = labels.iter().map(ToString::to_string).collect();
        self.0.push(Sample { family, labels, number });
    }

    fn count(&mut self, family: usize, labels: &[&dyn Display], count: u64) {
        self.add(family, labels, Number::Count(count));
    }
}

/// What Lua's side of a client tells: how many results wait, and how often it was woken for some.
pub fn lua_samples(queue: usize, wakeups: u64) -> Vec<Sample> {
    let mut samples = Samples::default();
    samples.count(QUEUE, &[], queue as u64);
    samples.count(WAKEUPS, &[], wakeups);
    samples.0
}

impl Client {
    /// What it tells of itself, in no order.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Samples::default();
        self.tell_calls(&mut samples);
        self.tell_servers(&mut samples);
        self.tell_leases(&mut samples);
        self.tell_watches(&mut samples);
        self.tell_held(&mut samples);
        self.tell_caches(&mut samples);
        samples.0
    }

    fn tell_calls(&self, samples: &mut Samples) {
        for call in self.servers().stats.calls() {
            let name = &call.method.name;
            samples.count(CALLS, &[name, &"ok"], call.succeeded());
            for (code, count) in call.failed() {
                samples.count(CALLS, &[name, &code], count);
            }
            samples.add(SECONDS, &[name], Number::Spread(call.seconds.get()));
            samples.count(INFLIGHT, &[name], call.inflight());
            for (why, count) in [
                ("first", call.begun()),
                ("retry", call.retry.get()),
                ("failover", call.failover.get()),
                ("login", call.login.get()),
                ("reconnect", call.reconnect.get()),
            ] {
                samples.count(ATTEMPTS, &[name, &why], count);
            }
            samples.count(UNKNOWN, &[name], call.unknown.get());
        }
    }

    fn tell_servers(&self, samples: &mut Samples) {
        let servers = self.servers();
        for endpoint in servers.endpoints.list().all() {
            let (name, traffic) = (&endpoint.name, &endpoint.traffic);
            samples.count(CONNECTIONS, &[name, &"ok"], traffic.connections.ok.get());
            samples.count(CONNECTIONS, &[name, &"failed"], traffic.connections.failed.get());
            let connection = endpoint.connection();
            samples.count(CONNECTED, &[name], connection.is_some().into());
            if let Some(connection) = connection {
                let seconds = connection.round_trip().as_secs_f64();
                samples.add(RTT, &[name], Number::Seconds(seconds));
            }
            samples.count(BYTES, &[name, &"sent"], traffic.sent.get());
            samples.count(BYTES, &[name, &"received"], traffic.received.get());
        }
        let logins = &servers.stats.logins;
        samples.count(LOGINS, &[&"ok"], logins.ok.get());
        samples.count(LOGINS, &[&"failed"], logins.failed.get());
    }

    fn tell_leases(&self, samples: &mut Samples) {
        let (leases, margin, counts) = self.parts.keeper.numbers();
        samples.count(LEASES, &[], leases as u64);
        if let Some(margin) = margin {
            samples.add(MARGIN, &[], Number::Seconds(margin.as_secs_f64()));
        }
        samples.count(RENEWALS, &[], counts.renewals);
        for (reason, count) in counts.lost {
            samples.count(LEASES_LOST, &[&reason], count);
        }
    }

    fn tell_watches(&self, samples: &mut Samples) {
        let (states, waiting, counts) = self.parts.watches.numbers();
        for (state, count) in states {
            samples.count(WATCHES, &[&state], count as u64);
        }
        samples.count(EVENTS, &[], counts.events);
        samples.count(RESUMES, &[], counts.resumes);
        for (reason, count) in counts.ends {
            samples.count(ENDS, &[&reason], count);
        }
        samples.count(BACKLOG, &[], waiting as u64);
    }

    fn tell_held(&self, samples: &mut Samples) {
        let stats = &self.servers().stats;
        samples.count(LOCKS, &[], stats.locks.get());
        samples.add(LOCK_WAIT, &[], Number::Spread(stats.lock_wait.get()));
        for (code, count) in stats.locks_lost.get() {
            samples.count(LOCKS_LOST, &[&code.name()], count);
        }
        samples.count(REGISTRATIONS, &[], stats.registrations.get());
        samples.count(REGISTRATIONS_LOST, &[], stats.registrations_lost.get());
    }

    fn tell_caches(&self, samples: &mut Samples) {
        let mut told = Vec::new();
        self.parts.replicas.each(|namespace, store, lag| {
            let mut range = store.range().clone().request();
            namespace.enter(&mut range);
            let name = shown(&KeyRange::of(&range));
            // Those of one range in several files are one to who looks at them.
            if told.contains(&name) {
                return;
            }
            samples.count(CACHE_KEYS, &[&name], store.len() as u64);
            samples.add(CACHE_REVISION, &[&name], Number::Revision(store.revision()));
            let lag = lag.unwrap_or_default().as_secs_f64();
            samples.add(CACHE_LAG, &[&name], Number::Seconds(lag));
            samples.count(CACHE_LOADS, &[&name], store.loads());
            told.push(name);
        });
    }
}

/// A range as the name of a cache: a key, a prefix with a star behind it, or two keys.
fn shown(range: &KeyRange) -> String {
    let text = |key: &Bytes| String::from_utf8_lossy(&shortened(key)).into_owned();
    let KeyRange { key, end } = range;
    if end.is_empty() {
        text(key)
    } else if *end == prefix(key.clone()).1 {
        format!("{}*", text(key))
    } else {
        format!("{}..{}", text(key), text(end))
    }
}

/// The text that Prometheus reads. Each sample has the name of its client, or none.
pub fn text(mut samples: Vec<(Option<&str>, Sample)>) -> String {
    // Samples of one family must stand together.
    samples.sort_by_key(|(_, sample)| sample.family);
    let mut text = String::new();
    let mut last = None;
    for (client, Sample { family, labels, number }) in &samples {
        let Family {
            name,
            kind,
            labels: names,
            help,
        } = &METRICS[*family];
        if last.replace(family) != Some(family) {
            text += &format!("# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n");
        }
        let client = client.map(|client| ("client", client));
        let labels: Vec<_> = client
            .into_iter()
            .chain(names.iter().copied().zip(labels.iter().map(String::as_str)))
            .collect();
        let mut line = |suffix: &str, bound: Option<&str>, number: &dyn Display| {
            let bound = bound.map(|bound| ("le", bound));
            let labels: Vec<_> = labels.iter().copied().chain(bound).map(labelled).collect();
            let labels = match labels.join(",") {
                none if none.is_empty() => none,
                some => format!("{{{some}}}"),
            };
            // Into a string it does not fail.
            let _ = writeln!(text, "{PREFIX}{name}{suffix}{labels} {number}");
        };
        match number {
            Number::Count(count) => line("", None, count),
            Number::Revision(revision) => line("", None, revision),
            Number::Seconds(seconds) => line("", None, seconds),
            Number::Spread(spread) => {
                let bounds = Spread::bounds().iter().map(ToString::to_string);
                for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&spread.counts) {
                    line("_bucket", Some(&bound), count);
                }
                line("_sum", None, &spread.sum);
                line("_count", None, &spread.count());
            }
        }
    }
    text
}

fn labelled((name, value): (&str, &str)) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("{name}=\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_escaped() {
        let sample = Sample {
            family: CACHE_KEYS,
            labels: vec!["a\\b\"c\nd".to_owned()],
            number: Number::Count(1),
        };
        let text = text(vec![(Some("x"), sample)]);
        let line = text.lines().last().unwrap();
        assert_eq!(line, r#"etcd_client_cache_keys{client="x",cache="a\\b\"c\nd"} 1"#);
    }

    #[test]
    fn a_family_has_one_head() {
        let sample = |family| Sample {
            family,
            labels: Vec::new(),
            number: Number::Count(0),
        };
        let samples = [(Some("a"), LEASES), (Some("a"), LOCKS), (Some("b"), LEASES)];
        let text = text(samples.map(|(client, family)| (client, sample(family))).into());
        let heads: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(
            heads,
            ["# TYPE etcd_client_leases gauge", "# TYPE etcd_client_locks_held gauge"]
        );
    }
}
