//! A verdict in words, and as JSON.

use std::time::Duration;

use leasehold_redis::{Mechanism, Verdict, rfc3339};
use serde_json::{Value, json};

use crate::duration;
use crate::output::{Paint, Style};

/// From one moment to a later one, both in Unix seconds.
pub(super) fn left_until(until: f64, at: f64) -> Duration {
    Duration::try_from_secs_f64(until - at).unwrap_or_default()
}

/// Prints a verdict on going to a phase, for people.
pub(super) fn print(to: Mechanism, verdict: &Verdict, at: f64, paint: Paint) {
    match verdict {
        Verdict::Safe => {
            paint.labelled("Verdict", Style::Good, &format!("safe to go on to {to}"));
        }
        Verdict::Watching { left } => {
            let text = format!(
                "nothing is in the way of {to}; safe when that stays so for {}",
                duration::show(*left)
            );
            paint.labelled("Verdict", Style::Plain, &text);
        }
        Verdict::Blocked { by, until } => {
            let until = until.map(|until| {
                let left = duration::show(left_until(until, at));
                format!(", for {left} at least unless given back")
            });
            let text = format!("not safe to go on to {to}{}", until.unwrap_or_default());
            paint.labelled("Verdict", Style::Warning, &text);
            for reason in by.iter().take(10) {
                paint.labelled("", Style::Plain, reason);
            }
            if by.len() > 10 {
                paint.labelled("", Style::Plain, &format!("and {} more", by.len() - 10));
            }
        }
        _ => {}
    }
}

/// What stands in the way, in one line.
pub(super) fn in_one_line(to: Mechanism, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Watching { left } => {
            format!("nothing is in the way of {to}; watching for another {}", duration::show(*left))
        }
        Verdict::Blocked { by, .. } => {
            let more =
                if by.len() > 1 { format!(" and {} more", by.len() - 1) } else { String::new() };
            format!("{}{more}", by.first().map_or("something is in the way", String::as_str))
        }
        _ => "a process has not confirmed yet".to_owned(),
    }
}

/// A verdict on going to a phase, for programs.
pub(super) fn to_json(to: Mechanism, verdict: &Verdict) -> Value {
    let to = to.as_str();
    match verdict {
        Verdict::Safe => json!({"to": to, "verdict": "safe"}),
        Verdict::Watching { left } => {
            json!({"to": to, "verdict": "watching", "left_seconds": left.as_secs_f64()})
        }
        Verdict::Blocked { by, until } => {
            json!({"to": to, "verdict": "blocked", "by": by, "until": until.map(rfc3339)})
        }
        _ => json!({"to": to, "verdict": "unknown"}),
    }
}
