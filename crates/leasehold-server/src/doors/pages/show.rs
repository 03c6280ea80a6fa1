//! How names, times, numbers and slots look.

use std::borrow::Cow;

use leasehold_engine::{Holder, LimitView, Span, Timestamp};
use maud::{Markup, html};

use crate::doors::convert::timestamp;

/// The text with its control characters, and those that change its direction, made visible. They
/// could hide what a name says, and some cannot stand in a page at all.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\0'..='\x1f' => {
                shown.push(char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{fffd}'));
            }
            '\x7f' => shown.push('\u{2421}'),
            char if is_hidden(char) => shown.push_str(&format!("[U+{:04X}]", u32::from(char))),
            char => shown.push(char),
        }
    }
    Cow::Owned(shown)
}

/// Whether a character has no look of its own, or changes that of others.
pub(super) fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{ad}')
}

/// A name that somebody chose.
pub(super) fn name(text: &str) -> Markup {
    html! {
        @if text.is_empty() { i.muted { "(no name)" } } @else { bdi { (visible(text)) } }
    }
}

/// A holder: its kind in words, and its id.
pub(super) fn holder(holder: Option<&Holder>) -> Markup {
    html! {
        @match holder {
            Some(holder) => {
                span.kind { bdi { (visible(&holder.kind.replace('_', " "))) } }
                " " code { bdi { (visible(&holder.id)) } }
            }
            None => i.muted { "did not say who it is" }
        }
    }
}

/// A time as it is relative to now; the exact one on hover.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let exact = timestamp(at).to_string();
    html! {
        time datetime=(exact) title=(readable(&exact)) data-ago=(at.as_micros() / 1_000) {
            (length(now.since(at))) " ago"
        }
    }
}

/// A time ahead, as it counts down.
pub(super) fn countdown(at: Timestamp, now: Timestamp) -> Markup {
    let exact = timestamp(at).to_string();
    html! {
        time datetime=(exact) title=(readable(&exact)) data-until=(at.as_micros() / 1_000) {
            "in " (length(at.since(now)))
        }
    }
}

/// `2026-11-20 21:02:56.121815 UTC`
fn readable(exact: &str) -> String {
    format!("{} UTC", exact.replace('T', " ").trim_end_matches('Z'))
}

/// A length of time in its two greatest units.
pub(super) fn length(span: Span) -> String {
    let seconds = span.as_micros() / 1_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) if minutes < 10 => format!("{minutes} min {} s", seconds % 60),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

/// A number with a thin space between its thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

/// `1 slot`, `2 slots`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", self::number(number))
}

/// The slots of a limit as a bar, and in words.
pub(super) fn slots(view: &LimitView) -> Markup {
    let slots = view.limit.slots;
    let taken = view.taken;
    let unleased = (view.unleased.slots_taken() + view.limit.foreign).min(taken);
    let width = |part: u64| part.min(slots).saturating_mul(1_000).checked_div(slots).unwrap_or(0);
    let (all, leased) = (width(taken), width(taken - unleased));
    html! {
        span.slots {
            svg.bar viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true" {
                rect.free width="1000" height="8" {}
                rect.unleased width=(all) height="8" {}
                rect.leased width=(leased) height="8" {}
            }
            span.used {
                b { (number(taken)) } " of " (number(slots))
            }
            span.states { (state(view)) }
        }
    }
}

/// The state of a limit in words, each with a sign of its own.
pub(super) fn state(view: &LimitView) -> Markup {
    let is_full = view.limit.active && view.taken >= view.limit.slots;
    let full = if view.limit.slots == 0 { "no slots" } else { "full" };
    html! {
        @if view.limit.returning { span.state.off { "↩ on its way back" } }
        @if !view.limit.active { span.state.off { "○ off" } }
        @if is_full { span.state.full { "● " (full) } }
        @if view.waiting > 0 {
            span.state.waiting { "◷ " (number(view.waiting as u64)) " waiting" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_hidden() {
        assert_eq!(visible("plain ünï 数"), "plain ünï 数");
        assert_eq!(visible("a\0b\x1b[2Jc\x7f"), "a␀b␛[2Jc␡");
        assert_eq!(visible("user\u{202e}txt.exe\u{2066}"), "user[U+202E]txt.exe[U+2066]");
        assert_eq!(name("<script>").into_string(), "<bdi>&lt;script&gt;</bdi>");
    }

    #[test]
    fn lengths_have_two_units_at_most() {
        let shown = |seconds| length(Span::from_seconds(seconds));
        assert_eq!(shown(0), "0 s");
        assert_eq!(shown(61), "1 min 1 s");
        assert_eq!(shown(3_599), "59 min");
        assert_eq!(shown(7_260), "2 h 1 min");
        assert_eq!(shown(90_000), "1 d 1 h");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
