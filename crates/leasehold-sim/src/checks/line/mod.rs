//! Checks the queue after each step against a naive doorman. No waiter is left in the queue that
//! could be granted. No waiter is answered after it left, or granted before one that wants the same
//! and came earlier. No waiter is overtaken without end. Each wait ends at its time.
//!
//! The doorman sees the requests that come in, the waiters that leave, the answers and the limits.
//! It numbers the waiters itself.

mod doorman;

use self::doorman::Doorman;
use super::Evidence;
use crate::history::{Exchange, History};
use crate::scene::{Scene, What};
use crate::wire::{Connection, Reply};

/// A timer may be late by the resolution of the clock.
const SLACK: i64 = 1;
/// Longer than two commits take.
pub(super) const ON_ITS_WAY: u64 = 2_000_000;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let history = evidence.history;
    let mut doorman = Doorman::default();
    for scene in &history.scenes {
        let mut wrong = |what: String| report(scene.now, what);
        match scene.what {
            What::Began { next_fence } => {
                doorman.begins_anew(next_fence);
                continue;
            }
            What::Reloaded { next_fence } => {
                doorman.forgets(next_fence);
                continue;
            }
            What::Stopping => doorman.stops(),
            What::Asked { .. } | What::Left { .. } | What::Other => {}
        }
        if let (Some((due, what)), Some(idle)) = (&doorman.due, scene.idle_since)
            && idle.max(*due) + SLACK < scene.clock
        {
            wrong(format!("nothing woke the server for {} µs: {what}", scene.clock - due));
        }
        if let What::Left { waiter } = scene.what {
            doorman.leaves(waiter);
        }
        let asked = match &scene.what {
            What::Asked { connection, .. } => history.exchanges.get(connection.exchange),
            _ => None,
        };
        let kept = asked.and_then(|asked| doorman.claims(&asked.request));
        for (waiter, reply) in &scene.called {
            match doorman.called(*waiter, reply, scene, &mut wrong) {
                Some(connection) => answered(history, connection, scene, &mut wrong),
                None => wrong(format!("waiter {waiter} was answered, but is unknown: {reply:?}")),
            }
        }
        if let What::Asked { connection, waiter, reply } = &scene.what
            && let Some(Exchange { request, .. }) = asked
        {
            match (reply, waiter) {
                (Some(reply), _) => {
                    doorman.answers_at_once(kept, (request, reply), scene, &mut wrong);
                }
                (None, Some(waiter)) => {
                    doorman.joins((*waiter, kept), *connection, request, scene, &mut wrong);
                }
                (None, None) => wrong(format!("request {} is forgotten", connection.exchange)),
            }
        }
        doorman.looks(scene, &mut wrong);
    }
    for waiter in doorman.who_waits() {
        let end = history.scenes.last().map_or(0, |scene| scene.now);
        report(end, format!("{waiter} waits for ever"));
    }
}

/// Reports a waiter whose wait ended without a reply, though its client had not hung up and the
/// server did not crash.
fn answered(
    history: &History,
    connection: Connection,
    scene: &Scene,
    wrong: &mut dyn FnMut(String),
) {
    let Connection { exchange, copy } = connection;
    let Some(known) = history.exchanges.get(exchange) else { return };
    let is_answered =
        known.replies.iter().any(|answer| answer.copy == copy && answer.left >= scene.now);
    let is_hung_up = known.hung_up.iter().any(|(of, _)| *of == copy);
    let soon = scene.now..scene.now + ON_ITS_WAY;
    if !is_answered && !is_hung_up && !history.crashes_in(&soon) {
        wrong(format!("request {exchange} left the queue, and got no reply"));
    }
}

/// The fence of the lease in a grant.
fn fence_of(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Granted { lease: Some(lease), .. } => Some(lease.fence),
        _ => None,
    }
}
