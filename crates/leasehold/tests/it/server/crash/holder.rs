//! A client with a memory: what the server has acknowledged to it, and the one request that it
//! has not.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{SHARED, TAGS};
use crate::server::http::{Answer, Client};

const LIMITS: &str = "/api/v2/concurrency_limits";
/// More leases than this, and it gives one back before it takes another.
const LEASES_MAX: usize = 4;

/// A client that works until its server is killed.
pub(super) struct Holder {
    rng: Rng,
    /// A limit of its own, on which it takes slots without a lease, and whose size it changes.
    pub(super) own_limit: String,
    pub(super) own_slots: u64,
    pub(super) unleased: u64,
    /// By the id of the task run that holds it, which is another for each lease.
    pub(super) leases: BTreeMap<Uuid, Held>,
    /// The task runs that hold a slot of a tag.
    pub(super) tagged: BTreeMap<Uuid, &'static str>,
    pub(super) unanswered: Option<Request>,
    pub(super) fence_max: u64,
}

/// A lease that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) lease_id: String,
    pub(super) names: Vec<&'static str>,
    pub(super) slots: u64,
    pub(super) fence: u64,
    /// It ends no earlier than this.
    pub(super) deadline: Timestamp,
}

/// What a holder may ask for.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// The lease lasts until then, or longer.
    Acquire {
        run: Uuid,
        names: Vec<&'static str>,
        slots: u64,
        until: Timestamp,
    },
    /// The lease lasts until then, or longer.
    Renew {
        run: Uuid,
        until: Timestamp,
    },
    Release {
        run: Uuid,
    },
    Increment {
        slots: u64,
    },
    Decrement {
        slots: u64,
    },
    TagIncrement {
        run: Uuid,
        tag: &'static str,
    },
    TagDecrement {
        run: Uuid,
        tag: &'static str,
    },
    Resize {
        slots: u64,
    },
}

impl Holder {
    pub(super) fn new(number: usize, rng: Rng, client: &mut Client) -> Self {
        let own_limit = format!("own-{number}");
        client.create_limit(&own_limit, 100);
        Self {
            rng,
            own_limit,
            own_slots: 100,
            unleased: 0,
            leases: BTreeMap::new(),
            tagged: BTreeMap::new(),
            unanswered: None,
            fence_max: 0,
        }
    }

    pub(super) fn lease_count(&self) -> usize {
        self.leases.len()
    }

    /// Sends one request after the other until one is not answered.
    pub(super) fn work_until_killed(&mut self, mut client: Client, answered: &mpsc::Sender<()>) {
        loop {
            let request = self.choose();
            self.unanswered = Some(request.clone());
            let Ok(answer) = self.send(&mut client, &request) else { return };
            self.unanswered = None;
            self.learn(request, &answer);
            // The one who counts may have stopped counting.
            let _ = answered.send(());
        }
    }

    fn choose(&mut self) -> Request {
        let rng = &mut self.rng;
        let run = Uuid::from_u128(rng.u128(..));
        let until = Timestamp::now() + SignedDuration::from_secs(rng.i64(600..3_600));
        let lease = rng.choice(self.leases.keys().copied().collect::<Vec<_>>());
        let tagged = rng.choice(self.tagged.clone());
        match (rng.u8(..10), lease, tagged) {
            (0..=2, Some(run), _) if self.leases.len() >= LEASES_MAX => Request::Release { run },
            (0..=2, ..) => {
                let mut names: Vec<_> = SHARED.iter().map(|(name, _)| *name).collect();
                rng.shuffle(&mut names);
                names.truncate(rng.usize(1..=names.len()));
                names.sort_unstable();
                Request::Acquire { run, names, slots: rng.u64(1..=3), until }
            }
            (3, Some(run), _) => Request::Renew { run, until },
            (4, Some(run), _) => Request::Release { run },
            (5, _, Some((run, tag))) => Request::TagDecrement { run, tag },
            (5 | 6, ..) => Request::TagIncrement { run, tag: rng.choice(TAGS).unwrap().0 },
            (7, ..) if self.unleased > 0 => {
                Request::Decrement { slots: rng.u64(1..=self.unleased) }
            }
            (8, ..) => Request::Resize { slots: rng.u64(100..1_000) },
            _ if self.unleased < 50 => Request::Increment { slots: rng.u64(1..=3) },
            _ => Request::Decrement { slots: self.unleased },
        }
    }

