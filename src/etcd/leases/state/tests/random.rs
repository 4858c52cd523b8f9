//! Random steps of client, streams and server: no lease is ever believed in for longer than the server has it.

use fastrand::Rng;

use super::*;

/// A request on its way there, or its answer on its way back.
struct Message {
    /// `None` for a request on a stream of its own.
    stream: Option<u64>,
    id: i64,
    sent: Moment,
    ttl: Option<i64>,
}

impl Message {
    fn path(&self) -> (Option<u64>, i64) {
        (self.stream, self.id)
    }
}

struct World {
    rng: Rng,
    leases: Leases,
    now: Moment,
    current: Option<u64>,
    earlier: Vec<u64>,
    /// In the order of sending.
    messages: Vec<Message>,
    /// Until when the server has each lease.
    server: HashMap<i64, Moment>,
}

fn ttl(id: i64) -> i64 {
    2 + id % 9
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(seed),
            leases: Leases::default(),
            now: Moment::now(),
            current: None,
            earlier: Vec::new(),
            messages: Vec::new(),
            server: HashMap::new(),
        };
        for id in 1..=6 {
            world.grant(id);
        }
        world
    }

    fn grant(&mut self, id: i64) {
        self.server
            .insert(id, self.now + Duration::from_secs(ttl(id).unsigned_abs()));
        self.leases.keep(answer(id, ttl(id)), self.now);
    }

    fn step(&mut self) {
        match self.rng.u8(..20) {
            0..6 => self.now = self.now + Duration::from_millis(self.rng.u64(..800)),
            6..11 => self.serve(),
            11..16 => self.deliver(),
            16 => self.lose_message(),
            17 => self.break_stream(),
            18 => self.revoke(),
            _ => self.grant_again(),
        }
        self.look();
    }

    fn look(&mut self) {
        let stream = *self.current.get_or_insert_with(|| self.leases.open());
        let due = self.leases.due(self.now);
        let sent = self.now;
        let shared = due.shared.into_iter().map(|id| (Some(stream), id));
        for (stream, id) in shared.chain(due.alone.into_iter().map(|id| (None, id))) {
            let ttl = None;
            self.messages.push(Message { stream, id, sent, ttl });
        }
        if due.silent.is_some() {
            self.leases.leave(self.now);
            self.earlier.extend(self.current.take());
        }
    }

    /// The first message on its path in one direction, chosen at random.
    fn choose(&mut self, answered: bool) -> Option<usize> {
        let fits = |m: &&Message| m.ttl.is_some() == answered;
        let ready: Vec<usize> = (0..self.messages.len())
            .filter(|i| fits(&&self.messages[*i]))
            .filter(|i| {
                !self.messages[..*i]
                    .iter()
                    .filter(fits)
                    .any(|m| m.path() == self.messages[*i].path())
            })
            .collect();
        self.rng.choice(ready)
    }

    /// The server takes a request.
    fn serve(&mut self) {
        let Some(message) = self.choose(false) else { return };
        let message = &mut self.messages[message];
        let seconds = ttl(message.id);
        let alive = self.server.get(&message.id).is_some_and(|end| *end > self.now);
        message.ttl = Some(if alive { seconds } else { 0 });
        if alive {
            self.server
                .insert(message.id, self.now + Duration::from_secs(seconds.unsigned_abs()));
        }
    }

    fn deliver(&mut self) {
        let Some(message) = self.choose(true) else { return };
        let Message { stream, id, sent, ttl } = self.messages.remove(message);
        let answer = answer(id, ttl.unwrap_or_default());
        match stream {
            Some(stream) => self.leases.renewed(stream, answer, self.now),
            None if self.rng.u8(..4) == 0 => self.leases.refused(id, Error::closed(), self.now),
            None => self.leases.renewed_alone(answer, sent, self.now),
        }
    }

    fn lose_message(&mut self) {
        if !self.messages.is_empty() {
            let lost = self.rng.usize(..self.messages.len());
            let lost = self.messages.remove(lost);
            if lost.stream.is_none() {
                self.leases.failed(lost.id, self.now);
            }
        }
    }

    fn break_stream(&mut self) {
        let earlier = self.rng.choice(0..self.earlier.len());
        let broken = match earlier {
            Some(earlier) if self.rng.bool() => self.earlier.remove(earlier),
            _ => match self.current.take() {
                Some(current) => current,
                None => return,
            },
        };
        self.leases.close(broken, self.rng.bool(), self.now);
        self.messages.retain(|message| message.stream != Some(broken));
    }

    fn revoke(&mut self) {
        let id = self.rng.i64(1..=6);
        self.leases.forget(id);
        self.server.remove(&id);
    }

    fn grant_again(&mut self) {
        let id = self.rng.i64(1..=6);
        if self.server.get(&id).is_none_or(|end| *end <= self.now) {
            self.grant(id);
        }
    }

    fn assert_honest(&self, step: usize) {
        for (id, lease) in &self.leases.by_id {
            let end = self.server.get(id);
            assert!(
                end.is_some_and(|end| lease.end() <= *end),
                "step {step}: lease {id} is believed in for too long"
            );
            assert!(
                self.leases.schedule.contains(&(lease.wake(), *id)),
                "step {step}: lease {id} has no place"
            );
        }
        assert_eq!(self.leases.schedule.len(), self.leases.by_id.len());
    }
}

#[test]
fn no_lease_is_believed_in_for_longer_than_the_server_has_it() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        for step in 0..500 {
            world.step();
            world.assert_honest(step);
        }
    }
}

#[test]
fn a_lease_whose_answers_come_in_time_is_never_lost() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let (mut leases, mut stream, start) = kept(&[7]);
        let (mut now, mut coming) = (start, Vec::<(Moment, u64)>::new());
        while now < at(start, 300) {
            let due = leases.due(now);
            assert!(leases.keeps(7), "seed {seed}: lost after {:?}", now.since(start));
            for _ in due.shared {
                // Streams are FIFO.
                let last = coming.iter().filter(|(_, s)| *s == stream).map(|(when, _)| *when).max();
                let when = now + Duration::from_millis(rng.u64(..2900));
                coming.push((last.map_or(when, |last| last.max(when)), stream));
            }
            match due.silent {
                Some(_) => {
                    leases.leave(now);
                    stream = leases.open();
                }
                None => {
                    let next = due.next.unwrap();
                    coming.sort_by(|a, b| b.cmp(a));
                    now = coming.last().map_or(next, |(when, _)| next.min(*when)).max(now);
                    while let Some((_, stream)) = coming.pop_if(|(when, _)| *when <= now) {
                        leases.renewed(stream, answer(7, TTL), now);
                    }
                }
            }
        }
    }
}
