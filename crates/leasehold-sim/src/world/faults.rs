//! What goes wrong in the world by itself: the server crashes, the wall clock is stepped, the disk
//! is full.

use super::{Event, MILLISECOND, SECOND, World};
use crate::server::Message;

impl World {
    pub(super) fn crash(&mut self) {
        if !self.is_faulty {
            return;
        }
        if self.server.is_running() {
            if self.rng.u8(0..4) == 0 {
                self.say(|| "the server is asked to stop".to_owned());
                self.server.receive(Message::Drain);
                self.work();
                let grace = self.rng.u64(MILLISECOND..300 * MILLISECOND);
                let is_clean = self.rng.bool();
                self.schedule(grace, Event::PowerOff { life: self.life, is_clean });
            } else {
                self.power_off(false);
            }
        }
        self.schedule_fault(Event::Crash);
    }

    pub(super) fn power_off(&mut self, is_clean: bool) {
        if is_clean {
            if self.server.is_writing() {
                // The server ends after its last commit.
                self.schedule(MILLISECOND, Event::PowerOff { life: self.life, is_clean });
                return;
            }
            let replies = self.server.close(self.moment());
            self.answer(replies);
        }
        let is_written = self.rng.bool();
        for connection in self.server.crash(is_written) {
            self.quiet(connection.exchange);
        }
        self.life += 1;
        if let Some(uptime) = self.history.uptimes.last_mut() {
            uptime.until = Some(self.now);
        }
        self.say(|| format!("the server ends; a running commit is written: {is_written}"));
        let downtime = match self.rng.u8(0..4) {
            0 => self.rng.u64(5 * SECOND..20 * SECOND),
            _ => self.rng.u64(MILLISECOND..2 * SECOND),
        };
        self.schedule(downtime, Event::Start);
    }

    pub(super) fn step_clock(&mut self) {
        if self.is_faulty {
            let hour = 3_600 * 1_000_000;
            self.wall_ahead += self.rng.i64(-hour..hour) / i64::from(self.rng.u16(1..2_000));
            self.say(|| "the wall clock is stepped".to_owned());
            self.schedule_fault(Event::StepClock);
        }
    }

    pub(super) fn fill_disk(&mut self) {
        if self.is_faulty {
            self.server.disk.full_until = self.now + self.rng.u64(MILLISECOND..3 * SECOND);
            if self.rng.u8(0..3) == 0 {
                let unreadable = self.rng.u64(MILLISECOND..2 * SECOND);
                self.server.disk.unreadable_until = self.now + unreadable;
            }
            self.say(|| "the disk is full for a while".to_owned());
            self.schedule_fault(Event::FillDisk);
        }
    }

    pub(super) fn schedule_fault(&mut self, event: Event) {
        let wait = match event {
            Event::Crash => self.rng.u64(100 * MILLISECOND..8 * SECOND),
            _ => self.rng.u64(SECOND..15 * SECOND),
        };
        self.schedule(wait, event);
    }
}
