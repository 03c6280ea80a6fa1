//! Moves a limit between this server and another one, as a gateway in front of that one does.

use fastrand::Rng;

use super::{Client, Heard, MOVED, MOVED_ID, SECOND, Turn};
use crate::wire::{Reply, Request};

const TRIES: u32 = 5;

/// Says what another server counts, whether the limit is on its way back, and which leases there
/// end with those here.
#[derive(Default)]
pub(crate) struct Mover {
    leases: Vec<u64>,
    partners_made: u64,
}

impl Mover {
    fn request(&mut self, rng: &mut Rng) -> Request {
        let (id, name) = (MOVED_ID, MOVED.name.to_owned());
        match rng.u8(0..12) {
            0..=4 => Request::SetForeign { id, name, slots: rng.u64(0..4) },
            5 => Request::SetReturning { id, name, is_returning: true },
            6 | 7 => Request::SetReturning { id, name, is_returning: false },
            8 => Request::Adopt { id, name, slots: MOVED.slots, foreign: rng.u64(0..3) },
            _ => match self.leases.pop() {
                Some(lease) => {
                    self.partners_made += 1;
                    let partners = (0..rng.u64(0..3)).map(|nth| self.partners_made * 10 + nth);
                    Request::Pair { lease, partners: partners.collect() }
                }
                None => Request::Look,
            },
        }
    }
}

impl Client for Mover {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn {
        match heard {
            Heard::Awake => Turn::Call(self.request(rng), TRIES),
            Heard::Reply(reply) => {
                if let Reply::Picture { limits, .. } = reply {
                    let moved = limits.iter().filter(|limit| limit.name == MOVED.name);
                    self.leases = moved.flat_map(|limit| &limit.leases).map(|it| it.id).collect();
                }
                Turn::Sleep(rng.u64(1..SECOND))
            }
            Heard::Silence => Turn::Sleep(SECOND),
        }
    }
}