    fn send(&self, client: &mut Client, request: &Request) -> io::Result<Answer> {
        let own = [&self.own_limit];
        // Rounded up, so that what was promised is promised.
        let seconds = |until: &Timestamp| until.duration_since(Timestamp::now()).as_secs() + 1;
        let (path, body) = match request {
            Request::Acquire { run, names, slots, until } => (
                format!("{LIMITS}/increment-with-lease"),
                json!({
                    "names": names, "slots": slots, "lease_duration": seconds(until),
                    "holder": {"type": "task_run", "id": run},
                }),
            ),
            Request::Renew { run, until } => (
                format!("{LIMITS}/leases/{}/renew", self.leases[run].lease_id),
                json!({"lease_duration": seconds(until)}),
            ),
            Request::Release { run } => (
                format!("{LIMITS}/decrement-with-lease"),
                json!({"lease_id": self.leases[run].lease_id}),
            ),
            Request::Increment { slots } => {
                (format!("{LIMITS}/increment"), json!({"names": own, "slots": slots}))
            }
            Request::Decrement { slots } => {
                (format!("{LIMITS}/decrement"), json!({"names": own, "slots": slots}))
            }
            Request::TagIncrement { run, tag } => (
                "/api/concurrency_limits/increment".to_owned(),
                json!({"names": [tag], "task_run_id": run}),
            ),
            Request::TagDecrement { run, tag } => (
                "/api/concurrency_limits/decrement".to_owned(),
                json!({"names": [tag], "task_run_id": run}),
            ),
            Request::Resize { slots } => {
                let path = format!("{LIMITS}/{}", self.own_limit);
                return client.send("PATCH", &path, Some(&json!({"limit": slots})));
            }
        };
        client.send("POST", &path, Some(&body))
    }

    fn learn(&mut self, request: Request, answer: &Answer) {
        let expected: &[u16] = match request {
            Request::Acquire { .. } | Request::TagIncrement { .. } => &[200, 423],
            Request::Renew { .. } | Request::Release { .. } | Request::Resize { .. } => &[204],
            _ => &[200],
        };
        assert!(expected.contains(&answer.status), "{request:?}: {answer:?} {}", answer.text());
        if answer.status == 423 {
            return;
        }
        match request {
            Request::Acquire { run, names, slots, .. } => {
                let held = Held::acknowledged(&answer.json(), names, slots);
                assert!(held.fence > self.fence_max, "{held:?} is no newer than before");
                self.fence_max = held.fence;
                self.leases.insert(run, held);
            }
            Request::Renew { run, until } => {
                self.leases.get_mut(&run).unwrap().deadline = until;
            }
            Request::Release { run } => drop(self.leases.remove(&run)),
            Request::Increment { slots } => self.unleased += slots,
            Request::Decrement { slots } => self.unleased -= slots,
            Request::TagIncrement { run, tag } => drop(self.tagged.insert(run, tag)),
            Request::TagDecrement { run, .. } => drop(self.tagged.remove(&run)),
            Request::Resize { slots } => self.own_slots = slots,
        }
    }
}

impl Held {
    fn acknowledged(answer: &Value, names: Vec<&'static str>, slots: u64) -> Self {
        Self {
            lease_id: answer["lease_id"].as_str().unwrap().to_owned(),
            names,
            slots,
            fence: answer["fencing_token"].as_u64().unwrap(),
            deadline: answer["deadline"].as_str().unwrap().parse().unwrap(),
        }
    }
}
