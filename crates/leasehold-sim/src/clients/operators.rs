//! Clients that create, change, reset and delete limits, and clients that only read.

use fastrand::Rng;

use super::{Client, Heard, LIMITS, MOVED, SECOND, Turn, one_of};
use crate::wire::{Reply, Request};

const TRIES: u32 = 5;

/// Creates all limits, once.
#[derive(Default)]
pub(crate) struct Founder {
    made: usize,
}

impl Client for Founder {
    fn turn(&mut self, _: &Heard<'_>, _: &mut Rng) -> Turn {
        self.made += 1;
        match LIMITS.get(self.made - 1) {
            Some(limit) if limit.name == MOVED.name => {
                let (id, name, slots) = (self.made as u64, limit.name.to_owned(), limit.slots);
                Turn::Call(Request::Adopt { id, name, slots, foreign: 1 }, TRIES)
            }
            Some(limit) => Turn::Call(
                Request::Create {
                    id: self.made as u64,
                    name: limit.name.to_owned(),
                    slots: limit.slots,
                    nanos_per_second: limit.nanos_per_second,
                },
                TRIES,
            ),
            None => Turn::Die,
        }
    }
}

/// Does what operators do, to the limits that are meant for it.
pub(crate) struct Operator {
    /// Whether it also revokes leases and resets limits and tags.
    is_rough: bool,
    limits_made: u64,
    leases: Vec<u64>,
}

impl Operator {
    pub(crate) fn new(is_rough: bool) -> Self {
        Self { is_rough, limits_made: 1_000, leases: Vec::new() }
    }

    fn request(&mut self, rng: &mut Rng) -> Request {
        let sized = || "sized".to_owned();
        let shaky = || "shaky".to_owned();
        let nothing = |name| Request::Patch { name, slots: None, active: None, taken_max: None };
        match rng.u8(0..if self.is_rough { 13 } else { 7 }) {
            0 | 1 => Request::Patch {
                name: sized(),
                slots: Some(rng.u64(0..6)),
                active: None,
                taken_max: None,
            },
            2 => Request::Patch {
                name: sized(),
                slots: Some(rng.u64(1..6)),
                active: None,
                taken_max: Some(rng.u64(0..3)),
            },
            3 => Request::Patch {
                name: shaky(),
                slots: None,
                active: Some(rng.bool()),
                taken_max: None,
            },
            4 => Request::Delete { name: shaky() },
            5 => {
                self.limits_made += 1;
                let (id, slots) = (self.limits_made, rng.u64(1..5));
                Request::Create { id, name: shaky(), slots, nanos_per_second: 0 }
            }
            6 => nothing("rate".to_owned()),
            7 => Request::Reset { name: sized(), slots: rng.u64(0..4) },
            8 => Request::Look,
            9 => match self.leases.pop() {
                Some(lease) => Request::Revoke { lease },
                None => Request::Look,
            },
            10 => Request::Reset { name: "mixed".to_owned(), slots: rng.u64(0..4) },
            11 => Request::Reset { name: MOVED.name.to_owned(), slots: rng.u64(0..3) },
            _ => {
                // These ids are greater than those of all other holders.
                self.limits_made += 1;
                let run = 1_000_000_000 + self.limits_made;
                let holders = if rng.bool() { vec![(run, run)] } else { Vec::new() };
                let name = one_of(rng, &["tag:one", "tag:two"]).to_owned();
                Request::ResetTag { name, holders }
            }
        }
    }
}

impl Client for Operator {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn {
        match heard {
            Heard::Awake => Turn::Call(self.request(rng), TRIES),
            Heard::Reply(reply) => {
                if let Reply::Picture { limits, .. } = reply {
                    let leases = limits.iter().flat_map(|limit| &limit.leases);
                    self.leases = leases.map(|lease| lease.id).collect();
                    rng.shuffle(&mut self.leases);
                    self.leases.truncate(2);
                }
                Turn::Sleep(rng.u64(1..2 * SECOND))
            }
            Heard::Silence => Turn::Sleep(SECOND),
        }
    }
}

/// Reads everything, now and then.
pub(crate) struct Onlooker;

impl Client for Onlooker {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn {
        match heard {
            Heard::Awake => Turn::Call(Request::Look, 1),
            Heard::Reply(_) | Heard::Silence => Turn::Sleep(rng.u64(1..SECOND)),
        }
    }
}

/// Runs after all other clients have stopped: reads everything, resets every limit and tag, and
/// reads everything again.
#[derive(Default)]
pub(crate) struct Janitor {
    turns: usize,
}

impl Client for Janitor {
    fn turn(&mut self, _: &Heard<'_>, _: &mut Rng) -> Turn {
        self.turns += 1;
        let request = match self.turns {
            1 => Request::Look,
            turn => match LIMITS.get(turn - 2) {
                Some(limit) if limit.name.starts_with("tag:") => {
                    Request::ResetTag { name: limit.name.to_owned(), holders: Vec::new() }
                }
                Some(limit) => Request::Reset { name: limit.name.to_owned(), slots: 0 },
                None if turn == LIMITS.len() + 2 => Request::Look,
                None => return Turn::Die,
            },
        };
        Turn::Call(request, TRIES)
    }
}
